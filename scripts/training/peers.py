"""Public face detectors to compare ours with: BlazeFace short range, MTCNN and YuNet, each used in its usual way.

Only YuNet is also a teacher: `world` uses its boxes where a picture has no boxes of its own.
"""

from pathlib import Path

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter


def share(a, b):
    """Intersection over union of [x, y, w, h]."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    return both / (a[2] * a[3] + b[2] * b[3] - both + 1e-9)


class BlazeFace:
    """The input is 128x128, letterboxed. The points are eyes, nose, mouth and ears; three of them are the same as ours."""

    COMPARABLE = [0, 1, 2]

    def __init__(self, models, threshold=0.5):
        self.net = Interpreter(str(Path(models) / "blazeface/face_detection_short_range.tflite"), num_threads=1)
        self.net.allocate_tensors()
        self.threshold = threshold
        centres = []
        for s, per in ((8, 2), (16, 6)):
            for r in range(128 // s):
                for c in range(128 // s):
                    centres += [((c + 0.5) * s, (r + 0.5) * s)] * per
        self.centres = np.array(centres)

    def __call__(self, luma):
        h, w = luma.shape
        side = max(h, w)
        square = np.zeros((side, side), np.uint8)
        top, left = (side - h) // 2, (side - w) // 2
        square[top : top + h, left : left + w] = luma
        x = cv2.resize(square, (128, 128), interpolation=cv2.INTER_AREA).astype(np.float32) / 127.5 - 1
        self.net.set_tensor(self.net.get_input_details()[0]["index"], np.repeat(x[None, :, :, None], 3, 3))
        self.net.invoke()
        outs = [self.net.get_tensor(d["index"])[0] for d in self.net.get_output_details()]
        raw, score = sorted(outs, key=lambda o: -o.shape[1])
        p = 1 / (1 + np.exp(-np.clip(score[:, 0], -50, 50)))
        seen = []
        for i in np.flatnonzero(p > self.threshold):
            v = raw[i]
            k = side / 128
            mx, my = (v[:2] + self.centres[i]) * k - [left, top]
            bw, bh = v[2:4] * k
            points = (v[4:16].reshape(6, 2) + self.centres[i]) * k - [left, top]
            seen.append((p[i], np.array([mx - bw / 2, my - bh / 2, bw, bh]), points[:3]))
        return blended(seen, 0.3)


def blended(seen, overlap):
    """Replaces overlapping faces by their mean, weighted by score."""
    seen = sorted(seen, key=lambda f: -f[0])
    out = []
    while seen:
        same = [f for f in seen if share(f[1], seen[0][1]) > overlap]
        weight = np.array([f[0] for f in same])
        mean = lambda k: np.tensordot(weight, np.array([f[k] for f in same]), 1) / weight.sum()
        out.append((seen[0][0], mean(1), mean(2)))
        seen = [f for f in seen if share(f[1], seen[0][1]) <= overlap]
    return out


class YuNet:
    """Takes pictures of any size, with strides 8, 16 and 32. Its box goes from forehead to chin, as in WIDER FACE."""

    COMPARABLE = [0, 1, 2, 3, 4]

    def __init__(self, models, threshold=0.5):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        file = Path(models) / "yunet/yunet_n_dynamic.onnx"
        self.net = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.threshold = threshold

    def dense(self, luma):
        """The answers of every cell: scores [n], 0 to 1; boxes [n, 4] and points [n, 5, 2], in pixels."""
        h, w = (-(-side // 32) * 32 for side in luma.shape)
        x = np.zeros((h, w), np.float32)
        x[: luma.shape[0], : luma.shape[1]] = luma
        x = np.ascontiguousarray(np.broadcast_to(x, (1, 3, h, w)))
        answers = dict(zip((o.name for o in self.net.get_outputs()), self.net.run(None, {self.net.get_inputs()[0].name: x})))
        scores, boxes, points = [], [], []
        for s in (8, 16, 32):
            at = np.stack(np.meshgrid(np.arange(w // s), np.arange(h // s)), -1).reshape(-1, 2) * s
            kind, there, box, five = (answers[f"{what}_{s}"].reshape(len(at), -1) for what in ("cls", "obj", "bbox", "kps"))
            scores.append(np.sqrt(np.clip(kind, 0, 1) * np.clip(there, 0, 1))[:, 0])
            size = np.exp(box[:, 2:]) * s
            boxes.append(np.hstack([at + box[:, :2] * s - size / 2, size]))
            points.append(at[:, None] + five.reshape(-1, 5, 2) * s)
        return np.concatenate(scores), np.concatenate(boxes), np.concatenate(points)

    def __call__(self, luma):
        scores, boxes, points = self.dense(luma)
        at = np.flatnonzero(scores > self.threshold)
        out = []
        for f in sorted(((scores[i], boxes[i], points[i]) for i in at), key=lambda f: -f[0]):
            if all(share(f[1], g[1]) <= 0.45 for g in out):
                out.append(f)
        return out


class Mtcnn:
    """Three networks over a pyramid, with its authors' thresholds 0.6, 0.7, 0.7 and factor 0.709."""

    COMPARABLE = [0, 1, 2, 3, 4]

    def __init__(self, models, least=20):
        self.nets = [Interpreter(str(Path(models) / f"mtcnn/{n}.tflite"), num_threads=1) for n in ("pnet", "rnet", "onet")]
        self.shapes = [None] * 3
        self.least = least

    def run(self, k, x):
        """x: [n, h, w, 3], -1 to 1. The networks take x and y swapped. Returns the outputs by their number of channels."""
        net = self.nets[k]
        x = x.transpose(0, 2, 1, 3).astype(np.float32)
        at = net.get_input_details()[0]
        if self.shapes[k] != x.shape:
            net.resize_tensor_input(at["index"], x.shape)
            net.allocate_tensors()
            self.shapes[k] = x.shape
        net.set_tensor(at["index"], x)
        net.invoke()
        return {d["shape"][-1]: net.get_tensor(d["index"]) for d in net.get_output_details()}

    def crops(self, luma, boxes, side):
        out = []
        for x, y, w, h in boxes:
            m = np.float32([[side / w, 0, -x * side / w], [0, side / h, -y * side / h]])
            if w > side:
                # Averages where the picture shrinks.
                x0, y0 = int(round(x)), int(round(y))
                x1, y1 = int(round(x + w)), int(round(y + h))
                piece = np.zeros((max(y1 - y0, 1), max(x1 - x0, 1)), np.uint8)
                cx0, cy0, cx1, cy1 = max(x0, 0), max(y0, 0), min(x1, luma.shape[1]), min(y1, luma.shape[0])
                if cx1 > cx0 and cy1 > cy0:
                    piece[cy0 - y0 : cy1 - y0, cx0 - x0 : cx1 - x0] = luma[cy0:cy1, cx0:cx1]
                c = cv2.resize(piece, (side, side), interpolation=cv2.INTER_AREA)
            else:
                c = cv2.warpAffine(luma, m, (side, side))
            out.append(c)
        x = np.stack(out).astype(np.float32)[..., None].repeat(3, 3)
        return (x - 127.5) / 128

    def __call__(self, luma):
        boxes = []
        scale, small = 12 / self.least, min(luma.shape) * 12 / self.least
        while small >= 12:
            h, w = int(np.ceil(luma.shape[0] * scale)), int(np.ceil(luma.shape[1] * scale))
            x = cv2.resize(luma, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32)
            out = self.run(0, ((x - 127.5) / 128)[None, :, :, None].repeat(3, 3))
            p, shift = out[2][0].transpose(1, 0, 2)[..., 1], out[4][0].transpose(1, 0, 2)
            found = []
            for r, c in np.argwhere(p > 0.6):
                x0, y0, side = c * 2 / scale, r * 2 / scale, 12 / scale
                dx0, dy0, dx1, dy1 = shift[r, c]
                found.append((p[r, c], x0 + dx0 * side, y0 + dy0 * side, side * (1 + dx1 - dx0), side * (1 + dy1 - dy0)))
            boxes += kept(found, 0.5)
            scale *= 0.709
            small *= 0.709
        boxes = kept(boxes, 0.7)
        for k, (side, threshold) in enumerate(((24, 0.7), (48, 0.7)), 1):
            if not boxes:
                return []
            squares = []
            for _, x, y, w, h in boxes:
                s = max(w, h)
                squares.append((x + w / 2 - s / 2, y + h / 2 - s / 2, s, s))
            out = self.run(k, self.crops(luma, squares, side))
            p, shift = out[2][:, 1], out[4]
            points = out.get(10)
            found = []
            for i in np.flatnonzero(p > threshold):
                x, y, w, h = squares[i]
                dx0, dy0, dx1, dy1 = shift[i]
                face = (p[i], x + dx0 * w, y + dy0 * h, w * (1 + dx1 - dx0), h * (1 + dy1 - dy0))
                if points is not None:
                    px, py = points[i][:5], points[i][5:]
                    face += (np.stack([x + px * w, y + py * h], 1),)
                found.append(face)
            boxes = kept(found, 0.7)
        return [(f[0], np.array(f[1:5]), f[5]) for f in boxes]


def kept(found, overlap):
    out = []
    for f in sorted(found, key=lambda f: -f[0]):
        if all(share(f[1:5], g[1:5]) <= overlap for g in out):
            out.append(f)
    return out
