"""Measures whether networks that know only real people treat the doorstep's synthetic people like real ones: whether BlazeFace
finds their faces, and whether face-reid-0095, MobileFaceNet and the embedder of the set latchkey distinguish them."""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch

import embedder
import faces
import peers
import teachers


def photos(cache, latchkey, seed, each):
    """Photos of all people of the demo with that seed: [(path, who, box, points)]."""
    folder = Path(cache) / f"agree-{seed}-{each}"
    if not (folder / "truth.json").exists():
        faces.doorstep(latchkey, "photos", f"{seed},residents=2,strangers=20", "--strangers", "--each", each, "--out", folder)
    out = []
    for photo in json.loads((folder / "truth.json").read_text())["photos"]:
        box = [photo["box"][k] for k in ("x", "y", "width", "height")]
        points = np.array([[p["x"], p["y"]] for p in photo["landmarks"]], np.float32)
        out.append((str(folder / photo["photo"]), photo["who"], np.array(box), points))
    return out


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--shared", required=True)
    a.add_argument("--cache", required=True)
    a.add_argument("--latchkey", required=True)
    a.add_argument("--seeds", default="1,2,3")
    a.add_argument("--each", type=int, default=12, help="photos of each of the 22 people of a seed")
    a.add_argument("--out", required=True, help="JSON")
    o = a.parse_args()
    # The threshold is low, so that the scores of faces that BlazeFace would miss at its usual threshold are seen, too.
    finder = peers.BlazeFace(Path(o.shared) / "models", 0.01)
    teach = teachers.Teachers(o.shared, "cpu")
    report = {}
    print(f"{'':28}{'found':>8}  {'score 1 %':>9}  {'50 %':>5}", flush=True)
    for seed in map(int, o.seeds.split(",")):
        scores, wide, who = [], [], []
        for path, name, box, points in photos(o.cache, o.latchkey, seed, o.each):
            picture = cv2.imread(path)
            seen = finder(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))
            scores.append(max((f[0] for f in seen if peers.share(f[1], box) > 0.3), default=0.0))
            wide.append(faces.align(picture[:, :, ::-1], points, margin=faces.MARGIN))
            who.append(name)
        scores, who = np.array(scores), np.array(who)
        labels = teach(torch.from_numpy(np.stack(wide)).permute(0, 3, 1, 2)).numpy()
        luma = np.stack([cv2.cvtColor(w, cv2.COLOR_RGB2GRAY) for w in wide])
        root = Path(__file__).parents[2]
        embeddings = {"face-reid-0095": labels[:, :256], "MobileFaceNet": labels[:, 256:],
                      "latchkey": embedder.written(root / "models/latchkey", luma)}  # fmt: skip
        row = {"photos": len(who), "found": float((scores >= 0.5).mean()),
               "score": np.percentile(scores, [1, 50]).tolist(), "embedders": {}}  # fmt: skip
        print(f"seed {seed}: BlazeFace, {len(who)} photos  {100 * row['found']:6.1f} %  {row['score'][0]:9.2f}  {row['score'][1]:5.2f}", flush=True)
        same = who[:, None] == who[None]
        upper = np.triu_indices(len(who), 1)
        for name, e in embeddings.items():
            cosines, alike = (e @ e.T)[upper], same[upper]
            row["embedders"][name] = r = {
                "same": np.percentile(cosines[alike], [1, 50]).tolist(),
                "different": np.percentile(cosines[~alike], [50, 99, 100]).tolist(),
            }
            print(f"    {name:16} same person: 1 % {r['same'][0]:.2f}, 50 % {r['same'][1]:.2f};  "
                  f"different: 50 % {r['different'][0]:.2f}, 99 % {r['different'][1]:.2f}, highest {r['different'][2]:.2f}", flush=True)  # fmt: skip
        report[seed] = row
    Path(o.out).write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
