"""The embedder: 112x112 luma to 128 numbers, distilled from the reference embedders.

    trunk   stages of 28x28, 14x14 and 7x7, shared by all owners: output "trunk" of 7x7x160
    top     what an owner may train on: 1x1 convolution, 7x7 depthwise convolution, 1x1 to 128 numbers
"""

import itertools
import json
import math
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
import teachers
import tflite

DIMENSIONS = 128


class Embedder(nn.Module):
    def __init__(self):
        super().__init__()
        conv, block = net.Conv, net.Block
        # By the side of their maps. What is added to a stage goes to its end: older weights stay what they are.
        self.at28 = nn.Sequential(
            conv(1, 24, 3, 2), conv(24, 56, 3, 2), net.Squeeze(56), *(net.Squeeze(56) for _ in range(2)),
        )  # fmt: skip
        self.at14 = nn.Sequential(
            conv(56, 96, 3, 2), block(96), net.Squeeze(96), *(net.Squeeze(96) for _ in range(3)),
        )  # fmt: skip
        self.at7 = nn.Sequential(conv(96, 160, 3, 2), block(160))
        self.top = nn.Sequential(
            conv(160, 256, 1),
            conv(256, 256, 7, groups=256, padding="valid", relu=False),
            conv(256, DIMENSIONS, 1, relu=False),
        )

    def forward(self, x):
        """x: [n, 1, 112, 112], luma / 128 - 1."""
        return self.hinted(x)[0]

    def hinted(self, x):
        """The embedding, and the maps of 14x14 and 7x7."""
        middle = self.at14(self.at28(x))
        last = self.at7(middle)
        return self.top(last).flatten(1), middle, last


# What a round learns from. The packs of the crowd are weighed, so that the largest do not drown the others; a mask leaves a
# teacher little to say. Photos of LFW are few and soon known by heart; people who never lived are easy.
SHARES = {"lfw": 0.2, "utk": 0.25, "aaf": 0.15, "scut": 0.05, "maskc": 0.03, "mixtures": 0.24, "drawn": 0.08}


def target_space(labels, rows=(), known=None):
    """The 128 directions that keep most of what both teachers say: [384, 128]. Their axes are turned as near as can be to
    the answers of a network that goes on from there: `known` of `rows`, [n, 128]."""
    labels = labels.astype(np.float32)
    _, v = np.linalg.eigh(labels.T @ labels)
    space = v[:, -DIMENSIONS:].copy()
    if known is not None:
        u, _, w = np.linalg.svd(normalised(labels[rows] @ space).T @ known)
        space = space @ (u @ w)
    return space.astype(np.float32)


def begin(model, file, x):
    """Weights to start from: of `net.save`, or of an 8-bit file of this network, which the input `x` helps to unfold."""
    if Path(file).suffix == ".tflite":
        net.unfold(model, {name.removeprefix("trunk."): w for name, w in tflite.weights(file).items()}, x)
    else:
        net.load(model, file)


def normalised(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def views(crops, random):
    """What a camera would make of wide crops uint8 [n, WIDE, WIDE]: [n, 1, 112, 112], luma / 128 - 1; and what was done
    to their geometry, [n, 2, 3] from places in the view to places in the wide crop, both -1 to 1."""
    n, side, device = len(crops), faces.SIDE, crops.device
    uniform = lambda low, high: low + (high - low) * torch.rand(n, generator=random, device=device)
    normal = lambda deviation, *shape: deviation * torch.randn(n, *shape, generator=random, device=device)
    each = lambda values: values[:, None, None, None]
    # Landmarks err: turn, scale, shift; half are mirrored.
    angle, scale = normal(0.06), torch.exp(normal(0.05)) * faces.SIDE / faces.WIDE
    mirror = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    shift = normal(2.0 / faces.WIDE * 2, 2)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    theta = torch.stack(
        [torch.stack([mirror * cos, -sin, shift[:, 0]], 1), torch.stack([mirror * sin, cos, shift[:, 1]], 1)], 1
    )
    x = F.grid_sample(
        crops.unsqueeze(1).float() / 255, F.affine_grid(theta, (n, 1, side, side), align_corners=False),
        mode="bilinear", padding_mode="border", align_corners=False,
    )
    # Far away, out of focus or moving: in groups, as a group shares how much.
    dice = np.random.default_rng(random.initial_seed())
    for part in x.split(max(n // 16, 1)):
        kind = dice.random()
        if kind < 0.25:
            seen = int(dice.integers(28, 90))
            part.copy_(F.interpolate(F.interpolate(part, seen, mode="area"), side, mode="bilinear"))
        elif kind < 0.35:
            # A short line.
            k = int(dice.integers(2, 5)) * 2 + 1
            line, slope = torch.zeros(1, 1, k, k), dice.uniform(-1, 1)
            for i in range(k):
                line[0, 0, int(round((i - k // 2) * slope)) + k // 2, i] = 1 / k
            if dice.random() < 0.5:
                line = line.transpose(2, 3)
            part.copy_(F.conv2d(F.pad(part, [k // 2] * 4, mode="replicate"), line.to(device)))
    x = x.clamp(0, 1) ** each(torch.exp(uniform(-0.5, 0.5)))
    # Light from one side.
    grid = torch.linspace(-1, 1, side, device=device)
    x = x * (1 + each(uniform(-0.35, 0.35)) * grid + each(uniform(-0.2, 0.2)) * grid[:, None])
    # One in four by a lamp beside the face: half of it is nearly dark, with a soft edge somewhere near the nose.
    way, edge, soft = uniform(-math.pi, math.pi), uniform(-0.5, 0.5), uniform(0.15, 0.8)
    along = each(torch.cos(way)) * grid + each(0.5 * torch.sin(way)) * grid[:, None] - each(edge)
    dark = torch.where(uniform(0, 1) < 0.25, uniform(0.08, 0.7), torch.ones_like(way))
    x = x * (each(dark) + (1 - each(dark)) * torch.sigmoid(along / each(soft) * 4))
    mean = x.mean((2, 3), keepdim=True)
    x = (x - mean) * each(uniform(0.5, 1.4)) + mean + each(uniform(-0.2, 0.2))
    # Something before the face of one in ten.
    place = torch.arange(side, device=device)
    height, width = uniform(12, 48), uniform(12, 48)
    top, left = uniform(0, 1) * (side - height), uniform(0, 1) * (side - width)
    rows = (place >= each(top)) & (place < each(top + height))
    columns = (place >= each(left)) & (place < each(left + width))
    covered = rows.transpose(2, 3) & columns & each(uniform(0, 1) < 0.1)
    x = torch.where(covered, each(uniform(0, 1)), x)
    x = x + normal(1, 1, side, side) * each(uniform(0, 1) ** 3 * 0.12)
    # A camera has 256 steps.
    x = (x.clamp(0, 1) * 255).round()
    return (x / 128 - 1).contiguous(memory_format=torch.channels_last), theta


def follow(student, teacher, theta):
    """How far maps [n, c, s, s] are from those of a teacher, int8 [n, c, s, s] of the unturned middle of the crops."""
    # The teacher looks at the middle only.
    grid = F.affine_grid(theta * (faces.WIDE / faces.SIDE), (len(teacher), 1, *teacher.shape[2:]), align_corners=False)
    teacher = F.grid_sample(teacher.float(), grid, padding_mode="border", align_corners=False)
    far = (1 - F.cosine_similarity(student.float(), teacher, dim=1)).mean((1, 2))
    # A mirrored face has other maps than the mirrored maps of the face.
    upright = (theta[:, 0, 0] * theta[:, 1, 1] > 0).float()
    return (far * upright).sum() / upright.sum().clamp_min(1)


def plain(crops):
    m = faces.MARGIN
    return torch.from_numpy(crops[:, m:-m, m:-m].copy()).unsqueeze(1).float() / 128 - 1


def embed(model, crops, autocast=True):
    out = []
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=autocast and device.type == "cuda"):
        for i in range(0, len(crops), 256):
            x = plain(crops[i : i + 256]).to(device, memory_format=torch.channels_last)
            out.append(model(x).float().cpu().numpy())
    return normalised(np.concatenate(out))


def accuracy(embeddings, names, pairs, judged, others):
    """Share of the pairs of fold `judged` that are told right at the best threshold of the folds `others`."""
    index = {n: i for i, n in enumerate(names)}
    score, same, fold = [], [], []
    for f, s, a, b in pairs:
        if f in (*judged, *others) and a in index and b in index:
            score.append(embeddings[index[a]] @ embeddings[index[b]])
            same.append(s)
            fold.append(f)
    score, same, fold = np.array(score), np.array(same), np.array(fold)
    choose = np.isin(fold, others)
    tried = np.unique(score[choose])
    right = [((score[choose] >= t) == same[choose]).mean() for t in tried]
    best = tried[int(np.argmax(right))]
    at = np.isin(fold, judged)
    return ((score[at] >= best) == same[at]).mean(), best


def train(asked, say):
    cache = Path(asked.cache)
    photos = faces.found(asked.shared, cache, asked.latchkey)
    fold = faces.folds(asked.shared)
    wanted = set(map(int, asked.folds.split(",")))
    learnt = [p for p in photos if fold[p[1]] in wanted]
    kept_back = [p for p in photos if fold[p[1]] not in wanted]
    name = "folds" + "".join(map(str, sorted(wanted)))
    drawn = faces.drawn(cache, asked.latchkey, asked.drawn)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Most CPUs compute many times slower in bfloat16 than in float32.
    fast = lambda: torch.autocast(device, torch.bfloat16, enabled=device == "cuda")
    taught = lambda *what, crowd=(): teachers.taught(*what, asked.seed, device, say, crowd, asked.hints > 0)
    crowd = faces.crowd(asked.shared) if asked.crowd else []
    real = len(learnt) + len(crowd)
    what = f"{name}-crowd" if crowd else name
    crops, labels, hints = taught(learnt, drawn, asked.shared, cache, what, asked.faces, crowd=crowd)
    kept = cache / f"{asked.name}.pt"
    state = options.checkpoint(asked, kept)
    torch.manual_seed(asked.seed)
    model = Embedder()
    if asked.start:
        begin(model, asked.start, views(torch.from_numpy(crops[:512]), teachers.generator("cpu", asked.seed))[0])
    model = model.to(device, memory_format=torch.channels_last)
    # Its axes may point either way: a training that goes on needs those that it began with.
    if state:
        space = state["space"]
    else:
        rows = np.arange(0, real, 5)
        space = target_space(labels[:real], rows, embed(model, crops[rows]) if asked.start else None)
    targets = torch.from_numpy(normalised(labels.astype(np.float32) @ space))
    test = None
    if kept_back:
        rest = "folds" + "".join(str(f) for f in range(1, 6) if f not in wanted)
        test_crops, test_labels, _ = taught(kept_back, [], asked.shared, cache, rest, len(kept_back))
        names = [Path(p[0]).name for p in learnt + kept_back]
        everyone = np.concatenate([crops[: len(learnt)], test_crops])
        truth = normalised(np.concatenate([labels[: len(learnt)], test_labels]).astype(np.float32) @ space)
        pairs = faces.pairs(asked.shared)
        judged = sorted(set(range(1, 6)) - wanted)
        test = lambda e: accuracy(e, names, pairs, judged, sorted(wanted))
        say(f"the teachers, in 128 numbers: {100 * test(truth)[0]:.2f} % of the kept-back pairs", 0)

    # From the student's maps to the teacher's; of no use after training.
    guides = nn.ModuleList(nn.Conv2d(i, c, 1) for i, (c, _, _) in zip((96, 160), teachers.HINTS.values()) if hints).to(device)
    dense = [m.weight for m in model.modules() if isinstance(m, net.Conv) and m.groups == 1]
    optimiser = muon.Both(dense, [*model.parameters(), *guides.parameters()], asked.rate)
    # All of it where the network is: 60 kB a face.
    faces_count = len(crops)
    crops, *hints = (torch.from_numpy(a).to(device) for a in (crops, *hints))
    targets = targets.to(device)
    rounds = asked.samples // asked.batch
    first, curve = 0, []
    if state:
        model.load_state_dict(state["model"])
        guides.load_state_dict(state["guides"])
        optimiser.load_state_dict(state["optimisers"])
        first, curve = state["round"], state["curve"]
        say(f"going on at round {first}", first / rounds)

    # The rows of every kind, one kind after the other.
    rows_of = {"lfw": range(len(learnt)), "mixtures": range(real, asked.faces), "drawn": range(asked.faces, faces_count)}
    for i, (pack, _) in enumerate(crowd, len(learnt)):
        rows_of.setdefault(pack, []).append(i)
    rows_of = {kind: torch.tensor(rows) for kind, rows in rows_of.items() if len(rows)}
    shares = torch.tensor([SHARES[kind] for kind in rows_of])
    edges = (shares / shares.sum()).cumsum(0).to(device)
    counts = torch.tensor([len(rows) for rows in rows_of.values()])
    firsts = (counts.cumsum(0) - counts).to(device)
    members, counts = torch.cat(list(rows_of.values())).to(device), counts.to(device)

    def some(random):
        """Which faces a round learns from, and how they look."""
        kind, where = torch.rand(2, asked.batch, generator=random, device=device)
        k = torch.bucketize(kind, edges).clamp_max(len(edges) - 1)
        pick = firsts[k] + (where * counts[k]).long()
        pick = members[torch.minimum(pick, firsts[k] + counts[k].long() - 1)]
        return pick, *views(crops[pick], random)

    before = curve[-1]["seconds"] if curve else 0.0
    began, loss_sum, summed = time.monotonic(), 0.0, 0
    over = lambda r: options.over(asked, r / rounds, before + time.monotonic() - began)
    r, last = first, first >= rounds
    while not last:
        pick, x, theta = some(teachers.generator(device, asked.seed, r))
        done = over(r)
        optimiser.prepare(r, min(done, 1.0))
        model.train()
        with fast():
            y, *maps = model.hinted(x)
            maps = [guide(m) for guide, m in zip(guides, maps)]
        loss = (1 - F.cosine_similarity(y.float(), targets[pick])).mean()
        hint = sum(follow(m, h[pick], theta) for m, h in zip(maps, hints))
        (loss + asked.hints * hint).backward()
        optimiser.step()
        loss_sum, summed = loss_sum + loss.detach(), summed + 1
        r += 1
        last = r >= rounds or done >= 1
        if r % asked.report == 0 or last:
            done = {"round": r, "loss": float(loss_sum) / summed, "seconds": before + time.monotonic() - began}
            loss_sum, summed = 0.0, 0
            if test:
                e = embed(model, everyone)
                done["cosine"] = float((e * truth)[len(learnt) :].sum(1).mean())
                done["accuracy"] = float(test(e)[0])
            curve.append(done)
            say(json.dumps(done), over(r))
            part = kept.with_suffix(".part")
            torch.save(
                {"model": model.state_dict(), "guides": guides.state_dict(), "optimisers": optimiser.state_dict(),
                 "round": r, "curve": curve, "space": space, "same": options.same(asked)}, part,
            )  # fmt: skip
            part.rename(kept)

    # 8 bits: the same lesson, with everything rounded.
    everyday = model.eval()
    out = Path(asked.out)
    out.mkdir(parents=True, exist_ok=True)
    net.save(everyday, out / "embedder.npz")

    def lesson(model, r):
        pick, x, _ = some(teachers.generator(device, asked.seed, rounds + r))
        with fast():
            y = model(x)
        return (1 - F.cosine_similarity(y.float(), targets[pick])).mean()

    sights = (some(teachers.generator(device, asked.seed, r))[1] for r in itertools.count())
    rounded = quantise.watched(everyday, sights, 60)
    write(rounded, out)
    report = {"folds": asked.folds, "curve": curve}
    if test:
        report["float"] = test(embed(everyday, everyone, autocast=False))[0]
        report["rounded only"] = test(written(out, everyone))[0]
        say(f"float {100 * report['float']:.2f} %, rounded only {100 * report['rounded only']:.2f} %", 0)
    rounded = quantise.tuned(rounded, lesson, asked.tuning // asked.batch, asked.rate / 250, say)
    write(rounded, out)
    if test:
        report["8 bits"] = test(written(out, everyone))[0]
        say(f"8 bits, tuned: {100 * report['8 bits']:.2f} %", 1)
    (out / "embedder.json").write_text(json.dumps(report, indent=1))


def written(folder, crops):
    """Embeddings by the written network."""
    from ai_edge_litert.interpreter import Interpreter

    i = Interpreter(str(Path(folder) / "embedder.tflite"), num_threads=2)
    i.allocate_tensors()
    at = i.get_input_details()[0]["index"]
    (scale, zero), index = i.get_output_details()[0]["quantization"], i.get_output_details()[0]["index"]
    m, out = faces.MARGIN, []
    for crop in crops:
        i.set_tensor(at, (crop[m:-m, m:-m].astype(np.int16) - 128).astype(np.int8)[None, :, :, None])
        i.invoke()
        out.append((i.get_tensor(index).reshape(-1).astype(np.float32) - zero) * scale)
    return normalised(np.stack(out))


def write(model, folder):
    """The folded and watched network: luma - 128 to the embedding and, for whoever trains the top, what the trunk saw."""
    w = tflite.Writer("Latchkey's embedder")
    x = w.input("luma", (1, faces.SIDE, faces.SIDE, 1), 1 / 128, 0)
    for stage in ("at28", "at14", "at7"):
        x = w.layers(getattr(model, stage), x, f"trunk/{stage}")
    w.output(w.layers(model.top, x, "top"), "embedding")
    w.output(x, "trunk")
    w.write(Path(folder) / "embedder.tflite")


def arguments():
    a = options.goes_on(options.parser(__doc__, samples=1_000_000, tuning=60_000), "embedder")
    a.add_argument("--faces", type=int, default=80000, help="photos and mixtures")
    a.add_argument("--drawn", type=int, default=1000, help="people who never lived, eight faces each")
    a.add_argument("--crowd", action="store_true", help="learn from the crowd, too")
    a.add_argument("--hints", type=float, default=0.5, help="weight of the teacher's maps beside its answer")
    return a.parse_args()


if __name__ == "__main__":
    train(arguments(), progress.say)
