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


def goes_on(a, name):
    """For a training that can go on from another, or from where it was broken off."""
    a.add_argument("--start", help=f"{name}.npz of a training to go on from; blocks that it lacks begin as nothing")
    a.add_argument("--name", default=name, help="what the checkpoint in the cache is called")
    return a
