"""A Raspberry Pi 3 in QEMU that starts from a card's image, with its serial console, its relay's pin as seen from outside, and
its plug. QEMU does not emulate the bootloader, so kernel, device tree and what goes into memory are taken from the image here.
QEMU's watchdog resets the board as soon as it is armed, so its driver is left out; a test can use the kernel's software watchdog.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RELAY = 17
MIB = 1 << 20
# Where scripts/image puts the partitions.
BOOT, OWNER = 4 * MIB, 68 * MIB
DATA_SECTOR = (68 + 512) * 2048


class Card:
    """A card: the image, copied to a larger card."""

    def __init__(self, image, file, mib=1024):
        self.file = Path(file)
        subprocess.run(["cp", "--sparse=always", image, self.file], check=True)
        os.truncate(self.file, mib * MIB)

    @classmethod
    def of(cls, file):
        """A card that already exists."""
        card = cls.__new__(cls)
        card.file = Path(file)
        return card

    def copy(self, file):
        other = Card.of(file)
        subprocess.run(["cp", "--sparse=always", self.file, other.file], check=True)
        return other

    def _mtools(self, tool, *arguments, at=OWNER, check=True):
        return subprocess.run([tool, "-i", f"{self.file}@@{at}", *arguments], check=check, capture_output=True)

    def take(self, name, to, at=BOOT):
        self._mtools("mcopy", "-n", "-o", f"::/{name}", str(to), at=at)

    def put(self, text, name):
        """Writes a file to the owner's partition."""
        self._mtools("mdel", f"::/{name}", check=False)
        file = self.file.with_suffix(".put")
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        self._mtools("mcopy", "-n", "-o", str(file), f"::/{name}")

    def put_folder(self, folder, name):
        self._mtools("mdeltree", f"::/{name}", check=False)
        self._mtools("mcopy", "-s", "-n", "-o", str(folder), f"::/{name}")

    def delete(self, name):
        self._mtools("mdel", f"::/{name}", check=False)

    def read(self, name):
        """Reads a file of the owner's partition. Returns None if there is no such file."""
        done = self._mtools("mtype", f"::/{name}", check=False)
        return done.stdout.decode() if done.returncode == 0 else None

    def listing(self):
        return self._mtools("mdir", "-/", "-b", "::/", check=False).stdout.decode().split("\n")

    def data(self):
        """A copy of the data partition in a separate file."""
        start, sectors = self._data_entry()
        out = self.file.with_suffix(".data")
        subprocess.run(
            ["dd", f"if={self.file}", f"of={out}", "bs=1M", f"skip={start // 2048}", f"count={sectors // 2048}",
             "conv=sparse", "status=none"], check=True)  # fmt: skip
        return out

    def put_data(self, partition):
        """Writes the file that `data` returned back to the card."""
        start, _ = self._data_entry()
        subprocess.run(
            ["dd", f"if={partition}", f"of={self.file}", "bs=1M", f"seek={start // 2048}", "conv=notrunc", "status=none"], check=True
        )

    def _data_entry(self):
        with open(self.file, "rb") as card:
            card.seek(446 + 32)
            entry = card.read(16)
        return [int.from_bytes(entry[k : k + 4], "little") for k in (8, 12)]


def e2fsck(partition):
    """Whether a file system is clean after the steps of every mount: replaying the journal, and recounting the free blocks,
    because their number is not kept. Also returns the tool's output."""
    copy = f"{partition}.checked"
    subprocess.run(["cp", "--sparse=always", partition, copy], check=True)
    repaired = subprocess.run(["/sbin/e2fsck", "-f", "-p", copy], capture_output=True, text=True)
    done = subprocess.run(["/sbin/e2fsck", "-f", "-n", copy], capture_output=True, text=True)
    os.unlink(copy)
    return repaired.returncode in (0, 1) and done.returncode == 0, (repaired.stdout + done.stdout + done.stderr).strip()


def files_of(partition, folder="/"):
    """The names and sizes of the files in a folder of the data partition, by default the top folder."""
    done = subprocess.run(["/sbin/debugfs", "-R", f"ls -p {folder}", partition], capture_output=True, text=True)
    rows = [line.split("/") for line in done.stdout.splitlines() if line.startswith("/")]
    return {row[5]: int(row[6] or 0) for row in rows if row[5] not in (".", "..", "lost+found")}


class Pi:
    """One start of the Pi. `lines` are [seconds since power-on, line]; `relay` is [seconds, on] for every change."""

    def __init__(self, card, work, extra="", test=None, keep_on=False, watch=True, devices=()):
        work = Path(work)
        work.mkdir(parents=True, exist_ok=True)
        for name in ("kernel8.img", "initramfs.zst", "bcm2837-rpi-3-b.dtb", "cmdline.txt"):
            card.take(name, work / name)
        with open(work / "kernel", "wb") as kernel:
            subprocess.run(["gzip", "-dc", work / "kernel8.img"], stdout=kernel, check=True)
        initrd = work / "initramfs.zst"
        words = (work / "cmdline.txt").read_text().strip() + " " + extra
        if test:
            # A second archive behind the first: the kernel unpacks both.
            with open(initrd, "ab") as both, open(test, "rb") as more:
                both.write(b"\0" * (-initrd.stat().st_size % 4))
                shutil.copyfileobj(more, both)
            words += " rdinit=/test/init"
        else:
            words += " module_blacklist=bcm2835_wdt"
        self.monitor_path = str(work / "qmp")
        Path(self.monitor_path).unlink(missing_ok=True)
        self.lines, self.relay, self.levels, self.rest = [], [], [], b""
        # The time at which the pin was last read.
        self.watched = 0
        self.console = open(work / "console.log", "w")
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            ["qemu-system-aarch64", "-M", "raspi3b", "-accel", "tcg,thread=single", "-display", "none",
             *([] if keep_on else ["-no-reboot"]), "-monitor", "none", "-serial", "null", "-serial", "stdio",
             "-qmp", f"unix:{self.monitor_path},server=on,wait=off",
             *devices, "-drive", f"if=sd,file={card.file},format=raw,cache=writeback",
             "-kernel", work / "kernel", "-dtb", work / "bcm2837-rpi-3-b.dtb", "-initrd", initrd, "-append", words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()
        if watch:
            threading.Thread(target=self._watch, daemon=True).start()

    def _read(self):
        while read := self.process.stdout.read1(4096):
            with self._changed:
                *whole, self.rest = (self.rest + read).split(b"\n")
                for line in whole:
                    self.lines.append([self.now(), line.decode("utf8", "replace").strip("\r\n\x1b\x00")])
                    print("%8.2f %s" % tuple(self.lines[-1]), file=self.console, flush=True)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def now(self):
        return time.monotonic() - self.begun

    def _watch(self):
        """Watches the relay's pin: its function (GPFSEL1) and its level (GPLEV0)."""
        while not os.path.exists(self.monitor_path):
            time.sleep(0.01)
        link = socket.socket(socket.AF_UNIX)
        talk = None

        def ask(command, **arguments):
            talk.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            talk.flush()
            while line := talk.readline():
                answer = json.loads(line)
                if "return" in answer or "error" in answer:
                    return answer.get("return")
            raise ConnectionError

        try:
            link.connect(self.monitor_path)
            talk = link.makefile("rw")
            ask("qmp_capabilities")
            while True:
                text = ask("human-monitor-command", **{"command-line": "xp /14wx 0x3f200000"})
                words = [int(w, 16) for line in text.splitlines() for w in line.split(":")[1].split()]
                driven = (words[1] >> (3 * (RELAY - 10))) & 7 == 1
                on = driven and bool(words[13] >> RELAY & 1)
                state = (driven, on)
                if not self.levels or self.levels[-1][1] != state:
                    self.levels.append([self.now(), state])
                if on != (self.relay[-1][1] if self.relay else False):
                    self.relay.append([self.now(), on])
                self.watched = self.now()
                time.sleep(0.005)
        except (ConnectionError, OSError, ValueError):
            # The connection ends with the machine.
            pass

    def off_throughout(self):
        """Whether the relay was never on, and its pin was watched until now. Must be called while the machine runs."""
        return not self.relay and bool(self.levels) and self.now() - self.watched < 5

    def wait(self, pattern, seconds, since=0):
        """The first matching line after `since` lines: [its number, its match, the time]."""
        end = time.monotonic() + seconds
        with self._changed:
            at = since
            while True:
                while at < len(self.lines):
                    if found := re.search(pattern, self.lines[at][1]):
                        return at, found, self.lines[at][0]
                    at += 1
                left = end - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and at >= len(self.lines)):
                    tail = "\n".join(f"    {t:7.2f} {line}" for t, line in self.lines[-15:])
                    raise TimeoutError(f"no line like {pattern!r} within {seconds} s; the last ones:\n{tail}")
                self._changed.wait(min(left, 0.5))

    def wait_for_prompt(self, pattern, seconds, since=0):
        """Waits until a line after `since` lines matches, even a line that has not ended."""
        end = time.monotonic() + seconds
        with self._changed:
            while not any(re.search(pattern, line) for _, line in [*self.lines[since:], [0, self.rest.decode("utf8", "replace")]]):
                if time.monotonic() > end or self.process.poll() is not None:
                    raise TimeoutError(f"no prompt like {pattern!r} within {seconds} s")
                self._changed.wait(0.5)

    def matches(self, pattern, since=0):
        """The lines after `since` lines that match."""
        return [line for _, line in self.lines[since:] if re.search(pattern, line)]

    def type(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def ended(self, seconds):
        """Whether the machine ends by itself, which with -no-reboot means that it restarts."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def pull_the_plug(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pull_the_plug()


class Checks:
    """Prints each check, and whether all checks passed."""

    def __init__(self):
        self.failed = 0
        self.count = 0

    def __call__(self, what, held):
        self.count += 1
        self.failed += not held
        print(f"{'ok' if held else 'FAIL'}: {what}", flush=True)
        return held

    def finish(self):
        if self.failed:
            raise SystemExit(f"{self.failed} of {self.count} checks failed")
        print(f"all {self.count} checks passed")
