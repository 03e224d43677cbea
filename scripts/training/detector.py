"""The detector: finds faces with five landmarks in 640x480 luma, in cells of four sizes.

Its input is a camera's buffer without any change: [1, 480, 80, 8]. Eight neighbouring pixels are the channels, which is how 480
rows of 640 bytes lie in memory. Every cell predicts whether the middle of a face lies in it, and where that face and its
five points are, in units of the cell.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import mixture
import muon
import net
import options
import progress
import quantise
import scenes
import tflite

WIDTH, HEIGHT = scenes.WHOLE
STRIDES = (8, 16, 32, 64)
# Sides of the faces that each stride learns, in pixels. They overlap: a face between two strides is found by both.
SIDES = ((0, 44), (32, 88), (64, 176), (128, 1000))
# Numbers per cell: the shift of the face's middle, the logarithms of its width and height, and its five points.
GEOMETRY = 14
# The number of synthetic doorsteps to learn from, and of frames per doorstep.
PLAYS = (22, 16)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        # Maps eight by eight pixels linearly to 16 numbers, which are enough to find a face. All its weights have one scale, so
        # that the layer can be written for unsigned input, too.
        self.patch = net.Conv(8, 16, (8, 1), (8, 1), relu=False, weights="tensor")
        self.s16 = net.Conv(16, 40, 3, 2)
        self.s32 = nn.Sequential(net.Conv(40, 64, 3, 2), net.Squeeze(64))
        self.s64 = nn.Sequential(net.Conv(64, 32, 1), net.Conv(32, 64, 3, 2), net.Squeeze(64), net.Squeeze(64))
        # A cell of 32 sees 120 pixels by itself, and a cell of 64 sees 440: the surroundings decide whether a dark spot is a
        # face or the eye of a large one.
        self.around = net.Lift(64, 64)
        self.lift = net.Lift(64, 40)
        head = lambda i, o: net.Conv(i, o, 1, relu=False, norm=False)
        # A cell of 16 predicts for its four quarters, which are the cells of 8, and then for itself.
        parts = ((40, 5), (64, 1), (64, 1))
        self.scores = nn.ModuleList(head(i, n) for i, n in parts)
        self.geometry = nn.ModuleList(head(i, GEOMETRY * n) for i, n in parts)
        for s in self.scores:
            nn.init.constant_(s.bias, -5.0)

    def forward(self, x):
        """x: [n, 8, 480, 80], luma / 128 - 1. Returns for each stride scores [n, h, w] and geometry [n, h, w, 14]."""
        f16 = self.s16(self.patch(x))
        f32 = self.s32(f16)
        f64 = self.s64(f32)
        f32 = self.around(f32, f64)
        features = (self.lift(f16, f32), f32, f64)
        answers = [(s(f), g(f)) for s, g, f in zip(self.scores, self.geometry, features)]
        return by_stride(answers)


def by_stride(answers):
    """From the network's outputs, [n, 5 or 1, h, w] and [n, 70 or 14, h, w], to the scores and the geometry of each stride."""
    s, g = answers[0]
    answers = [(net.spread(s[:, :4]), net.spread(g[:, : 4 * GEOMETRY])), (s[:, 4:], g[:, 4 * GEOMETRY :]), *answers[1:]]
    return [(s.permute(0, 2, 3, 1)[..., 0], g.permute(0, 2, 3, 1)) for s, g in answers]


def given(pictures):
    """Pictures, uint8 [n, height, width], in the form that the network takes."""
    x = torch.from_numpy(pictures).float() / 128 - 1
    n, height, width = x.shape
    return x.view(n, height, width // 8, 8).permute(0, 3, 1, 2)


def targets(boxes, points, kinds, size):
    """For each stride: the wanted scores [h, w] (-1: not counted) and the geometry [h, w, 14], float32, NaN where it is unknown.

    A stride whose sizes are near that of a face may find the face or not. For a stride whose sizes are far from it, the inside of
    the face is background: the eye of a large face is not a small face."""
    out = []
    sides = np.sqrt(boxes[:, 2] * boxes[:, 3])
    middles = boxes[:, :2] + boxes[:, 2:] / 2
    for stride, (least, most) in zip(STRIDES, SIDES):
        w, h = (-(-side // stride) for side in size)
        score, geometry = np.zeros((h, w), np.float32), np.zeros((h, w, GEOMETRY), np.float32)
        nearest = np.full((h, w), np.inf, np.float32)
        for k in np.flatnonzero((sides > least / 2) & (sides < most * 2)):
            side, doubt = sides[k], kinds[k] != 0
            if not doubt and not 0.66 * least <= side < 1.5 * most:
                continue
            reach = max((0.6 if doubt else 0.4) * side / stride, 1.0)
            mx, my = middles[k] / stride
            # Only the cells around the face's middle.
            x0, x1 = max(int(mx - reach - 1), 0), min(int(mx + reach + 1), w)
            y0, y1 = max(int(my - reach - 1), 0), min(int(my + reach + 1), h)
            if x0 >= x1 or y0 >= y1:
                continue
            cy, cx = np.mgrid[y0:y1, x0:x1].astype(np.float32) + 0.5
            off = np.hypot(cx - mx, cy - my)
            part = score[y0:y1, x0:x1]
            part[(off < reach) & (part < 0.5)] = -1
            if doubt or not least <= side < most:
                continue
            closest = nearest[y0:y1, x0:x1]
            hit = (off < max(0.25 * side / stride, 0.75)) & (off < closest)
            closest[hit] = off[hit]
            part[hit] = 1
            g = np.empty((hit.sum(), GEOMETRY), np.float32)
            g[:, 0], g[:, 1] = mx - cx[hit], my - cy[hit]
            g[:, 2:4] = np.log(boxes[k, 2:] / stride)
            g[:, 4::2] = points[k][None, :, 0] / stride - cx[hit][:, None]
            g[:, 5::2] = points[k][None, :, 1] / stride - cy[hit][:, None]
            geometry[y0:y1, x0:x1][hit] = g
        out.append((score, geometry))
    return out


def losses(outputs, wanted):
    """The losses of the scores (focal) and of the geometry (smooth, relative to the size of the face)."""
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
            # Unknown values count as correct.
            b = torch.where(torch.isnan(b), a.detach(), b)
            geometry_loss = geometry_loss + F.smooth_l1_loss(a / scale, b / scale, beta=0.02, reduction="sum")
    faces = max(float(faces), 1.0)
    return score_loss / faces, geometry_loss / faces


def alarms(outputs, wanted, shown):
    """For each tile of a batch that has no faces: (number of the negative, the highest score of a false face in the tile)."""
    scores = [np.where(w.numpy() == 0, s.detach().float().numpy(), -20.0) for (s, _), (w, _) in zip(outputs, wanted)]
    out = []
    for i, tiles in enumerate(shown):
        for number, left, top, right, bottom in tiles:
            worst = -20.0
            for stride, s in zip(STRIDES, scores):
                part = s[i, top // stride : -(-bottom // stride), left // stride : -(-right // stride)]
                worst = max(worst, float(part.max(initial=-20.0)))
            out.append((number, 1 / (1 + np.exp(-worst))))
    return out


def found(outputs, threshold, overlap=0.4):
    """Faces of one picture: [(score, box [x, y, w, h], points [5, 2])], best first, decoded as in src/face."""
    return whole_faces(grouped(outputs, threshold, overlap))


def grouped(outputs, threshold, overlap=0.4):
    """The same as `found`, but boxes that are parts of faces are kept."""
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
        seen = [f for f in seen if share(f[1], best[1]) <= overlap]
    return kept


def whole_faces(found):
    return [f for f in found if not any(part_of(f[1], whole[1]) for whole in found)]


# If more than this share of a box's area lies in a larger box, the smaller box shows a part of the same face.
PART = 0.6


def part_of(part, whole):
    """Whether `part` is the smaller box and lies in `whole`."""
    w = min(part[0] + part[2], whole[0] + whole[2]) - max(part[0], whole[0])
    h = min(part[1] + part[3], whole[1] + whole[3]) - max(part[1], whole[1])
    area = part[2] * part[3]
    return area < whole[2] * whole[3] and max(w, 0) * max(h, 0) > PART * area


def share(a, b):
    """Intersection over union."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both + 1e-9)


def run(model, pictures, batch=16):
    """The outputs for every picture, in the form that `found` takes."""
    model.eval()
    out = []
    with torch.inference_mode():
        for i in range(0, len(pictures), batch):
            y = model(given(pictures[i : i + batch]))
            for k in range(len(y[0][0])):
                out.append([(s[k].float().numpy(), g[k].float().numpy()) for s, g in y])
    return out


def recall(model, kept_back, threshold):
    """The share of the faces found, by their side in pixels; the false faces per picture; and the error of the points, divided by
    the distance of the eyes. `kept_back` are `mixture.Canvas`es."""
    sides = ((14, 24), (24, 32), (32, 48), (48, 80), (80, 140), (140, 240), (240, 500))
    hits, all_ = np.zeros(len(sides)), np.zeros(len(sides))
    false, errors = 0, []
    for outputs, canvas in zip(run(model, np.stack([c.luma for c in kept_back])), kept_back):
        boxes, points, kinds = mixture.arrays(canvas)
        faces_found = found(outputs, threshold)
        for f in faces_found:
            false += all(share(f[1], b) < 0.3 for b in boxes)
        for b, p, kind in zip(boxes, points, kinds):
            band = next((i for i, (low, high) in enumerate(sides) if low <= (b[2] * b[3]) ** 0.5 < high), None)
            if kind or band is None:
                continue
            all_[band] += 1
            best = max(faces_found, key=lambda f: share(f[1], b), default=None)
            if best is not None and share(best[1], b) > 0.4:
                hits[band] += 1
                if not np.isnan(p).any():
                    errors.append(np.linalg.norm(best[2] - p, axis=1).mean() / np.linalg.norm(p[0] - p[1]))
    named = {f"{low}-{high}": round(float(h / max(a, 1)), 4) for (low, high), h, a in zip(sides, hits, all_)}
    return {"recall": named, "false": false / len(kept_back), "points": float(np.median(errors or [1.0]))}


def begin(model, file, pictures):
    """Loads weights to start from. `file` is one that `net.save` wrote, or an 8-bit file of this network, which is unfolded with
    `pictures`."""
    if Path(file).suffix == ".tflite":
        net.unfold(model, tflite.weights(file), given(pictures))
    else:
        net.load(model, file)


def train(args, say):
    cache = Path(args.cache)
    wanted = set(map(int, args.folds.split(",")))
    about = {"shared": args.shared, "cache": args.cache, "latchkey": args.latchkey, "folds": wanted, "seed": args.seed}
    feed = mixture.Feed({**about, "part": "training", "plays": (910000, args.plays, PLAYS[1])}, args.batch, args.seed, args.workers, targets)
    # Validation pictures: the network does not learn from them, and they are not used for the final measurements.
    material = mixture.Material(**about, part="validation", plays=(920000, 1 if args.plays > 2 else 0, PLAYS[1]))
    painter = mixture.Painter(material, np.full(len(material.negatives), 0.3), 5)
    test = [painter.frame(np.random.default_rng([args.seed, 1, i])) for i in range(240)]
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(args.threads)
    fast = lambda: torch.autocast(device, torch.bfloat16, enabled=device == "cuda")
    model = Detector()
    if args.start:
        begin(model, args.start, next(feed)[0])
    model = model.to(device, memory_format=torch.channels_last)
    say(f"at the start: {json.dumps(recall(model, test, 0.5))}", 0)
    dense = [m.weight for m in model.modules() if isinstance(m, net.Conv) and m.norm is not None]
    optimiser = muon.Both(dense, model.parameters(), args.rate)
    rounds = args.samples // args.batch
    kept = cache / f"{args.name}.pt"
    r, before, curve, sums, counted = 0, 0.0, [], np.zeros(3), 0
    if state := options.checkpoint(args, kept):
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimisers"])
        r, before, curve = state["round"], state["seconds"], state["curve"]
        feed.hardness[:] = state["hardness"]
        say(f"continuing at round {r}", r / rounds)
    began = time.monotonic()
    over = lambda: options.over(args, r / rounds, before + time.monotonic() - began)
    done = over()
    while done < 1:
        pictures, wanted_of, shown = next(feed)
        optimiser.prepare(r, done)
        model.train()
        with fast():
            y = model(given(pictures).to(device, memory_format=torch.channels_last))
        wanted_of = [(torch.from_numpy(s), torch.from_numpy(g)) for s, g in wanted_of]
        score, geometry = losses(y, [(s.to(device), g.to(device)) for s, g in wanted_of])
        (score + geometry).backward()
        optimiser.step()
        worst = alarms([(s.cpu(), None) for s, _ in y], wanted_of, shown)
        for number, surest in worst:
            feed.hardness[number] += 0.5 * (surest - feed.hardness[number])
        sums += (score.item(), geometry.item(), np.mean([a for _, a in worst]) if worst else 0.0)
        counted += 1
        r += 1
        done = over()
        if r % args.report == 0 or done >= 1:
            spent = before + time.monotonic() - began
            entry = {"round": r, "score": sums[0] / counted, "geometry": sums[1] / counted, "alarm": sums[2] / counted,
                     "seconds": spent, "hard": float((feed.hardness[: feed.negatives] > 0.5).mean()), **recall(model, test, 0.5)}  # fmt: skip
            sums[:], counted = 0, 0
            curve.append(entry)
            say(json.dumps(entry), min(done, 1))
            part = kept.with_suffix(".part")
            torch.save(
                {"model": model.state_dict(), "round": r, "seconds": spent, "curve": curve, "hardness": feed.hardness.copy(),
                 "optimisers": optimiser.state_dict(), "same": options.same(args)}, part,
            )  # fmt: skip
            part.rename(kept)
            draw(curve, kept.with_suffix(".png"))

    # For 8 bits: the same training, with everything rounded.
    trained = model.eval()
    inputs = (given(next(feed)[0]).to(device) for _ in range(60))
    rounded = quantise.watched(trained, inputs, 60)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    net.save(trained, out / "detector.npz")
    report = {"folds": args.folds, "curve": curve, "float": recall(trained, test, 0.5)}
    net.rounding(rounded, "round")
    report["rounded only"] = recall(rounded, test, 0.5)

    def tuning_loss(model, _):
        pictures, wanted_of, _ = next(feed)
        with fast():
            y = model(given(pictures).to(device, memory_format=torch.channels_last))
        return sum(losses(y, [(torch.from_numpy(s).to(device), torch.from_numpy(g).to(device)) for s, g in wanted_of]))

    rounded = quantise.tuned(rounded, tuning_loss, args.tuning // args.batch, args.rate / 250, say)
    report["8 bits"] = recall(rounded, test, 0.5)
    feed.close()
    write(rounded, out)
    for name in ("float", "rounded only", "8 bits"):
        say(f"{name}: {json.dumps(report[name])}", 1)
    (out / "detector.json").write_text(json.dumps(report, indent=1))


def draw(curve, file):
    """Draws the losses and the recall over the rounds."""
    from matplotlib.figure import Figure

    figure = Figure((9, 6))
    losses_, found_ = figure.subplots(2, 1, sharex=True)
    x = [e["round"] for e in curve]
    for name in ("score", "geometry", "alarm", "hard"):
        losses_.plot(x, [e[name] for e in curve], label=name)
    for band in curve[0]["recall"]:
        found_.plot(x, [e["recall"][band] for e in curve], label=band)
    found_.plot(x, [e["false"] for e in curve], "k--", label="false a frame")
    for axes in (losses_, found_):
        axes.legend(ncols=4, fontsize=7)
        axes.grid(alpha=0.3)
    losses_.set_ylim(0, 1)
    found_.set_xlabel("rounds")
    figure.savefig(file)


def write(model, folder):
    """Writes the folded network, whose ranges are known, twice: detector.tflite takes luma - 128, as the sampler writes it;
    detector-direct.tflite takes a camera's bytes as they are, and gives the same answers."""
    for name, unsigned in (("detector", False), ("detector-direct", True)):
        w = tflite.Writer("Latchkey's detector")
        kind, zero = (tflite.UINT8, 128) if unsigned else (tflite.INT8, 0)
        x = w.input("luma", (1, HEIGHT, WIDTH // 8, 8), 1 / 128, zero, kind)
        x = w.conv(model.patch, x, "patch")
        f16 = w.conv(model.s16, w.signed(x, "patch/signed") if unsigned else x, "s16")
        f32 = w.layers(model.s32, f16, "s32")
        f64 = w.layers(model.s64, f32, "s64")
        f32 = w.lift(model.around, f32, f64, "around")
        for i, f in enumerate((w.lift(model.lift, f16, f32, "lift"), f32, f64)):
            w.output(w.conv(model.scores[i], f, f"scores/{16 << i}"))
            w.output(w.conv(model.geometry[i], f, f"geometry/{16 << i}"))
        w.write(Path(folder) / f"{name}.tflite")


def arguments():
    a = options.goes_on(options.parser(__doc__, samples=200_000, batch=12, report=500, tuning=6_000), "detector")
    a.add_argument("--workers", type=int, default=1, help="processes that make frames")
    a.add_argument("--plays", type=int, default=PLAYS[0], help="synthetic doorsteps to learn from")
    a.add_argument("--threads", type=int, default=1, help="threads of the training itself")
    return a.parse_args()


if __name__ == "__main__":
    train(arguments(), progress.say)
