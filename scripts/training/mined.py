"""Crops of what the detector finds in frames of the mixture, correctly or not. From these crops the landmarks network learns what
is a face.

A crop has luma. The detection's box is in its middle, and the crop is REACH times as wide as the box.
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np

import detector
import judge
import mixture
from world import DOUBT, FACE

# The side of a crop, in pixels and in sides of the box.
SIDE, REACH = 80, 2.0
# The threshold is low, because uncertain detections are useful for training, too.
THRESHOLD = 0.2
# A box that overlaps a face by more than IS is a face; a box that overlaps no face by more than IS_NOT is not a face.
IS, IS_NOT = 0.45, 0.25
# The most that are taken from a frame of boxes inside a face or far around it, which the detector did not find; and of mistakes
# of the detector.
PARTS, MISTAKES = 2, 4


def label(box, boxes, kinds):
    """1 if `box` is a face, 0 if not, -1 if it may be one."""
    shares = np.array([detector.share(box, b) for b in boxes])
    doubts = kinds == DOUBT
    if (shares[doubts] > IS_NOT).any():
        return -1
    best = shares[kinds == FACE].max(initial=0)
    return 1 if best > IS else 0 if best < IS_NOT else -1


def part(rng, box):
    """A box that shows an eye, a mouth, a cheek, or much more than the face."""
    x, y, w, h = box
    if rng.random() < 0.25:
        side = w * rng.uniform(2.2, 3.5)
        middle = np.array([x + w / 2, y + h / 2]) + rng.uniform(-0.5, 0.5, 2) * side * 0.6
    else:
        side = w * rng.uniform(0.2, 0.45)
        middle = np.array([x, y]) + rng.uniform(0.1, 0.9, 2) * [w, h]
    return np.array([*(middle - side / 2), side, side])


def crops(file, about, which, frames, seed, say):
    """Crops uint8 [n, SIDE, SIDE], a label 1 or 0 for each, and the detector's scores (0 where it found nothing), of `frames`
    frames of the part `which` of the material."""
    how = (THRESHOLD, IS, IS_NOT, PARTS, MISTAKES, SIDE, REACH, sorted(about["folds"]), which, frames, seed)
    digest = hashlib.sha256(Path(file).read_bytes() + repr(how).encode()).hexdigest()
    kept = Path(about["cache"]) / f"mined-{digest[:12]}.npz"
    if not kept.exists():
        cv2.setNumThreads(1)
        plays = (910000, 12, 16) if which == "training" else (920000, 1, 16)
        material = mixture.Material(**about, part=which, plays=plays, seed=seed)
        painter = mixture.Painter(material, np.full(len(material.negatives), 0.3), seed)
        find = judge.Ours(file, THRESHOLD)
        pictures, labels, scores = [], [], []
        for i in range(frames):
            rng = np.random.default_rng([seed, 3, i])
            canvas = painter.frame(rng)
            boxes, _, kinds = mixture.arrays(canvas)
            seen = [(s, b) for s, b, _ in find(canvas.luma)]
            large = np.flatnonzero((kinds == FACE) & (boxes[:, 2] >= 60))
            seen += [(0.0, part(rng, boxes[k])) for k in rng.choice(large, min(PARTS, len(large)), replace=False)]
            seen = [(label(b, boxes, kinds), s, b) for s, b in seen]
            wrong = [k for k, (is_face, score, _) in enumerate(seen) if is_face == 0 and score]
            dropped = set(rng.permutation(wrong)[MISTAKES:])
            for k, (is_face, score, box) in enumerate(seen):
                if k not in dropped and is_face >= 0 and (score or not is_face):
                    pictures.append(mixture.window(canvas.luma, box, REACH, SIDE))
                    labels.append(is_face)
                    scores.append(score)
            if (i + 1) % 500 == 0:
                say(f"mined: {len(labels)} crops, {sum(labels)} of faces, in {i + 1} of {frames} frames", (i + 1) / frames)
        part_file = kept.with_name("mined.part.npz")
        np.savez(part_file, crops=np.stack(pictures), labels=np.int8(labels), scores=np.float32(scores))
        part_file.rename(kept)
    data = np.load(kept)
    return data["crops"], data["labels"], data["scores"]
