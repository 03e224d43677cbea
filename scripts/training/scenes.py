"""Scenes for the detector: photos of people laid out on 640x480, near and far, turned, dim, blurred, before anything.

A scene comes with what is in it: boxes from eyebrow to chin, five points, and which faces are too hard to count.
"""

import json
import multiprocessing
from pathlib import Path

import cv2
import numpy as np

import faces
from teachers import smooth

# What a camera delivers, and what is learnt from: parts of that, as a layer sees the same everywhere. A side of a part is
# an odd number of cells of 32 where that of the whole is, and an even one where it is even: SAME padding depends on it.
WHOLE, PART = (640, 480), (384, 352)
# Least side of faces in a scene, and the most in sides of the scene.
LEAST, MOST = 16, 0.85


class Stock:
    """Photos of the people of some folds, in luma, with all faces that are in them; and frames of the doorstep."""

    def __init__(self, shared, cache, latchkey, wanted, frames=()):
        self.frames = list(frames)
        faces.found(shared, cache, latchkey)
        fold = faces.folds(shared)
        self.photos = []
        for photo in json.loads((Path(cache) / "lfw-faces.json").read_text())["photos"]:
            if fold[Path(photo["photo"]).parent.name] not in wanted or not photo["faces"]:
                continue
            boxes = np.array([[f["box"][k] for k in ("x", "y", "width", "height")] for f in photo["faces"]], np.float32)
            points = np.array([[[p["x"], p["y"]] for p in f["landmarks"]] for f in photo["faces"]], np.float32)
            # The one the photo is of comes first.
            order = np.argsort(np.linalg.norm(points.mean(1) - [photo["width"] / 2, photo["height"] / 2], axis=1))
            doubt = np.array([f["score"] < 0.8 for f in photo["faces"]])
            self.photos.append((photo["photo"], boxes[order], points[order], doubt[order]))
        self.pictures = [cv2.imread(p[0], cv2.IMREAD_GRAYSCALE) for p in self.photos]


def things(rng, size=WHOLE):
    """A scene without people: surfaces, edges, round things, clutter."""
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


def bare(rng, stock, size=WHOLE):
    """Pieces of photos beside the faces, enlarged, turned, in tiles: real texture without a face."""
    width, height = size
    out = np.zeros((height, width), np.float32)
    side = int(rng.choice([80, 160, 320]))
    for top in range(0, height, side):
        for left in range(0, width, side):
            picture = stock.pictures[rng.integers(len(stock.pictures))]
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
    """A face in pieces: everything of a face but its order."""
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


def framed(stock, rng, size):
    """A part of a frame of the doorstep: as `laid`."""
    width, height = size
    path, boxes, points = stock.frames[rng.integers(len(stock.frames))]
    canvas = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    left, top = (int(rng.integers(0, have - want + 1)) for have, want in zip(canvas.shape[::-1], size))
    canvas = canvas[top : top + height, left : left + width].astype(np.float32)
    boxes, points = boxes - np.float32([left, top, 0, 0]), points - np.float32([left, top])
    if rng.random() < 0.5:
        canvas = canvas[:, ::-1]
        boxes[:, 0] = width - boxes[:, 0] - boxes[:, 2]
        points[:, :, 0] = width - points[:, :, 0]
        points = points[:, [1, 0, 2, 4, 3]]
    seen = [(min(x + w, width) - max(x, 0)) / w * max(min(y + h, height) - max(y, 0), 0) / h for x, y, w, h in boxes]
    there = [k for k, s in enumerate(seen) if s >= 0.15]
    ignored = [seen[k] < 0.75 or boxes[k][2] < 20 for k in there]
    return canvas, [boxes[k] for k in there], [points[k] for k in there], ignored


def laid(stock, rng, size):
    """Photos laid out: float32 [height, width], boxes, points, ignored."""
    width, height = size
    kind = rng.random()
    canvas = things(rng, size) if kind < 0.4 else bare(rng, stock, size)
    boxes, points, ignored = [], [], []
    covered = []
    tries = int(rng.integers(0, 9)) if rng.random() < 0.9 else 0
    for _ in range(tries):
        i = int(rng.integers(len(stock.photos)))
        _, photo_boxes, photo_points, doubt = stock.photos[i]
        picture = stock.pictures[i].astype(np.float32)
        side = np.exp(rng.uniform(np.log(LEAST), np.log(MOST * height)))
        scale = side / photo_boxes[0, 2]
        angle = rng.normal(0, 0.2) if rng.random() < 0.8 else rng.normal(0, 0.5)
        mirror = rng.random() < 0.5
        middle = photo_boxes[0, :2] + photo_boxes[0, 2:] / 2
        to = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        reach = np.exp(rng.uniform(np.log(0.62), np.log(1.3))) * side
        if any(np.hypot(*(to - c)) < r + reach for c, r in covered):
            continue
        covered.append((to, reach))
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        m = np.array([[c, -s], [s, c]])
        if mirror:
            m = m @ np.diag([-1.0, 1.0])
        m = np.hstack([m, (to - m @ middle)[:, None]])
        # What is shown of the photo: a disc or a square around the face, with a soft or a hard edge.
        mask = np.zeros_like(picture)
        around = reach / scale
        if rng.random() < 0.5:
            cv2.ellipse(mask, tuple(int(v) for v in middle), (int(around * rng.uniform(0.75, 1)), int(around)), 0, 0, 360, 1.0, -1)
        else:
            x0, y0, x1, y1 = (int(v) for v in (*(middle - around), *(middle + around)))
            cv2.rectangle(mask, (x0, y0), (x1, y1), 1.0, -1)
        mask[:1], mask[-1:], mask[:, :1], mask[:, -1:] = 0, 0, 0, 0
        soft = int(rng.integers(0, 12))
        if soft:
            mask = cv2.blur(mask, (2 * soft + 1, 2 * soft + 1))
        scramble = rng.random() < 0.12
        if scramble:
            x, y, w, h = (int(v) for v in photo_boxes[0])
            piece = scrambled(rng, picture, photo_boxes[0])
            x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, 250), min(y + h, 250)
            picture = picture.copy()
            picture[y0:y1, x0:x1] = cv2.resize(piece, (x1 - x0, y1 - y0))
        # Each in its own light.
        picture = 255 * np.clip(picture / 255, 0, 1) ** np.exp(rng.normal(0, 0.3))
        picture = (picture - picture.mean()) * rng.uniform(0.6, 1.3) + picture.mean() + rng.normal(0, 25)
        if scale < 0.7:
            # Averaged before it is made smaller, as a lens does.
            k = 0.5 * (1 / scale - 1)
            picture = cv2.GaussianBlur(picture, (0, 0), k)
        # Only where it falls.
        wide = 1.5 * reach + 2
        left, top = (int(v) for v in np.maximum(to - wide, 0))
        right, bottom = int(min(to[0] + wide, width)), int(min(to[1] + wide, height))
        moved = m - [[0, 0, left], [0, 0, top]]
        warp = lambda a: cv2.warpAffine(a, moved, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
        part, shown = canvas[top:bottom, left:right], warp(mask)
        part += (warp(picture) - part) * shown
        if scramble:
            continue
        for k in range(len(photo_boxes)):
            b, p = photo_boxes[k], photo_points[k]
            centre = m @ [*(b[:2] + b[2:] / 2), 1]
            q = p @ m[:, :2].T + m[:, 2]
            if mirror:
                q = q[[1, 0, 2, 4, 3]]
            w, h = b[2] * scale, b[3] * scale
            seen = 0.0
            # The part of the box that is in the scene, and how much of that is the photo.
            x0, y0, x1, y1 = centre[0] - w / 2, centre[1] - h / 2, centre[0] + w / 2, centre[1] + h / 2
            cx0, cy0, cx1, cy1 = max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)
            if cx1 > cx0 + 1 and cy1 > cy0 + 1:
                inside = shown[int(cy0) - top : int(cy1) + 1 - top, int(cx0) - left : int(cx1) + 1 - left]
                seen = inside.mean() * (cx1 - cx0) * (cy1 - cy0) / (w * h)
            if seen < 0.15:
                continue
            # A lying face is nobody's at a door.
            hard = seen < 0.75 or abs(angle) > 0.7 or doubt[k] or w < 20
            boxes.append([x0, y0, w, h])
            points.append(q)
            ignored.append(hard)
    return canvas, boxes, points, ignored


def scene(stock, rng, size=WHOLE):
    """uint8 [height, width], (boxes [n, 4], points [n, 5, 2], ignored [n])."""
    width, height = size
    # One scene in six is the doorstep.
    make = framed if stock.frames and rng.random() < 1 / 6 else laid
    out, boxes, points, ignored = make(stock, rng, size)
    # One light, one lens, one sensor for all.
    out = np.clip(out, 0, 255)
    if rng.random() < 0.5:
        out = 255 * (out / 255) ** np.exp(rng.normal(0, 0.35))
    noise = 0.0
    if rng.random() < 0.3:
        # Dim: a sensor that amplifies its own noise.
        out = out * rng.uniform(0.12, 0.6) + rng.uniform(0, 20)
        noise = rng.uniform(1, 8)
    elif rng.random() < 0.5:
        noise = rng.uniform(0, 8)
    if rng.random() < 0.2:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 2.0))
    elif rng.random() < 0.1:
        k = int(rng.integers(3, 9))
        line = np.zeros((k, k), np.float32)
        cv2.line(line, (0, int(rng.integers(k))), (k - 1, int(rng.integers(k))), 1.0, 1)
        out = cv2.filter2D(out, -1, line / line.sum())
    if rng.random() < 0.3:
        light = 1 + 0.4 * cv2.resize(smooth(rng, 3, 32), (width, height))
        out = out * np.clip(light, 0.2, 2)
    if noise:
        out = out + rng.standard_normal(out.shape, dtype=np.float32) * noise
    out = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        out = cv2.imdecode(cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])[1], cv2.IMREAD_GRAYSCALE)
    n = len(boxes)
    return out, (
        np.array(boxes, np.float32).reshape(n, 4),
        np.array(points, np.float32).reshape(n, 5, 2),
        np.array(ignored, bool),
    )


def many(stock, count, seed):
    return [scene(stock, np.random.default_rng([seed, 1, i])) for i in range(count)]


def _feed(queue, stock, batch, seed, worker, workers, targets):
    cv2.setNumThreads(1)
    step = worker
    while True:
        made = [scene(stock, np.random.default_rng([seed, 0, step, i]), PART) for i in range(batch)]
        wanted = [targets(*truth, PART) for _, truth in made]
        levels = [tuple(np.stack(part) for part in zip(*level)) for level in zip(*wanted)]
        queue.put((np.stack([p for p, _ in made]), levels))
        step += workers


def feed(stock, batch, seed, workers, targets):
    """Batches of pictures uint8 [n, *PART] and their targets for ever, made by other processes."""
    context = multiprocessing.get_context("spawn")
    queues = []
    for worker in range(workers):
        queue = context.Queue(4)
        context.Process(target=_feed, args=(queue, stock, batch, seed, worker, workers, targets), daemon=True).start()
        queues.append(queue)
    while True:
        for queue in queues:
            yield queue.get()
