"""The arguments that all trainings take."""

import argparse


def parser(about, **defaults):
    a = argparse.ArgumentParser(description=about)
    a.add_argument("--shared", required=True, help="folder of faces/ and models/")
    a.add_argument("--cache", required=True)
    a.add_argument("--latchkey")
    a.add_argument("--folds", default="1,2,3,4,5")
    a.add_argument("--samples", type=int)
    a.add_argument("--batch", type=int, default=128)
    a.add_argument("--rate", type=float, default=0.05)
    a.add_argument("--report", type=int, default=500)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--tuning", type=int, help="samples of the last training, in 8 bits")
    a.add_argument("--out", required=True, help="folder for the network and what was measured")
    a.set_defaults(**defaults)
    return a


# What a training is the same by: one that was broken off goes on only as itself.
SAME = ("folds", "samples", "batch", "rate", "seed", "start", "faces", "drawn", "hints", "crowd")


def checkpoint(asked, file):
    """The state in `file`, if there is one, of a training with the same arguments; whatever keeps one keeps `same(asked)`."""
    import torch

    if not file.exists():
        return None
    state = torch.load(file, weights_only=False)
    if state.get("same") != same(asked):
        raise SystemExit(f"{file} is of another training ({state.get('same')}): delete it, or give this one another --name")
    return state


def same(asked):
    return {key: getattr(asked, key) for key in SAME if hasattr(asked, key)}


def goes_on(a, name):
    """For a training that can go on from another, or from where it was broken off."""
    a.add_argument("--start", help=f"{name}.npz of a training to go on from; blocks that it lacks begin as nothing. The detector takes a .tflite, too")
    a.add_argument("--name", default=name, help="what the checkpoint in the cache is called")
    a.add_argument("--minutes", type=float, help="ends after so long, even if there were more samples to come")
    return a


def over(asked, share, seconds):
    """How much of a training is over: of its rounds, or of its minutes, whichever is more. The rate falls with it."""
    return max(share, seconds / 60 / asked.minutes if asked.minutes else 0.0)
