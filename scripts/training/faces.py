"""Photos of people, with faces found and aligned once for all networks that are trained here.

The faces are found by the reference set through `latchkey identify`, so that they are placed in training as in the running
program. The results stay in the cache folder.
"""

import json
import subprocess
import zipfile
from pathlib import Path

import cv2
import numpy as np

# The places of the five points in the embedder's crop of 112 pixels (ArcFace's template).
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
SIDE = 112
# Aligned faces are kept with this margin on every side, for shifts, turns and scales of the crop.
MARGIN = 24
WIDE = SIDE + 2 * MARGIN


def similarity(points, template):
    """The 2x3 matrix that maps `points` to `template` by scale, rotation and shift with the least square error."""
    p, t = points - points.mean(0), template - template.mean(0)
    norm = (p**2).sum()
    a = (p * t).sum() / norm
    b = (p[:, 0] * t[:, 1] - p[:, 1] * t[:, 0]).sum() / norm
    m = np.array([[a, -b], [b, a]])
    return np.hstack([m, (template.mean(0) - m @ points.mean(0))[:, None]]).astype(np.float32)


def align(picture, points, template=TEMPLATE, side=SIDE, margin=0):
    """A square crop of side + 2 margin, with the points in the places that the template gives them."""
    m = similarity(np.asarray(points, np.float32), template + margin)
    size = (side + 2 * margin, side + 2 * margin)
    # Averages where the picture shrinks; outside the picture its edge is repeated.
    flags = cv2.INTER_AREA if np.hypot(m[0, 0], m[0, 1]) < 0.5 else cv2.INTER_LINEAR
    return cv2.warpAffine(picture, m, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def folds(shared):
    """The number of the fold, 1 to 5, by the name of the person."""
    lines = (Path(shared) / "faces/lfw-dev/people.txt").read_text().splitlines()
    return {name: int(fold) for name, fold in (line.split("\t")[:2] for line in lines if "\t" in line)}


def found(shared, cache, latchkey):
    """Every photo with the face nearest to its middle: [(path, name, box [x, y, w, h], five points)], sorted by path."""
    kept = Path(cache) / "lfw-faces.json"
    if not kept.exists():
        images = Path(shared) / "faces/lfw-dev/images"
        command = [str(latchkey), "--models", "reference", "--model-files", str(Path(shared) / "models")]
        command += ["identify", "--json", *sorted(str(d) for d in images.iterdir())]
        # Status 1 means that no enrolled person is in the photos, which is correct here.
        out = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if out.returncode > 1:
            raise SystemExit("latchkey identify failed: see its message above")
        kept.write_bytes(out.stdout)
    faces = []
    for photo in json.loads(kept.read_text())["photos"]:
        centre = np.array([photo["width"], photo["height"]]) / 2
        best = None
        for face in photo["faces"]:
            points = np.array([[p["x"], p["y"]] for p in face["landmarks"]], np.float32)
            off = np.linalg.norm(points.mean(0) - centre)
            if best is None or off < best[0]:
                b = face["box"]
                best = (off, [b["x"], b["y"], b["width"], b["height"]], points)
        if best is not None:
            faces.append((photo["photo"], Path(photo["photo"]).parent.name, best[1], best[2]))
    return sorted(faces, key=lambda f: f[0])


# A pack of the crowd from which no embedder learns. All its people are strangers to test with. In the other packs, one face in
# twenty is held back.
HELD_PACKS = ("vote",)
HELD = 20


def packs(shared):
    """The aligned faces of the crowd, 112x112: (pack, number in the pack, JPEG)."""
    for path in sorted((Path(shared) / "faces/crowd").glob("*-*.zip")):
        pack = path.name.split("-")[0]
        with zipfile.ZipFile(path) as entries:
            for number, name in enumerate(sorted(entries.namelist())):
                yield pack, number, entries.read(name)


def crowd(shared, held=False):
    """The faces of `packs` that an embedder learns from or, if `held`, those that are held back: [(pack, JPEG)]."""
    return [(pack, data) for pack, number, data in packs(shared) if (pack in HELD_PACKS or number % HELD == 0) == held]


def doorstep(latchkey, *arguments):
    if subprocess.run([str(latchkey), "doorstep", *map(str, arguments)], check=False).returncode:
        raise SystemExit(f"latchkey doorstep {arguments[0]} failed: see its message above")


def drawn(cache, latchkey, people, each=8):
    """Photos of synthetic people, from `latchkey doorstep`, in the form of `found`. Their seed is for training only."""
    folder = Path(cache) / f"doorstep-{people}"
    if not (folder / "truth.json").exists():
        script = f"900000,residents=8,strangers={people - 8}"
        doorstep(latchkey, "photos", script, "--strangers", "--each", each, "--out", folder)
    out = []
    for photo in json.loads((folder / "truth.json").read_text())["photos"]:
        b, points = photo["box"], [[p["x"], p["y"]] for p in photo["landmarks"]]
        box = [b["x"], b["y"], b["width"], b["height"]]
        out.append((str(folder / photo["photo"]), photo["who"], box, np.array(points, np.float32)))
    return out


def frames(cache, latchkey, seed, plays, each=50):
    """Frames of the doorstep, 640x480, from `latchkey doorstep frames`: [(path, boxes [n, 4], points [n, 5, 2])]. Every
    play has its own place. Training and testing use different seeds."""
    out = []
    for play in range(seed, seed + plays):
        folder = Path(cache) / "doorstep-frames" / str(play)
        if not (folder / "truth.json").exists():
            doorstep(latchkey, "frames", f"{play},visits=50,residents=2,strangers=20", "--count", each, "--out", folder)
        for frame in json.loads((folder / "truth.json").read_text())["frames"]:
            boxes = [[f["box"][k] for k in ("x", "y", "width", "height")] for f in frame["faces"]]
            points = [[[p["x"], p["y"]] for p in f["landmarks"]] for f in frame["faces"]]
            n = len(boxes)
            out.append((str(folder / frame["frame"]), np.array(boxes, np.float32).reshape(n, 4), np.array(points, np.float32).reshape(n, 5, 2)))
    return out


def pairs(shared):
    """The pairs of LFW's protocol: [(fold 1 to 5, same, first file name, second file name)]."""
    lines = (Path(shared) / "faces/lfw-dev/pairs.txt").read_text().splitlines()
    count, each = map(int, lines[0].split())
    out = []
    for i, line in enumerate(lines[1 : 1 + 2 * count * each]):
        w = line.split()
        fold = 1 + i // (2 * each)
        if len(w) == 3:
            out.append((fold, True, f"{w[0]}_{int(w[1]):04}.jpg", f"{w[0]}_{int(w[2]):04}.jpg"))
        else:
            out.append((fold, False, f"{w[0]}_{int(w[1]):04}.jpg", f"{w[2]}_{int(w[3]):04}.jpg"))
    return out
