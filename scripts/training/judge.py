"""Compares our detector with BlazeFace short range, MTCNN and YuNet on the same frames, each at its usual threshold.

The pictures are real, from sources that were not used for training (`trials`): faces by their size, plain, turned, dim,
masked, cut by the edge; scenes by the share of the picture that a face takes; photos cut to the face; near faces; pictures
without faces. With --drawn, photos before drawn shapes are used, too, and frames of the doorstep with a seed that was not used
for training.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter

import detector
import faces
import mixture
import peers
import scenes
import trials
import world

SIDES = (24, 32, 48, 64, 96, 128, 180, 240)
KINDS = ("plain", "turned", "dim")


class Closer:
    """The 8-bit landmarks network, which decides whether a detection is a face."""

    # As in src/face/landmarks.rs: the side of the input, and the side of the crop divided by that of the box.
    SIDE, CROP = 48, 1.2

    def __init__(self, file, face):
        self.net = Interpreter(str(file), num_threads=1)
        self.net.allocate_tensors()
        self.least = np.log(face / (1 - face))

    def __call__(self, luma, box):
        crop = mixture.window(luma, box, self.CROP, self.SIDE)
        self.net.set_tensor(self.net.get_input_details()[0]["index"], (crop.astype(np.int16) - 128).astype(np.int8)[None, :, :, None])
        self.net.invoke()
        output = self.net.get_output_details()[1]
        scale, zero = output["quantization"]
        return (int(self.net.get_tensor(output["index"]).reshape(-1)[0]) - zero) * scale >= self.least


class Ours:
    """The 8-bit detector; if there is a landmarks network `closer`, that network decides what is a face."""

    COMPARABLE = [0, 1, 2, 3, 4]

    def __init__(self, file, threshold=0.5, closer=None):
        self.net = Interpreter(str(file), num_threads=1)
        self.net.allocate_tensors()
        self.threshold, self.closer = threshold, closer

    def __call__(self, luma):
        at = self.net.get_input_details()[0]
        x = luma.reshape(1, 480, 80, 8)
        self.net.set_tensor(at["index"], x if at["dtype"] == np.uint8 else (x.astype(np.int16) - 128).astype(np.int8))
        self.net.invoke()
        values = []
        for d in self.net.get_output_details():
            scale, zero = d["quantization"]
            value = (self.net.get_tensor(d["index"]).astype(np.float32) - zero) * scale
            values.append(torch.from_numpy(value).permute(0, 3, 1, 2))
        levels = detector.by_stride(list(zip(values[::2], values[1::2])))
        found = detector.grouped([(s[0].numpy(), g[0].numpy()) for s, g in levels], self.threshold)
        if self.closer:
            found = [f for f in found if self.closer(luma, f[1])]
        return detector.whole_faces(found)


def placed(stock, i, side, kind, rng):
    """Photo i in front of a background: luma, box, points, boxes of other faces."""
    _, boxes, points, _ = stock.photos[i]
    b, p = boxes[0], points[0]
    scale = side / b[2]
    angle = np.radians(rng.uniform(15, 35)) * rng.choice([-1, 1]) if kind == "turned" else 0.0
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    middle = b[:2] + b[2:] / 2
    to = np.array([rng.uniform(side * 0.6, 640 - side * 0.6), rng.uniform(side * 0.6, 480 - side * 0.6)])
    m = np.array([[c, -s], [s, c]])
    m = np.hstack([m, (to - m @ middle)[:, None]])
    picture = stock.pictures[i].astype(np.float32)
    if scale < 0.7:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.5 * (1 / scale - 1))
    mask = cv2.warpAffine(np.ones_like(picture), m, (640, 480))
    ground = scenes.things(rng)
    out = ground * (1 - mask) + cv2.warpAffine(picture, m, (640, 480)) * mask
    if kind == "dim":
        out = out * 0.2 + rng.standard_normal(out.shape) * 4 + 5
    # Other people in the photo do not count as false faces.
    others = [[*(m[:, :2] @ (o[:2] + o[2:] / 2) + m[:, 2] - o[2:] * scale / 2), *(o[2:] * scale)] for o in boxes[1:]]
    box = np.array([*(to - b[2:] * scale / 2), *(b[2:] * scale)])
    return np.clip(out, 0, 255).astype(np.uint8), box, p @ m[:, :2].T + m[:, 2], others


def judge(judged, made):
    """The recall, and the mean error of the points divided by the distance of the eyes, on frames (luma, box, points, others)."""
    out = {name: [0, []] for name in judged}
    for luma, box, points, _ in made:
        for name, d in judged.items():
            seen = d(luma)
            best = max(seen, key=lambda f: peers.share(f[1], box), default=None)
            if best is None or peers.share(best[1], box) < 0.3:
                continue
            out[name][0] += 1
            k = d.COMPARABLE
            out[name][1].append(np.linalg.norm(best[2] - points[k], axis=1).mean() / np.linalg.norm(points[0] - points[1]))
    return {n: (h / max(len(made), 1), float(np.mean(e)) if e else None) for n, (h, e) in out.items()}


BANDS = ((24, 48), (48, 96), (96, 240))


def doorstep(judged, frames):
    """By the side of the face: the number of faces, and for each detector the share found and the mean error of the points; and
    the false faces per frame."""
    out = {f"{low}-{high}": {"faces": 0, **{n: [0, []] for n in judged}} for low, high in BANDS}
    false = dict.fromkeys(judged, 0)
    for path, boxes, points in frames:
        luma = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        seen = {name: d(luma) for name, d in judged.items()}
        for name, found in seen.items():
            false[name] += sum(all(peers.share(f[1], b) < 0.3 for b in boxes) for f in found)
        for box, p in zip(boxes, points):
            band = next((f"{low}-{high}" for low, high in BANDS if low <= box[2] < high), None)
            # A face that is cut off by the edge of the picture does not count.
            if band is None or box[0] < 0 or box[1] < 0 or box[0] + box[2] > 640 or box[1] + box[3] > 480:
                continue
            out[band]["faces"] += 1
            for name, d in judged.items():
                best = max(seen[name], key=lambda f: peers.share(f[1], box), default=None)
                if best is not None and peers.share(best[1], box) >= 0.3:
                    out[band][name][0] += 1
                    error = np.linalg.norm(best[2] - p[d.COMPARABLE], axis=1).mean()
                    out[band][name][1].append(error / np.linalg.norm(p[0] - p[1]))
    for row in out.values():
        for name in judged:
            hits, errors = row[name]
            row[name] = (hits / max(row["faces"], 1), float(np.mean(errors)) if errors else None)
    return {"faces": out, "false a frame": {n: f / len(frames) for n, f in false.items()}}


def sized(judged, shared, count, say):
    """The share found by size and kind, and the false faces per frame over all sizes and kinds."""
    out, false, frames = {}, dict.fromkeys(judged, 0), 0
    for kind in trials.KINDS:
        for side in trials.SIDES:
            made = trials.by_size(shared, side, kind, count)
            if len(made) < 10:
                continue
            hits = dict.fromkeys(judged, 0)
            for luma, box, others in made:
                frames += 1
                for name, d in judged.items():
                    seen = d(luma)
                    hits[name] += any(peers.share(f[1], box) >= 0.3 for f in seen)
                    false[name] += sum(all(peers.share(f[1], b) < 0.3 for b in others) for f in seen)
            row = out[f"{kind} {side}"] = {"faces": len(made), **{n: h / len(made) for n, h in hits.items()}}
            say(f"{kind:8}{side:5} ({len(made):3})", row)
    row = out["false faces a frame"] = {n: f / max(frames, 1) for n, f in false.items()}
    say("false faces a frame", row, "{:.3f}")
    return out


def by_share(judged, shared, say):
    """On held-back scenes: the share found, by the longer side of the face's own box divided by that of the picture; and the
    number of boxes without a face."""
    out = {f"{int(100 * low)}-{int(100 * high)} %": {"faces": 0, **dict.fromkeys(judged, 0)} for low, high in trials.SHARES}
    false = dict.fromkeys(judged, 0)
    for p, _, boxes in trials.held(shared):
        luma, theirs = p[0], p[1]
        seen = {name: trials.looked(d, luma) for name, d in judged.items()}
        for name, found in seen.items():
            false[name] += sum(all(peers.share(f[1], b) < 0.2 and not trials.touches(f[1], b) for b in theirs) for f in found)
        for k, box in enumerate(boxes):
            share = max(box[2:]) / max(luma.shape)
            band = next((f"{int(100 * low)}-{int(100 * high)} %" for low, high in trials.SHARES if low <= share < high), None)
            if band is None:
                continue
            out[band]["faces"] += 1
            for name, found in seen.items():
                out[band][name] += any(peers.share(f[1], theirs[k]) >= 0.3 for f in found)
    for band, row in out.items():
        for name in judged:
            row[name] /= max(row["faces"], 1)
        say(f"face over picture {band} ({row['faces']})", row)
    out["boxes where no face is"] = false
    say("boxes where no face is", false, "{:.0f}")
    return out


def without_faces(judged, shared, say):
    """For each held-back source of pictures without faces: the number of pictures, and of those in which a face is found."""
    out = {}
    sources = {**world.nofaces(shared, "held"), "objects": world.objects(shared, "held")}
    for source, pictures in sources.items():
        row = out[source] = {"pictures": len(pictures), **{n: sum(bool(trials.looked(d, p[0])) for p in pictures) for n, d in judged.items()}}
        say(f"without faces: {source} ({len(pictures)})", row, "{:.0f}")
    return out


def close_by(judged, shared, cache, folds, count, say):
    """For photos cut to the face and for near faces: the share found, and the share found without any other detection."""
    out = {}
    rows = {f"tight crops at {times} x the box": trials.tight(shared, times) for times in (1.2, 1.0)}
    photos = world.photos(shared, cache, folds, "training")
    rows |= {f"near face of {side}": trials.near(photos, side, count) for side in (320, 360, 400, 440, 480)}
    for name, made in rows.items():
        look = trials.looked if name.startswith("tight") else lambda d, luma: d(luma)
        found, alone = dict.fromkeys(judged, 0), dict.fromkeys(judged, 0)
        for luma, box in made:
            for n, d in judged.items():
                seen = look(d, luma)
                hit = any(peers.share(f[1], box) >= 0.3 for f in seen)
                found[n] += hit
                alone[n] += hit and len(seen) == 1
        row = out[name] = {"faces": len(made), **{n: f / len(made) for n, f in found.items()}}
        out[f"{name}, alone"] = {n: a / len(made) for n, a in alone.items()}
        say(f"{name} ({len(made)})", row)
        say(f"{name}, nothing else", out[f"{name}, alone"])
    return out


# Sides of faces in frames of the mixture, in pixels.
MIXED = ((14, 32), (32, 80), (80, 240), (240, 500))


def mixed(judged, o, say):
    """Measures on frames of the mixture that are made of pictures kept for validation: for choosing thresholds, not for final
    measurements."""
    about = {"shared": o.shared, "cache": o.cache, "latchkey": o.latchkey, "folds": {1, 2, 3, 4}}
    material = mixture.Material(**about, part="validation", plays=(920000, 1, 16), seed=1)
    painter = mixture.Painter(material, np.full(len(material.negatives), 0.3), 5)
    made = [painter.frame(np.random.default_rng([1, 1, i])) for i in range(o.photos * 4)]
    out = {}
    seen = {name: [find(c.luma) for c in made] for name, find in judged.items()}
    for low, high in MIXED:
        counts, total = dict.fromkeys(judged, 0), 0
        for number, canvas in enumerate(made):
            boxes, _, kinds = mixture.arrays(canvas)
            for box in boxes[(kinds == world.FACE) & (boxes[:, 2] >= low) & (boxes[:, 2] < high)]:
                total += 1
                for name in judged:
                    counts[name] += any(detector.share(f[1], box) > 0.4 for f in seen[name][number])
        out[f"{low}-{high}"] = {name: n / max(total, 1) for name, n in counts.items()}
        say(f"mixture, {low} to {high} pixels ({total})", out[f"{low}-{high}"])
    false = dict.fromkeys(judged, 0)
    for number, canvas in enumerate(made):
        boxes = mixture.arrays(canvas)[0]
        for name in judged:
            false[name] += sum(all(detector.share(f[1], b) < 0.3 for b in boxes) for f in seen[name][number])
    out["false a frame"] = {name: n / len(made) for name, n in false.items()}
    say("mixture, false faces a frame", out["false a frame"], "{:.3f}")
    return out


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--shared", required=True)
    a.add_argument("--cache", required=True)
    a.add_argument("--latchkey")
    a.add_argument("--file", required=True, action="append", help="detector.tflite; several files are compared")
    a.add_argument("--threshold", type=float, action="append", help="threshold of each file [0.5]")
    a.add_argument("--closer", action="append", help="landmarks.tflite that decides what is a face, for each file; - for none")
    a.add_argument("--face", type=float, action="append", help="the lowest probability at which it keeps a face, for each file [0.5]")
    a.add_argument("--folds", default="5", help="folds of LFW that were not used for training")
    a.add_argument("--photos", type=int, default=60, help="faces per row")
    a.add_argument("--peers", default="BlazeFace,MTCNN,YuNet")
    a.add_argument("--only", default="near,without,share,size", help="which parts; the part mixture is for choosing thresholds")
    a.add_argument("--drawn", action="store_true", help="also photos before drawn shapes, and the doorstep")
    a.add_argument("--out", required=True, help="JSON")
    o = a.parse_args()
    models = Path(o.shared) / "models"
    thresholds = o.threshold or [0.5] * len(o.file)
    names = ["ours"] if len(o.file) == 1 else [f"ours {i + 1}" for i in range(len(o.file))]
    sure = o.face or [0.5] * len(o.file)
    closer = [Closer(c, f) if c != "-" else None for c, f in zip(o.closer or ["-"] * len(o.file), sure, strict=True)]
    judged = {n: Ours(f, t, c) for n, f, t, c in zip(names, o.file, thresholds, closer, strict=True)}
    known = {"BlazeFace": peers.BlazeFace, "MTCNN": peers.Mtcnn, "YuNet": peers.YuNet}
    judged |= {n: known[n](models) for n in o.peers.split(",") if n}
    report = {}

    def say(what, row, form=None):
        values = "  ".join(f"{n} " + (form.format(row[n]) if form else f"{100 * row[n]:.1f} %") for n in judged)
        print(f"{what:44}{values}", flush=True)

    folds = set(map(int, o.folds.split(",")))
    for part in o.only.split(","):
        report[part] = {
            "near": lambda: close_by(judged, o.shared, o.cache, folds, o.photos, say),
            "without": lambda: without_faces(judged, o.shared, say),
            "share": lambda: by_share(judged, o.shared, say),
            "size": lambda: sized(judged, o.shared, o.photos, say),
            "mixture": lambda: mixed(judged, o, say),
        }[part]()
        Path(o.out).write_text(json.dumps(report, indent=1))
    if o.drawn:
        report["drawn"] = before_drawn_things(judged, o)
        Path(o.out).write_text(json.dumps(report, indent=1))


def before_drawn_things(judged, o):
    stock = scenes.Stock(o.shared, o.cache, o.latchkey, set(map(int, o.folds.split(","))))
    sure = [i for i, p in enumerate(stock.photos) if not p[3][0]]
    report = {"faces": {}, "false": {}}
    print(f"{'':8}{'side':>5}  " + "".join(f"{n:>20}" for n in judged), flush=True)
    for kind in KINDS:
        for side in SIDES:
            rng = np.random.default_rng([7, side, KINDS.index(kind)])
            chosen = rng.choice(sure, min(o.photos, len(sure)), replace=False)
            r = judge(judged, [placed(stock, i, side, kind, rng) for i in chosen])
            report["faces"][f"{kind} {side}"] = r
            line = "".join(f"{100 * h:12.1f} %{'':2}" + (f"{e:.3f}" if e is not None else "  -  ") for h, e in r.values())
            print(f"{kind:8}{side:5}  {line}", flush=True)
    r = report["doorstep"] = doorstep(judged, faces.frames(o.cache, o.latchkey, 920002, 4, 20))
    for band, row in r["faces"].items():
        line = "".join(f"{100 * row[n][0]:12.1f} %{'':2}" + (f"{row[n][1]:.3f}" if row[n][1] else "  -  ") for n in judged)
        print(f"doorstep {band:>8}  {line}   ({row['faces']} faces)", flush=True)
    print("doorstep, false faces a frame: " + ", ".join(f"{n} {v:.3f}" for n, v in r["false a frame"].items()), flush=True)
    things = [p for p in sorted((Path(o.shared) / "faces/objects").rglob("*")) if p.suffix.lower() in (".png", ".jpg")]
    bare = [scenes.things(np.random.default_rng([8, i])) for i in range(250)]
    bare += [scenes.bare(np.random.default_rng([9, i]), stock.pictures) for i in range(250)]
    objects = []
    for path in things:
        p = cv2.imread(str(path), 0)
        k = 480 / max(p.shape)
        p = cv2.resize(p, None, fx=k, fy=k, interpolation=cv2.INTER_CUBIC)[:480, :640]
        canvas = np.zeros((480, 640), np.uint8)
        canvas[: p.shape[0], (640 - p.shape[1]) // 2 : (640 - p.shape[1]) // 2 + p.shape[1]] = p
        objects.append(canvas)
    for name, pictures in (("objects", objects), ("scenes without people", [np.clip(b, 0, 255).astype(np.uint8) for b in bare])):
        counts = {n: sum(bool(d(p)) for p in pictures) for n, d in judged.items()}
        report["false"][name] = {"pictures": len(pictures), **counts}
        print(f"{name}: of {len(pictures)} " + ", ".join(f"{n} {c}" for n, c in counts.items()), flush=True)
    return report


if __name__ == "__main__":
    main()
