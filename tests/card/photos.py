"""Photos on the card's drive: 24 that the program can learn from, and three that do not fit into the board's memory at full size.

Photos that were read are moved off the drive and kept on the card; photos that cannot be read stay where the owner put them.

usage: photos.py IMAGE WORK, where WORK is the folder that visitors.prepare filled. The board has 700 MB of memory.
"""

import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

from mistakes import emptied
from pi import ROOT, Card, Checks, Pi, files_of

CONFIGURATION = "[engine]\nthreads = 1\n"
SIDE = 30_000
WIDE, HIGH = 12_000, 9_000


def png():
    """A picture of SIDE x SIDE grey pixels, all black: 900 MB in a file of 4 MB."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(1)
    row = bytes(SIDE + 1)
    data = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg(progressive):
    """A picture of WIDE x HIGH pixels of one grey: 108 megapixels. A progressive file has only the scan of the blocks' means."""

    def segment(marker, data):
        return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data

    # One code each: "the mean is that of the block before" (no more bits follow), and "the block has nothing else".
    means, rest = bytes([0x00]) + bytes([1] + [0] * 15) + b"\0", bytes([0x10]) + bytes([1] + [0] * 15) + b"\0"
    frame = struct.pack(">BHHB", 8, HIGH, WIDE, 1) + bytes([1, 0x11, 0])
    blocks = (WIDE // 8) * (HIGH // 8)
    # Each code is one bit, 0. It codes the mean alone, or the mean and the end of the block.
    bits = blocks * (1 if progressive else 2)
    scan = bytes([1, 1, 0x00]) + (bytes([0, 0, 0]) if progressive else bytes([0, 63, 0]))
    return (
        b"\xff\xd8"
        + segment(0xDB, b"\0" + bytes([1] * 64))
        + segment(0xC2 if progressive else 0xC0, frame)
        + segment(0xC4, means + rest)
        + segment(0xDA, scan)
        + bytes((bits + 7) // 8)
        + b"\xff\xd9"
    )


MONSTERS = {"wall.png": png, "wall.jpg": lambda: jpeg(False), "wall-progressive.jpg": lambda: jpeg(True)}
# This photo is beyond every limit. The other two are read at a reduced scale, and show no face.
UNREADABLE = "wall.png"


def main():
    image, work = sys.argv[1], Path(sys.argv[2])
    check = Checks()
    card = Card(image, work / "card.img")
    drawn, folder = work / "drawn", work / "photos"
    emptied(drawn)
    emptied(folder)
    program = ROOT / "target/release/latchkey"
    script = "77,residents=4"
    subprocess.run([program, "doorstep", "photos", script, "--each", "6", "--out", drawn], check=True, stdout=subprocess.DEVNULL)
    people = sorted(p.name for p in drawn.iterdir() if p.is_dir())
    for name in people:
        subprocess.run(["cp", "-r", drawn / name, folder / name], check=True)
    good = len([p for p in folder.rglob("*") if p.is_file()])
    check(f"{good} photos of {people}", good == 24)
    for name, make in MONSTERS.items():
        (folder / people[0] / name).write_bytes(make())
    card.put(CONFIGURATION, "latchkey.toml")
    card.put_folder(folder, "photos")
    with Pi(card, work, extra="mem=700M") as pi:
        pi.wait("setup learning=photos", 120)
        pi.wait("step=ready", 2400)
        _, found, at = pi.wait(r"gallery people=(\d+)", 60)
        print(f"    the gallery is there {at:.0f} s after power-on")
        check(f"all people are enrolled: {found[1]} of {len(people)}", found[1] == str(len(people)))
        lines = pi.matches(r"setup said=")
        for line in lines:
            print(f"    {line}")
        for name in MONSTERS:
            named = [line for line in lines if f"/{name}: not used: " in line]
            check(f"{name} is named once, with the reason", len(named) == 1)
        for name in people:
            learnt = [line for line in lines if re.search(rf"{name}: 6 of \d photos learnt", line)]
            check(f"the six good photos of {name} are learnt", len(learnt) == 1)
        check("no process was killed for lack of memory", not pi.matches("Out of memory|oom-kill|job_ended"))
        check("the relay stays off", pi.off_throughout())
    report = card.read("latchkey-says.txt") or ""
    print("    " + "\n    ".join(report.splitlines()))
    left = [line for line in card.listing() if re.search(r"\.(jpg|png)$", line, re.IGNORECASE)]
    check(f"only what cannot be read is still on the drive: {left}", [Path(line).name for line in left] == [UNREADABLE])
    partition = card.data()
    kept = [file for name in people for file in files_of(partition, f"/photos/{name}")]
    check(f"all others are kept on the card: {len(kept)}", len(kept) == good + len(MONSTERS) - 1 and UNREADABLE not in kept)
    for name in MONSTERS:
        check(f"{name} is in the file on the card", name in report)
    check.finish()


if __name__ == "__main__":
    main()
