"""The embedder: 112x112 luma to 128 numbers, distilled from the reference embedders.

    trunk   stages of 28x28, 14x14 and 7x7, which are the same for all owners: output "trunk" of 7x7x160
    top     the layers that an owner may fine-tune: 1x1 convolution, 7x7 depthwise convolution, 1x1 to 128 numbers
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
        # Stages by the side of their maps. New layers go to the end of a stage, so that older weights still fit.
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
        """Returns the embedding, and the maps of 14x14 and 7x7."""
        middle = self.at14(self.at28(x))
        last = self.at7(middle)
        return self.top(last).flatten(1), middle, last


# The share of each kind of face in a round. The packs of the crowd are weighted so that the largest packs do not dominate. A
# teacher sees little of a masked face; photos of LFW are few and soon learnt by heart; synthetic people are easy to learn.
SHARES = {"lfw": 0.2, "utk": 0.25, "aaf": 0.15, "scut": 0.05, "maskc": 0.03, "mixtures": 0.24, "drawn": 0.08}


def target_space(labels, rows=(), known=None):
    """The 128 directions that keep most of both teachers' answers: [384, 128]. If training starts from a network, the directions
    are rotated as near as possible to that network's answers, which are `known` for `rows`, [n, 128]."""
    labels = labels.astype(np.float32)
    _, v = np.linalg.eigh(labels.T @ labels)
    space = v[:, -DIMENSIONS:].copy()
    if known is not None:
        u, _, w = np.linalg.svd(normalised(labels[rows] @ space).T @ known)
        space = space @ (u @ w)
    return space.astype(np.float32)


def begin(model, file, x):
    """Loads weights to start from. `file` is one that `net.save` wrote, or an 8-bit file of this network, which is unfolded with
    the input `x`."""
    if Path(file).suffix == ".tflite":
        net.unfold(model, {name.removeprefix("trunk."): w for name, w in tflite.weights(file).items()}, x)
    else:
        net.load(model, file)


def normalised(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def views(crops, random):
    """Views of wide crops (uint8 [n, WIDE, WIDE]) as a camera might see them: [n, 1, 112, 112], luma / 128 - 1; and the change of
    their geometry, [n, 2, 3], from places in the view to places in the wide crop, both -1 to 1."""
    n, side, device = len(crops), faces.SIDE, crops.device
    uniform = lambda low, high: low + (high - low) * torch.rand(n, generator=random, device=device)
    normal = lambda deviation, *shape: deviation * torch.randn(n, *shape, generator=random, device=device)
    each = lambda values: values[:, None, None, None]
    # Rotation, scale and shift imitate errors of the landmarks; half of the crops are mirrored.
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
    # The face is far away, out of focus or moving. The faces of a group get the same amount.
    dice = np.random.default_rng(random.initial_seed())
    for part in x.split(max(n // 16, 1)):
        kind = dice.random()
        if kind < 0.25:
            seen = int(dice.integers(28, 90))
            part.copy_(F.interpolate(F.interpolate(part, seen, mode="area"), side, mode="bilinear"))
        elif kind < 0.35:
            # Motion blur: a short line.
            k = int(dice.integers(2, 5)) * 2 + 1
            line, slope = torch.zeros(1, 1, k, k), dice.uniform(-1, 1)
            for i in range(k):
                line[0, 0, int(round((i - k // 2) * slope)) + k // 2, i] = 1 / k
            if dice.random() < 0.5:
                line = line.transpose(2, 3)
            part.copy_(F.conv2d(F.pad(part, [k // 2] * 4, mode="replicate"), line.to(device)))
    x = x.clamp(0, 1) ** each(torch.exp(uniform(-0.5, 0.5)))
    # Adds light from one side.
    grid = torch.linspace(-1, 1, side, device=device)
    x = x * (1 + each(uniform(-0.35, 0.35)) * grid + each(uniform(-0.2, 0.2)) * grid[:, None])
    # One in four is lit by a lamp beside the face: half of it is nearly dark, with a soft edge somewhere near the nose.
    way, edge, soft = uniform(-math.pi, math.pi), uniform(-0.5, 0.5), uniform(0.15, 0.8)
    along = each(torch.cos(way)) * grid + each(0.5 * torch.sin(way)) * grid[:, None] - each(edge)
    dark = torch.where(uniform(0, 1) < 0.25, uniform(0.08, 0.7), torch.ones_like(way))
    x = x * (each(dark) + (1 - each(dark)) * torch.sigmoid(along / each(soft) * 4))
    mean = x.mean((2, 3), keepdim=True)
    x = (x - mean) * each(uniform(0.5, 1.4)) + mean + each(uniform(-0.2, 0.2))
    # One face in ten is partly covered.
    place = torch.arange(side, device=device)
    height, width = uniform(12, 48), uniform(12, 48)
    top, left = uniform(0, 1) * (side - height), uniform(0, 1) * (side - width)
    rows = (place >= each(top)) & (place < each(top + height))
    columns = (place >= each(left)) & (place < each(left + width))
    covered = rows.transpose(2, 3) & columns & each(uniform(0, 1) < 0.1)
    x = torch.where(covered, each(uniform(0, 1)), x)
    x = x + normal(1, 1, side, side) * each(uniform(0, 1) ** 3 * 0.12)
    # A camera's luma has 256 steps.
    x = (x.clamp(0, 1) * 255).round()
    return (x / 128 - 1).contiguous(memory_format=torch.channels_last), theta


def follow(student, teacher, theta):
    """The distance of the student's maps, [n, c, s, s], from those of a teacher, int8 [n, c, s, s], which saw the unrotated
    middle of the crops."""
    # The teacher saw only the middle of the wide crop.
    grid = F.affine_grid(theta * (faces.WIDE / faces.SIDE), (len(teacher), 1, *teacher.shape[2:]), align_corners=False)
    teacher = F.grid_sample(teacher.float(), grid, padding_mode="border", align_corners=False)
    far = (1 - F.cosine_similarity(student.float(), teacher, dim=1)).mean((1, 2))
    # The maps of a mirrored face are not the mirrored maps of the face, so mirrored crops do not count.
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
    """The share of the pairs in the folds `judged` that are judged correctly at the best threshold of the folds `others`."""
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


def train(args, say):
    cache = Path(args.cache)
    photos = faces.found(args.shared, cache, args.latchkey)
    fold = faces.folds(args.shared)
    wanted = set(map(int, args.folds.split(",")))
    learnt = [p for p in photos if fold[p[1]] in wanted]
    kept_back = [p for p in photos if fold[p[1]] not in wanted]
    name = "folds" + "".join(map(str, sorted(wanted)))
    drawn = faces.drawn(cache, args.latchkey, args.drawn)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Most CPUs compute many times slower in bfloat16 than in float32.
    fast = lambda: torch.autocast(device, torch.bfloat16, enabled=device == "cuda")
    taught = lambda *what, crowd=(): teachers.taught(*what, args.seed, device, say, crowd, args.hints > 0)
    crowd = faces.crowd(args.shared) if args.crowd else []
    real = len(learnt) + len(crowd)
    what = f"{name}-crowd" if crowd else name
    crops, labels, hints = taught(learnt, drawn, args.shared, cache, what, args.faces, crowd=crowd)
    kept = cache / f"{args.name}.pt"
    state = options.checkpoint(args, kept)
    torch.manual_seed(args.seed)
    model = Embedder()
    if args.start:
        begin(model, args.start, views(torch.from_numpy(crops[:512]), teachers.generator("cpu", args.seed))[0])
    model = model.to(device, memory_format=torch.channels_last)
    # The signs of the axes are arbitrary, so a training that is continued needs the axes that it began with.
    if state:
        space = state["space"]
    else:
        rows = np.arange(0, real, 5)
        space = target_space(labels[:real], rows, embed(model, crops[rows]) if args.start else None)
    targets = torch.from_numpy(normalised(labels.astype(np.float32) @ space))
    test = None
    if kept_back:
        rest = "folds" + "".join(str(f) for f in range(1, 6) if f not in wanted)
        test_crops, test_labels, _ = taught(kept_back, [], args.shared, cache, rest, len(kept_back))
        names = [Path(p[0]).name for p in learnt + kept_back]
        everyone = np.concatenate([crops[: len(learnt)], test_crops])
        truth = normalised(np.concatenate([labels[: len(learnt)], test_labels]).astype(np.float32) @ space)
        pairs = faces.pairs(args.shared)
        judged = sorted(set(range(1, 6)) - wanted)
        test = lambda e: accuracy(e, names, pairs, judged, sorted(wanted))
        say(f"the teachers, in 128 numbers: {100 * test(truth)[0]:.2f} % of the kept-back pairs", 0)

    # These layers map the student's maps to the teacher's. They are not needed after training.
    guides = nn.ModuleList(nn.Conv2d(i, c, 1) for i, (c, _, _) in zip((96, 160), teachers.HINTS.values()) if hints).to(device)
    dense = [m.weight for m in model.modules() if isinstance(m, net.Conv) and m.groups == 1]
    optimiser = muon.Both(dense, [*model.parameters(), *guides.parameters()], args.rate)
    # All data is on the same device as the network and takes 60 kB per face.
    faces_count = len(crops)
    crops, *hints = (torch.from_numpy(a).to(device) for a in (crops, *hints))
    targets = targets.to(device)
    rounds = args.samples // args.batch
    first, curve = 0, []
    if state:
        model.load_state_dict(state["model"])
        guides.load_state_dict(state["guides"])
        optimiser.load_state_dict(state["optimisers"])
        first, curve = state["round"], state["curve"]
        say(f"continuing at round {first}", first / rounds)

    # The rows of each kind; `members` has all of them, one kind after the other.
    rows_of = {"lfw": range(len(learnt)), "mixtures": range(real, args.faces), "drawn": range(args.faces, faces_count)}
    for i, (pack, _) in enumerate(crowd, len(learnt)):
        rows_of.setdefault(pack, []).append(i)
    rows_of = {kind: torch.tensor(rows) for kind, rows in rows_of.items() if len(rows)}
    shares = torch.tensor([SHARES[kind] for kind in rows_of])
    edges = (shares / shares.sum()).cumsum(0).to(device)
    counts = torch.tensor([len(rows) for rows in rows_of.values()])
    firsts = (counts.cumsum(0) - counts).to(device)
    members, counts = torch.cat(list(rows_of.values())).to(device), counts.to(device)

    def some(random):
        """The faces that a round learns from, and their views."""
        kind, where = torch.rand(2, args.batch, generator=random, device=device)
        k = torch.bucketize(kind, edges).clamp_max(len(edges) - 1)
        pick = firsts[k] + (where * counts[k]).long()
        pick = members[torch.minimum(pick, firsts[k] + counts[k].long() - 1)]
        return pick, *views(crops[pick], random)

    before = curve[-1]["seconds"] if curve else 0.0
    began, loss_sum, summed = time.monotonic(), 0.0, 0
    over = lambda r: options.over(args, r / rounds, before + time.monotonic() - began)
    r, last = first, first >= rounds
    while not last:
        pick, x, theta = some(teachers.generator(device, args.seed, r))
        done = over(r)
        optimiser.prepare(r, min(done, 1.0))
        model.train()
        with fast():
            y, *maps = model.hinted(x)
            maps = [guide(m) for guide, m in zip(guides, maps)]
        loss = (1 - F.cosine_similarity(y.float(), targets[pick])).mean()
        hint = sum(follow(m, h[pick], theta) for m, h in zip(maps, hints))
        (loss + args.hints * hint).backward()
        optimiser.step()
        loss_sum, summed = loss_sum + loss.detach(), summed + 1
        r += 1
        last = r >= rounds or done >= 1
        if r % args.report == 0 or last:
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
                 "round": r, "curve": curve, "space": space, "same": options.same(args)}, part,
            )  # fmt: skip
            part.rename(kept)

    # For 8 bits: the same training, with everything rounded.
    trained = model.eval()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    net.save(trained, out / "embedder.npz")

    def tuning_loss(model, r):
        pick, x, _ = some(teachers.generator(device, args.seed, rounds + r))
        with fast():
            y = model(x)
        return (1 - F.cosine_similarity(y.float(), targets[pick])).mean()

    inputs = (some(teachers.generator(device, args.seed, r))[1] for r in itertools.count())
    rounded = quantise.watched(trained, inputs, 60)
    write(rounded, out)
    report = {"folds": args.folds, "curve": curve}
    if test:
        report["float"] = test(embed(trained, everyone, autocast=False))[0]
        report["rounded only"] = test(written(out, everyone))[0]
        say(f"float {100 * report['float']:.2f} %, rounded only {100 * report['rounded only']:.2f} %", 0)
    rounded = quantise.tuned(rounded, tuning_loss, args.tuning // args.batch, args.rate / 250, say)
    write(rounded, out)
    if test:
        report["8 bits"] = test(written(out, everyone))[0]
        say(f"8 bits, tuned: {100 * report['8 bits']:.2f} %", 1)
    (out / "embedder.json").write_text(json.dumps(report, indent=1))


def written(folder, crops):
    """The embeddings that the written network computes for crops."""
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
    """Writes the folded network, whose ranges are known. Its input is luma - 128. Its outputs are the embedding and, for training
    the top, the output of the trunk."""
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
    a.add_argument("--drawn", type=int, default=1000, help="synthetic people, eight faces each")
    a.add_argument("--crowd", action="store_true", help="learn from the crowd, too")
    a.add_argument("--hints", type=float, default=0.5, help="weight of the teacher's maps relative to its answer")
    return a.parse_args()


if __name__ == "__main__":
    train(arguments(), progress.say)
