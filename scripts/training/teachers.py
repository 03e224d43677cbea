"""What the embedder learns: the faces of the photos, mixtures of them and people who never lived, and what the reference
embedders say of each.

A teacher answers for any picture, so the photos need no names and can be mixed to faces of people who never lived:
two photos blended or patched together, and bent. A few thousand photos alone would be learnt by heart.
"""

import multiprocessing
import os
from pathlib import Path

import cv2
import numpy as np

import faces

REID_TEMPLATE = 128 * np.array(
    [[0.31557, 0.46157], [0.68262, 0.46157], [0.50026, 0.64051], [0.34947, 0.82469], [0.65344, 0.82469]], np.float32
)
DIMENSIONS = 256 + 128


class Teachers:
    """face-reid-0095 and MobileFaceNet; both embeddings of unit length, one after the other."""

    def __init__(self, shared):
        from ai_edge_litert.interpreter import Interpreter

        models = Path(shared) / "models"
        self.networks = []
        for file in ("face-reid-0095/face_reid_0095_fp32.tflite", "mobilefacenet/foamliu_mobilefacenet_fp32.tflite"):
            net = Interpreter(str(models / file), num_threads=1)
            net.allocate_tensors()
            self.networks.append((net, net.get_input_details()[0]["index"], net.get_output_details()[0]["index"]))
        # From the wide crop to the crop of each.
        self.to_reid = faces.similarity(faces.TEMPLATE + faces.MARGIN, REID_TEMPLATE)

    def __call__(self, wide):
        """Of one wide RGB crop."""
        m = faces.MARGIN
        reid = cv2.warpAffine(wide, self.to_reid, (128, 128), borderMode=cv2.BORDER_REPLICATE)[:, :, ::-1]
        arc = (wide[m:-m, m:-m] / np.float32(255) - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
        out = []
        for (net, i, o), x in zip(self.networks, (reid.astype(np.float32), arc.astype(np.float32))):
            net.set_tensor(i, x[None])
            net.invoke()
            e = net.get_tensor(o).reshape(-1)
            out.append(e / np.linalg.norm(e))
        return np.concatenate(out)


def smooth(rng, cells, side):
    """A smooth random field over a square, roughly normal with deviation 1."""
    return cv2.resize(rng.standard_normal((cells, cells)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)


def mix(rng, a, b):
    """A face out of two wide crops."""
    side = a.shape[0]
    kind = rng.random()
    if kind < 0.3:
        w = np.full((side, side), rng.uniform(0.25, 0.75), np.float32)
    elif kind < 0.8:
        w = 1 / (1 + np.exp(-3 * smooth(rng, int(rng.integers(2, 5)), side)))
    else:
        w = np.zeros((side, side), np.float32)
    # The same light on both, or the seam is what the teacher looks at.
    b = b.astype(np.float32)
    b = (b - b.mean((0, 1))) * (a.std() / max(b.std(), 1.0)) + a.mean((0, 1))
    out = a * (1 - w[..., None]) + b * w[..., None]
    if rng.random() < 0.7:
        bend = rng.uniform(1, 4)
        yy, xx = np.mgrid[0:side, 0:side].astype(np.float32)
        cells = int(rng.integers(3, 7))
        out = cv2.remap(
            out, xx + bend * smooth(rng, cells, side), yy + bend * smooth(rng, cells, side),
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE,
        )
    return np.clip(out, 0, 255).astype(np.uint8)


def _start(shared):
    global teachers
    cv2.setNumThreads(1)
    teachers = Teachers(shared)


def _work(wide_file, drawn_file, count, seed, first, last, crops_file, labels_file):
    wide = np.load(wide_file, mmap_mode="r")
    drawn = np.load(drawn_file, mmap_mode="r") if drawn_file else []
    crops = np.lib.format.open_memmap(crops_file, mode="r+")
    labels = np.lib.format.open_memmap(labels_file, mode="r+")
    n = len(wide)
    for i in range(first, last):
        if labels[i].any():
            continue
        if i < n or i >= count:
            face = wide[i] if i < n else drawn[i - count]
            # What is said of a face and of its mirror image is meant of one person.
            e = teachers(face) + teachers(face[:, ::-1])
            e[:256] /= np.linalg.norm(e[:256])
            e[256:] /= np.linalg.norm(e[256:])
        else:
            rng = np.random.default_rng([seed, i])
            a, b = rng.integers(0, n, 2)
            face = mix(rng, wide[a][:, :: rng.choice([-1, 1])], wide[b][:, :: rng.choice([-1, 1])])
            e = teachers(face)
        crops[i] = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
        labels[i] = e


def wide_crops(photos, cache, name):
    """A file of the wide RGB crops of all photos, uint8 [n, WIDE, WIDE, 3]."""
    file = Path(cache) / f"{name}-wide.npy"
    if not file.exists():
        part = file.with_suffix(".part.npy")
        out = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(len(photos), faces.WIDE, faces.WIDE, 3))
        for i, (path, _, _, points) in enumerate(photos):
            out[i] = faces.align(cv2.imread(path)[:, :, ::-1], points, margin=faces.MARGIN)
        out.flush()
        os.rename(part, file)
    return file


def taught(photos, drawn, shared, cache, name, count, seed, say):
    """Luma crops uint8 [n, WIDE, WIDE] and labels float16 [n, 384]; the first are the photos, then mixtures of them up to
    `count`, then those `drawn`."""
    wide_file = wide_crops(photos, cache, name)
    drawn_file = wide_crops(drawn, cache, "doorstep") if drawn else None
    total = count + len(drawn)
    crops_file, labels_file = (Path(cache) / f"{name}-{total}-{kind}.npy" for kind in ("crops", "labels"))
    if not labels_file.exists():
        np.lib.format.open_memmap(crops_file, mode="w+", dtype=np.uint8, shape=(total, faces.WIDE, faces.WIDE))
        np.lib.format.open_memmap(labels_file, mode="w+", dtype=np.float16, shape=(total, DIMENSIONS))
    labels = np.load(labels_file, mmap_mode="r")
    if not labels.any(1).all():
        workers = os.cpu_count() or 1
        step = 256
        files = (crops_file, labels_file)
        jobs = [(wide_file, drawn_file, count, seed, i, min(i + step, total), *files) for i in range(0, total, step)]
        with multiprocessing.get_context("spawn").Pool(workers, _start, (shared,)) as pool:
            done = [pool.apply_async(_work, job) for job in jobs]
            for i, job in enumerate(done):
                job.get()
                say(f"teachers: {min((i + 1) * step, total)} of {total} faces", (i + 1) / len(done))
    return np.load(crops_file), np.load(labels_file)


# Maps of MobileFaceNet's that are the easiest to follow: sums of residual blocks, before any activation.
HINTS = {"/features/features.11/Add_output_0": (14, 128), "/features/features.14/Add_output_0": (7, 128)}


def _start_hints(shared):
    import onnx
    import onnxruntime

    global session
    model = onnx.load(Path(shared) / "models/mobilefacenet/MobileFaceNet.onnx")
    model.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in HINTS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _hint(crops_file, first, last, files):
    m = faces.MARGIN
    x = np.load(crops_file, mmap_mode="r")[first:last, m:-m, m:-m]
    x = x[:, None].repeat(3, 1) / np.float32(255) - np.float32([0.485, 0.456, 0.406])[:, None, None]
    x = (x / np.float32([0.229, 0.224, 0.225])[:, None, None]).astype(np.float32)
    # The file takes one picture at a time.
    seen = [session.run(list(HINTS), {"input0": one[None]}) for one in x]
    for file, y in zip(files, zip(*seen)):
        y = np.concatenate(y).transpose(0, 2, 3, 1)
        most = np.abs(y).max((1, 2, 3), keepdims=True)
        np.lib.format.open_memmap(file, mode="r+")[first:last] = np.round(y / most * 127)


def hints(shared, cache, name, count, say):
    """What MobileFaceNet sees on the way, of the crops of `taught`: int8 [count, side, side, channels] for each of HINTS,
    scaled to -127 to 127 crop by crop."""
    crops_file = Path(cache) / f"{name}-{count}-crops.npy"
    files = [Path(cache) / f"{name}-{count}-hints{side}.npy" for side, _ in HINTS.values()]
    if not all(f.exists() for f in files):
        parts = [f.with_suffix(".part") for f in files]
        for part, (side, channels) in zip(parts, HINTS.values()):
            np.lib.format.open_memmap(part, mode="w+", dtype=np.int8, shape=(count, side, side, channels))
        step = 64
        jobs = [(crops_file, i, min(i + step, count), parts) for i in range(0, count, step)]
        with multiprocessing.get_context("spawn").Pool(os.cpu_count() or 1, _start_hints, (shared,)) as pool:
            done = [pool.apply_async(_hint, job) for job in jobs]
            for i, job in enumerate(done):
                job.get()
                if i % 20 == 0:
                    say(f"hints: {i * step} of {count} faces", (i + 1) / len(done))
        for part, file in zip(parts, files):
            os.rename(part, file)
    return [np.load(f) for f in files]
