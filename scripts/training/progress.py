"""Prints lines of progress, with the time that is left."""

import time

BEGAN = time.monotonic()


def say(what, share):
    spent = time.monotonic() - BEGAN
    left = f", {spent * (1 - share) / share / 60:.0f} min left" if 0.02 < share < 1 else ""
    print(f"{spent / 60:5.1f} min {100 * share:3.0f} %{left}: {what}", flush=True)
