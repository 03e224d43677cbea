"""The embedder: 112x112 luma to 128 numbers, distilled from the reference embedders.

    trunk   stages of 28x28, 14x14 and 7x7, shared by all owners: output "trunk" of 7x7x160
    top     what an owner may train on: 1x1 convolution, 7x7 depthwise convolution, 1x1 to 128 numbers
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


def target_space(labels):
    """The 128 directions that keep most of what both teachers say: [384, 128]."""
    _, _, v = np.linalg.svd(labels.astype(np.float32), full_matrices=False)
    return v[:DIMENSIONS].T.copy()


def normalised(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def views(crops, rng):
    """What a camera would make of wide crops uint8 [n, WIDE, WIDE]: [n, 1, 112, 112], luma / 128 - 1; and what was done
    to their geometry, [n, 2, 3] from places in the view to places in the wide crop, both -1 to 1."""
    n = len(crops)
    x = torch.from_numpy(crops).unsqueeze(1).float() / 255
    # Landmarks err: turn, scale, shift; half are mirrored.
    angle = torch.from_numpy(rng.normal(0, 0.06, n)).float()
    scale = torch.from_numpy(np.exp(rng.normal(0, 0.05, n))).float() * faces.SIDE / faces.WIDE
    mirror = torch.from_numpy(rng.choice([-1.0, 1.0], n)).float()
    shift = torch.from_numpy(rng.normal(0, 2.0 / faces.WIDE * 2, (n, 2))).float()
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    theta = torch.stack(
        [torch.stack([mirror * cos, -sin, shift[:, 0]], 1), torch.stack([mirror * sin, cos, shift[:, 1]], 1)], 1
    )
    x = F.grid_sample(
        x, F.affine_grid(theta, (n, 1, faces.SIDE, faces.SIDE), align_corners=False),
        mode="bilinear", padding_mode="border", align_corners=False,
    )
    # Far away or out of focus: in groups, as a group shares its size.
    for part in x.split(max(n // 16, 1)):
        kind = rng.random()
        if kind < 0.25:
            side = int(rng.integers(28, 90))
            part.copy_(F.interpolate(F.interpolate(part, side, mode="area"), faces.SIDE, mode="bilinear"))
        elif kind < 0.35:
            # Motion: a short line.
            k = int(rng.integers(2, 5)) * 2 + 1
            line = torch.zeros(1, 1, k, k)
            slope = rng.uniform(-1, 1)
            for i in range(k):
                j = int(round((i - k // 2) * slope)) + k // 2
                line[0, 0, j, i] = 1
            if rng.random() < 0.5:
                line = line.transpose(2, 3)
            part.copy_(F.conv2d(F.pad(part, [k // 2] * 4, mode="replicate"), line / line.sum()))
    uniform = lambda low, high: torch.from_numpy(rng.uniform(low, high, n)).float()[:, None, None, None]
    x = x.clamp(0, 1) ** torch.exp(uniform(-0.5, 0.5))
    # Light from one side.
    grid = torch.linspace(-1, 1, faces.SIDE)
    side_light = uniform(-0.35, 0.35) * grid[None, None, None, :] + uniform(-0.2, 0.2) * grid[None, None, :, None]
    x = x * (1 + side_light)
    mean = x.mean((2, 3), keepdim=True)
    x = (x - mean) * uniform(0.5, 1.4) + mean + uniform(-0.2, 0.2)
    # Something before the face.
    for i in np.flatnonzero(rng.random(n) < 0.1):
        h, w = rng.integers(12, 48, 2)
        top, left = rng.integers(0, faces.SIDE - h), rng.integers(0, faces.SIDE - w)
        x[i, 0, top : top + h, left : left + w] = float(rng.random())
    noise = torch.from_numpy(rng.standard_normal((n, 1, faces.SIDE, faces.SIDE), dtype=np.float32))
    x = x + noise * uniform(0, 1) ** 3 * 0.12
    # A camera has 256 steps.
    x = (x.clamp(0, 1) * 255).round()
    return (x / 128 - 1).contiguous(memory_format=torch.channels_last), theta


def follow(student, teacher, theta):
    """How far maps [n, c, s, s] are from those of a teacher, int8 [n, s, s, c] of the unturned middle of the crops."""
    # The teacher looks at the middle only.
    theta = theta * (faces.WIDE / faces.SIDE)
    teacher = torch.from_numpy(teacher).float().permute(0, 3, 1, 2)
    grid = F.affine_grid(theta, (len(teacher), 1, *teacher.shape[2:]), align_corners=False)
    teacher = F.grid_sample(teacher, grid, padding_mode="border", align_corners=False).to(student.device)
    return (1 - F.cosine_similarity(student.float(), teacher, dim=1)).mean()


def plain(crops):
    m = faces.MARGIN
    return torch.from_numpy(crops[:, m:-m, m:-m].copy()).unsqueeze(1).float() / 128 - 1


def embed(model, crops, autocast=True):
    out = []
    model.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        for i in range(0, len(crops), 256):
            x = plain(crops[i : i + 256]).to(memory_format=torch.channels_last)
            out.append(model(x.to(next(model.parameters()).device)).float().cpu().numpy())
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
    drawn = faces.drawn(cache, asked.latchkey)
    crops, labels = teachers.taught(learnt, drawn, asked.shared, cache, name, asked.faces, asked.seed, say)
    space = target_space(labels)
    targets = torch.from_numpy(normalised(labels.astype(np.float32) @ space))
    test = None
    if kept_back:
        rest = "folds" + "".join(str(f) for f in range(1, 6) if f not in wanted)
        test_crops, test_labels = teachers.taught(kept_back, [], asked.shared, cache, rest, len(kept_back), asked.seed, say)
        names = [Path(p[0]).name for p in learnt + kept_back]
        everyone = np.concatenate([crops[: len(learnt)], test_crops])
        truth = normalised(np.concatenate([labels[: len(learnt)], test_labels]).astype(np.float32) @ space)
        pairs = faces.pairs(asked.shared)
        judged = sorted(set(range(1, 6)) - wanted)
        test = lambda e: accuracy(e, names, pairs, judged, sorted(wanted))
        say(f"the teachers, in 128 numbers: {100 * test(truth)[0]:.2f} % of the kept-back pairs", 0)

    torch.manual_seed(asked.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Embedder()
    if asked.start:
        net.load(model, asked.start)
    model = model.to(device, memory_format=torch.channels_last)
    # From the student's maps to the teacher's; of no use after training.
    guides = nn.ModuleList(nn.Conv2d(i, c, 1) for i, (_, c) in zip((96, 160), teachers.HINTS.values())).to(device)
    dense = [m.weight for m in model.modules() if isinstance(m, net.Conv) and m.groups == 1]
    optimiser = muon.Both(dense, [*model.parameters(), *guides.parameters()], asked.rate)
    hints = teachers.hints(asked.shared, cache, name, len(crops), say)
    rounds = asked.samples // asked.batch
    kept = cache / f"{asked.name}.pt"
    first, curve = 0, []
    if kept.exists():
        state = torch.load(kept, weights_only=False)
        model.load_state_dict(state["model"])
        guides.load_state_dict(state["guides"])
        optimiser.load_state_dict(state["optimisers"])
        first, curve = state["round"], state["curve"]
        say(f"going on at round {first}", first / rounds)

    def some(rng):
        # Photos are few and soon known by heart, mixtures are many, the doorstep is easy: 2, 7 and 1 of ten.
        n, kind = asked.batch, rng.random(asked.batch)
        mixture, photo = rng.integers(0, asked.faces, n), rng.integers(0, len(learnt), n)
        return np.where(kind < 0.2, photo, np.where(kind < 0.9, mixture, rng.integers(asked.faces, len(crops), n)))

    began, loss_sum = time.monotonic(), 0.0
    for r in range(first, rounds):
        rng = np.random.default_rng([asked.seed, r])
        pick = some(rng)
        x, theta = views(crops[pick], rng)
        optimiser.prepare(r, rounds)
        model.train()
        with torch.autocast(device, torch.bfloat16):
            y, *maps = model.hinted(x.to(device))
            maps = [guide(m) for guide, m in zip(guides, maps)]
        loss = (1 - F.cosine_similarity(y.float(), targets[pick].to(device))).mean()
        # A mirrored face has other maps than the mirrored maps of the face.
        upright = np.flatnonzero(torch.det(theta[:, :, :2]).numpy() > 0)
        hint = sum(follow(m[upright], h[pick[upright]], theta[upright]) for m, h in zip(maps, hints))
        (loss + asked.hints * hint).backward()
        optimiser.step()
        loss_sum += loss.item()
        if (r + 1) % asked.report == 0 or r + 1 == rounds:
            done = {"round": r + 1, "loss": loss_sum / asked.report, "seconds": time.monotonic() - began}
            loss_sum = 0.0
            if test:
                e = embed(model, everyone)
                done["cosine"] = float((e * truth)[len(learnt) :].sum(1).mean())
                done["accuracy"] = float(test(e)[0])
            curve.append(done)
            say(json.dumps(done), (r + 1) / rounds)
            part = kept.with_suffix(".part")
            torch.save(
                {"model": model.state_dict(), "guides": guides.state_dict(), "optimisers": optimiser.state_dict(),
                 "round": r + 1, "curve": curve, "space": space}, part,
            )  # fmt: skip
            part.rename(kept)

    # 8 bits: the same lesson, with everything rounded.
    everyday = model.eval()
    out = Path(asked.out)
    out.mkdir(parents=True, exist_ok=True)
    net.save(everyday, out / "embedder.npz")

    def lesson(model, r):
        rng = np.random.default_rng([asked.seed, rounds + r])
        pick = some(rng)
        x, _ = views(crops[pick], rng)
        with torch.autocast(device, torch.bfloat16):
            y = model(x.to(device))
        return (1 - F.cosine_similarity(y.float(), targets[pick].to(device))).mean()

    def sights():
        r = 0
        while True:
            rng = np.random.default_rng([asked.seed, r])
            yield views(crops[rng.integers(0, len(crops), asked.batch)], rng)[0].to(device)
            r += 1

    rounded = quantise.watched(everyday, sights(), 60)
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
    a.add_argument("--hints", type=float, default=0.5, help="weight of the teacher's maps beside its answer")
    return a.parse_args()


if __name__ == "__main__":
    train(arguments(), progress.say)
