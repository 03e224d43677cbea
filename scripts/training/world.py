"""Pictures of the real world for the detector: scenes with boxed faces, a crowd of aligned faces, pictures without faces.

A picture is (luma, boxes [n, 4], points [n, 5, 2], kinds [n]). Boxes are [x, y, w, h] from eyebrow to chin, square, as all
our networks use them; unknown points are NaN. A kind is FACE, or DOUBT: neither a hit nor a false alarm.

Complete sources are held back for testing (`HELD_SCENES` and the others below), and no choice is based on them. One picture in
twenty of the other sources is kept for validation, and thresholds are chosen on these pictures.
"""

import csv
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np

import faces
import peers

FACE, DOUBT = 0, 1
# Held back are sources of `scenes`; sources of `nofaces`, and every second class of its source `dtd`; and half of the objects.
HELD_SCENES = ("kaggle-mask", "animals-person")
HELD_NOFACES = ("clothing", "camvid", "raccoon")
HELD_TEXTURES = ("blotchy", "bubbly", "chequered", "cracked", "crystalline")
HELD_OBJECTS = 5
# One picture in this number is for validation.
VALIDATION = faces.HELD

# Factors from boxes of WIDER FACE (forehead to chin, narrow) to ours: our side divided by their geometric mean side, and how far
# the middle moves down in the same unit. They are means over 733 faces of LFW, with BlazeFace's box compared with YuNet's; the
# deviation is 6 % and 3 %.
SIDE, DOWN = 0.971, 0.100
# The same factors from five points: in units of hypot(between the eyes, eyes to mouth), from the mean of the points.
POINTS_SIDE, POINTS_DOWN = 1.715, 0.052


def ours(boxes):
    """Boxes of WIDER FACE [n, 4] in our convention."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    middle, size = boxes[:, :2] + boxes[:, 2:] / 2, np.sqrt(boxes[:, 2] * boxes[:, 3])
    middle[:, 1] += DOWN * size
    side = (SIDE * size)[:, None]
    return np.hstack([middle - side / 2, side, side]).astype(np.float32)


def around(points):
    """The box of a face from its five points [n, 5, 2]."""
    points = np.asarray(points, np.float32).reshape(-1, 5, 2)
    eyes, mouth = points[:, :2].mean(1), points[:, 3:].mean(1)
    down = mouth - eyes
    size = np.hypot(np.linalg.norm(points[:, 1] - points[:, 0], axis=1), np.linalg.norm(down, axis=1))
    way = down / np.maximum(np.linalg.norm(down, axis=1), 1e-6)[:, None]
    middle, side = points.mean(1) + way * (POINTS_DOWN * size)[:, None], (POINTS_SIDE * size)[:, None]
    return np.hstack([middle - side / 2, side, side]).astype(np.float32)


def picture(luma, boxes=(), points=(), kinds=()):
    n = len(boxes)
    return (
        luma,
        np.asarray(boxes, np.float32).reshape(n, 4),
        np.asarray(points, np.float32).reshape(n, 5, 2),
        np.asarray(kinds, np.int8).reshape(n),
    )


def grey(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)


def part_of(number, source, held):
    """The part that a picture belongs to: training, validation or held."""
    if source in held:
        return "held"
    return "validation" if number % VALIDATION == 0 else "training"


def scenes(shared, part):
    """{source: [picture]} of the scenes with boxes."""
    folder = Path(shared) / "faces/scenes"
    out = {}
    with tarfile.open(folder / "scenes-0.tar") as tar:
        files = {Path(m.name).name: m for m in tar.getmembers()}
        for number, line in enumerate((folder / "boxes.jsonl").read_text().splitlines()):
            p = json.loads(line)
            if part_of(number, p["source"], HELD_SCENES) != part:
                continue
            luma = grey(tar.extractfile(files[p["file"]]).read())
            boxes, points, kinds = [], [], []
            for theirs, five in zip(p["boxes"], p["points"]):
                box = ours([theirs])[0]
                x, y, w, h = theirs
                cut = x < 2 or y < 2 or x + w > p["width"] - 2 or y + h > p["height"] - 2
                if five is None:
                    five = np.full((5, 2), np.nan)
                elif cut:
                    # The given box ends at the edge of the picture, but the face goes on.
                    box = around([five])[0]
                boxes.append(box)
                points.append(five)
                kinds.append(FACE)
            for theirs in p["ignore"]:
                boxes.append(ours([theirs])[0])
                points.append(np.full((5, 2), np.nan))
                kinds.append(DOUBT)
            out.setdefault(p["source"], []).append(picture(luma, boxes, points, kinds))
    return out


def nofaces(shared, part):
    """{source: [picture]} of the pictures without faces."""
    folder = Path(shared) / "faces/nofaces"
    out = {}
    with tarfile.open(folder / "nofaces-0.tar") as tar, open(folder / "nofaces.csv") as rows:
        files = {Path(m.name).name: m for m in tar.getmembers()}
        for number, row in enumerate(csv.DictReader(rows)):
            texture = row["class"] if row["source"] == "dtd" else row["source"]
            if part_of(number, texture, (*HELD_NOFACES, *HELD_TEXTURES)) == part:
                out.setdefault(row["source"], []).append(picture(grey(tar.extractfile(files[row["file"]]).read())))
    return out


def objects(shared, part):
    """Pictures of objects: half of the objects are held back."""
    out = []
    for path in sorted((Path(shared) / "faces/objects").glob("obj*.png")):
        number = int(path.name[3:].split("__")[0])
        if (number > HELD_OBJECTS) == (part == "held") and part != "validation":
            out.append(picture(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)))
    return out


def crowd(shared, part):
    """{source: [picture]} of aligned faces, 112x112."""
    box = around([faces.TEMPLATE])
    out = {}
    for pack, number, data in faces.packs(shared):
        if part_of(number, pack, ()) == part:
            out.setdefault(pack, []).append(picture(grey(data), box, [faces.TEMPLATE], [FACE]))
    return out


def seen_by_teacher(shared, cache):
    """YuNet's faces in every photo of LFW, {path: (scores, boxes in our convention, points)}."""
    kept = Path(cache) / "lfw-yunet.npz"
    photos = sorted((Path(shared) / "faces/lfw-dev/images").glob("*/*.jpg"))
    if not kept.exists():
        net = peers.YuNet(Path(shared) / "models", threshold=0.3)
        which, scores, boxes, points = [], [], [], []
        for i, path in enumerate(photos):
            for score, box, five in net(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)):
                which.append(i)
                scores.append(score)
                boxes.append(box)
                points.append(five)
        part = kept.with_name("lfw-yunet.part.npz")
        np.savez(part, which=which, scores=scores, boxes=np.float32(boxes), points=np.float32(points))
        part.rename(kept)
    data = np.load(kept)
    which, scores, boxes, points = (data[k] for k in ("which", "scores", "boxes", "points"))
    boxes = ours(boxes)
    return {str(p): (scores[which == i], boxes[which == i], points[which == i]) for i, p in enumerate(photos)}


# A teacher's score above this counts as a face; with a lower score there may be a face.
SURE = 0.7


def photos(shared, cache, folds, part):
    """Photos of the people of some folds of LFW with the faces that the teacher found; `tight_people` are held back."""
    fold, held = faces.folds(shared), tight_people(shared)
    out = []
    for number, (path, (scores, boxes, points)) in enumerate(seen_by_teacher(shared, cache).items()):
        who = Path(path).parent.name
        if fold[who] in folds and part_of(number, who, held) == part and len(boxes):
            kinds = [FACE if score > SURE else DOUBT for score in scores]
            out.append(picture(cv2.imread(path, cv2.IMREAD_GRAYSCALE), boxes, points, kinds))
    return out


def tight_people(shared):
    """People of LFW whose photos are in tight-crops.txt: these people are for testing, and nothing is learnt from them."""
    lines = (Path(shared) / "cases/tight-crops.txt").read_text().splitlines()
    return {line.split("/")[0] for line in lines if "/" in line and not line.startswith("#")}
