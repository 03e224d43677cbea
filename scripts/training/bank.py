"""Makes the bank of strangers: the shipped embedder's embeddings of faces of the crowd, one face of each person.

    strangers.i8    people x 128 signed bytes, no picture and no name (src/people/bank.rs)

The bank is made of faces that the embedder may have learnt from. Whole packs, and one face in twenty of the other packs, are
held back to test the bank.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import torch

import embedder
import faces
import progress
import teachers

# The number of faces from each pack, chosen so that all ages and groups have their share.
WANTED = {"utk": 6500, "aaf": 3500, "scut": 1500}
# Two faces count as one person if MobileFaceNet gives them at least this likeness. In fold 5 of LFW, 89 of 100 pairs of the
# same person reach it, and 4 of a million pairs of different people. A lower value would remove people whom networks confuse, and
# the bank needs exactly these people.
SAME = 0.5
# In this pack each face is a different person, according to the pack's authors.
ALL_DIFFERENT = "aaf"


def people(embeddings, packs):
    """The rows whose person is in no earlier row."""
    packs, kept = np.array(packs), np.zeros(len(embeddings), bool)
    for i, e in enumerate(embeddings):
        others = kept[:i] & ((packs[:i] != packs[i]) | (packs[i] != ALL_DIFFERENT))
        kept[i] = (embeddings[:i][others] @ e).max(initial=-1) < SAME
    return np.flatnonzero(kept)


def rows(embeddings):
    """int8 [n, 128]: each row is scaled so that its number of the largest magnitude is 127 or -127."""
    return np.round(embeddings / np.abs(embeddings).max(1, keepdims=True) * 127).astype(np.int8)


def make(args):
    crowd = faces.crowd(args.shared)
    chosen, packs = [], []
    for pack, count in WANTED.items():
        of_pack = [data for p, data in crowd if p == pack]
        at = np.linspace(0, len(of_pack) - 1, min(count, len(of_pack))).astype(int)
        chosen += [of_pack[i] for i in at]
        packs += [pack] * len(at)
    # The embedder has no influence on which faces are of the same person, so this is computed once.
    digest = hashlib.sha256(repr((SAME, ALL_DIFFERENT, packs)).encode() + b"".join(chosen)).hexdigest()
    kept_file = Path(args.cache) / f"bank-{digest[:12]}.npz"
    if not kept_file.exists():
        teach, arc, luma = teachers.Teachers(args.shared, "cpu"), [], []
        for i in range(0, len(chosen), teachers.BATCH):
            crops = torch.from_numpy(np.stack([teachers.widened(j) for j in chosen[i : i + teachers.BATCH]])).permute(0, 3, 1, 2)
            # The second part is MobileFaceNet's embedding.
            arc.append(teach(crops)[:, 256:].numpy())
            luma.append(teachers.luma(crops).numpy())
            progress.say(f"comparing people: {i + len(crops)} of {len(chosen)} faces", (i + len(crops)) / len(chosen))
        kept = people(np.concatenate(arc), packs)
        part = kept_file.with_name("bank.part.npz")
        np.savez(part, luma=np.concatenate(luma)[kept])
        part.rename(kept_file)
    luma = np.load(kept_file)["luma"]
    embeddings = embedder.written(args.out, luma)
    data = rows(embeddings).tobytes()
    out = Path(args.out) / "strangers.i8"
    part = out.with_suffix(".part")
    part.write_bytes(data)
    part.rename(out)
    # The manifest needs the embedder's checksum.
    made_by = hashlib.sha256((Path(args.out) / "embedder.tflite").read_bytes()).hexdigest()
    progress.say(json.dumps({"people": len(luma), "sha256": hashlib.sha256(data).hexdigest(), "embedder": made_by}), 1)


if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--shared", required=True)
    a.add_argument("--cache", required=True)
    a.add_argument("--latchkey")
    a.add_argument("--out", required=True, help="folder of embedder.tflite; strangers.i8 is written there, too")
    make(a.parse_args())
