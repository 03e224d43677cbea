"""Training frames for the detector: 640x480, each made of one to six tiles. A tile shows one kind of picture at one scale.

Tiles have scenes at every zoom, photos cut to the face, faces of the crowd in front of natural pictures, parts of faces that
are too near to be complete, pictures without faces, frames of the doorstep, drawn shapes. A face that is mostly in view must be
found; a face of which half is hidden is neither a hit nor a false alarm. Negatives that the network mistakes for faces are shown
more often: the trainer writes how hard each of them is into memory that the processes share.
"""

import multiprocessing
from multiprocessing import shared_memory

import cv2
import numpy as np

import faces
import scenes
import world
from world import DOUBT, FACE

SIZE = scenes.WHOLE
# The smallest side of a face that counts, and the share of the face's box that must be in view.
LEAST, SEEN = 14, 0.5
# With a smaller share in view, it does not count as a face at all.
GONE = 0.12
# The largest tilt of a head that is likely at a door, in radians.
BENT = 0.75
# The weights of the kinds of tiles, and of the sources of faces.
TILES = {"scene": 24, "photo": 8, "tight": 9, "collage": 11, "cutouts": 17, "close": 5, "part": 5, "nothing": 18, "doorstep": 9}  # fmt: skip
CROWD = {"utk": 3, "aaf": 3, "scut": 1, "vote": 1.5, "maskc": 1.5}


class Material:
    """All pictures of one part (training or validation) of every source, in memory."""

    def __init__(self, shared, cache, latchkey, folds, part, plays, seed):
        rng = np.random.default_rng([seed, 77])
        self.scenes = [p for pictures in world.scenes(shared, part).values() for p in pictures]
        self.crowd = world.crowd(shared, part)
        self.crowd = {name: self.crowd[name] for name in CROWD if self.crowd.get(name)}
        self.crowd_weights = np.array([CROWD[name] for name in self.crowd])
        self.crowd_weights /= self.crowd_weights.sum()
        self.photos = world.photos(shared, cache, folds, part)
        self.negatives = [p for pictures in world.nofaces(shared, part).values() for p in pictures]
        self.negatives += world.objects(shared, part)[::4]
        # Drawn shapes, and real texture from beside the faces of photos.
        beside = [p[0] for p in self.photos if p[0].shape == (250, 250)]
        count = 240 if part == "training" else 40
        drawn = [scenes.things(rng) for _ in range(count)] + [scenes.bare(rng, beside) for _ in range(count // 2)]
        self.negatives += [world.picture(np.clip(p, 0, 255).astype(np.uint8)) for p in drawn]
        self.frames = []
        for path, boxes, points in faces.frames(cache, latchkey, *plays):
            kinds = np.zeros(len(boxes))
            self.frames.append(world.picture(cv2.imread(path, cv2.IMREAD_GRAYSCALE), boxes, points, kinds))
        # Faces that are large enough to be cut out or enlarged.
        self.large = [(p, k) for p in self.scenes + self.photos for k in np.flatnonzero(p[3] == FACE) if p[1][k, 2] >= 60]
        self.with_faces = [p for p in self.scenes if (p[3] == FACE).any()]


class Canvas:
    def __init__(self):
        self.luma = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        self.boxes, self.points, self.kinds = [], [], []
        # Tiles without a face: (number of the negative, left, top, right, bottom).
        self.shown = []

    def add(self, p, matrix, rect, mirror=False):
        """Adds the labels of a picture that `matrix` puts into `rect`."""
        luma, boxes, points, kinds = p
        if not len(boxes):
            return
        left, top, right, bottom = rect
        scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
        bent = abs(np.arctan2(matrix[1, 0], matrix[1, 1])) if mirror else abs(np.arctan2(matrix[1, 0], matrix[0, 0]))
        middle = (boxes[:, :2] + boxes[:, 2:] / 2) @ matrix[:, :2].T + matrix[:, 2]
        size = boxes[:, 2:] * scale
        start, end = middle - size / 2, middle + size / 2
        inside = np.minimum(end, [right, bottom]) - np.maximum(start, [left, top])
        seen = np.prod(np.clip(inside, 0, None) / np.maximum(size, 1e-6), axis=1)
        h, w = luma.shape
        inside = np.minimum(boxes[:, :2] + boxes[:, 2:], [w, h]) - np.maximum(boxes[:, :2], 0)
        seen *= np.prod(np.clip(inside, 0, None) / np.maximum(boxes[:, 2:], 1e-6), axis=1)
        places = points @ matrix[:, :2].T + matrix[:, 2]
        if mirror:
            places = places[:, [1, 0, 2, 4, 3]]
        for k in np.flatnonzero((seen > GONE) & (size[:, 0] > 4)):
            doubt = kinds[k] == DOUBT or seen[k] < SEEN or size[k, 0] < LEAST or bent > BENT
            self.boxes.append([*start[k], *size[k]])
            self.points.append(places[k])
            self.kinds.append(DOUBT if doubt else FACE)

    def free(self, box, margin=0.1):
        """Whether there is no face near a box [x, y, w, h]."""
        for b in self.boxes:
            grow = margin * max(b[2], box[2])
            if (b[0] - grow < box[0] + box[2] and box[0] < b[0] + b[2] + grow
                    and b[1] - grow < box[1] + box[3] and box[1] < b[1] + b[3] + grow):  # fmt: skip
                return False
        return True


def transform(scale, angle, mirror, source, to):
    """The matrix that maps the point `source` to `to`."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    m = np.array([[c, -s], [s, c]])
    if mirror:
        m = m @ np.diag([-1.0, 1.0])
    return np.hstack([m, (np.asarray(to) - m @ np.asarray(source))[:, None]])


def warped(luma, matrix, size, border, value=0):
    """`luma` transformed by `matrix`, and averaged before it is made smaller."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.75:
        h, w = luma.shape
        small = max(round(w * scale), 1), max(round(h * scale), 1)
        luma = cv2.resize(luma, small, interpolation=cv2.INTER_AREA)
        matrix = matrix.copy()
        # Coordinates refer to the middles of pixels, not to their corners.
        fx, fy = w / small[0], h / small[1]
        matrix[:, 2] += matrix[:, :2] @ [0.5 * fx - 0.5, 0.5 * fy - 0.5]
        matrix[:, 0] *= fx
        matrix[:, 1] *= fy
    return cv2.warpAffine(luma, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=value)


def window(luma, box, reach, side):
    """`side` x `side` pixels around the middle of `box` [x, y, w, h], sampled from an area `reach` times as wide as the box, in
    the same way as by the sampler."""
    x, y, w, h = box
    middle, half = (x + w / 2 - 0.5, y + h / 2 - 0.5), side / 2 - 0.5
    m = transform(side / (reach * max(w, h)), 0.0, False, middle, (half, half))
    return warped(luma, m, (side, side), cv2.BORDER_REPLICATE)


def light(rng, luma, deep=1.0):
    """Imitates another exposure: gamma, contrast and brightness, by a table."""
    x = np.arange(256, dtype=np.float32) / 255
    x = x ** np.exp(rng.normal(0, 0.3 * deep))
    middle = luma.mean() / 255
    x = (x - middle) * np.exp(rng.normal(-0.1, 0.3 * deep)) + middle + rng.normal(0, 0.07 * deep)
    return cv2.LUT(luma, np.clip(255 * x, 0, 255).astype(np.uint8))


def near(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(max(high, low + 1e-3)))))


def bend(rng):
    return rng.normal(0, 0.15) if rng.random() < 0.75 else rng.normal(0, 0.4)


class Painter:
    def __init__(self, material, hardness, rng_seed):
        self.m, self.hardness = material, hardness
        self.names, weights = list(TILES), np.array(list(TILES.values()), float)
        self.weights = weights / weights.sum()
        self.noise = np.random.default_rng(rng_seed).standard_normal((700, 900)).astype(np.float32)
        self.cumulative, self.made = None, 0

    def negative(self, rng):
        """The number of a random negative; hard ones are more frequent."""
        if self.cumulative is None or self.made % 64 == 0:
            p = 0.15 + np.asarray(self.hardness, np.float64)
            self.cumulative = np.cumsum(p / p.sum())
        self.made += 1
        return min(int(np.searchsorted(self.cumulative, rng.random())), len(self.m.negatives) - 1)

    def tile(self, canvas, rng, rect):
        kind = self.names[rng.choice(len(self.names), p=self.weights)]
        left, top, right, bottom = rect
        if kind == "doorstep" and (right - left < 300 or not self.m.frames):
            kind = "scene"
        getattr(self, kind)(canvas, rng, rect)
        if rng.random() < 0.8:
            part = canvas.luma[top:bottom, left:right]
            part[:] = light(rng, part)

    def fill(self, canvas, rng, rect, p, scale, source, to, angle=0.0, mirror=False, ground=None):
        """Draws picture `p` in `rect`. The rest of `rect` is `ground`: a grey, 'streaks', or 'there' to leave it unchanged."""
        left, top, right, bottom = rect
        m = transform(scale, angle, mirror, source, to)
        moved = m - [[0, 0, left], [0, 0, top]]
        size = (right - left, bottom - top)
        part = canvas.luma[top:bottom, left:right]
        if ground == "there":
            shown = warped(np.full_like(p[0], 255), moved, size, cv2.BORDER_CONSTANT)
            picture = warped(p[0], moved, size, cv2.BORDER_REPLICATE)
            np.copyto(part, picture, where=shown > 127)
        elif ground == "streaks":
            part[:] = warped(p[0], moved, size, cv2.BORDER_REPLICATE)
        else:
            part[:] = warped(p[0], moved, size, cv2.BORDER_CONSTANT, ground or 0)
        canvas.add(p, m, rect, mirror)

    def nothing(self, canvas, rng, rect, note=True):
        """Draws a picture without faces, which covers the tile or lies in the tile like a photo."""
        left, top, right, bottom = rect
        number = self.negative(rng)
        p = self.m.negatives[number]
        h, w = p[0].shape
        wide, high = right - left, bottom - top
        if rng.random() < 0.2:
            scale, source, to = min(wide / w, high / h), (w / 2, h / 2), ((left + right) / 2, (top + bottom) / 2)
        else:
            scale = min(max(wide / w, high / h) * near(rng, 1.0, 2.5), 5.0)
            span = np.maximum([w - wide / scale, h - high / scale], 0)
            source = np.array([wide, high]) / scale / 2 + rng.random(2) * span
            to = ((left + right) / 2, (top + bottom) / 2)
        ground = "streaks" if rng.random() < 0.5 else int(rng.integers(0, 256)) * (rng.random() < 0.5)
        self.fill(canvas, rng, rect, p, scale, source, to, bend(rng) if rng.random() < 0.3 else 0.0, rng.random() < 0.5, ground)
        if note:
            canvas.shown.append((number, *rect))

    def ground(self, canvas, rng, rect):
        """Draws what is visible beside a picture: a natural picture, streaks, grey or black."""
        choice = rng.random()
        if choice < 0.4:
            self.nothing(canvas, rng, rect, note=False)
            return "there"
        return "streaks" if choice < 0.65 else 0 if choice < 0.85 else int(rng.integers(0, 256))

    def with_faces(self, rng):
        """A random picture with faces, and the number of one of its faces."""
        some = self.m.with_faces if rng.random() < 0.7 else self.m.photos
        p = some[rng.integers(len(some))]
        at = np.flatnonzero(p[3] == FACE)
        return (p, int(rng.choice(at))) if len(at) else self.with_faces(rng)

    def scene(self, canvas, rng, rect):
        """Draws a face of random size with its surroundings."""
        p, k = self.with_faces(rng)
        self.zoomed(canvas, rng, rect, p, k, near(rng, 14, 1.1 * min(rect[2] - rect[0], rect[3] - rect[1])))

    def zoomed(self, canvas, rng, rect, p, k, side):
        left, top, right, bottom = rect
        b = p[1][k]
        # A face of 12 pixels that is enlarged to 300 is not recognisable as a face.
        scale = side / b[2]
        scale = min(scale, 2.0 if b[2] < 24 else 5.0)
        side = scale * b[2]
        middle = b[:2] + b[2:] / 2
        if rng.random() < 0.8:
            low, high = np.array([left, top]) + side * 0.45, np.array([right, bottom]) - side * 0.45
        else:
            # The edge may cut the face.
            low, high = np.array([left, top]) - side * 0.1, np.array([right, bottom]) + side * 0.1
        to = np.where(high > low, low + rng.random(2) * (high - low), (low + high) / 2)
        self.fill(canvas, rng, rect, p, scale, middle, to, bend(rng), rng.random() < 0.5, self.ground(canvas, rng, rect))

    def whole(self, canvas, rng, rect, p, angle=0.0):
        """Draws a complete picture as `identify` shows a photo: as large as the tile allows, with black beside it."""
        left, top, right, bottom = rect
        h, w = p[0].shape
        scale = min((right - left) / w, (bottom - top) / h) * (1.0 if rng.random() < 0.7 else rng.uniform(0.6, 1.0))
        ground = 0 if rng.random() < 0.6 else self.ground(canvas, rng, rect)
        to = ((left + right) / 2, (top + bottom) / 2)
        self.fill(canvas, rng, rect, p, scale, ((w - 1) / 2, (h - 1) / 2), to, angle, rng.random() < 0.5, ground)

    def photo(self, canvas, rng, rect):
        self.whole(canvas, rng, rect, self.with_faces(rng)[0])

    def tight(self, canvas, rng, rect):
        """Draws a photo cut to the face, 1.0 to 1.6 times the box, with black outside."""
        p, k = self.m.large[rng.integers(len(self.m.large))]
        x, y, w, h = p[1][k]
        wide = w * rng.uniform(0.95, 1.6)
        high = wide if rng.random() < 0.5 else wide * near(rng, 0.8, 1.4)
        x0, y0 = x + w / 2 - wide / 2 + rng.normal(0, 0.04) * w, y + h / 2 - high / 2 + rng.normal(0, 0.06) * h
        size = max(int(wide), 8), max(int(high), 8)
        luma = cv2.warpAffine(p[0], np.float32([[1, 0, -x0], [0, 1, -y0]]), size, borderMode=cv2.BORDER_CONSTANT)
        five = p[2][k] - [x0, y0]
        # Nothing outside the crop is visible. The box may reach beyond the crop, but the face does not.
        cut = (luma, np.float32([[x - x0, y - y0, w, h]]), five[None].astype(np.float32), np.zeros(1, np.int8))
        self.whole(canvas, rng, rect, cut, bend(rng) / 2)

    def close(self, canvas, rng, rect):
        """Draws a face of the crowd that fills the tile."""
        p = self.one_of_crowd(rng)
        left, top, right, bottom = rect
        short = min(right - left, bottom - top)
        scale = short / 112 * rng.uniform(0.8, 1.35)
        to = np.array([(left + right) / 2, (top + bottom) / 2]) + rng.normal(0, 0.08, 2) * [right - left, bottom - top]
        self.fill(canvas, rng, rect, p, scale, (56, 74), to, bend(rng), rng.random() < 0.5, self.ground(canvas, rng, rect))

    def one_of_crowd(self, rng):
        some = list(self.m.crowd.values())[rng.choice(len(self.m.crowd), p=self.m.crowd_weights)]
        return some[rng.integers(len(some))]

    def part(self, canvas, rng, rect):
        """Draws an eye, a mouth or a cheek, as of a face that is too near to be seen completely. Its small details are not
        faces."""
        if rng.random() < 0.4:
            p, k = self.one_of_crowd(rng), 0
        else:
            p, k = self.m.large[rng.integers(len(self.m.large))]
        left, top, right, bottom = rect
        b, long = p[1][k], max(right - left, bottom - top)
        side = long * near(rng, 1.5, 3.5)
        source = b[:2] + b[2:] * rng.uniform(0.15, 0.85, 2)
        to = ((left + right) / 2, (top + bottom) / 2)
        self.fill(canvas, rng, rect, p, side / b[2], source, to, bend(rng), rng.random() < 0.5, "streaks")

    def collage(self, canvas, rng, rect):
        """Draws small photos side by side."""
        left, top, right, bottom = rect
        self.nothing(canvas, rng, rect, note=False)
        taken = []
        for _ in range(int(rng.integers(5, 20))):
            p, k = self.with_faces(rng)
            h, w = p[0].shape
            scale = near(rng, 14, 70) / p[1][k][2]
            w, h = int(w * scale), int(h * scale)
            if scale > 3 or w < 12 or h < 12 or w > right - left or h > bottom - top:
                continue
            x, y = int(rng.integers(left, right - w + 1)), int(rng.integers(top, bottom - h + 1))
            if any(x < b[2] and b[0] < x + w and y < b[3] and b[1] < y + h for b in taken):
                continue
            taken.append((x, y, x + w, y + h))
            to = (x + w / 2, y + h / 2)
            self.fill(canvas, rng, (x, y, x + w, y + h), p, scale, (p[0].shape[1] / 2, p[0].shape[0] / 2), to, 0.0, rng.random() < 0.5, "streaks")

    def cutouts(self, canvas, rng, rect):
        """Draws faces of the crowd and of photos in front of a natural picture, and sometimes a face in pieces."""
        self.nothing(canvas, rng, rect, note=False)
        left, top, right, bottom = rect
        short = min(right - left, bottom - top)
        many = int(rng.integers(1, 3)) if rng.random() < 0.5 else int(rng.integers(3, 10))
        for _ in range(many):
            side = near(rng, 14, short * (0.95 if many < 3 else 0.45))
            to = np.array([rng.uniform(left, right), rng.uniform(top, bottom)])
            if not canvas.free([*(to - 0.75 * side), 1.5 * side, 1.5 * side]):
                continue
            if rng.random() < 0.6:
                p, k = self.one_of_crowd(rng), 0
            else:
                p, k = self.m.large[rng.integers(len(self.m.large))]
            self.cut_out(canvas, rng, rect, p, k, side, to)

    def cut_out(self, canvas, rng, rect, p, k, side, to):
        luma, boxes, points, kinds = p
        b = boxes[k]
        pieces = rng.random() < 0.1
        if pieces:
            x, y, w, h = (int(v) for v in b)
            x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, luma.shape[1]), min(y + h, luma.shape[0])
            luma = luma.copy()
            luma[y0:y1, x0:x1] = cv2.resize(scenes.scrambled(rng, luma, b), (x1 - x0, y1 - y0)).astype(np.uint8)
        scale, mirror = side / b[2], rng.random() < 0.5
        m = transform(scale, bend(rng), mirror, b[:2] + b[2:] / 2, to)
        reach = side * near(rng, 0.6, 1.2)
        left, top = (int(max(v, e)) for v, e in zip(to - reach - 1, rect[:2]))
        right, bottom = (int(min(v, e)) for v, e in zip(to + reach + 1, rect[2:]))
        if right - left < 4 or bottom - top < 4:
            return
        size = (right - left, bottom - top)
        moved = m - [[0, 0, left], [0, 0, top]]
        mask = np.zeros((size[1], size[0]), np.float32)
        middle = (int(to[0] - left), int(to[1] - top))
        if rng.random() < 0.7:
            axes = (max(int(reach * rng.uniform(0.7, 0.95)), 2), max(int(reach * 0.98), 2))
            cv2.ellipse(mask, middle, axes, 0, 0, 360, 1.0, -1)
        else:
            cv2.rectangle(mask, (middle[0] - int(reach), middle[1] - int(reach)), (middle[0] + int(reach), middle[1] + int(reach)), 1.0, -1)
        # Nothing outside the picture is shown, except below the chin for faces of the crowd.
        edge = cv2.warpAffine(np.full(luma.shape, 255, np.uint8), moved, size)
        soft = int(side * rng.uniform(0.0, 0.12))
        if p[0].shape != (112, 112):
            mask[edge < 128] = 0
        if soft > 1:
            mask = cv2.blur(mask, (2 * soft + 1, 2 * soft + 1))
        face = light(rng, warped(luma, moved, size, cv2.BORDER_REPLICATE)).astype(np.float32)
        part = canvas.luma[top:bottom, left:right]
        part[:] = (part + (face - part) * mask + 0.5).astype(np.uint8)
        if pieces:
            return
        # Only this face is labelled, because the cut-out shows too little of other faces.
        only = (luma, b[None], points[k][None], kinds[k : k + 1])
        before = len(canvas.boxes)
        canvas.add(only, m, rect, mirror)
        for other in range(len(boxes)):
            if other != k:
                here = m[:, :2] @ (boxes[other, :2] + boxes[other, 2:] / 2) + m[:, 2]
                if np.abs(here - to).max() < reach:
                    canvas.add((luma, boxes[other][None], points[other][None], np.int8([DOUBT])), m, (left, top, right, bottom), mirror)
        return before

    def doorstep(self, canvas, rng, rect):
        left, top, right, bottom = rect
        p = self.m.frames[rng.integers(len(self.m.frames))]
        wide, high = right - left, bottom - top
        source = np.array([rng.uniform(wide / 2, SIZE[0] - wide / 2), rng.uniform(high / 2, SIZE[1] - high / 2)])
        self.fill(canvas, rng, rect, p, 1.0, source, ((left + right) / 2, (top + bottom) / 2), 0.0, rng.random() < 0.5, 0)

    def frame(self, rng):
        canvas = Canvas()
        for rect in layout(rng):
            self.tile(canvas, rng, rect)
        canvas.luma = self.sensor(rng, canvas.luma)
        return canvas

    def sensor(self, rng, luma):
        """Applies one light, one lens and one sensor to the whole frame."""
        noise = 0.0
        choice = rng.random()
        if choice < 0.2:
            # In dim light the sensor amplifies its own noise.
            x = np.arange(256, dtype=np.float32) * near(rng, 0.1, 0.6) + rng.uniform(0, 20)
            luma, noise = cv2.LUT(luma, np.clip(x, 0, 255).astype(np.uint8)), near(rng, 1, 8)
        elif choice < 0.4:
            noise = near(rng, 1, 10)
        choice = rng.random()
        if choice < 0.15:
            luma = cv2.GaussianBlur(luma, (0, 0), near(rng, 0.5, 2.5))
        elif choice < 0.2:
            k = int(rng.integers(3, 9))
            line = np.zeros((k, k), np.float32)
            cv2.line(line, (0, int(rng.integers(k))), (k - 1, int(rng.integers(k))), 1.0, 1)
            luma = cv2.filter2D(luma, -1, line / line.sum())
        if rng.random() < 0.15:
            field = 1 + 0.4 * cv2.resize(scenes.smooth(rng, 3, 32), SIZE)
            luma = np.clip(luma * np.clip(field, 0.2, 2), 0, 255).astype(np.uint8)
        if noise:
            y, x = int(rng.integers(0, 700 - SIZE[1])), int(rng.integers(0, 900 - SIZE[0]))
            grain = self.noise[y : y + SIZE[1], x : x + SIZE[0]]
            luma = np.clip(luma + grain * noise, 0, 255).astype(np.uint8)
        if rng.random() < 0.1:
            luma = cv2.imdecode(cv2.imencode(".jpg", luma, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])[1], cv2.IMREAD_GRAYSCALE)
        return luma


def layout(rng):
    """Rectangles that cover the frame."""
    rects = [(0, 0, *SIZE)]
    cuts = rng.choice([0, 1, 2, 3, 5], p=[0.4, 0.2, 0.15, 0.15, 0.1])
    for _ in range(cuts):
        rects.sort(key=lambda r: (r[2] - r[0]) * (r[3] - r[1]))
        left, top, right, bottom = rects.pop()
        share = rng.uniform(0.35, 0.65)
        if right - left > bottom - top:
            at = left + int(share * (right - left))
            rects += [(left, top, at, bottom), (at, top, right, bottom)]
        else:
            at = top + int(share * (bottom - top))
            rects += [(left, top, right, at), (left, at, right, bottom)]
    return rects


def arrays(canvas):
    n = len(canvas.boxes)
    return (
        np.array(canvas.boxes, np.float32).reshape(n, 4),
        np.array(canvas.points, np.float32).reshape(n, 5, 2),
        np.array(canvas.kinds, np.int8).reshape(n),
    )


def _feed(queue, about, batch, seed, name, worker, workers, targets):
    cv2.setNumThreads(1)
    material = Material(**about)
    queue.put(len(material.negatives))
    memory = shared_memory.SharedMemory(name)
    hardness = np.ndarray(len(material.negatives), np.float32, memory.buf)
    painter = Painter(material, hardness, seed)
    step = worker
    while True:
        made = [painter.frame(np.random.default_rng([seed, 0, step, i])) for i in range(batch)]
        wanted = [targets(*arrays(c), SIZE) for c in made]
        levels = [tuple(np.stack(part) for part in zip(*level)) for level in zip(*wanted)]
        queue.put((np.stack([c.luma for c in made]), levels, [c.shown for c in made]))
        step += workers


class Feed:
    """An endless series of batches, made by other processes: frames uint8 [n, 480, 640], their targets, the tiles without faces."""

    MOST = 1 << 16

    def __init__(self, about, batch, seed, workers, targets):
        self.memory = shared_memory.SharedMemory(create=True, size=4 * self.MOST)
        self.hardness = np.ndarray(self.MOST, np.float32, self.memory.buf)
        self.hardness[:] = 0.3
        context = multiprocessing.get_context("spawn")
        self.queues, self.processes = [], []
        for worker in range(workers):
            queue = context.Queue(6)
            given = (queue, about, batch, seed, self.memory.name, worker, workers, targets)
            self.processes.append(context.Process(target=_feed, args=given, daemon=True))
            self.processes[-1].start()
            self.queues.append(queue)
        self.negatives = [queue.get() for queue in self.queues][0]
        self.turn = 0

    def __next__(self):
        self.turn += 1
        return self.queues[self.turn % len(self.queues)].get()

    def close(self):
        for process in self.processes:
            process.terminate()
            process.join()
        self.memory.close()
        self.memory.unlink()
