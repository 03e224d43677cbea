"""The detector: 640x480 luma to faces with five landmarks, at four sizes of cell.

Its input is a camera's buffer as it is: [1, 480, 80, 8], eight neighbouring pixels being the channels, which is how 480
rows of 640 bytes lie in memory. Every cell says whether the middle of a face lies in it, and where that face and its
five points are, in units of the cell.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import faces
import muon
import net
import options
import progress
import quantise
import scenes
import tflite

WIDTH, HEIGHT = scenes.WHOLE
STRIDES = (8, 16, 32, 64)
# Sides of the faces that a stride learns, in pixels. They overlap: a face between two is found by both.
SIDES = ((0, 44), (32, 88), (64, 176), (128, 1000))
# Shift of the middle, logarithm of width and height; five points.
GEOMETRY = 14


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        # Eight by eight pixels to 16 numbers: linear, what a face needs of a picture. One scale for all its weights, so
        # that it can be written for unsigned input too.
        self.patch = net.Conv(8, 16, (8, 1), (8, 1), relu=False, weights="tensor")
        self.s16 = net.Conv(16, 40, 3, 2)
        self.s32 = nn.Sequential(net.Conv(40, 64, 3, 2), net.Squeeze(64))
        self.s64 = nn.Sequential(net.Conv(64, 32, 1), net.Conv(32, 64, 3, 2), net.Squeeze(64), net.Squeeze(64))
        self.lift = net.Lift(64, 40)
        head = lambda i, o: net.Conv(i, o, 1, relu=False, norm=False)
        # A cell of 16 tells of its four quarters, the cells of 8, and then of itself.
        parts = ((40, 5), (64, 1), (64, 1))
        self.scores = nn.ModuleList(head(i, n) for i, n in parts)
        self.geometry = nn.ModuleList(head(i, GEOMETRY * n) for i, n in parts)
        for s in self.scores:
            nn.init.constant_(s.bias, -5.0)

    def forward(self, x):
        """x: [n, 8, 480, 80], luma / 128 - 1. For each stride scores [n, h, w] and geometry [n, h, w, 14]."""
        f16 = self.s16(self.patch(x))
        f32 = self.s32(f16)
        features = (self.lift(f16, f32), f32, self.s64(f32))
        answers = [(s(f), g(f)) for s, g, f in zip(self.scores, self.geometry, features)]
        return by_stride(answers)


def by_stride(answers):
    """From what the network says, [n, 5 or 1, h, w] and [n, 70 or 14, h, w], to what it says of each stride."""
    s, g = answers[0]
    answers = [(net.spread(s[:, :4]), net.spread(g[:, : 4 * GEOMETRY])), (s[:, 4:], g[:, 4 * GEOMETRY :]), *answers[1:]]
    return [(s.permute(0, 2, 3, 1)[..., 0], g.permute(0, 2, 3, 1)) for s, g in answers]


def given(pictures):
    """uint8 [n, height, width] as the network takes it."""
    x = torch.from_numpy(pictures).float() / 128 - 1
    n, height, width = x.shape
    return x.view(n, height, width // 8, 8).permute(0, 3, 1, 2)


def targets(boxes, points, ignored, size):
    """For each stride: wanted score [h, w] (-1: of no matter) and geometry [h, w, 14], float32."""
    out = []
    for stride, (least, most) in zip(STRIDES, SIDES):
        w, h = (-(-side // stride) for side in size)
        score, geometry = np.zeros((h, w), np.float32), np.zeros((h, w, GEOMETRY), np.float32)
        cy, cx = np.mgrid[0:h, 0:w].astype(np.float32) + 0.5
        nearest = np.full((h, w), np.inf, np.float32)
        for k, (x, y, bw, bh) in enumerate(boxes):
            side = (bw * bh) ** 0.5
            mx, my = (x + bw / 2) / stride, (y + bh / 2) / stride
            off = np.hypot(cx - mx, cy - my)
            mine = least <= side < most and not ignored[k]
            # Of no matter: near the middle but not of it, or a face of another stride or one that is hard to see.
            reach = 0.4 * side / stride if not ignored[k] else 0.6 * side / stride
            around = (off < max(reach, 1.0)) & (score < 0.5)
            score[around] = -1
            if not mine:
                continue
            hit = (off < max(0.25 * side / stride, 0.75)) & (off < nearest)
            nearest[hit] = off[hit]
            score[hit] = 1
            g = geometry[hit]
            g[:, 0], g[:, 1] = mx - cx[hit], my - cy[hit]
            g[:, 2], g[:, 3] = np.log(bw / stride), np.log(bh / stride)
            g[:, 4::2] = points[k][None, :, 0] / stride - cx[hit][:, None]
            g[:, 5::2] = points[k][None, :, 1] / stride - cy[hit][:, None]
            geometry[hit] = g
        out.append((score, geometry))
    return out


def losses(outputs, wanted):
    """Loss of the scores (focal) and of the geometry (smooth, relative to the size of the face)."""
    score_loss, geometry_loss, faces = 0.0, 0.0, 0.0
    for (s, g), (ws, wg) in zip(outputs, wanted):
        s, g = s.float(), g.float()
        p = torch.sigmoid(s)
        positive, counts = ws > 0.5, ws >= 0
        entropy = F.binary_cross_entropy_with_logits(s, positive.float(), reduction="none")
        miss = torch.where(positive, 1 - p, p)
        weight = torch.where(positive, 0.75, 0.25) * miss**2 * counts
        score_loss = score_loss + (weight * entropy).sum()
        faces = faces + positive.sum()
        if positive.any():
            a, b = g[positive], wg[positive]
            size = torch.exp(b[:, 2:3])
            scale = torch.cat([size, size, torch.ones_like(size), torch.ones_like(size), size.expand(-1, 10)], 1)
            geometry_loss = geometry_loss + F.smooth_l1_loss(a / scale, b / scale, beta=0.02, reduction="sum")
    faces = max(float(faces), 1.0)
    return score_loss / faces, geometry_loss / faces


def found(outputs, threshold, overlap=0.4):
    """Faces of one picture: [(score, box [x, y, w, h], points [5, 2])], best first, as src/face decodes them."""
    seen = []
    for stride, (s, g) in zip(STRIDES, outputs):
        for r, c in np.argwhere(s > np.log(threshold / (1 - threshold))):
            v = g[r, c]
            w, h = stride * np.exp(v[2]), stride * np.exp(v[3])
            x, y = (c + 0.5 + v[0]) * stride, (r + 0.5 + v[1]) * stride
            points = (v[4:].reshape(5, 2) + [c + 0.5, r + 0.5]) * stride
            seen.append((1 / (1 + np.exp(-s[r, c])), np.array([x - w / 2, y - h / 2, w, h]), points))
    seen.sort(key=lambda f: -f[0])
    kept = []
    while seen:
        best = seen[0]
        same = [f for f in seen if share(f[1], best[1]) > overlap]
        weight = np.array([f[0] for f in same])[:, None]
        box = (weight * [f[1] for f in same]).sum(0) / weight.sum()
        points = (weight[..., None] * [f[2] for f in same]).sum(0) / weight.sum()
        kept.append((best[0], box, points))
        seen = [f for f in seen if share(f[1], best[1]) <= overlap and not concentric(f[1], best[1])]
    return kept


def concentric(a, b):
    """Whether the middle of one box lies within the middle half of the other: one face, seen at two sizes."""
    off = np.abs(a[:2] + a[2:] / 2 - b[:2] - b[2:] / 2)
    return any((off < box[2:] / 4).all() for box in (a, b))


def share(a, b):
    """Intersection over union."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both + 1e-9)


def run(model, pictures, batch=16):
    """Outputs of every picture, as `found` takes them."""
    model.eval()
    out = []
    with torch.inference_mode():
        for i in range(0, len(pictures), batch):
            y = model(given(pictures[i : i + batch]))
            for k in range(len(y[0][0])):
                out.append([(s[k].float().numpy(), g[k].float().numpy()) for s, g in y])
    return out


def recall(model, kept_back, threshold):
    """Share of the faces found by their side in pixels, false faces a picture, error of the points over the eyes'
    distance."""
    sides = ((24, 32), (32, 48), (48, 80), (80, 140), (140, 240))
    hits, all_ = np.zeros(len(sides)), np.zeros(len(sides))
    false, errors = 0, []
    for outputs, (boxes, points, ignored) in zip(run(model, np.stack([p for p, _ in kept_back])), [t for _, t in kept_back]):
        faces_found = found(outputs, threshold)
        for f in faces_found:
            false += all(share(f[1], b) < 0.3 for b in boxes)
        for b, p, hard in zip(boxes, points, ignored):
            band = next((i for i, (low, high) in enumerate(sides) if low <= (b[2] * b[3]) ** 0.5 < high), None)
            if hard or band is None:
                continue
            all_[band] += 1
            best = max(faces_found, key=lambda f: share(f[1], b), default=None)
            if best is not None and share(best[1], b) > 0.4:
                hits[band] += 1
                errors.append(np.linalg.norm(best[2] - p, axis=1).mean() / np.linalg.norm(p[0] - p[1]))
    named = {f"{low}-{high}": round(float(h / max(a, 1)), 4) for (low, high), h, a in zip(sides, hits, all_)}
    return {"recall": named, "false": false / len(kept_back), "points": float(np.mean(errors or [1.0]))}


def train(asked, say):
    cache = Path(asked.cache)
    wanted = set(map(int, asked.folds.split(",")))
    rest = set(range(1, 6)) - wanted
    frames = lambda seed, plays: faces.frames(cache, asked.latchkey, seed, plays)
    stock = lambda folds, *drawn: scenes.Stock(asked.shared, cache, asked.latchkey, folds, frames(*drawn))
    # The same for everyone who trains: scenes that are judged, of people who are not learnt from.
    test = scenes.many(stock(rest or {5}, 920000, 8), 400, asked.seed + 1)
    feed = scenes.feed(stock(wanted, 910000, 80), asked.batch, asked.seed, asked.workers, targets)
    torch.manual_seed(asked.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Detector()
    if asked.start:
        net.load(model, asked.start)
    model = model.to(device, memory_format=torch.channels_last)
    dense = [m.weight for m in model.modules() if isinstance(m, net.Conv) and m.norm is not None]
    optimiser = muon.Both(dense, model.parameters(), asked.rate)
    rounds = asked.samples // asked.batch
    kept = cache / f"{asked.name}.pt"
    first, curve, sums = 0, [], np.zeros(2)
    if state := options.checkpoint(asked, kept):
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimisers"])
        first, curve = state["round"], state["curve"]
        say(f"going on at round {first}", first / rounds)
    began = time.monotonic()
    for r in range(first, rounds):
        pictures, wanted_of = next(feed)
        optimiser.prepare(r, rounds)
        model.train()
        with torch.autocast(device, torch.bfloat16):
            y = model(given(pictures).to(device))
        wanted_of = [(torch.from_numpy(s).to(device), torch.from_numpy(g).to(device)) for s, g in wanted_of]
        score, geometry = losses(y, wanted_of)
        (score + geometry).backward()
        optimiser.step()
        sums += (score.item(), geometry.item())
        if (r + 1) % asked.report == 0 or r + 1 == rounds:
            done = {"round": r + 1, "score": sums[0] / asked.report, "geometry": sums[1] / asked.report,
                    "seconds": time.monotonic() - began, **recall(model, test, 0.5)}  # fmt: skip
            sums[:] = 0
            curve.append(done)
            say(json.dumps(done), (r + 1) / rounds)
            part = kept.with_suffix(".part")
            torch.save(
                {"model": model.state_dict(), "round": r + 1, "curve": curve,
                 "optimisers": optimiser.state_dict(), "same": options.same(asked)}, part,
            )  # fmt: skip
            part.rename(kept)

    # 8 bits: the same lesson, with everything rounded.
    everyday = model.eval()
    sights = (given(next(feed)[0]).to(device) for _ in range(60))
    rounded = quantise.watched(everyday, sights, 60)
    out = Path(asked.out)
    out.mkdir(parents=True, exist_ok=True)
    net.save(everyday, out / "detector.npz")
    report = {"folds": asked.folds, "curve": curve, "float": recall(everyday, test, 0.5)}
    net.rounding(rounded, "round")
    report["rounded only"] = recall(rounded, test, 0.5)

    def lesson(model, _):
        pictures, wanted_of = next(feed)
        with torch.autocast(device, torch.bfloat16):
            y = model(given(pictures).to(device))
        return sum(losses(y, [(torch.from_numpy(s).to(device), torch.from_numpy(g).to(device)) for s, g in wanted_of]))

    rounded = quantise.tuned(rounded, lesson, asked.tuning // asked.batch, asked.rate / 250, say)
    report["8 bits"] = recall(rounded, test, 0.5)
    write(rounded, out)
    for name in ("float", "rounded only", "8 bits"):
        say(f"{name}: {json.dumps(report[name])}", 1)
    (out / "detector.json").write_text(json.dumps(report, indent=1))


def write(model, folder):
    """The folded and watched network twice: detector.tflite takes luma - 128, as the sampler writes it;
    detector-direct.tflite takes a camera's bytes as they are, with the same answers."""
    for name, unsigned in (("detector", False), ("detector-direct", True)):
        w = tflite.Writer("Latchkey's detector")
        kind, zero = (tflite.UINT8, 128) if unsigned else (tflite.INT8, 0)
        x = w.input("luma", (1, HEIGHT, WIDTH // 8, 8), 1 / 128, zero, kind)
        x = w.conv(model.patch, x, "patch")
        f16 = w.conv(model.s16, w.signed(x, "patch/signed") if unsigned else x, "s16")
        f32 = w.layers(model.s32, f16, "s32")
        lifted = w.spread(w.conv(model.lift.a, f32, "lift/a"), "lift/cells")
        fine = w.add(f16, lifted, model.lift.out, "lift")
        for i, f in enumerate((fine, f32, w.layers(model.s64, f32, "s64"))):
            w.output(w.conv(model.scores[i], f, f"scores/{16 << i}"))
            w.output(w.conv(model.geometry[i], f, f"geometry/{16 << i}"))
        w.write(Path(folder) / f"{name}.tflite")


def arguments():
    a = options.goes_on(options.parser(__doc__, samples=120_000, batch=24, report=250, tuning=10_000), "detector")
    a.add_argument("--workers", type=int, default=1)
    return a.parse_args()


if __name__ == "__main__":
    train(arguments(), progress.say)
