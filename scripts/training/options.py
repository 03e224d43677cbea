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
    a.add_argument("--tuning", type=int, help="samples of the last part of the training, in 8 bits")
    a.add_argument("--out", required=True, help="folder for the network and the measurements")
    a.set_defaults(**defaults)
    return a


# The arguments that must be unchanged to continue an interrupted training.
SAME = ("folds", "samples", "batch", "rate", "seed", "start", "faces", "drawn", "hints", "crowd")


def checkpoint(args, file):
    """The state that a training with the same arguments left in `file`, if there is one. A state must contain `same(args)`."""
    import torch

    if not file.exists():
        return None
    state = torch.load(file, weights_only=False)
    if state.get("same") != same(args):
        raise SystemExit(f"{file} is from a training with other arguments ({state.get('same')}): delete it, or use another --name")
    return state


def same(args):
    return {key: getattr(args, key) for key in SAME if hasattr(args, key)}


def goes_on(a, name):
    """Adds the arguments of a training that can start from another one, or continue after an interruption."""
    a.add_argument("--start", help=f"{name}.npz of a training to start from; blocks that it lacks add nothing at first. The detector takes a .tflite, too")
    a.add_argument("--name", default=name, help="name of the checkpoint in the cache")
    a.add_argument("--minutes", type=float, help="end after so many minutes, even if samples are left")
    return a


def over(args, share, seconds):
    """The share of a training that is over: the share of its rounds or of its minutes, whichever is larger. The rate falls as
    this share grows."""
    return max(share, seconds / 60 / args.minutes if args.minutes else 0.0)
