"""The plug is pulled again and again, at random moments, on the same card: at the first boot, while a new configuration is
applied, while the program learns from photos, while the job runs. After each cut the next boot must reach `ready`, with all
people enrolled.

usage: power.py IMAGE WORK [TIMES [SEED]]
"""

import random
import shutil
import sys
import time
from pathlib import Path

from pi import Card, Checks, Pi, e2fsck, files_of
from visits import CONFIGURATION, enrolled

# The approximate time of a boot in this test, in seconds.
BOOT = 18
# The shortest time that learning takes, in seconds.
LEARNING = 40


def cut(card, work, chance, longest, after=None):
    """A start that is cut at a random moment after power-on, or after the line `after`. Returns the time of the cut, and the last
    step before it."""
    with Pi(card, work, watch=False) as pi:
        begun = pi.wait(after, 300)[2] if after else 0
        end = begun + chance.uniform(0, longest)
        while pi.now() < end:
            time.sleep(0.01)
        steps = pi.matches("boot step=")
    return end, steps[-1].split("step=")[1].split()[0] if steps else "kernel"


def ready(card, work, chance, check, what, people):
    """A start that must reach `ready`, and is cut soon after."""
    with Pi(card, work, watch=False) as pi:
        try:
            _, _, when = pi.wait("step=ready", 600)
            if people:
                _, found, _ = pi.wait(r"gallery people=(\d+)", 30)
                check(f"{what}: ready after {when:.1f} s, {found[1]} people", int(found[1]) == people)
            else:
                check(f"{what}: ready after {when:.1f} s", True)
        except TimeoutError as error:
            check(f"{what}: {error}", False)
        lost = pi.matches("data_lost|data_in_memory|gallery_refused|gallery_unusable|data_not_repaired")
        check(f"{what}: nothing is lost {lost}", not lost)
        time.sleep(chance.uniform(0, 3))
    partition = card.data()
    clean, output = e2fsck(partition)
    check(f"{what}: the file system is clean {'' if clean else output}", clean)
    half = [name for name in files_of(partition) if name.endswith(".new") or name == "candidate.toml"]
    if half:
        print(f"    unfinished files, to be overwritten: {half}")


def new_person(work, name):
    """Photos of a new person: a few of Ada's under another name, so that learning is a few seconds shorter."""
    shutil.rmtree(work / "enrol", ignore_errors=True)
    folder = work / "enrol" / name
    folder.mkdir(parents=True)
    for photo in sorted((work / "scenes").glob("Ada-*.jpg"))[:3]:
        shutil.copy(photo, folder)
    return work / "enrol"


def main():
    image, work = sys.argv[1], Path(sys.argv[2])
    times = int(sys.argv[3]) if len(sys.argv) > 3 else 100
    chance = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    check = Checks()
    cuts = 0
    where = {}

    def count(step):
        nonlocal cuts
        cuts += 1
        where[step] = where.get(step, 0) + 1

    # These are first boots, each with a new card.
    while cuts < times // 5:
        card = Card(image, work / "power.img")
        count("first boot, " + cut(card, work, chance, BOOT)[1])
        ready(card, work, chance, check, f"cut {cuts}, of a first boot", 0)
        count("first boot, running")
    card = enrolled(image, work)
    while cuts < times:
        # Each time there is a new configuration.
        card.put(CONFIGURATION + f"# {cuts}\n", "latchkey.toml")
        count("configuring, " + cut(card, work, chance, BOOT)[1])
        ready(card, work, chance, check, f"cut {cuts}, of a configuration", 2)
        count("configured, running")
    # Learning takes minutes here, so there are few of these cuts. Each time a new person is added, and the previous
    # person is removed by a name that is listed twice.
    for n in range(max(1, times // 30)):
        card.put_folder(new_person(work, f"Cy {n}"), "photos")
        if n:
            card.put(f"Cy {n - 1}\r\n" * 2, "remove.txt")
        count("to learn, " + cut(card, work, chance, BOOT)[1])
        count("learning, " + cut(card, work, chance, LEARNING, "learning=photos")[1])
        ready(card, work, chance, check, f"cut {cuts}, of learning photos", 3)
        count("learnt, running")
        check("the photos are taken off the owner's partition", not [f for f in card.listing() if f.endswith(".jpg")])
        check("and the names that were to be forgotten", card.read("remove.txt") is None)
    # All people are still enrolled at a start with nothing to do.
    ready(card, work, chance, check, "at last", 3)
    for step, n in sorted(where.items()):
        print(f"    {n:4} cuts: {step}")
    print(f"    {cuts} cuts in all")
    check.finish()


if __name__ == "__main__":
    main()
