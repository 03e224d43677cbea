"""The reference embedders in PyTorch, read from their authors' files: they run in batches, on any device, and also return their
inner maps. Only the layers of these two networks are known; any other layer is an error that names it."""

import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Graph(nn.Module):
    """The steps of a network, in the order of the data. Each step is (output, function of the inputs' values, inputs,
    weights)."""

    def __init__(self, begin):
        super().__init__()
        self.begin, self.steps, self.weights = begin, [], nn.ParameterDict()

    def step(self, output, run, inputs, **weights):
        names = {}
        for kind, value in weights.items():
            names[kind] = f"{len(self.weights)}"
            self.weights[names[kind]] = nn.Parameter(torch.from_numpy(np.array(value, np.float32)), requires_grad=False)
        self.steps.append((output, run, inputs, names))

    def forward(self, x, wanted):
        """The values whose names are in `wanted`."""
        values = {self.begin: x}
        for output, run, inputs, names in self.steps:
            values[output] = run(*(values[i] for i in inputs), **{k: self.weights[n] for k, n in names.items()})
        return [values[w] for w in wanted]


def convolution(strides, pads, groups):
    return lambda x, weight, bias=None: F.conv2d(x, weight, bias, strides, pads, 1, groups)


class MobileFaceNet(Graph):
    """Read from its ONNX file. In: [n, 3, 112, 112], RGB, normalised; out: [n, 128], called `answer`."""

    def __init__(self, file):
        import onnx
        from onnx import numpy_helper

        graph = onnx.load(file).graph
        super().__init__(graph.input[0].name)
        self.answer = graph.output[0].name
        fixed = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
        for node in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            name, kind = node.output[0], node.op_type
            if kind == "Constant":
                fixed[name] = numpy_helper.to_array(attributes["value"])
            elif kind == "Conv":
                pads = attributes["pads"]
                if pads[:2] != pads[2:] or attributes["dilations"] != [1, 1]:
                    raise SystemExit(f"{file}: {node.name}: uneven padding or dilation is not known here")
                run = convolution(attributes["strides"], pads[:2], attributes["group"])
                self.step(name, run, node.input[:1], weight=fixed[node.input[1]], bias=fixed[node.input[2]])
            elif kind == "Clip":
                low, high = (float(fixed[i]) for i in node.input[1:])
                self.step(name, lambda x, low=low, high=high: x.clamp(low, high), node.input[:1])
            elif kind == "Relu":
                self.step(name, F.relu, node.input)
            elif kind == "Add":
                self.step(name, torch.add, node.input)
            elif kind == "Reshape" and name == self.answer:
                self.step(name, lambda x: x.flatten(1), node.input[:1])
            else:
                raise SystemExit(f"{file}: {node.name}: {kind} is not known here")


class Reid(Graph):
    """face-reidentification-retail-0095, read from its IR, version 5. In: [n, 3, 128, 128], BGR, 0 to 255; out: [n, 256, 1, 1]."""

    def __init__(self, file):
        file = Path(file)
        net, kept = xml.parse(file).getroot(), file.with_suffix(".bin").read_bytes()
        into = {}
        for e in net.findall("edges/edge"):
            into.setdefault(e.get("to-layer"), {})[int(e.get("to-port"))] = e.get("from-layer")
        layers = net.findall("layers/layer")
        super().__init__(layers[0].get("id"))
        self.answer = layers[-1].get("id")
        numbers = lambda text: [int(v) for v in text.split(",")]
        for layer in layers[1:]:
            name, kind, data = layer.get("id"), layer.get("type"), layer.find("data")
            inputs = [into[name][port] for port in sorted(into[name])]
            blob = {}
            for b in layer.findall("blobs/*"):
                at, size = int(b.get("offset")), int(b.get("size"))
                blob[b.tag] = np.frombuffer(kept[at : at + size], {"FP16": "f2", "FP32": "f4"}[layer.get("precision")])
            if kind == "Convolution":
                out, groups, pads = int(data.get("output")), int(data.get("group")), numbers(data.get("pads_begin"))
                if pads != numbers(data.get("pads_end")) or numbers(data.get("dilations")) != [1, 1]:
                    raise SystemExit(f"{file}: layer {name}: uneven padding or dilation is not known here")
                given = {"weight": blob["weights"].reshape(out, -1, *numbers(data.get("kernel")))}
                if "biases" in blob:
                    given["bias"] = blob["biases"]
                self.step(name, convolution(numbers(data.get("strides")), pads, groups), inputs, **given)
            elif kind == "ScaleShift":
                by_channel = {"scale": blob["weights"].reshape(-1, 1, 1), "shift": blob["biases"].reshape(-1, 1, 1)}
                self.step(name, lambda x, scale, shift: x * scale + shift, inputs, **by_channel)
            elif kind == "PReLU":
                self.step(name, lambda x, slope: F.prelu(x, slope), inputs, slope=blob["weights"])
            elif kind == "Activation" and data.get("type") == "sigmoid":
                self.step(name, torch.sigmoid, inputs)
            elif kind == "Eltwise":
                self.step(name, {"sum": torch.add, "mul": torch.mul}[data.get("operation")], inputs)
            elif kind == "Pooling" and data.get("pool-method") == "avg" and not any(numbers(data.get("pads_begin"))):
                kernel, strides = numbers(data.get("kernel")), numbers(data.get("strides"))
                self.step(name, lambda x, k=kernel, s=strides: F.avg_pool2d(x, k, s), inputs)
            else:
                raise SystemExit(f"{file}: layer {name}: {kind} is not known here")
