"""A new card boots in a Pi 3, from power-on to ready, and the seconds to each step are printed. Then the card boots again, with
the file system in place.

usage: boot.py IMAGE WORK
"""

import re
import sys
from pathlib import Path

from pi import Card, Checks, Pi, e2fsck, files_of


def steps(pi):
    found = [re.search(r"boot step=(\S+) up_s=([0-9.]+)(.*)", line) for _, line in pi.lines]
    return [(m[1], float(m[2]), m[3].strip()) for m in found if m]


def main():
    image, work = sys.argv[1], Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    check = Checks()
    card = Card(image, work / "card.img")
    for start in ("first", "second"):
        with Pi(card, work) as pi:
            pi.wait("step=ready", 120)
            pi.wait("camera_down", 30)
            for name, up, keys in steps(pi):
                print(f"    {start} start: {name:8} {up:6.2f} s {keys}")
            check(f"{start} start: the data partition is there", bool(pi.matches("step=data .*kept=true")))
            check(f"{start} start: the job is confined", bool(pi.matches("confined files=full calls=yes")))
            check(f"{start} start: nothing is wrong except the missing camera",
                  not [x for x in pi.matches(" (WARN|ERROR) ") if not re.search("no_watchdog|camera_down|gallery people=0|data_made", x)])  # fmt: skip
            check(f"{start} start: data made only at the first start", bool(pi.matches("data_made")) == (start == "first"))
            check(f"{start} start: the relay is never on", pi.off_throughout())
            driven = [t for t, (driven, _) in pi.levels if driven]
            check(f"{start} start: the relay's pin is held off", bool(driven))
    partition = card.data()
    clean, output = e2fsck(partition)
    check(f"pulling the plug leaves a clean file system ({output.splitlines()[-1]})", clean)
    check("the configuration is on the data partition", "latchkey.toml" in files_of(partition))
    check.finish()


main()
