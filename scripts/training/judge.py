"""Our detector beside BlazeFace short range and MTCNN, on the same scenes, each at its usual threshold, one look each.

Scenes: photos of people nobody learnt from, one in each, by the side of the face; plain, turned by 15 to 35 degrees, dim
with a noisy sensor. Moments before the doorstep, of a seed nobody learnt from. And scenes with nobody in them: things,
textures, pictures of objects.
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
import peers
import scenes

SIDES = (24, 32, 48, 64, 96, 128, 180, 240)
KINDS = ("plain", "turned", "dim")


class Ours:
    """The 8-bit file."""

    COMPARABLE = [0, 1, 2, 3, 4]

    def __init__(self, file, threshold=0.5):
        self.net = Interpreter(str(file), num_threads=1)
        self.net.allocate_tensors()
        self.threshold = threshold

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
        return detector.found([(s[0].numpy(), g[0].numpy()) for s, g in levels], self.threshold)


def placed(stock, i, side, kind, rng):
    """Photo i before a background: luma, box, points."""
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
    # Other people in the photo are no false faces.
    others = [[*(m[:, :2] @ (o[:2] + o[2:] / 2) + m[:, 2] - o[2:] * scale / 2), *(o[2:] * scale)] for o in boxes[1:]]
    box = np.array([*(to - b[2:] * scale / 2), *(b[2:] * scale)])
    return np.clip(out, 0, 255).astype(np.uint8), box, p @ m[:, :2].T + m[:, 2], others


def judge(judged, made):
    """Recall, and mean error of the points over the distance of the eyes, of (luma, box, points, others)."""
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
    """By the side of the face: faces, and of each detector the share found and the mean error of the points; and false
    faces a frame."""
    out = {f"{low}-{high}": {"faces": 0, **{n: [0, []] for n in judged}} for low, high in BANDS}
    false = dict.fromkeys(judged, 0)
    for path, boxes, points in frames:
        luma = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        seen = {name: d(luma) for name, d in judged.items()}
        for name, found in seen.items():
            false[name] += sum(all(peers.share(f[1], b) < 0.3 for b in boxes) for f in found)
        for box, p in zip(boxes, points):
            band = next((f"{low}-{high}" for low, high in BANDS if low <= box[2] < high), None)
            # Cut off by the edge of the picture, it is half a face.
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


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--shared", required=True)
    a.add_argument("--cache", required=True)
    a.add_argument("--latchkey")
    a.add_argument("--file", required=True, help="detector.tflite")
    a.add_argument("--folds", default="5")
    a.add_argument("--photos", type=int, default=150)
    a.add_argument("--out", required=True, help="JSON")
    o = a.parse_args()
    models = Path(o.shared) / "models"
    judged = {"ours": Ours(o.file), "BlazeFace": peers.BlazeFace(models), "MTCNN": peers.Mtcnn(models)}
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
    r = report["doorstep"] = doorstep(judged, faces.frames(o.cache, o.latchkey, 920000, 8))
    for band, row in r["faces"].items():
        line = "".join(f"{100 * row[n][0]:12.1f} %{'':2}" + (f"{row[n][1]:.3f}" if row[n][1] else "  -  ") for n in judged)
        print(f"doorstep {band:>8}  {line}   ({row['faces']} faces)", flush=True)
    print("doorstep, false faces a frame: " + ", ".join(f"{n} {v:.3f}" for n, v in r["false a frame"].items()), flush=True)
    things = [p for p in sorted((Path(o.shared) / "faces/objects").rglob("*")) if p.suffix.lower() in (".png", ".jpg")]
    bare = [scenes.things(np.random.default_rng([8, i])) for i in range(250)]
    bare += [scenes.bare(np.random.default_rng([9, i]), stock) for i in range(250)]
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
    Path(o.out).write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
