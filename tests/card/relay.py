"""The relay's pin, seen from outside, through everything that goes wrong on a card: the relay is never on without a
decision, and after each fault it goes off. The job, or the whole board, comes back by itself, and the time is printed.

usage: relay.py IMAGE WORK, where WORK is the folder that visitors.prepare filled
"""

import re
import subprocess
import sys
import time
from pathlib import Path

from pi import Card, Checks, Pi
from visits import CONFIGURATION, enrolled

# This time is long enough that the relay does not go off because the hold time ends.
HELD = CONFIGURATION.replace("hold_ms = 3000", "hold_ms = 60000")


def forgotten(card, work, check):
    """The start after the data partition was destroyed, with a person in front of the camera who was let in before."""
    with Pi(card, work, extra="test=faults,forgotten", test=work / "visitors.cpio") as pi:
        pi.wait("@@ end", 300)
        lines = pi.matches("data_|boot step=(data|owner|ready)|gallery|refused")
        for line in lines:
            print(f"      {line[:150]}")
        check("destroyed: the next start logs it", any("data_lost" in line for line in lines))
        check("destroyed: and it is ready, with the owner's configuration", any("step=ready" in line for line in lines)
              and bool(pi.matches("configuration file=latchkey.toml")))  # fmt: skip
        check("destroyed: the person who was let in before is refused", bool(pi.matches(" refused ")) and pi.off_throughout())


def main():
    image, work = sys.argv[1], Path(sys.argv[2])
    check = Checks()
    fresh = enrolled(image, work)
    fresh.put(HELD, "latchkey.toml")

    def fault(what, back, off_within, keep_on=False, extra="", ended=False):
        """With the relay on, `what` happens in the guest (tests/card/faults.sh); the line `back` shows that it works again."""
        card = fresh.copy(work / "fault.img")
        with Pi(card, work, extra=f"test=faults,{what} {extra}", test=work / "visitors.cpio", keep_on=keep_on) as pi:
            at, _, begun = pi.wait("@@ fault", 240)
            before = [on for t, on in pi.relay if t < begun]
            if what != "idle":
                check(f"{what}: the relay is on when it begins", bool(before) and before[-1])
            try:
                if ended:
                    check(f"{what}: the machine ends", pi.ended(60))
                    last = pi.relay[-1] if pi.relay else (0, False)
                    print(f"    {what}: the machine is off or starts again {pi.now() - begun:.2f} s after; the relay, last seen: "
                          f"{'on' if last[1] else f'off {last[0] - begun:.2f} s after'}")  # fmt: skip
                    # A dead kernel changes no pin. The board's restart does, because it turns all pins into inputs.
                    if what not in ("panic", "oops"):
                        check(f"{what}: the relay is off before that", not last[1] and last[0] - begun < off_within)
                    return
                _, _, when = pi.wait(back, 240, since=at + 1)
            except TimeoutError as error:
                return check(f"{what}: {error}", False)
            off = next((t for t, on in pi.relay if t > begun and not on), None)
            for t, line in pi.lines[at:]:
                if re.search(r"@@|job_|guard:|camera_|panic|boot step=(begun|ready)|data_|outputs", line) and "exp-gpio" not in line:
                    print(f"      {t - begun:6.2f} {line[:150]}")
            if what == "idle":
                return check(f"idle: noticed and back {when - begun:.2f} s after; the relay was never on", pi.off_throughout())
            check(f"{what}: off {'never' if off is None else f'{off - begun:.2f} s'} after, {back!r} {when - begun:.2f} s after",
                  off is not None and off - begun < off_within)  # fmt: skip
            if what in ("kill", "hang"):
                check(f"{what}: it was the guard", bool(pi.matches("guard: latchkey .*; relay off", at)))
            again = [t for t, on in pi.relay if on and off and t > off]
            grants = [t for t, line in pi.lines if "relay state=on" in line]
            check(f"{what}: never on without a decision", all(any(abs(t - g) < 2 for g in grants) for t in again))

    cases = sys.argv[3:] or [
        "kill", "guard", "guard-stopped", "broker", "hang", "idle", "camera", "full", "destroyed", "panic", "oops", "watchdog",
        "shutdown",
    ]  # fmt: skip
    for case in cases:
        match case:
            # The guard turns the relay off; the first process starts the job again.
            case "kill": fault("kill", "step=ready", 2)
            case "guard": fault("guard", "fault_over what=guard", 2)
            # The spare guard becomes active at once.
            case "guard-stopped": fault("guard-stopped", "fault_over what=guard", 2)
            # Without the broker no lost device could be opened again, so the job ends and is started again.
            case "broker": fault("broker", "step=ready", 2)
            # The job is stopped. The guard waits at most a second and then kills the job, because the relay is on.
            case "hang": fault("hang", "step=ready", 4)
            # The relay is off, so only the first process watches the job.
            case "idle": fault("idle", "step=ready", 0)
            case "camera": fault("camera", "camera_back|camera_up", 4)
            # The running door does not need the disk.
            case "full": fault("full", "@@ full and well", 70)
            # The board restarts, and its pins become inputs.
            case "panic": fault("panic", "", 5, ended=True)
            case "oops": fault("oops", "", 5, ended=True)
            case "watchdog": fault("watchdog", "", 20, ended=True)
            # The job has all people in memory. The next start finds a card without people, and the door opens for no one.
            case "destroyed":
                fault("destroyed", "@@ destroyed and well", 70)
                card = Card.of(work / "fault.img")
                # This includes what the kernel has written back since then.
                partition = card.data()
                with open(partition, "r+b") as file:
                    file.write(bytes(160 << 20))
                card.put_data(partition)
                forgotten(card, work, check)
            case "shutdown": fault("shutdown", "", 5, ended=True)
    check.finish()


if __name__ == "__main__":
    main()
