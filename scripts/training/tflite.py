"""Writes networks of `net` as 8-bit TFLite files: per-channel int8 weights, int8 activations, int32 biases.

The first layer of the detector is the exception: uint8 with one scale for all its weights, because its input is the
camera's own buffer. This module does not convert other networks; scripts/convert does.
"""

import os
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

import net

INT8, UINT8, INT32 = schema.TensorType.INT8, schema.TensorType.UINT8, schema.TensorType.INT32
KIND = {INT8: np.int8, UINT8: np.uint8, INT32: np.int32}


class Tensor:
    """A tensor of the file: index, shape, and how a stored value must be interpreted."""

    def __init__(self, index, shape, scale, zero, kind):
        self.index, self.shape, self.scale, self.zero, self.kind = index, shape, scale, zero, kind


class Writer:
    def __init__(self, description):
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = description
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self.graph = graph
        self.model.subgraphs = [graph]

    def tensor(self, name, shape, scale, zero, kind=INT8, data=None, axis=None):
        t = schema.TensorT()
        t.name, t.shape, t.type, t.buffer = name, list(shape), kind, 0
        if scale is not None:
            q = schema.QuantizationParametersT()
            q.scale = np.atleast_1d(np.asarray(scale, np.float32)).tolist()
            q.zeroPoint = np.atleast_1d(np.asarray(zero)).astype(int).tolist()
            q.quantizedDimension = axis or 0
            t.quantization = q
        if data is not None:
            b = schema.BufferT()
            b.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            t.buffer = len(self.model.buffers)
            self.model.buffers.append(b)
        self.graph.tensors.append(t)
        return Tensor(len(self.graph.tensors) - 1, tuple(shape), scale, zero, kind)

    def code(self, builtin):
        for i, c in enumerate(self.model.operatorCodes):
            if c.builtinCode == builtin:
                return i
        c = schema.OperatorCodeT()
        c.builtinCode, c.deprecatedBuiltinCode = builtin, min(builtin, 127)
        # The lowest versions that support 8-bit tensors, so that old libraries can run the file.
        op = schema.BuiltinOperator
        c.version = {op.QUANTIZE: 2, op.ADD: 2, op.CONV_2D: 3, op.DEPTHWISE_CONV_2D: 3, op.DEPTH_TO_SPACE: 1, op.SLICE: 2}[builtin]
        self.model.operatorCodes.append(c)
        return len(self.model.operatorCodes) - 1

    def operator(self, builtin, inputs, output, kind=None, options=None):
        o = schema.OperatorT()
        o.opcodeIndex, o.inputs, o.outputs = self.code(builtin), [t.index for t in inputs], [output.index]
        if options is not None:
            o.builtinOptionsType, o.builtinOptions = kind, options
        self.graph.operators.append(o)
        return output

    def input(self, name, shape, scale, zero, kind=INT8):
        t = self.tensor(name, shape, scale, zero, kind)
        self.graph.inputs.append(t.index)
        return t

    def output(self, t, name=None):
        self.graph.outputs.append(t.index)
        if name:
            self.graph.tensors[t.index].name = name

    def conv(self, layer, x, name):
        """Writes a folded net.Conv whose ranges are known."""
        weight = layer.weight.detach().cpu().numpy()
        steps = layer.steps().cpu().numpy()
        stored = np.clip(np.round(weight / steps[:, None, None, None]), -127, 127).astype(np.int32)
        depthwise = layer.groups > 1
        scale, zero = layer.out.scale()
        kind = x.kind
        if kind == UINT8:
            # One scale for all weights. Weights and output are shifted by 128.
            stored, steps, weight_zero, zero = (stored + 128).astype(np.uint8), steps[:1], 128, zero + 128
        else:
            stored, weight_zero = stored.astype(np.int8), np.zeros(len(steps), int)
        if depthwise:
            # [channels, 1, h, w] to [1, h, w, channels]
            stored, axis = stored.transpose(1, 2, 3, 0), 3
        else:
            stored, axis = stored.transpose(0, 2, 3, 1), 0
        w = self.tensor(f"{name}/weights", stored.shape, steps, weight_zero, kind, stored, axis)
        bias = layer.bias.detach().cpu().numpy().astype(np.float64) / (x.scale * steps.astype(np.float64))
        bias = np.clip(np.round(bias), -(2**31) + 1, 2**31 - 1).astype(np.int32)
        b = self.tensor(f"{name}/bias", bias.shape, x.scale * steps, np.zeros(len(steps), int), INT32, bias, 0)
        n, h, wd, _ = x.shape
        (kh, kw), (sh, sw) = layer.kernel, layer.stride
        if layer.padding == "valid":
            size = ((h - kh) // sh + 1, (wd - kw) // sw + 1)
        else:
            size = (-(-h // sh), -(-wd // sw))
        y = self.tensor(name, (n, *size, len(bias)), scale, zero, kind)
        options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
        options.padding = schema.Padding.VALID if layer.padding == "valid" else schema.Padding.SAME
        options.strideH, options.strideW, options.dilationHFactor, options.dilationWFactor = sh, sw, 1, 1
        options.fusedActivationFunction = (
            schema.ActivationFunctionType.RELU if layer.relu else schema.ActivationFunctionType.NONE
        )
        op, kinds = schema.BuiltinOperator, schema.BuiltinOptions
        if depthwise:
            options.depthMultiplier = 1
            return self.operator(op.DEPTHWISE_CONV_2D, [x, w, b], y, kinds.DepthwiseConv2DOptions, options)
        return self.operator(op.CONV_2D, [x, w, b], y, kinds.Conv2DOptions, options)

    def add(self, a, b, out, name):
        """Writes ReLU(a + b), rounded as `out`."""
        scale, zero = out.scale()
        y = self.tensor(name, a.shape, scale, zero)
        options = schema.AddOptionsT()
        options.fusedActivationFunction = schema.ActivationFunctionType.RELU
        return self.operator(schema.BuiltinOperator.ADD, [a, b], y, schema.BuiltinOptions.AddOptions, options)

    def signed(self, x, name):
        """Writes a conversion of the values of `x` to int8."""
        y = self.tensor(name, x.shape, x.scale, x.zero - 128)
        return self.operator(schema.BuiltinOperator.QUANTIZE, [x], y, schema.BuiltinOptions.QuantizeOptions, schema.QuantizeOptionsT())

    def spread(self, x, name):
        """Writes the rearrangement of four channels to a square of four cells."""
        n, h, w, c = x.shape
        y = self.tensor(name, (n, 2 * h, 2 * w, c // 4), x.scale, x.zero)
        options = schema.DepthToSpaceOptionsT()
        options.blockSize = 2
        op, kinds = schema.BuiltinOperator.DEPTH_TO_SPACE, schema.BuiltinOptions.DepthToSpaceOptions
        return self.operator(op, [x], y, kinds, options)

    def top(self, x, h, w, name):
        """Writes a slice of the first h rows and w columns."""
        if x.shape[1:3] == (h, w):
            return x
        shape = (x.shape[0], h, w, x.shape[3])
        ends = [self.tensor(f"{name}/{what}", (4,), None, 0, INT32, np.array(v, np.int32)) for what, v in (("begin", [0] * 4), ("size", shape))]
        y = self.tensor(name, shape, x.scale, x.zero)
        op, kinds = schema.BuiltinOperator.SLICE, schema.BuiltinOptions.SliceOptions
        return self.operator(op, [x, *ends], y, kinds, schema.SliceOptionsT())

    def lift(self, module, fine, coarse, name):
        """Writes a net.Lift."""
        cells = self.spread(self.conv(module.a, coarse, f"{name}/a"), f"{name}/cells")
        cells = self.top(cells, *fine.shape[1:3], f"{name}/top")
        return self.add(fine, cells, module.out, name)

    def layers(self, module, x, name):
        if isinstance(module, net.Conv):
            return self.conv(module, x, name)
        if hasattr(module, "b"):
            # A residual block.
            a = self.conv(module.a, x, f"{name}/a")
            return self.add(x, self.conv(module.b, a, f"{name}/b"), module.out, name)
        for key, part in module.named_children():
            x = self.layers(part, x, f"{name}/{key}")
        return x

    def write(self, path):
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        part = Path(path).with_suffix(".part")
        part.write_bytes(bytes(builder.Output()))
        os.rename(part, path)
        return path


def weights(file):
    """The convolutions in a file of `Writer`, by their names in PyTorch: (weight [o, i, h, w], bias), float32."""
    net = schema.ModelT.InitFromPackedBuf(Path(file).read_bytes(), 0)
    tensors = net.subgraphs[0].tensors
    out = {}

    def real(t):
        stored = np.frombuffer(bytes(net.buffers[t.buffer].data), KIND[t.type]).reshape(t.shape).astype(np.float32)
        scale, zero = np.float32(t.quantization.scale), np.float32(t.quantization.zeroPoint)
        by_row = [1] * stored.ndim
        by_row[t.quantization.quantizedDimension] = -1
        return (stored - zero.reshape(by_row)) * scale.reshape(by_row)

    for t in tensors:
        name = t.name.decode()
        if name.endswith("/weights"):
            name = name.removesuffix("/weights")
            bias = next(b for b in tensors if b.name.decode() == f"{name}/bias")
            for i, stride in enumerate((16, 32, 64)):
                for head in ("scores", "geometry"):
                    name = f"{head}.{i}" if name == f"{head}/{stride}" else name
            out[name.replace("/", ".")] = (np.ascontiguousarray(real(t).transpose(0, 3, 1, 2)), real(bias))
    return out
