"""Makes small networks of every kind that scripts/convert reads, converts them, and compares the answers."""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).parent.parent / "training"))
import convert
from eight_bits import eight_bits

SIDE, CHANNELS, OUT = 32, 3, 16


def weights(rng, *shape):
    # Channels of very different magnitudes, as in a trained network.
    size = np.exp(rng.normal(0, 1.5, shape[0])).astype(np.float32)
    return rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32) * size.reshape(-1, *[1] * (len(shape) - 1))


def layers(rng):
    """A convolution 3x3 with stride 2, a depthwise one 3x3 and one 1x1, each with biases, [out, in, h, w]; slopes; a matrix."""
    bias = lambda n: rng.normal(0, 0.3, n).astype(np.float32)
    return [
        (weights(rng, 12, CHANNELS, 3, 3), bias(12)), (weights(rng, 12, 1, 3, 3), bias(12)), (weights(rng, 24, 12, 1, 1), bias(24)),
        rng.uniform(0.1, 0.4, 12).astype(np.float32), weights(rng, OUT, 24),
    ]  # fmt: skip


def to_onnx(parts, folder):
    (a, ab), (b, bb), (c, cb), slope, matrix = parts
    tensor = lambda name, v: helper.make_tensor(name, TensorProto.FLOAT, v.shape, np.ravel(v))
    node = helper.make_node
    graph = helper.make_graph(
        [
            node("Conv", ["x", "a", "ab"], ["1"], strides=[2, 2], pads=[1, 1, 1, 1]),
            node("PRelu", ["1", "slope"], ["2"]),
            node("Conv", ["2", "b", "bb"], ["3"], group=12, pads=[1, 1, 1, 1]),
            node("Relu", ["3"], ["4"]),
            node("Conv", ["4", "c", "cb"], ["5"]),
            node("GlobalAveragePool", ["5"], ["6"]),
            node("Flatten", ["6"], ["7"]),
            node("Gemm", ["7", "matrix"], ["y"], transB=1),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, OUT])],
        [tensor(n, v) for n, v in (("a", a), ("ab", ab), ("b", b), ("bb", bb), ("c", c), ("cb", cb), ("matrix", matrix),
                                   ("slope", slope.reshape(12, 1, 1)))],
    )  # fmt: skip
    file = folder / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), file)
    return file


class Writer:
    """Writes the layers of an IR file and their numbers."""

    def __init__(self):
        self.data, self.layers, self.edges = b"", [], []

    def blob(self, value):
        at = len(self.data)
        self.data += np.ascontiguousarray(value, np.float32).tobytes()
        return f'offset="{at}" size="{len(self.data) - at}"'

    def layer(self, kind, inputs, shape, attributes="", blobs=""):
        """Adds a layer that reads the layers `inputs`; returns its number."""
        id = len(self.layers)
        ports = "".join(f'<port id="{k}"/>' for k in range(len(inputs)))
        dims = "".join(f"<dim>{d}</dim>" for d in shape)
        self.layers.append(
            f'<layer id="{id}" name="layer{id}" precision="FP32" type="{kind}"><data {attributes}/><input>{ports}</input>'
            f'<output><port id="{len(inputs)}">{dims}</port></output><blobs>{blobs}</blobs></layer>'
        )
        for k, source in enumerate(inputs):
            self.edges.append(f'<edge from-layer="{source}" from-port="0" to-layer="{id}" to-port="{k}"/>')
        return id

    def constant(self, value):
        value = np.asarray(value, np.float32)
        shape = ",".join(map(str, value.shape))
        return self.layer("Const", [], value.shape, f'element_type="f32" shape="{shape}" {self.blob(value)}')

    def save(self, file, version):
        text = f'<net name="small" version="{version}"><layers>{"".join(self.layers)}</layers><edges>{"".join(self.edges)}</edges></net>'
        file.write_text(text)
        file.with_suffix(".bin").write_bytes(self.data)
        return file


def to_old_ir(parts, folder):
    """Writes the format of OpenVINO until 2020, in which a layer has its own numbers."""
    (a, ab), (b, bb), (c, cb), slope, matrix = parts
    w = Writer()
    both = lambda v, bias: f"<weights {w.blob(v)}/><biases {w.blob(bias)}/>"
    pads = lambda k, p, s, g, o: f'kernel="{k},{k}" pads_begin="{p},{p}" pads_end="{p},{p}" strides="{s},{s}" group="{g}" output="{o}"'
    half = SIDE // 2
    at = w.layer("Input", [], [1, CHANNELS, SIDE, SIDE])
    at = w.layer("Convolution", [at], [1, 12, half, half], pads(3, 1, 2, 1, 12), both(a, ab))
    at = w.layer("PReLU", [at], [1, 12, half, half], "", f"<weights {w.blob(slope)}/>")
    at = w.layer("Convolution", [at], [1, 12, half, half], pads(3, 1, 1, 12, 12), both(b, bb))
    at = w.layer("ReLU", [at], [1, 12, half, half])
    at = w.layer("Convolution", [at], [1, 24, half, half], pads(1, 0, 1, 1, 24), both(c, cb))
    pool = f'kernel="{half},{half}" pads_begin="0,0" pads_end="0,0" strides="1,1" pool-method="avg"'
    at = w.layer("Pooling", [at], [1, 24, 1, 1], pool)
    w.layer("FullyConnected", [at], [1, OUT], f'out-size="{OUT}"', f"<weights {w.blob(matrix)}/>")
    return w.save(folder / "old.xml", 5)


def to_new_ir(parts, folder):
    """Writes the format of OpenVINO since 2020, in which numbers are separate layers."""
    (a, ab), (b, bb), (c, cb), slope, matrix = parts
    w = Writer()
    half = SIDE // 2
    conv = lambda p, s: f'pads_begin="{p},{p}" pads_end="{p},{p}" strides="{s},{s}" dilations="1,1" auto_pad="explicit"'
    plus = lambda at, bias, shape: w.layer("Add", [at, w.constant(bias.reshape(1, -1, 1, 1))], shape)
    shape = [1, 12, half, half]
    at = w.layer("Parameter", [], [1, CHANNELS, SIDE, SIDE])
    at = plus(w.layer("Convolution", [at, w.constant(a)], shape, conv(1, 2)), ab, shape)
    at = w.layer("PReLU", [at, w.constant(slope)], shape)
    at = plus(w.layer("GroupConvolution", [at, w.constant(b.reshape(12, 1, 1, 3, 3))], shape, conv(1, 1)), bb, shape)
    at = w.layer("ReLU", [at], shape)
    shape = [1, 24, half, half]
    at = plus(w.layer("Convolution", [at, w.constant(c)], shape, conv(0, 1)), cb, shape)
    at = w.layer("ReduceMean", [at, w.constant([2, 3])], [1, 24, 1, 1], 'keep_dims="true"')
    at = w.layer("Reshape", [at, w.constant([1, 24])], [1, 24])
    at = w.layer("MatMul", [at, w.constant(matrix)], [1, OUT], 'transpose_a="false" transpose_b="true"')
    w.layer("Result", [at], [])
    return w.save(folder / "new.xml", 11)


def to_keras(parts, folder):
    (a, ab), (b, bb), (c, cb), slope, matrix = parts
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            layers.Input((SIDE, SIDE, CHANNELS), batch_size=1),
            layers.ZeroPadding2D(1),
            layers.Conv2D(12, 3, 2), layers.PReLU(shared_axes=[1, 2]),
            layers.DepthwiseConv2D(3, padding="same"), layers.ReLU(),
            layers.Conv2D(24, 1), layers.GlobalAveragePooling2D(), layers.Dense(OUT, use_bias=False),
        ]
    )  # fmt: skip
    model.set_weights(
        [a.transpose(2, 3, 1, 0), ab, slope.reshape(1, 1, 12), b.transpose(2, 3, 0, 1), bb, c.transpose(2, 3, 1, 0), cb, matrix.T]
    )
    file = folder / "small.keras"
    model.save(file)
    saved = folder / "saved"
    model.export(saved, verbose=False)
    return file, saved


def main():
    rng = np.random.default_rng(3)
    parts = layers(rng)
    inputs = rng.normal(0, 1, (60, 1, SIDE, SIDE, CHANNELS)).astype(np.float32)
    failed, first = 0, None
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        files = [to_onnx(parts, folder), to_old_ir(parts, folder), to_new_ir(parts, folder), *to_keras(parts, folder)]
        for file in files:
            work = folder / f"work-{file.name}"
            work.mkdir()
            source = convert.Source(file, work)
            single = source.converter().convert()
            whole = eight_bits(single, list(inputs[:40]), lambda _: None)
            truth = [source.answer(x) for x in inputs[40:]]
            # The five files have the same network, so all must give the same answers as the first.
            first = first or truth
            worst = lambda answers: min(convert.cosine(y, z) for y, z in zip(first, answers))
            measured = (worst(truth), worst(map(convert.Network(single), inputs[40:])), worst(map(convert.Network(whole), inputs[40:])))
            good = measured[0] > 0.99999 and measured[1] > 0.9999 and measured[2] > 0.98
            failed += not good
            cosines = "least cosine read {:.6f}, float32 {:.6f}, int8 {:.4f}".format(*measured)
            print(f"{'ok' if good else 'FAILED'}: {file.name}: {cosines}", flush=True)
    print(f"{len(files) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
