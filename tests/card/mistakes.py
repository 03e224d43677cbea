"""Mistakes on the owner's partition: they are reported in the serial log and in the file, and the old state stays in force.

usage: mistakes.py IMAGE WORK, where WORK is the folder that visitors.prepare filled
"""

import re
import shutil
import sys
from pathlib import Path

from pi import Checks, Pi
from visits import CONFIGURATION, enrolled

PHOTO = b"\xff\xd8\xff\xe0" + b"cut off"


def main():
    image, work = sys.argv[1], Path(sys.argv[2])
    check = Checks()
    card = enrolled(image, work)
    folder = work / "photos"

    def photos(**people):
        emptied(folder)
        for name, files in people.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            for file, content in files.items():
                (folder / name / file).write_bytes(content)
        card.put_folder(folder, "photos")

    cases = [
        ("bad TOML", "[door\nvotes = 3\n", None, r"latchkey.toml .*line 1"),
        ("unknown key", CONFIGURATION + "[camera2]\n", None, r"latchkey.toml .*unknown field"),
        ("unknown board", 'board = "pi9"\n' + CONFIGURATION, None, r"board .*pi9.*neither built in"),
        ("wrong pin", CONFIGURATION + "[output]\nrelay = { line = 99 }\n", None, r"relay.line = 99: .* has 54 lines"),
        ("two on one pin", CONFIGURATION + "[output]\nrelay = { line = 22 }\n", None, r"line = 22: that line is"),
        ("a password in the clear", CONFIGURATION + '[system]\nconsole = "secret"\n', None, r"console: is no hash"),
        ("empty configuration", "\n", None, r"latchkey.toml .*is empty"),
        ("huge configuration", "#" * 100_000, None, r"is 97 KiB large"),
        ("bad photo", None, {"Carla": {"a.jpg": PHOTO}}, r"a.jpg"),
        ("photo of another kind", None, {"Carla": {"a.heic": b"....ftypheic"}}, r"photos/Carla/a.heic .*is a HEIC picture"),
        ("huge photo", None, {"Carla": {"b.jpg": b"\0" * (33 << 20)}}, r"photos/Carla/b.jpg .*is 33792 KiB large"),
        ("photo in no folder", None, {".": {"c.jpg": PHOTO}}, r"photos/c.jpg .*in no person's folder"),
    ]
    for what, config, people, message in cases:
        card.put(config or CONFIGURATION, "latchkey.toml")
        photos(**(people or {}))
        with Pi(card, work) as pi:
            pi.wait("step=ready", 600)
            _, found, _ = pi.wait(r"gallery people=(\d+)", 30)
            lines = pi.matches(r"setup_refused|setup said=")
            shown = [line for line in lines if re.search(message, line)]
            check(f"{what}: reported: {shown[0].split(' ', 2)[2][:200] if shown else lines}", bool(shown))
            check(f"{what}: all people are still enrolled", found[1] == "2")
            check(f"{what}: the relay stays off", pi.off_throughout())
        report = card.read("latchkey-says.txt") or ""
        check(f"{what}: also in the file on the card", bool(re.search(message.split(" .*")[-1], report.replace("\r\n", " "))))
    card.put(CONFIGURATION, "latchkey.toml")
    photos()
    with Pi(card, work) as pi:
        pi.wait("step=ready", 120)
        check("all corrected: nothing is reported", not pi.matches("setup_refused"))
    report = card.read("latchkey-says.txt") or ""
    check("and the file has only the result for the photo that was taken",
          "a.jpg" in report and not re.search(r"latchkey\.toml:|b\.jpg|c\.jpg|heic", report))  # fmt: skip
    check.finish()


def emptied(folder):
    """Makes an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


if __name__ == "__main__":
    main()
