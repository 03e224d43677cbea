"""Converts a float .tflite file to full 8-bit integers, with ranges calibrated on inputs.

Before that, the channels of each tensor are scaled to similar ranges, because they share one quantisation step. If a
convolution divides a channel by a factor and the next convolution multiplies it by the same factor, the network's answer does
not change, as long as there is only a rectifier between them, which depends on signs only (Nagel et al., Data-Free Quantization,
2019). How much of a range goes into the activations and how much into the weights follows Xiao et al., SmoothQuant, 2022.
"""

import flatbuffers
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.optimize.calibrator import Calibrator

CONVOLUTION, DEPTHWISE = schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D
RECTIFIERS = {schema.BuiltinOperator.LEAKY_RELU, schema.BuiltinOperator.PRELU, schema.BuiltinOperator.RELU}


class Model:
    """A .tflite file that can be changed."""

    def __init__(self, content):
        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(content), 0))
        self.graph = self.model.subgraphs[0]

    def kind(self, operator):
        code = self.model.operatorCodes[operator.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    def constant(self, tensor, kind=np.float32):
        """A copy of the values of a constant tensor; `change` writes new ones."""
        t = self.graph.tensors[tensor]
        return np.frombuffer(bytes(self.model.buffers[t.buffer].data), kind).reshape(t.shape).copy()

    def change(self, tensor, values):
        self.model.buffers[self.graph.tensors[tensor].buffer].data = np.frombuffer(values.tobytes(), np.uint8)

    def written(self):
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def pairs(m):
    """Convolutions that follow each other with only rectifiers between them: (first, tensors between, second)."""
    readers = {}
    for o in m.graph.operators:
        for t in o.inputs:
            readers.setdefault(t, []).append(o)
    for first in m.graph.operators:
        if m.kind(first) not in (CONVOLUTION, DEPTHWISE):
            continue
        # A fused activation other than the plain rectifier depends on more than signs.
        if first.builtinOptions.fusedActivationFunction not in (0, schema.ActivationFunctionType.RELU):
            continue
        between = [first.outputs[0]]
        while True:
            next_ = readers.get(between[-1], [])
            if len(next_) != 1 or between[-1] in m.graph.outputs:
                break
            if m.kind(next_[0]) in RECTIFIERS:
                between.append(next_[0].outputs[0])
                continue
            if m.kind(next_[0]) in (CONVOLUTION, DEPTHWISE) and next_[0].inputs[0] == between[-1]:
                yield first, between, next_[0]
            break


def ranges(content, samples, tensors):
    """The largest absolute value of every channel of the tensors."""
    net = Interpreter(
        model_content=content, experimental_preserve_all_tensors=True, num_threads=2,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )  # fmt: skip
    net.allocate_tensors()
    at = net.get_input_details()[0]["index"]
    most = {}
    for x in samples:
        net.set_tensor(at, x)
        net.invoke()
        for t in tensors:
            v = np.abs(net.get_tensor(t))
            v = v.reshape(-1, v.shape[-1]).max(0)
            most[t] = np.maximum(most.get(t, 0), v)
    return most


def equalised(content, samples):
    """The same network with its channels equalised, as bytes of a float .tflite file; `samples` are inputs of it."""
    m = Model(content)
    found = list(pairs(m))
    most = ranges(content, samples, sorted({t for _, between, _ in found for t in between}))
    for first, between, second in found:
        wide = np.max([most[t] for t in between], 0)
        wide = np.maximum(wide, 1e-3 * wide.max() + 1e-9)
        weights = m.constant(second.inputs[1])
        if m.kind(second) == DEPTHWISE:
            if weights.shape[-1] != len(wide):
                continue
            # A depthwise convolution has its own step for every channel, so the weights lose no precision.
            s = wide / wide.max()
        else:
            heavy = np.maximum(np.abs(weights).max((0, 1, 2)), 1e-9)
            s = np.sqrt(wide / heavy)
            s /= np.exp(np.log(s).mean())
        s = np.clip(s, 1e-2, 1e2).astype(np.float32)
        m.change(second.inputs[1], weights * s)
        own, bias = m.constant(first.inputs[1]), m.constant(first.inputs[2])
        by = s if m.kind(first) == DEPTHWISE else s[:, None, None, None]
        m.change(first.inputs[1], own / by)
        m.change(first.inputs[2], bias / s)
        for t in between:
            most[t] = most[t] / s
    return m.written(), len(found)


def eight_bits(content, samples, say):
    """The network of a float .tflite file in int8, input and output included, its weights with one step per channel."""
    content, count = equalised(content, samples[:48])
    say(f"int8: {count} pairs of convolutions scaled to similar ranges")
    # These are internal functions: TensorFlow has no public one that quantises a float .tflite file.
    ranged = Calibrator(content).calibrate(lambda: ([x] for x in samples))
    return bytes(mlir_quantize(ranged, fully_quantize=True, input_data_type=tf.int8, output_data_type=tf.int8))
