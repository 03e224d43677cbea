"""The material that the embedder learns from: the faces of photos, mixtures of these and synthetic people, and the reference
embedders' answers for each face.

A teacher answers for any picture, so the photos need no names and can be mixed into faces of new people: two photos are
blended or patched together, and distorted. With a few thousand photos alone the network would overfit.
"""

import os
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

import faces
import frozen

REID_SIDE = 128
REID_TEMPLATE = REID_SIDE * np.array(
    [[0.31557, 0.46157], [0.68262, 0.46157], [0.50026, 0.64051], [0.34947, 0.82469], [0.65344, 0.82469]], np.float32
)
DIMENSIONS = 256 + 128
# The maps of MobileFaceNet that are the easiest to learn, which are sums of residual blocks, before any activation. [channels,
# side, side]
HINTS = {"/features/features.11/Add_output_0": (128, 14, 14), "/features/features.14/Add_output_0": (128, 7, 7)}
BATCH = 256


class TfLite:
    """A network that takes one picture and gives one answer, called like a network of `frozen`."""

    def __init__(self, file):
        from ai_edge_litert.interpreter import Interpreter

        self.net = Interpreter(str(file), num_threads=os.cpu_count())
        self.net.allocate_tensors()
        self.i, self.answer = (d[0]["index"] for d in (self.net.get_input_details(), self.net.get_output_details()))

    def __call__(self, x, _):
        out = []
        for one in x.permute(0, 2, 3, 1).contiguous().numpy():
            self.net.set_tensor(self.i, one[None])
            self.net.invoke()
            out.append(self.net.get_tensor(self.answer).reshape(-1))
        return [torch.from_numpy(np.stack(out))]


class Onnx:
    """The same as TfLite for an ONNX file, with the inner maps `seen`."""

    def __init__(self, file, seen):
        import onnx
        import onnxruntime

        model = onnx.load(file)
        self.i, self.answer = model.graph.input[0].name, model.graph.output[0].name
        model.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in seen)
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def __call__(self, x, wanted):
        seen = zip(*(self.session.run(wanted, {self.i: one[None]}) for one in x.contiguous().numpy()))
        return [torch.from_numpy(np.concatenate(maps)) for maps in seen]


class Teachers:
    """The two teachers, face-reid-0095 and MobileFaceNet."""

    def __init__(self, shared, device):
        models = Path(shared) / "models"
        reid = models / "face-reid-0095/face-reidentification-retail-0095.xml"
        arc = models / "mobilefacenet/MobileFaceNet.onnx"
        if device == "cpu":
            # Takes one picture at a time and does not use PyTorch, which is ten times as fast on a CPU.
            self.reid, self.arc = TfLite(models / "face-reid-0095/face_reid_0095_fp32.tflite"), Onnx(arc, list(HINTS))
        else:
            self.reid, self.arc = (n.to(device, memory_format=torch.channels_last) for n in (frozen.Reid(reid), frozen.MobileFaceNet(arc)))
        # Maps places in the crop of face-reid-0095 to places in the wide crop, both -1 to 1.
        back = cv2.invertAffineTransform(faces.similarity(faces.TEMPLATE + faces.MARGIN, REID_TEMPLATE)).astype(np.float64)
        centred = lambda side: np.array([[side / 2, 0, (side - 1) / 2], [0, side / 2, (side - 1) / 2], [0, 0, 1]])
        whole = np.linalg.inv(centred(faces.WIDE)) @ np.vstack([back, [0, 0, 1]]) @ centred(REID_SIDE)
        self.to_wide = torch.from_numpy(whole[:2].astype(np.float32)).to(device)
        normal = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], device=device)
        self.mean, self.deviation = normal[:, None, :, None, None]

    @torch.inference_mode()
    def __call__(self, wide):
        """For wide RGB crops [n, 3, WIDE, WIDE], 0 to 255: both embeddings, of unit length, one after the other, [n, 384]."""
        grid = F.affine_grid(self.to_wide.expand(len(wide), 2, 3), (len(wide), 3, REID_SIDE, REID_SIDE), align_corners=False)
        reid = F.grid_sample(wide.float(), grid, padding_mode="border", align_corners=False).flip(1)
        embeddings = self.reid(reid, [self.reid.answer])[0].flatten(1), self._arc(wide, [self.arc.answer])[0]
        return torch.cat([F.normalize(e) for e in embeddings], 1)

    def _arc(self, wide, wanted):
        m = faces.MARGIN
        return self.arc((wide[:, :, m:-m, m:-m].float() / 255 - self.mean) / self.deviation, wanted)

    def both_ways(self, wide):
        """The mean of the embeddings of each face and of its mirror image, which show the same person; of unit length."""
        e = self(wide) + self(wide.flip(3))
        return torch.cat([F.normalize(e[:, :256]), F.normalize(e[:, 256:])], 1)

    @torch.inference_mode()
    def hints(self, luma):
        """The inner maps of MobileFaceNet for luma crops [n, WIDE, WIDE]: int8 for each of HINTS, scaled to -127 to 127
        separately for each crop."""
        seen = self._arc(luma[:, None].expand(-1, 3, -1, -1), list(HINTS))
        return [(y / y.abs().amax((1, 2, 3), keepdim=True) * 127).round().to(torch.int8) for y in seen]


def luma(wide):
    """[n, 3, s, s] to [n, s, s], uint8."""
    weights = torch.tensor([0.299, 0.587, 0.114], device=wide.device)[:, None, None]
    return (wide.float() * weights).sum(1).round().to(torch.uint8)


def generator(device, *seed):
    """A random generator for `seed`."""
    return torch.Generator(device).manual_seed(int(np.random.default_rng(seed).integers(2**62)))


def mix(a, b, random):
    """Mixes pairs of faces of `a` and `b` into new faces, float [n, 3, s, s]."""
    n, side, device = len(a), a.shape[-1], a.device
    share = lambda: torch.rand(n, 1, 1, 1, generator=random, device=device)
    cells = lambda low, high: int(torch.randint(low, high, (), generator=random, device=device))

    def smooth(cells, fields):
        """Smooth random fields, roughly normal with deviation 1."""
        coarse = torch.randn(n, fields, cells, cells, generator=random, device=device)
        return F.interpolate(coarse, side, mode="bicubic", align_corners=False)

    kind = share()
    even, patches = 0.25 + 0.5 * share(), torch.sigmoid(3 * smooth(cells(2, 5), 1))
    w = torch.where(kind < 0.3, even, torch.where(kind < 0.8, patches, torch.zeros_like(patches)))
    # Both faces get the same light; otherwise the teacher would react to the seam.
    gain = a.std((1, 2, 3), keepdim=True) / b.std((1, 2, 3), keepdim=True).clamp_min(1)
    b = (b - b.mean((2, 3), keepdim=True)) * gain + a.mean((2, 3), keepdim=True)
    out = a * (1 - w) + b * w
    bend = torch.where(share() < 0.7, 1 + 3 * share(), 0)
    straight = F.affine_grid(torch.eye(2, 3, device=device).expand(n, 2, 3), out.shape, align_corners=False)
    bent = straight + (bend * smooth(cells(3, 7), 2) * 2 / side).permute(0, 2, 3, 1)
    return F.grid_sample(out, bent, padding_mode="border", align_corners=False).clamp(0, 255)


def widened(jpeg):
    """An aligned face as a wide RGB crop; the margin repeats its edge."""
    m = faces.MARGIN
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
    return cv2.copyMakeBorder(picture, m, m, m, m, cv2.BORDER_REPLICATE)


def wide_crops(photos, cache, name, crowd=()):
    """The wide RGB crops of all photos, then of the faces of a crowd that are aligned already: uint8 [n, WIDE, WIDE, 3]."""
    file = Path(cache) / f"{name}-wide.npy"
    if not file.exists():
        part = file.with_suffix(".part.npy")
        count = len(photos) + len(crowd)
        out = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=(count, faces.WIDE, faces.WIDE, 3))
        for i, (path, _, _, points) in enumerate(photos):
            out[i] = faces.align(cv2.imread(path)[:, :, ::-1], points, margin=faces.MARGIN)
        for i, (_, data) in enumerate(crowd, len(photos)):
            out[i] = widened(data)
        out.flush()
        os.rename(part, file)
    return np.load(file, mmap_mode="r")


def taught(photos, drawn, shared, cache, name, count, seed, device, say, crowd=(), hinted=True):
    """Luma crops uint8 [n, WIDE, WIDE], labels float16 [n, 384] and, if `hinted`, the hints, int8, one array for each of
    HINTS. The photos and the crowd come first, then mixtures of these up to `count`, then the synthetic faces `drawn`. If this is
    interrupted, the next run continues where it stopped."""
    n, total = len(photos) + len(crowd), count + len(drawn)
    if count < n:
        raise SystemExit(f"--faces {count}: there are {n} photos, and each is one face: give at least {n}")
    photos_wide = wide_crops(photos, cache, f"{name}-{n}", crowd)
    drawn_wide = wide_crops(drawn, cache, f"doorstep-{len(drawn)}") if drawn else None
    kinds = [("crops", np.uint8, (faces.WIDE, faces.WIDE))]
    if hinted:
        kinds += [(f"hints{shape[-1]}", np.int8, shape) for shape in HINTS.values()]
    # The labels are written last, so a batch that has labels is complete.
    kinds.append(("labels", np.float16, (DIMENSIONS,)))
    files = [Path(cache) / f"{name}-{n}-{count}-{total}-seed{seed}-{kind}.npy" for kind, _, _ in kinds]
    for file, (_, dtype, shape) in zip(files, kinds):
        if not file.exists():
            np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=(total, *shape))
    kept = [np.lib.format.open_memmap(file, mode="r+") for file in files]
    stretches = [
        (i, min(i + BATCH, end), kind)
        for begin, end, kind in ((0, n, "photo"), (n, count, "mixture"), (count, total, "drawn"))
        for i in range(begin, end, BATCH)
    ]
    todo = [s for s in stretches if not kept[-1][s[1] - 1].any()]
    if todo:
        on_device = lambda rows: torch.from_numpy(np.array(rows)).to(device).permute(0, 3, 1, 2)
        teach, everyone = Teachers(shared, device), on_device(photos_wide)
    for done, (first, last, kind) in enumerate(todo):
        if kind == "mixture":
            random = generator(device, seed, first)
            two = everyone[torch.randint(0, n, (2, last - first), generator=random, device=device)].float()
            mirrored = torch.rand(2, last - first, 1, 1, 1, generator=random, device=device) < 0.5
            rgb = mix(*torch.where(mirrored, two.flip(4), two), random)
            labels = teach(rgb)
        else:
            rgb = everyone[first:last] if kind == "photo" else on_device(drawn_wide[first - count : last - count])
            labels = teach.both_ways(rgb)
        grey = luma(rgb)
        for array, value in zip(kept, (grey, *(teach.hints(grey) if hinted else ()), labels)):
            array[first:last] = value.cpu().numpy()
        if done % 20 == 0:
            say(f"teachers: {last} of {total} faces", (done + 1) / len(todo))
    crops, *hints, labels = (np.load(file) for file in files)
    return crops, labels, hints
