"""Mistakes on the owner's partition: what the serial log, the file and the LED say, and that the old state goes on.

usage: mistakes.py IMAGE WORK, WORK being that of visitors.prepare
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
    for what, config, people, said in cases:
        card.put(config or CONFIGURATION, "latchkey.toml")
        photos(**(people or {}))
        with Pi(card, work) as pi:
            pi.wait("step=ready", 600)
            _, found, _ = pi.wait(r"gallery people=(\d+)", 30)
            lines = pi.says(r"setup_refused|setup said=")
            told = [line for line in lines if re.search(said, line)]
            check(f"{what}: told: {told[0].split(' ', 2)[2][:200] if told else lines}", bool(told))
            check(f"{what}: everybody is still enrolled", found[1] == "2")
            check(f"{what}: the relay stays off", pi.off_throughout())
        says = card.read("latchkey-says.txt") or ""
        check(f"{what}: and in the file on the card", bool(re.search(said.split(" .*")[-1], says.replace("\r\n", " "))))
    card.put(CONFIGURATION, "latchkey.toml")
    photos()
    with Pi(card, work) as pi:
        pi.wait("step=ready", 120)
        check("all corrected: nothing is reported", not pi.says("setup_refused"))
    says = card.read("latchkey-says.txt") or ""
    check("and the file tells only what became of the photo that was taken",
          "a.jpg" in says and not re.search(r"latchkey\.toml:|b\.jpg|c\.jpg|heic", says))  # fmt: skip
    check.finish()


def emptied(folder):
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


if __name__ == "__main__":
    main()
