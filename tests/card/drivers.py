"""Checks whether the card has the drivers of each board, according to the board's device tree. Those of the emulated Pi 3 are
also tested by a start; the others are tested only here. If a node is turned on and one of the kernel's modules would drive it,
that module must be on the card, unless a door does not need it.

usage: drivers.py IMAGE WORK, with WORK beside the folder `image` in which scripts/image made the image
"""

import lzma
import re
import struct
import sys
from pathlib import Path

from pi import Checks

BOARDS = ["bcm2837-rpi-3-*.dtb", "bcm2837-rpi-zero-2-w.dtb", "bcm2711-rpi-4*.dtb", "bcm2712*-rpi-5-b.dtb"]
# Drivers that a door does not need: screens, sound, ribbon cameras, Bluetooth, the header's other buses, entropy (the kernel
# has other sources), and the board's own LEDs and power button.
WITHOUT = set("""vc4 v3d vchiq pisp_be hci_uart i2c_bcm2835 i2c_mux_pinctrl pwm_bcm2835 bcm2835_rng iproc_rng200 leds_gpio
    gpio_keys""".split())  # fmt: skip


def nodes(tree):
    """{path: {property: bytes}} of a flattened device tree (Devicetree Specification 0.4, 5.4)."""
    data = tree.read_bytes()
    at, strings = struct.unpack(">II", data[8:16])
    aligned = lambda n: (n + 3) & ~3
    path, found = [], {}
    while True:
        (token,) = struct.unpack(">I", data[at : at + 4])
        at += 4
        if token == 1:
            end = data.index(b"\0", at)
            path.append(data[at:end].decode())
            found["/".join(path)] = {}
            at = aligned(end + 1)
        elif token == 2:
            path.pop()
        elif token == 3:
            length, name = struct.unpack(">II", data[at : at + 8])
            name = data[strings + name : data.index(b"\0", strings + name)].decode()
            found["/".join(path)][name] = data[at + 8 : at + 8 + length]
            at = aligned(at + 8 + length)
        elif token == 9:
            return found


def on(tree, path):
    """Whether a node and all its parent nodes are turned on."""
    parts = path.split("/")
    above = ("/".join(parts[:n]) for n in range(1, len(parts) + 1))
    return all(tree[p].get("status", b"okay\0") in (b"okay\0", b"ok\0") for p in above)


def drives(module):
    """The devices that a module drives: the `compatible` values of its aliases."""
    aliases = re.findall(rb"alias=of:N[^T\0]*T[^C\0]*C([^\0]*)", module)
    return {a.removesuffix(b"C*").removesuffix(b"*").decode() for a in aliases}


def main():
    work = Path(sys.argv[2]).resolve().parent / "image"
    check = Checks()
    (modules,) = work.glob("unpacked/usr/lib/modules/*")
    built_in = drives((modules / "modules.builtin.modinfo").read_bytes())
    drivers = {}
    for file in (modules / "kernel").rglob("*.ko*"):
        text = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
        for kind in drives(text):
            drivers.setdefault(kind, set()).add(file.name.split(".")[0].replace("-", "_"))
    check(f"the kernel names what it drives: {len(built_in)} kinds by itself, {len(drivers)} by modules", built_in and drivers)
    there = {f.stem for f in (*work.glob("guest/root/modules/*.ko"), *work.glob("guest/network/modules/network/*.ko"))}
    for board in sorted(f for b in BOARDS for f in work.glob(f"unpacked/usr/lib/linux-image-*/broadcom/{b}")):
        tree = nodes(board)
        missing = {}
        for path, properties in tree.items():
            kinds = properties.get("compatible", b"").decode().split("\0")
            able = set().union(*(drivers.get(kind, set()) for kind in kinds))
            if able and not able & (there | WITHOUT) and not built_in & set(kinds) and on(tree, path):
                missing[path] = able
        check(f"{board.name}: nothing is missing {missing or ''}", not missing)
    check.finish()


if __name__ == "__main__":
    main()
