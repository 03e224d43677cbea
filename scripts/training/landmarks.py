"""The landmarks network: a luma crop of 48x48 around a detected face to its five points, as fractions of the crop.

The detector tells the points of every face in one go, coarsely; this looks again, closely, where it matters: a face is
told from another by what lies where, so the embedder wants them exact.
"""

import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

import faces
import muon
import net
import options
import progress
import quantise
import scenes
import tflite

SIDE = 48
# Side of the crop over the longer side of the box.
CROP = 1.2


class Landmarks(nn.Module):
    def __init__(self):
        super().__init__()
        conv = net.Conv
        self.layers = nn.Sequential(
            conv(1, 16, 3, 2),
            conv(16, 32, 3, 2), net.Squeeze(32),
            conv(32, 64, 3, 2), net.Squeeze(64),
            conv(64, 64, 6, groups=64, padding="valid", relu=False),
            conv(64, 96, 1),
            conv(96, 10, 1, relu=False, norm=False),
        )  # fmt: skip
        self.layers[-1].weight.data *= 0.1
        nn.init.constant_(self.layers[-1].bias, 0.5)

    def forward(self, x):
        """x: [n, 1, 48, 48], luma / 128 - 1. [n, 10]: x and y of eyes, nose, corners of the mouth."""
        return self.layers(x).flatten(1)


class Album:
    """Every sure face of some folds, with the people who never lived if `drawn`: luma, box, points."""

    def __init__(self, shared, cache, latchkey, wanted, drawn):
        stock = scenes.Stock(shared, cache, latchkey, wanted)
        self.faces = []
        for (_, boxes, points, doubt), picture in zip(stock.photos, stock.pictures):
            self.faces += [(picture, b, p) for b, p, d in zip(boxes, points, doubt) if not d and b[2] >= 24]
        self.real = len(self.faces)
        for path, _, box, points in faces.drawn(cache, latchkey, 1000) if drawn else []:
            self.faces.append((cv2.imread(path, cv2.IMREAD_GRAYSCALE), np.array(box, np.float32), points))

    def view(self, i, rng, plain=False):
        """A crop uint8 [48, 48] of face i as a detector might have placed it, and the points in it, [5, 2]."""
        picture, box, points = self.faces[i]
        # A detector errs, heads are tilted, half of all faces could be mirrored.
        side = CROP * max(box[2:]) * np.exp(rng.normal(0, 0.09))
        middle = box[:2] + box[2:] / 2 + rng.normal(0, 0.05, 2) * box[2:]
        angle = 0.0 if plain else rng.normal(0, 0.25)
        mirror = not plain and rng.random() < 0.5
        # Small faces have few pixels.
        pixels = SIDE if plain or rng.random() < 0.6 else int(rng.integers(20, SIDE))
        k = pixels / side
        c, s = k * np.cos(angle), k * np.sin(angle)
        m = np.array([[c, -s], [s, c]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
        m = np.hstack([m, (np.array([pixels / 2, pixels / 2]) - m @ middle)[:, None]])
        if k < 0.6:
            # Averaged before it is made smaller, as the sampler does: by a whole number of pixels around each.
            n = int(round(1 / k))
            crop = cv2.warpAffine(cv2.blur(picture, (n, n)), m, (pixels, pixels))
        else:
            crop = cv2.warpAffine(picture, m, (pixels, pixels))
        q = (points @ m[:, :2].T + m[:, 2]) / pixels
        if mirror:
            q = q[[1, 0, 2, 4, 3]]
        if pixels != SIDE:
            crop = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        if not plain:
            crop = worn(crop.astype(np.float32), rng)
        return crop.astype(np.uint8), q.astype(np.float32)


def worn(x, rng):
    """Light, lens and sensor."""
    x = 255 * (x / 255) ** np.exp(rng.normal(0, 0.3))
    if rng.random() < 0.2:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.5))
    mean = x.mean()
    x = (x - mean) * rng.uniform(0.35, 1.3) + mean + rng.uniform(-40, 40)
    x = x * (1 + rng.uniform(-0.4, 0.4) * np.linspace(-1, 1, SIDE, dtype=np.float32)[None, :])
    if rng.random() < 0.15:
        h, w = rng.integers(6, 20, 2)
        top, left = rng.integers(0, SIDE - h), rng.integers(0, SIDE - w)
        x[top : top + h, left : left + w] = rng.uniform(0, 255)
    return np.clip(x + rng.standard_normal(x.shape) * rng.uniform(0, 1) ** 2 * 16, 0, 255)


def batch(album, size, seed, plain=False):
    rng = np.random.default_rng(seed)
    # Three quarters of what is learnt from are photos.
    pick = np.where(rng.random(size) < 0.75, rng.integers(0, album.real, size), rng.integers(0, len(album.faces), size))
    made = [album.view(i, rng, plain) for i in pick]
    x = torch.from_numpy(np.stack([m[0] for m in made])).unsqueeze(1).float() / 128 - 1
    return x, torch.from_numpy(np.stack([m[1] for m in made]))


def error(y, wanted):
    """Mean distance of the points over that of the eyes."""
    y, wanted = y.reshape(-1, 5, 2), wanted.reshape(-1, 5, 2)
    eyes = (wanted[:, 0] - wanted[:, 1]).norm(dim=1).clamp_min(0.05)
    return ((y - wanted).norm(dim=2).mean(1) / eyes).mean()


def train(asked, say):
    cache = Path(asked.cache)
    wanted = set(map(int, asked.folds.split(",")))
    rest = set(range(1, 6)) - wanted
    album = Album(asked.shared, cache, asked.latchkey, wanted, True)
    # Without a fold that is kept back this is no test: it tells only that something was learnt.
    test = [batch(Album(asked.shared, cache, asked.latchkey, rest or {5}, False), 1000, [asked.seed, 9, k], k == 0) for k in range(2)]

    def judged(run):
        return {kind: round(error(run(x), y).item(), 4) for kind, (x, y) in zip(("plain", "worn"), test)}

    torch.manual_seed(asked.seed)
    model = Landmarks()
    dense = [m.weight for m in model.layers[:-1].modules() if isinstance(m, net.Conv) and m.groups == 1]
    optimiser = muon.Both(dense, model.parameters(), asked.rate)
    rounds = asked.samples // asked.batch
    curve, total, began = [], 0.0, time.monotonic()
    for r in range(rounds):
        x, y = batch(album, asked.batch, [asked.seed, 0, r])
        optimiser.prepare(r, r / rounds)
        model.train()
        loss = error(model(x), y)
        loss.backward()
        optimiser.step()
        total += loss.item()
        if (r + 1) % asked.report == 0 or r + 1 == rounds:
            model.eval()
            with torch.inference_mode():
                done = {"round": r + 1, "loss": total / asked.report, "seconds": time.monotonic() - began, **judged(model)}
            total = 0.0
            curve.append(done)
            say(json.dumps(done), (r + 1) / rounds)

    everyday = model.eval()
    sights = (batch(album, asked.batch, [asked.seed, 1, r])[0] for r in range(60))
    rounded = quantise.watched(everyday, sights, 60)
    lesson = lambda model, r: (lambda x, y: error(model(x), y))(*batch(album, asked.batch, [asked.seed, 2, r]))
    rounded = quantise.tuned(rounded, lesson, asked.tuning // asked.batch, asked.rate / 250, say)
    out = Path(asked.out)
    out.mkdir(parents=True, exist_ok=True)
    w = tflite.Writer("Latchkey's landmarks network")
    w.output(w.layers(rounded.layers, w.input("luma", (1, SIDE, SIDE, 1), 1 / 128, 0), "landmarks"), "points")
    w.write(out / "landmarks.tflite")
    report = {"folds": asked.folds, "curve": curve, "float": judged(everyday), "8 bits": judged(written(out / "landmarks.tflite"))}
    (out / "landmarks.json").write_text(json.dumps(report, indent=1))
    say(json.dumps({k: report[k] for k in ("float", "8 bits")}), 1)


def written(file):
    """The written network, as the trained one is called."""
    from ai_edge_litert.interpreter import Interpreter

    i = Interpreter(str(file), num_threads=1)
    i.allocate_tensors()
    at, (scale, zero) = i.get_input_details()[0]["index"], i.get_output_details()[0]["quantization"]

    def run(xs):
        out = []
        for x in xs.numpy():
            i.set_tensor(at, np.round(x * 128).astype(np.int8).reshape(1, SIDE, SIDE, 1))
            i.invoke()
            out.append((i.get_tensor(i.get_output_details()[0]["index"]).reshape(-1).astype(np.float32) - zero) * scale)
        return torch.from_numpy(np.stack(out))

    return run


def arguments():
    return options.parser(__doc__, samples=800_000, rate=0.03, tuning=40_000).parse_args()


if __name__ == "__main__":
    train(arguments(), progress.say)
