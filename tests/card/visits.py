"""Visitors in front of a door whose card was set up: the relay's pin, seen from outside the machine, follows the decisions.

usage: visits.py IMAGE WORK, where WORK is the folder that visitors.prepare filled. The unchanged card drives the pin through
the character device; rppal.py shows the same visitors to the job alone, which drives the pin through the registers.
"""

import re
import subprocess
import sys
from pathlib import Path

from pi import Card, Checks, Pi

# A look takes a second or two here, so two of three looks decide, within a minute, and the limits on the time of a look are wide.
# Generated people look more alike than real people.
CONFIGURATION = """
[engine]
threads = 1
[camera]
format = "yuyv"
stall_ms = 20000
[recognition]
threshold = 0.7
watchdog_ms = 60000
[door]
votes = 2
of = 3
vote_window_ms = 60000
hold_ms = 3000
# On a busy host looks may be seconds apart, which must not begin a new visit.
absence_ms = 20000
[log]
names = true
"""


def enrolled(image, work):
    """A card that has been started once, with the people of `visitors.prepare`."""
    card = Card(image, work / "card.img")
    card.put(CONFIGURATION, "latchkey.toml")
    with Pi(card, work) as pi:
        pi.wait("step=ready", 120)
    partition = card.data()
    subprocess.run(["/sbin/e2fsck", "-fp", partition], stdout=subprocess.DEVNULL)
    requests = work / "debugfs"
    requests.write_text(f"cd gallery\nwrite {work.resolve()}/gallery latchkey.gallery\n" + "".join(
        f"sif latchkey.gallery {what}\n" for what in ("uid 1000", "gid 1000", "mode 0100600")))  # fmt: skip
    subprocess.run(["/sbin/debugfs", "-w", "-f", requests, partition], capture_output=True, check=True)
    card.put_data(partition)
    return card


def main(rppal=False):
    image, work = sys.argv[1], Path(sys.argv[2])
    check = Checks()
    if rppal:
        card, extra, begun = Card(image, work / "card.img"), "test=rppal iomem=relaxed", "engine about"
    else:
        card, extra, begun = enrolled(image, work), "test=visitors", "step=ready"
    with Pi(card, work, extra=extra, test=work / "visitors.cpio") as pi:
        pi.wait(begun, 120)
        end, _, _ = pi.wait("@@ end", 900)
        check("console and null are there before anything is mounted", bool(pi.matches("@@ devices there")))
        shown = [(t, m[1]) for t, line in pi.lines if (m := re.search(r"@@ scene (\S+)", line))]
        for t, line in pi.lines:
            if re.search(r"@@| (granted|refused|opened|closed|relay|camera_up) ", line):
                print(f"    {t:7.2f} {line}")
        print(f"    relay, from outside: {' '.join(f'{t:.2f}={1 if on else 0}' for t, on in pi.relay)}")

        def during(scene):
            at = next(k for k, (_, s) in enumerate(shown) if s == scene)
            return shown[at][0], shown[at + 1][0] if at + 1 < len(shown) else pi.lines[end][0]

        ups = [t for t, on in pi.relay if on]
        for scene, who in (("visit-1", "Ada"), ("visit-2", "Ben")):
            begin, until = during(scene)
            check(f"{scene}: {who} is let in", any(begin < t < until + 12 for t, line in pi.lines if f"granted person={who}" in line))
            check(f"{scene}: the pin goes up once", sum(begin < t < until + 12 for t in ups) == 1)
        begin, until = during("stranger-1")
        check("a stranger is refused", any(begin < t < until for t, line in pi.lines if " refused " in line))
        check("and the pin stays down", not any(begin < t < until for t in ups))
        logged = [t for t, line in pi.lines if "relay state=on" in line]
        check("the pin went up as often as it was logged", len(logged) == len(ups) == 2)
        late = [abs(a - b) for a, b in zip(logged, ups)]
        print(f"    between the log's line and the pin, at most: {max(late, default=0):.2f} s")
        held = [b - a for (a, on), (b, _) in zip(pi.relay, pi.relay[1:]) if on]
        print(f"    held: {' '.join(f'{h:.2f} s' for h in held)}")
    check.finish()


if __name__ == "__main__":
    main()
