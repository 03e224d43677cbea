"""Reads OpenVINO's intermediate representation (.xml beside .bin, versions 2 to 11) as a TensorFlow function, NHWC.

It knows the layers that networks for faces are made of; any other layer is an error that names it. Values with four axes are
always kept as NHWC, although the file has NCHW, so convolutions need no transposition.
"""

import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np
import tensorflow as tf

TYPES = {"FP32": "f4", "FP16": "f2", "I64": "i8", "I32": "i4", "U8": "u1", "I8": "i1"}
TYPES |= {"f32": "f4", "f16": "f2", "i64": "i8", "i32": "i4", "u8": "u1", "i8": "i1"}


class Unknown(Exception):
    """The file has something that this reader does not know."""


def numbers(text):
    return [int(v) for v in text.split(",")] if text else []


class Layer:
    def __init__(self, element, weights):
        self.id, self.type, self.name = element.get("id"), element.get("type"), element.get("name")
        data = element.find("data")
        self.data = dict(data.attrib) if data is not None else {}
        ports = lambda kind: [p.get("id") for p in element.findall(f"{kind}/port")]
        self.inputs, self.outputs = ports("input"), ports("output")
        out = element.find("output/port")
        self.shape = [int(d.text) for d in out.findall("dim")] if out is not None else []
        precision = element.get("precision", "FP32")
        self.blobs = {}
        for blob in element.findall("blobs/*"):
            at, size = int(blob.get("offset")), int(blob.get("size"))
            kind = TYPES[blob.get("precision", precision)]
            self.blobs[blob.tag] = np.frombuffer(weights[at : at + size], kind).astype(np.float32)
        if self.type == "Const":
            at, size = int(self.data["offset"]), int(self.data["size"])
            value = np.frombuffer(weights[at : at + size], TYPES[self.data["element_type"]])
            self.value = value.reshape(numbers(self.data["shape"]))
            if self.value.dtype.kind == "f":
                self.value = self.value.astype(np.float32)


def to_nhwc(x):
    return tf.transpose(x, [0, 2, 3, 1])


def to_nchw(x):
    return tf.transpose(x, [0, 3, 1, 2])


def padded(x, begin, end, value=0.0):
    if not any(begin) and not any(end):
        return x
    return tf.pad(x, [[0, 0], [begin[0], end[0]], [begin[1], end[1]], [0, 0]], constant_values=value)


def convolution(x, weights, layer, groups):
    """`weights`: [out, in / groups, h, w] of all groups."""
    d = layer.data
    begin, end = numbers(d["pads_begin"]), numbers(d["pads_end"])
    strides, dilations = numbers(d.get("strides", "1,1")), numbers(d.get("dilations", "1,1"))
    if d.get("auto_pad", "explicit") in ("same_upper", "same_lower"):
        raise Unknown(f"{layer.name}: auto_pad {d['auto_pad']}")
    kernel = weights.transpose(2, 3, 1, 0)
    # Padding that equals TensorFlow's SAME needs no layer of its own.
    size = [(k - 1) * r + 1 for k, r in zip(kernel.shape, dilations)]
    pads = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(x.shape[1:3], strides, size)]
    same = begin == [p // 2 for p in pads] and end == [p - p // 2 for p in pads]
    padding = "SAME" if same else "VALID"
    x = x if same else padded(x, begin, end)
    channels = x.shape[-1]
    if groups > 1 and groups == channels and kernel.shape[2] == 1:
        kernel = kernel.reshape(*kernel.shape[:2], 1, channels, -1)[:, :, 0]
        return tf.nn.depthwise_conv2d(x, kernel, [1, *strides, 1], padding, dilations=dilations)
    return tf.nn.conv2d(x, kernel, [1, *strides, 1], padding, dilations=dilations)


def pooling(x, layer, most):
    d = layer.data
    kernel, strides = numbers(d["kernel"]), numbers(d["strides"])
    begin, end = numbers(d["pads_begin"]), numbers(d["pads_end"])
    if kernel == list(x.shape[1:3]) and not any(begin + end):
        reduce = tf.reduce_max if most else tf.reduce_mean
        return reduce(x, [1, 2], keepdims=True)
    if d.get("rounding_type", "floor") == "ceil":
        for axis in range(2):
            rest = (x.shape[1 + axis] + begin[axis] + end[axis] - kernel[axis]) % strides[axis]
            end[axis] += (strides[axis] - rest) % strides[axis]
    if most:
        return tf.nn.max_pool2d(padded(x, begin, end, -np.inf if any(begin + end) else 0.0), kernel, strides, "VALID")
    if any(begin + end):
        raise Unknown(f"{layer.name}: the average of a padded picture")
    return tf.nn.avg_pool2d(x, kernel, strides, "VALID")


def leaky(x, slope):
    slope = np.asarray(slope, np.float32).reshape(-1)
    if (slope == slope[0]).all():
        return tf.nn.leaky_relu(x, float(slope[0]))
    return tf.maximum(x, 0.0) + slope * tf.minimum(x, 0.0)


SIMPLE = {
    "ReLU": tf.nn.relu, "Sigmoid": tf.sigmoid, "Tanh": tf.tanh, "Sqrt": tf.sqrt, "Exp": tf.exp, "HSwish": tf.nn.silu,
}  # fmt: skip
PAIRS = {"Add": tf.add, "Multiply": tf.multiply, "Subtract": tf.subtract, "Divide": tf.divide, "Maximum": tf.maximum}
OLD_PAIRS = {"sum": tf.add, "mul": tf.multiply, "prod": tf.multiply, "max": tf.maximum, "sub": tf.subtract}


def constant(value):
    """A constant of the file in the layout of the other values, NHWC."""
    return value.transpose(0, 2, 3, 1) if value.ndim == 4 else value


def run(layer, x):
    """The value of a layer; `x` are its inputs, tensors or numpy arrays of Const layers."""
    d, kind, blobs = layer.data, layer.type, layer.blobs
    if kind == "ScaleShift" or (kind == "BatchNormalization" and "weights" in blobs):
        y = x[0] * blobs["weights"]
        return y + blobs["biases"] if "biases" in blobs else y
    if kind in ("Convolution", "GroupConvolution"):
        if "weights" in blobs:
            groups, out = int(d.get("group", 1)), int(d["output"])
            weights = blobs["weights"].reshape(out, x[0].shape[-1] // groups, *numbers(d["kernel"]))
        else:
            weights = x[1]
            groups = weights.shape[0] if kind == "GroupConvolution" else 1
            weights = weights.reshape(-1, *weights.shape[-3:])
        y = convolution(x[0], weights, layer, groups)
        return y + blobs["biases"] if "biases" in blobs else y
    if kind == "FullyConnected":
        flat = tf.reshape(to_nchw(x[0]) if len(x[0].shape) == 4 else x[0], [1, -1])
        y = flat @ blobs["weights"].reshape(int(d["out-size"]), -1).T
        return y + blobs["biases"] if "biases" in blobs else y
    if kind == "MatMul":
        a, b = (v.T if d.get(t) == "true" else v for v, t in zip(x, ("transpose_a", "transpose_b")))
        return a @ b
    if kind == "PReLU":
        return leaky(x[0], blobs["weights"] if "weights" in blobs else x[1])
    if kind == "Activation":
        return SIMPLE[{"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU"}[d["type"].lower()]](x[0])
    if kind in SIMPLE:
        return leaky(x[0], float(d["negative_slope"])) if "negative_slope" in d else SIMPLE[kind](x[0])
    if kind == "Clamp":
        return tf.clip_by_value(x[0], float(d["min"]), float(d["max"]))
    if kind == "Eltwise":
        y = x[0]
        for other in x[1:]:
            y = OLD_PAIRS[d["operation"]](y, other)
        return y
    if kind in PAIRS:
        return PAIRS[kind](*(constant(v) if isinstance(v, np.ndarray) else v for v in x))
    if kind in ("Pooling", "MaxPool", "AvgPool"):
        return pooling(x[0], layer, kind == "MaxPool" or d.get("pool-method") == "max")
    if kind == "ReduceMean":
        axes = [{0: 0, 1: 3, 2: 1, 3: 2}[int(a) % 4] for a in np.ravel(x[1])]
        y = tf.reduce_mean(x[0], axes, keepdims=True)
        return y if d.get("keep_dims") == "true" else tf.reshape(y, layer.shape)
    if kind in ("Reshape", "Flatten", "Squeeze", "Unsqueeze"):
        y = to_nchw(x[0]) if len(x[0].shape) == 4 else x[0]
        y = tf.reshape(y, layer.shape)
        return to_nhwc(y) if len(layer.shape) == 4 else y
    if kind == "Concat":
        four = len(x[0].shape) == 4
        axis = int(d["axis"])
        return tf.concat(x, {0: 0, 1: 3, 2: 1, 3: 2}[axis % 4] if four else axis)
    if kind in ("SoftMax", "Softmax"):
        return tf.nn.softmax(x[0], -1)
    if kind in ("Convert", "Dropout"):
        return x[0]
    raise Unknown(f"layer {layer.name} is of type {kind}, which is not known here")


def read(file):
    """The network as a function of one float32 NHWC tensor, and the shape of that tensor."""
    file = Path(file)
    net = xml.parse(file).getroot()
    weights = file.with_suffix(".bin").read_bytes()
    layers = {e.get("id"): Layer(e, weights) for e in net.findall("layers/layer")}
    source = {}
    for edge in net.findall("edges/edge"):
        source[edge.get("to-layer"), edge.get("to-port")] = (edge.get("from-layer"), edge.get("from-port"))
    begins = [i for i, l in layers.items() if l.type in ("Input", "Parameter")]
    if len(begins) != 1:
        raise Unknown(f"{file}: {len(begins)} inputs instead of one")
    read_from = {at[0] for at in source.values()}
    ends = [l for l in layers.values() if l.type == "Result"] or [l for i, l in layers.items() if i not in read_from]
    n, c, h, w = layers[begins[0]].shape

    def network(x):
        values = {begins[0]: x}

        def value(id):
            if id not in values:
                layer = layers[id]
                if layer.type == "Const":
                    values[id] = layer.value
                else:
                    inputs = [value(source[id, port][0]) for port in layer.inputs]
                    values[id] = inputs[0] if layer.type == "Result" else run(layer, inputs)
            return values[id]

        # Evaluates in the order of the file, which is that of the data, because recursion would exceed Python's stack in a deep
        # network.
        for id in layers:
            value(id)
        return [values[l.id] for l in ends]

    return network, (n, h, w, c)
