"""The landmarks network: from a luma crop of 48x48 around a detection to the five points of the face, as fractions of the crop,
and a score that the crop shows a face.

The detector gives the points of all faces at once, but coarsely, and sees each object at one scale only. This network looks
at each detection again at a larger scale, because the embedder needs exact points and detections that are not faces must be
dropped.
"""

import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

import faces
import mined
import mixture
import muon
import net
import options
import progress
import quantise
import scenes
import tflite
import world

SIDE = 48
# The side of the crop divided by the longer side of the box.
CROP = 1.2


class Landmarks(nn.Module):
    def __init__(self):
        super().__init__()
        conv = net.Conv
        self.layers = nn.Sequential(
            conv(1, 24, 3, 2),
            conv(24, 40, 3, 2), net.Squeeze(40),
            conv(40, 80, 3, 2), net.Squeeze(80),
            conv(80, 80, 6, groups=80, padding="valid", relu=False),
            conv(80, 128, 1),
        )  # fmt: skip
        self.points = conv(128, 10, 1, relu=False, norm=False)
        self.face = conv(128, 1, 1, relu=False, norm=False)
        self.points.weight.data *= 0.1
        nn.init.constant_(self.points.bias, 0.5)

    def forward(self, x):
        """x: [n, 1, 48, 48], luma / 128 - 1. [n, 10]: x and y of the eyes, the nose and the corners of the mouth; [n]: the logit
        that it is a face."""
        x = self.layers(x)
        return self.points(x).flatten(1), self.face(x).flatten()


# The parts of a batch: photos of LFW, the crowd, synthetic people, and correct and wrong detections.
PARTS = {"lfw": 0.18, "crowd": 0.22, "drawn": 0.05, "right": 0.2, "wrong": 0.35}
NOWHERE = np.full((5, 2), np.nan, np.float32)


class Album:
    """Every certain face of some folds, of the crowd and, if `learnt`, of synthetic people: luma, box, points."""

    def __init__(self, shared, cache, latchkey, wanted, learnt):
        stock = scenes.Stock(shared, cache, latchkey, wanted)
        self.faces = []
        for (_, boxes, points, doubt), picture in zip(stock.photos, stock.pictures):
            self.faces += [(picture, b, p) for b, p, d in zip(boxes, points, doubt) if not d and b[2] >= 24]
        self.rows = {"lfw": np.arange(len(self.faces))}
        for pack, pictures in world.crowd(shared, "training" if learnt else "validation").items():
            # Under a mask the place of the mouth is unknown.
            if pack != "maskc":
                self.faces += [(luma, boxes[0], points[0]) for luma, boxes, points, _ in pictures]
        self.rows["crowd"] = np.arange(len(self.rows["lfw"]), len(self.faces))
        before = len(self.faces)
        for path, _, box, points in faces.drawn(cache, latchkey, 150) if learnt else []:
            self.faces.append((cv2.imread(path, cv2.IMREAD_GRAYSCALE), np.array(box, np.float32), points))
        self.rows["drawn"] = np.arange(before, len(self.faces))

    def view(self, i, rng, plain=False):
        """A crop, uint8 [48, 48], of face i as a detector might have placed it, and the face's points in the crop, [5, 2]."""
        picture, box, points = self.faces[i]
        # Imitates errors of a detector and tilted heads; half of the faces are mirrored.
        side = CROP * max(box[2:]) * np.exp(rng.normal(0, 0.09))
        middle = box[:2] + box[2:] / 2 + rng.normal(0, 0.05, 2) * box[2:]
        angle = 0.0 if plain else rng.normal(0, 0.25)
        mirror = not plain and rng.random() < 0.5
        # Imitates small faces, which have few pixels.
        pixels = SIDE if plain or rng.random() < 0.6 else int(rng.integers(20, SIDE))
        k = pixels / side
        c, s = k * np.cos(angle), k * np.sin(angle)
        m = np.array([[c, -s], [s, c]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
        m = np.hstack([m, (np.array([pixels / 2, pixels / 2]) - m @ middle)[:, None]])
        if k < 0.6:
            # Averaged over a whole number of pixels before the crop is made smaller, as in the sampler.
            n = int(round(1 / k))
            crop = cv2.warpAffine(cv2.blur(picture, (n, n)), m, (pixels, pixels), borderMode=cv2.BORDER_REPLICATE)
        else:
            crop = cv2.warpAffine(picture, m, (pixels, pixels), borderMode=cv2.BORDER_REPLICATE)
        q = (points @ m[:, :2].T + m[:, 2]) / pixels
        if mirror:
            q = q[[1, 0, 2, 4, 3]]
        if pixels != SIDE:
            crop = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        if not plain:
            crop = worn(crop.astype(np.float32), rng)
        return crop.astype(np.uint8), q.astype(np.float32)


def worn(x, rng, deep=1.0):
    """The crop with the changes that light, lens and sensor make."""
    x = 255 * (x / 255) ** np.exp(rng.normal(0, 0.3 * deep))
    if rng.random() < 0.2 * deep:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.5))
    mean = x.mean()
    x = (x - mean) * rng.uniform(0.35, 1.3) + mean + rng.uniform(-40, 40)
    x = x * (1 + rng.uniform(-0.4, 0.4) * np.linspace(-1, 1, SIDE, dtype=np.float32)[None, :])
    if rng.random() < 0.15 * deep:
        h, w = rng.integers(6, 20, 2)
        top, left = rng.integers(0, SIDE - h), rng.integers(0, SIDE - w)
        x[top : top + h, left : left + w] = rng.uniform(0, 255)
    return np.clip(x + rng.standard_normal(x.shape) * rng.uniform(0, 1) ** 2 * 16 * deep, 0, 255)


def mined_view(crop, rng, plain=False):
    """The part of a mined crop that the network is shown, which is nearly where the detector placed its box."""
    if plain:
        m = (mined.SIDE - SIDE) // 2
        return crop[m:-m, m:-m]
    scale = mined.REACH / CROP * SIDE / mined.SIDE * np.exp(rng.normal(0, 0.05))
    middle = mined.SIDE / 2 - 0.5 + rng.normal(0, 0.03, 2) * mined.SIDE / mined.REACH
    m = mixture.transform(scale, rng.normal(0, 0.1), rng.random() < 0.5, middle, (SIDE / 2 - 0.5, SIDE / 2 - 0.5))
    crop = cv2.warpAffine(crop, m, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return worn(crop.astype(np.float32), rng, 0.5) if rng.random() < 0.7 else crop


def batch(album, found, size, seed):
    """Crops [n, 1, 48, 48], points [n, 10] (NaN where they are unknown), and 1 for a face or 0."""
    rng = np.random.default_rng(seed)
    made = []
    for kind in rng.choice(list(PARTS), size, p=list(PARTS.values())):
        if kind in found:
            crops = found[kind]
            made.append((mined_view(crops[rng.integers(len(crops))], rng), NOWHERE, kind == "right"))
        else:
            made.append((*album.view(rng.choice(album.rows[kind]), rng), 1))
    return tensors(made)


def tensors(made):
    x = torch.from_numpy(np.stack([np.asarray(m[0], np.uint8) for m in made])).unsqueeze(1).float() / 128 - 1
    return x, torch.from_numpy(np.stack([m[1] for m in made])), torch.tensor([float(m[2]) for m in made])


def error(y, wanted):
    """The mean error of the points that are known, divided by the distance of the eyes."""
    y, wanted = y.reshape(-1, 5, 2), wanted.reshape(-1, 5, 2)
    known = ~wanted[:, 0, 0].isnan()
    y, wanted = y[known], wanted[known]
    eyes = (wanted[:, 0] - wanted[:, 1]).norm(dim=1).clamp_min(0.05)
    return ((y - wanted).norm(dim=2).mean(1) / eyes).mean()


def loss(answers, wanted):
    (points, face), (wanted_points, is_face) = answers, wanted
    return error(points, wanted_points) + functional.binary_cross_entropy_with_logits(face, is_face)


# The share of the detector's faces that the second look must keep, and the lowest score of those faces.
KEPT, SCORE = 0.98, 0.4


def let_through(logits, labels, scores):
    """The logit above which the share KEPT of the faces lies; and the share of the detector's mistakes, and that of other boxes
    in and around faces, above this logit."""
    at = float(np.quantile(logits[(labels == 1) & (scores >= SCORE)], 1 - KEPT))
    wrong = labels == 0
    share = lambda those: float((logits[those] >= at).mean())
    return {"logit": round(at, 3), "mistakes": round(share(wrong & (scores >= SCORE)), 4), "parts": round(share(wrong & (scores == 0)), 4)}


def train(args, say):
    cache = Path(args.cache)
    wanted = set(map(int, args.folds.split(",")))
    rest = set(range(1, 6)) - wanted
    about = {"shared": args.shared, "cache": args.cache, "latchkey": args.latchkey, "folds": wanted}
    found = mined.crops(args.detector, about, "training", args.frames, args.seed, say)
    tried = mined.crops(args.detector, about, "validation", args.frames // 8, args.seed + 1, say)
    say(f"mined: {len(found[1])} crops, {int(found[1].sum())} of faces; to try it {len(tried[1])}, {int(tried[1].sum())}", 0)
    found = {kind: found[0][found[1] == label] for kind, label in (("right", 1), ("wrong", 0))}
    album = Album(args.shared, cache, args.latchkey, wanted, True)
    # If no fold is held back, this is not a test: it only shows that something was learnt.
    other = Album(args.shared, cache, args.latchkey, rest or {5}, False)
    tests = {}
    for kind in ("lfw", "crowd"):
        rng = np.random.default_rng([args.seed, 9])
        rows = rng.choice(other.rows[kind], 600)
        tests[kind] = tensors([(*other.view(i, rng, True), 1) for i in rows])
        tests[f"{kind}, worn"] = tensors([(*other.view(i, rng), 1) for i in rows])
    tried_on = tensors([(mined_view(c, None, True), NOWHERE, is_face) for c, is_face in zip(*tried[:2])])[0]

    def judged(run):
        out = {kind: round(error(run(x)[0], y).item(), 4) for kind, (x, y, _) in tests.items()}
        return out | let_through(run(tried_on)[1].numpy(), *tried[1:])

    torch.manual_seed(args.seed)
    model = Landmarks()
    dense = [m.weight for m in model.layers.modules() if isinstance(m, net.Conv) and m.groups == 1]
    optimiser = muon.Both(dense, model.parameters(), args.rate)
    rounds = args.samples // args.batch
    curve, total, began = [], 0.0, time.monotonic()
    for r in range(rounds):
        x, *y = batch(album, found, args.batch, [args.seed, 0, r])
        optimiser.prepare(r, r / rounds)
        model.train()
        value = loss(model(x), y)
        value.backward()
        optimiser.step()
        total += value.item()
        if (r + 1) % args.report == 0 or r + 1 == rounds:
            model.eval()
            with torch.inference_mode():
                done = {"round": r + 1, "loss": total / args.report, "seconds": time.monotonic() - began, **judged(model)}
            total = 0.0
            curve.append(done)
            say(json.dumps(done), (r + 1) / rounds)

    trained = model.eval()
    inputs = (batch(album, found, args.batch, [args.seed, 1, r])[0] for r in range(60))
    rounded = quantise.watched(trained, inputs, 60)

    def tuning_loss(model, r):
        x, *y = batch(album, found, args.batch, [args.seed, 2, r])
        return loss(model(x), y)

    rounded = quantise.tuned(rounded, tuning_loss, args.tuning // args.batch, args.rate / 250, say)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    w = tflite.Writer("Latchkey's landmarks network")
    x = w.layers(rounded.layers, w.input("luma", (1, SIDE, SIDE, 1), 1 / 128, 0), "landmarks")
    w.output(w.conv(rounded.points, x, "points"), "points")
    w.output(w.conv(rounded.face, x, "face"), "face")
    w.write(out / "landmarks.tflite")
    with torch.inference_mode():
        report = {"folds": args.folds, "curve": curve, "float": judged(trained), "8 bits": judged(written(out / "landmarks.tflite"))}
    (out / "landmarks.json").write_text(json.dumps(report, indent=1))
    say(json.dumps({k: report[k] for k in ("float", "8 bits")}), 1)


def written(file):
    """The written network as a function that is called like the trained one."""
    from ai_edge_litert.interpreter import Interpreter

    i = Interpreter(str(file), num_threads=1)
    i.allocate_tensors()
    at, outputs = i.get_input_details()[0]["index"], i.get_output_details()

    def run(xs):
        out = [[], []]
        for x in xs.numpy():
            i.set_tensor(at, np.round(x * 128).astype(np.int8).reshape(1, SIDE, SIDE, 1))
            i.invoke()
            for values, o in zip(out, outputs):
                scale, zero = o["quantization"]
                values.append((i.get_tensor(o["index"]).reshape(-1).astype(np.float32) - zero) * scale)
        return torch.from_numpy(np.stack(out[0])), torch.from_numpy(np.stack(out[1])[:, 0])

    return run


def arguments():
    a = options.parser(__doc__, samples=800_000, rate=0.03, tuning=40_000)
    a.add_argument("--detector", default=str(Path(__file__).parents[2] / "models/latchkey/detector.tflite"), help="the detector whose detections are judged")
    a.add_argument("--frames", type=int, default=16_000, help="frames in which the detector looks for faces")
    return a.parse_args()


if __name__ == "__main__":
    train(arguments(), progress.say)
