"""Frames that detectors are tested on, made of pictures that were not used for training: the held sources of `world`
(`world.HELD_SCENES` and the others) and people of other folds.

A trial is (luma 640x480, the wanted box, boxes that do not count as false faces). Boxes are in our convention: from eyebrow to
chin.
"""

import json
from pathlib import Path

import cv2
import numpy as np

import mixture
import world

SIDES = (24, 32, 48, 64, 96, 128, 180, 240, 320, 400, 480)
KINDS = ("plain", "turned", "dim", "masked", "cut")
# If a face has fewer pixels than this share of the wanted side, it is too blurred to be used for a judgement.
ENLARGED = 0.4
SHARES = ((0.05, 0.15), (0.15, 0.30), (0.30, 0.50), (0.50, 1.01))
WIDE, HIGH = mixture.SIZE


def held(shared):
    """Scenes of the held-back sources: (picture, masked [n] of its faces, their own boxes [n, 4])."""
    folder = Path(shared) / "faces/scenes"
    lines = [json.loads(line) for line in (folder / "boxes.jsonl").read_text().splitlines()]
    out = []
    for source, pictures in world.scenes(shared, "held").items():
        about = [p for p in lines if p["source"] == source]
        for p, a in zip(pictures, about, strict=True):
            out.append((p, [kind == "with_mask" for kind in a["kind"]], np.float32(a["boxes"]).reshape(-1, 4)))
    return out


def placed(p, k, side, kind, rng):
    """A trial with face k of picture p, `side` pixels wide."""
    luma, boxes = p[0], p[1]
    scale = side / boxes[k, 2]
    angle = np.radians(rng.uniform(15, 35)) * rng.choice([-1, 1]) if kind == "turned" else 0.0
    half = np.array([0.55 * side, 0.55 * side])
    low, high = half, np.array([WIDE, HIGH]) - half
    to = np.where(high > low, low + rng.random(2) * (high - low), [WIDE / 2, HIGH / 2])
    if kind == "cut":
        # A fifth to two fifths of the face lie outside, at one of the four edges.
        out = side * (0.5 - rng.uniform(0.2, 0.4))
        edge = int(rng.integers(4))
        to[edge % 2] = out if edge < 2 else (WIDE, HIGH)[edge % 2] - out
    m = mixture.transform(scale, angle, False, boxes[k, :2] + boxes[k, 2:] / 2, to)
    frame = mixture.warped(luma, m, (WIDE, HIGH), cv2.BORDER_CONSTANT)
    if kind == "dim":
        frame = np.clip(frame * 0.2 + rng.standard_normal(frame.shape) * 4 + 5, 0, 255).astype(np.uint8)
    middles = (boxes[:, :2] + boxes[:, 2:] / 2) @ m[:, :2].T + m[:, 2]
    there = np.hstack([middles - boxes[:, 2:] * scale / 2, boxes[:, 2:] * scale])
    return frame, there[k], there


def by_size(shared, side, kind, count):
    """Trials of one size: `count` of them, or fewer if the held-back scenes have too few faces that are large enough."""
    rng = np.random.default_rng([7, side, KINDS.index(kind)])
    faces = []
    for p, masked, _ in held(shared):
        for k in range(len(masked)):
            if p[1][k, 2] >= ENLARGED * side and masked[k] == (kind == "masked"):
                faces.append((p, k))
    order = rng.permutation(len(faces))[:count]
    return [placed(*faces[i], side, kind, rng) for i in order]


def shown(luma, smaller=1.0):
    """A picture scaled to fit the frame, and then by `smaller`: (frame, scale, left, top)."""
    h, w = luma.shape
    scale = min(WIDE / w, HIGH / h) * smaller
    left, top = (WIDE - scale * w) / 2, (HIGH - scale * h) / 2
    m = mixture.transform(scale, 0.0, False, (-0.5, -0.5), (left - 0.5, top - 0.5))
    return mixture.warped(luma, m, (WIDE, HIGH), cv2.BORDER_CONSTANT), scale, left, top


def looked(detector, luma, overlap=0.4):
    """Faces of a picture as `identify` finds them, but without looks at enlarged parts. The picture is looked at with half the
    scale and then as large as it fits. Where both looks find a face, the first counts. Boxes are in pixels of the picture."""
    out = []
    for smaller in (0.5, 1.0):
        frame, scale, left, top = shown(luma, smaller)
        for score, box, _ in detector(frame):
            box = (np.asarray(box, float) - [left, top, 0, 0]) / scale
            if not any(touches(box, known) for _, known in out):
                out.append((score, box))
    return out


def touches(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(w, 0) * max(h, 0) > 0.35 * min(a[2] * a[3], b[2] * b[3])


def tight(shared, times):
    """The crops listed in tight-crops.txt, 400x400, at `times` the box: (luma, box)."""
    images = Path(shared) / "faces/lfw-dev/images"
    out = []
    for line in (Path(shared) / "cases/tight-crops.txt").read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        name, *corners = line.split()
        left, top, right, bottom = map(float, corners)
        # The squares in the list are 1.2 times the box.
        middle, side = np.array([(left + right) / 2, (top + bottom) / 2]), (right - left) / 1.2
        wide = times * side
        m = mixture.transform(400 / wide, 0.0, False, middle, (200, 200))
        luma = cv2.imread(str(images / name), cv2.IMREAD_GRAYSCALE)
        box = 400 / times
        out.append((mixture.warped(luma, m, (400, 400), cv2.BORDER_CONSTANT), np.array([200 - box / 2, 200 - box / 2, box, box])))
    return out


def near(pictures, side, count):
    """Photos of one person in the middle of a grey frame, the face `side` pixels wide."""
    rng = np.random.default_rng([11, side])
    out = []
    for i in rng.permutation(len(pictures))[:count]:
        p = pictures[i]
        k = int(np.argmax(p[1][:, 2]))
        scale = side / p[1][k, 2]
        m = mixture.transform(scale, 0.0, False, p[1][k, :2] + p[1][k, 2:] / 2, (WIDE / 2, HIGH / 2))
        frame = mixture.warped(p[0], m, (WIDE, HIGH), cv2.BORDER_CONSTANT, 128)
        out.append((frame, np.array([WIDE / 2 - side / 2, HIGH / 2 - side / 2, side, side])))
    return out
