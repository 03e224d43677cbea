"""The bank of strangers: what the shipped embedder answers for faces of the crowd, one face of each person.

    strangers.i8    people x 128 signed bytes, no picture and no name (src/people/bank.rs)

It is made of faces that the embedder may have learnt from; whole packs and one in twenty of the others are held back, for
trying what the bank promises.
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

# So many of each pack: all ages and groups, none of them drowned.
WANTED = {"utk": 6500, "aaf": 3500, "scut": 1500}
# Two faces that MobileFaceNet finds this much alike are one person: so are 89 of 100 pairs of one person of fold 5 of LFW, and
# 4 of a million pairs of strangers. Lower, it would thin out those whom networks confuse, and they are who the bank is for.
SAME = 0.5
# Each of its faces is another person, by those who collected it.
ALL_DIFFERENT = "aaf"


def people(embeddings, packs):
    """The rows that are no person of an earlier row."""
    packs, kept = np.array(packs), np.zeros(len(embeddings), bool)
    for i, e in enumerate(embeddings):
        others = kept[:i] & ((packs[:i] != packs[i]) | (packs[i] != ALL_DIFFERENT))
        kept[i] = (embeddings[:i][others] @ e).max(initial=-1) < SAME
    return np.flatnonzero(kept)


def rows(embeddings):
    """int8 [n, 128]: each as long as a signed byte allows."""
    return np.round(embeddings / np.abs(embeddings).max(1, keepdims=True) * 127).astype(np.int8)


def make(asked):
    crowd = faces.crowd(asked.shared)
    chosen, packs = [], []
    for pack, count in WANTED.items():
        of_pack = [data for p, data in crowd if p == pack]
        at = np.linspace(0, len(of_pack) - 1, min(count, len(of_pack))).astype(int)
        chosen += [of_pack[i] for i in at]
        packs += [pack] * len(at)
    # Who is who does not depend on the embedder: it is found once.
    digest = hashlib.sha256(repr((SAME, ALL_DIFFERENT, packs)).encode() + b"".join(chosen)).hexdigest()
    kept_file = Path(asked.cache) / f"bank-{digest[:12]}.npz"
    if not kept_file.exists():
        teach, arc, luma = teachers.Teachers(asked.shared, "cpu"), [], []
        for i in range(0, len(chosen), teachers.BATCH):
            crops = torch.from_numpy(np.stack([teachers.widened(j) for j in chosen[i : i + teachers.BATCH]])).permute(0, 3, 1, 2)
            # MobileFaceNet's answer is the second one.
            arc.append(teach(crops)[:, 256:].numpy())
            luma.append(teachers.luma(crops).numpy())
            progress.say(f"who is who: {i + len(crops)} of {len(chosen)} faces", (i + len(crops)) / len(chosen))
        kept = people(np.concatenate(arc), packs)
        part = kept_file.with_name("bank.part.npz")
        np.savez(part, luma=np.concatenate(luma)[kept])
        part.rename(kept_file)
    luma = np.load(kept_file)["luma"]
    embeddings = embedder.written(asked.out, luma)
    data = rows(embeddings).tobytes()
    out = Path(asked.out) / "strangers.i8"
    part = out.with_suffix(".part")
    part.write_bytes(data)
    part.rename(out)
    # For the manifest.
    made_by = hashlib.sha256((Path(asked.out) / "embedder.tflite").read_bytes()).hexdigest()
    progress.say(json.dumps({"people": len(luma), "sha256": hashlib.sha256(data).hexdigest(), "embedder": made_by}), 1)


if __name__ == "__main__":
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--shared", required=True)
    a.add_argument("--cache", required=True)
    a.add_argument("--latchkey")
    a.add_argument("--out", required=True, help="folder of embedder.tflite, and of what is written")
    make(a.parse_args())
