"""Material for the detector's frames in addition to pictures of the real world: drawn shapes, texture from beside the faces of
photos, and faces in pieces. Also the photos of Labeled Faces in the Wild for testing.
"""

import json
from pathlib import Path

import cv2
import numpy as np

import faces

# The size of the frames that a camera delivers.
WHOLE = (640, 480)


class Stock:
    """Photos of the people of some folds, in luma, with all faces that are in them."""

    def __init__(self, shared, cache, latchkey, wanted):
        faces.found(shared, cache, latchkey)
        fold = faces.folds(shared)
        self.photos = []
        for photo in json.loads((Path(cache) / "lfw-faces.json").read_text())["photos"]:
            if fold[Path(photo["photo"]).parent.name] not in wanted or not photo["faces"]:
                continue
            boxes = np.array([[f["box"][k] for k in ("x", "y", "width", "height")] for f in photo["faces"]], np.float32)
            points = np.array([[[p["x"], p["y"]] for p in f["landmarks"]] for f in photo["faces"]], np.float32)
            # The main face comes first.
            order = np.argsort(np.linalg.norm(points.mean(1) - [photo["width"] / 2, photo["height"] / 2], axis=1))
            doubt = np.array([f["score"] < 0.8 for f in photo["faces"]])
            self.photos.append((photo["photo"], boxes[order], points[order], doubt[order]))
        self.pictures = [cv2.imread(p[0], cv2.IMREAD_GRAYSCALE) for p in self.photos]


def smooth(rng, cells, side):
    """A smooth field of [side, side] that bends `cells` times, float32 of mean 0 and deviation 1."""
    field = rng.standard_normal((cells, cells)).astype(np.float32)
    return cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)


def things(rng, size=WHOLE):
    """A drawn scene without people: surfaces, edges, round shapes, clutter."""
    width, height = size
    base = np.full((height, width), rng.uniform(20, 220), np.float32)
    for cells in (3, 6, 12, 40):
        field = cv2.resize(rng.standard_normal((cells, cells)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        base += field * rng.uniform(0, 25)
    for _ in range(rng.integers(0, 40)):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        size = int(np.exp(rng.uniform(np.log(4), np.log(200))))
        grey = float(rng.uniform(0, 255))
        kind = rng.random()
        thick = -1 if rng.random() < 0.6 else int(rng.integers(1, 12))
        if kind < 0.35:
            cv2.rectangle(base, (x, y), (x + size, y + int(size * rng.uniform(0.2, 3))), grey, thick)
        elif kind < 0.75:
            cv2.ellipse(base, (x, y), (size // 2, max(int(size * rng.uniform(0.2, 0.8)), 1)), float(rng.uniform(0, 180)), 0, 360, grey, thick)
        else:
            cv2.line(base, (x, y), (int(x + rng.normal(0, size)), int(y + rng.normal(0, size))), grey, max(thick, 1))
    return base


def bare(rng, pictures, size=WHOLE):
    """Pieces of photos from beside the faces, enlarged and rotated, in tiles: real texture without a face."""
    width, height = size
    out = np.zeros((height, width), np.float32)
    side = int(rng.choice([80, 160, 320]))
    for top in range(0, height, side):
        for left in range(0, width, side):
            picture = pictures[rng.integers(len(pictures))]
            # Strips at the edges of a photo show no face: below y 205, above y 55, left and right of 55.
            h = int(rng.integers(25, 45))
            y, x = (0, 250 - h)[rng.random() < 0.5], int(rng.integers(0, 250 - h))
            piece = picture[y : y + h, x : x + h]
            if rng.random() < 0.5:
                piece = picture[x : x + h, y : y + h]
            piece = np.rot90(piece, rng.integers(4))
            piece = cv2.resize(piece, (side, side), interpolation=cv2.INTER_CUBIC)
            out[top : top + side, left : left + side] = piece[: height - top, : width - left]
    return out


def scrambled(rng, picture, box):
    """A face cut into pieces in random order: the result has everything of a face except the arrangement."""
    x, y, w, h = (int(v) for v in box)
    crop = picture[max(y, 0) : y + h, max(x, 0) : x + w].astype(np.float32)
    n = int(rng.integers(2, 5))
    crop = cv2.resize(crop, (n * 32, n * 32))
    tiles = [crop[i * 32 : i * 32 + 32, j * 32 : j * 32 + 32] for i in range(n) for j in range(n)]
    order = rng.permutation(len(tiles))
    while n == 2 and (order == np.arange(4)).sum() > 1:
        order = rng.permutation(4)
    rows = [np.hstack([np.rot90(tiles[order[i * n + j]], rng.integers(4)) for j in range(n)]) for i in range(n)]
    return np.vstack(rows)
