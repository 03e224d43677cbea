"""The face model of the doorstep: how faces differ in shape and skin, learnt from thousands of people, so that synthetic
people can be sampled from it.

It has the mean and the principal components of 468 points in space, of the luma of the skin and of its colour. What varies within
one person's photos (opening the mouth, smiling, closing the eyes) is removed from what varies between people. No photo
and no person is in the file: a component is a direction in which thousands of people differ, and a synthetic face is sampled
from a normal distribution along all components.
"""

import argparse
import os
import struct
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import Delaunay

import faces
import progress

# Indices into MediaPipe's 468 points.
UPPER_LIP, LOWER_LIP, MOUTH = 13, 14, (61, 291)
LIDS = ((159, 145), (386, 374))
SHAPES, SKINS, COLOURS = 40, 80, 12
SIDE, COLOUR_SIDE = 128, 24
# The place of the head's axis behind the face, in units of the mean face, for unrolling the skin.
AXIS = 0.10


def meshes(photos, shared, cache, say):
    """The 468 points in space of every photo, in pixels, and the network's score that the photo shows a face."""
    from ai_edge_litert.interpreter import Interpreter

    kept = Path(cache) / "lfw-meshes.npz"
    if kept.exists():
        z = np.load(kept)
        return z["points"], z["sure"]
    net = Interpreter(str(Path(shared) / "models/blazeface/face_landmark.tflite"), num_threads=1)
    net.allocate_tensors()
    at = {int(np.prod(d["shape"])): d["index"] for d in net.get_output_details()}
    points, sure = np.zeros((len(photos), 468, 3), np.float32), np.zeros(len(photos), np.float32)
    for k, (path, _, box, five) in enumerate(photos):
        eyes = five[1] - five[0]
        angle = np.arctan2(eyes[1], eyes[0])
        scale = 192 / (1.5 * max(box[2], box[3]))
        turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        middle = np.array([box[0] + box[2] / 2, box[1] + box[3] / 2])
        m = np.hstack([turn, (96 - turn @ middle)[:, None]])
        x = cv2.warpAffine(cv2.imread(path), m, (192, 192))[:, :, ::-1].astype(np.float32) / 255
        net.set_tensor(net.get_input_details()[0]["index"], x[None])
        net.invoke()
        seen = net.get_tensor(at[1404]).reshape(468, 3)
        points[k, :, :2] = (seen[:, :2] - m[:, 2]) @ np.linalg.inv(turn).T
        points[k, :, 2] = seen[:, 2] / scale
        sure[k] = net.get_tensor(at[1]).item()
        if k % 500 == 0:
            say(f"points of {k} of {len(photos)} faces", k / len(photos))
    np.savez(kept, points=points, sure=sure)
    return points, sure


def laid(points, on):
    """`points` moved, rotated and scaled onto `on` with the least square error; and the rotation that was used."""
    a, b = points - points.mean(0), on - on.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    sign = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    turn = (u * sign) @ vt
    return (s * sign).sum() / (a**2).sum() * a @ turn, turn


def mean_face(points):
    """The mean of all faces, upright, frontal, symmetric and of length 1; and for each point its mirror image."""
    mean = points[:200] - points[:200].mean(1, keepdims=True)
    mean = (mean / np.linalg.norm(mean, axis=(1, 2), keepdims=True)).mean(0)
    for _ in range(4):
        mean = np.mean([laid(p, mean)[0] for p in points], 0)
        mirrored = mean * [-1, 1, 1]
        twin = np.array([np.argmin(((mean - p) ** 2).sum(1)) for p in mirrored])
        mean = (mean + mirrored[twin]) / 2
        mean /= np.linalg.norm(mean)
    return mean, twin


def components(rows, count):
    """The mean, and the first `count` principal directions, each as long as one standard deviation."""
    mean = rows.mean(0)
    rows = (rows - mean).astype(np.float32)
    # Uses subspace iteration (Halko, Martinsson, Tropp 2011), because computing all directions would take minutes, and few are
    # needed.
    start = np.random.default_rng(1).standard_normal((count + 20, rows.shape[1]), dtype=np.float32)
    for _ in range(6):
        start = np.linalg.qr(((start @ rows.T) @ rows).T)[0].T
    _, s, vt = np.linalg.svd(rows @ start.T, full_matrices=False)
    return mean, (vt[:count] @ start) * (s[:count, None] / np.sqrt(len(rows)))


def expressions(shapes, names):
    """Opening the mouth, smiling, closing the eyes: how the points of one person move with each, [3, 1404]."""
    gap = np.linalg.norm(shapes[:, UPPER_LIP] - shapes[:, LOWER_LIP], axis=1)
    width = np.linalg.norm(shapes[:, MOUTH[0]] - shapes[:, MOUTH[1]], axis=1)
    lids = sum(np.linalg.norm(shapes[:, a] - shapes[:, b], axis=1) for a, b in LIDS)
    signs = np.stack([gap, width, -lids], 1)
    flat = shapes.reshape(len(shapes), -1).astype(np.float64)
    within, moved = [], []
    for name in np.unique(names):
        at = np.flatnonzero(names == name)
        if len(at) >= 3:
            within.append(flat[at] - flat[at].mean(0))
            moved.append(signs[at] - signs[at].mean(0))
    within, moved = np.concatenate(within), np.concatenate(moved)
    # How the points move with one unit of each of these signs while the other two signs do not change.
    return np.linalg.lstsq(moved, within, rcond=None)[0], moved.std(0)


def fit(options, say):
    photos = faces.found(options.shared, options.cache, options.latchkey)
    names = np.array([p[1] for p in photos])
    points, sure = meshes(photos, options.shared, options.cache, say)
    good = sure > np.percentile(sure, 10)
    mean, twin = mean_face(points[good].astype(np.float64))
    both = [laid(p, mean) for p in points]
    shapes = np.stack([b[0] for b in both])
    yaw = np.array([np.arctan2(b[1][2, 0], b[1][2, 2]) for b in both])
    frontal = good & (np.abs(yaw) < np.radians(20))

    say("separating expression from person", 0.5)
    at = np.flatnonzero(frontal)
    moves, spread = expressions(shapes[at], names[at])
    # Scaled to a fully opened mouth, a full smile and closed lids.
    moves = moves * (np.array([4.0, 2.5, 3.5]) * spread)[:, None]
    people = np.unique(names[at])
    persons = np.stack([shapes[at][names[at] == n].mean(0) for n in people])
    persons = np.concatenate([persons, (persons * [-1, 1, 1])[:, twin]]).reshape(2 * len(people), -1)
    basis = np.linalg.qr(moves.T)[0]
    off = persons - mean.ravel()
    off -= off @ basis @ basis.T
    _, shape_parts = components(off, SHAPES)

    say("skin", 0.6)
    unrolled = np.stack([np.arctan2(mean[:, 0], AXIS - mean[:, 2]), mean[:, 1]], 1)
    low, high = unrolled.min(0), unrolled.max(0)
    uv = ((unrolled - (low + high) / 2) / (high - low) / 1.02 + 0.5).astype(np.float64)
    triangles = Delaunay(uv).simplices
    inside, which, weight = painted(uv, triangles)
    chosen = {}
    for i in np.flatnonzero(good & (np.abs(yaw) < np.radians(14))):
        if names[i] not in chosen or abs(yaw[i]) < abs(yaw[chosen[names[i]]]):
            chosen[names[i]] = i
    chosen = sorted(chosen.values())
    skins = np.zeros((len(chosen), SIDE, SIDE, 3), np.float32)
    for k, i in enumerate(chosen):
        picture = cv2.imread(photos[i][0])[:, :, ::-1].astype(np.float32) / 255
        p = (points[i][triangles[which], :2] * weight[..., None]).sum(1).astype(np.float32)
        skins[k][inside] = cv2.remap(picture, p[None, :, 0].copy(), p[None, :, 1].copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    luma = skins @ np.float32([0.299, 0.587, 0.114])
    cb, cr = (skins[..., 2] - luma) * 0.564, (skins[..., 0] - luma) * 0.713
    light = luma[:, inside].mean(1)
    # Removes light from one side, which is not part of the skin.
    x = np.linspace(-1, 1, SIDE, dtype=np.float32)[None].repeat(SIDE, 0)[inside]
    flat = luma[:, inside] / light[:, None]
    tilt = (flat * x).sum(1) / (x**2).sum()
    flat = flat - tilt[:, None] * x
    dark = flat.std(1)
    usable = (light > 0.2) & (light < 0.85) & (dark < np.percentile(dark, 95))
    flat, cb, cr, light = flat[usable], cb[usable], cr[usable], light[usable]
    canvas = np.zeros((len(flat), SIDE, SIDE), np.float32)
    canvas[:, inside] = flat
    mirrored = canvas[:, :, ::-1][:, inside]
    skin_mean, skin_parts = components(np.concatenate([flat, mirrored]).astype(np.float64), SKINS)
    small = lambda a: np.stack([cv2.resize(np.where(inside, p, p[inside].mean()), (COLOUR_SIDE, COLOUR_SIDE), interpolation=cv2.INTER_AREA) for p in a])
    colour = np.stack([small(cb), small(cr)], 1)
    tone = np.column_stack([np.log(light), colour.mean((2, 3))])
    colour = colour - colour.mean((2, 3), keepdims=True)
    colour = np.concatenate([colour, colour[:, :, :, ::-1]]).reshape(2 * len(colour), -1)
    colour_mean, colour_parts = components(colour.astype(np.float64), COLOURS)

    def whole(rows):
        out = np.zeros((len(rows), SIDE, SIDE))
        out[:, inside] = rows
        return out

    say(f"{len(people)} people's shapes, {len(flat)} people's skin", 0.9)
    write(options.out, mean, shape_parts, moves, uv, triangles, whole(skin_mean[None])[0], whole(skin_parts), colour_mean, colour_parts, tone)
    say(f"written: {options.out}", 1)


def painted(uv, triangles):
    """The pixels of the skin that lie in a triangle; for each, its triangle and the weights of the triangle's corners."""
    at = np.full((SIDE, SIDE), -1)
    weights = np.zeros((SIDE, SIDE, 3))
    for k, t in enumerate(triangles):
        p = uv[t] * SIDE
        m = np.array([p[0] - p[2], p[1] - p[2]]).T
        if abs(np.linalg.det(m)) < 1e-6:
            continue
        inverse = np.linalg.inv(m)
        (x0, y0), (x1, y1) = np.floor(p.min(0)).astype(int), np.ceil(p.max(0)).astype(int)
        for y in range(max(y0, 0), min(y1 + 1, SIDE)):
            for x in range(max(x0, 0), min(x1 + 1, SIDE)):
                a, b = inverse @ (np.array([x + 0.5, y + 0.5]) - p[2])
                if min(a, b, 1 - a - b) >= -1e-6:
                    at[y, x], weights[y, x] = k, (a, b, 1 - a - b)
    inside = at >= 0
    return inside, at[inside], weights[inside].astype(np.float32)


def write(path, mean, shape_parts, moves, uv, triangles, skin_mean, skin_parts, colour_mean, colour_parts, tone):
    """Writes, little endian: "LKFACES1", nine u32 (points, triangles, parts of shape, moves, side, parts of skin, side of
    colour, parts of colour, 0), then as below. A part is a float32 step and int8 values: value * step is one deviation."""
    out = [b"LKFACES1"]
    out.append(struct.pack("<9I", len(mean), len(triangles), len(shape_parts), len(moves), SIDE, len(skin_parts), COLOUR_SIDE, len(colour_parts), 0))
    floats = lambda a: out.append(np.ascontiguousarray(a, "<f4").tobytes())

    def parts(rows):
        for row in rows.reshape(len(rows), -1):
            step = np.abs(row).max() / 127
            floats([step])
            out.append(np.round(row / step).astype(np.int8).tobytes())

    floats(mean)
    floats(uv)
    out.append(triangles.astype("<u2").tobytes())
    parts(shape_parts)
    parts(moves)
    floats(skin_mean)
    parts(skin_parts)
    floats(colour_mean)
    parts(colour_parts)
    # Brightness (logarithm), Cb and Cr of whole faces: their mean, and the Cholesky factor of their covariance.
    floats(tone.mean(0))
    floats(np.linalg.cholesky(np.cov(tone.T)))
    part = Path(path).with_suffix(".part")
    part.write_bytes(b"".join(out))
    os.rename(part, path)


def arguments():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--shared", required=True)
    a.add_argument("--cache", required=True)
    a.add_argument("--latchkey")
    a.add_argument("--out", required=True, help="the file, doorstep.faces")
    return a.parse_args()


if __name__ == "__main__":
    fit(arguments(), progress.say)
