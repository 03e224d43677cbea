"""The network of a card: it exists only if it is configured. It is wired to the host, which gives an address and the time, or
uses radios that the kernel simulates. The door does not wait for the network, nothing listens, and no password is logged.

usage: network.py IMAGE WORK
"""

import re
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from login import PASSWORD, digest, tries
from pi import Card, Checks, Pi

# The host's address in QEMU's network, and a USB adapter to that network.
HOST = "10.0.2.2"
ADAPTER = ["-netdev", "user,id=net", "-device", "usb-net,netdev=net"]
# The time that the time server gives, in seconds since 1900: a day in 2031.
THEN = 2_208_988_800 + 1_930_000_000
KEY = "correct horse"
# The network's processes have a separate user, and of root's rights they have only NET_BIND_SERVICE, NET_ADMIN, NET_RAW and
# SYS_TIME.
OURS = " ".join(["1001"] * 4)
FEW = {
    "Uid": OURS, "Gid": OURS, "Groups": "", "NoNewPrivs": "1", "data": [],
    **{f"Cap{kind}": f"{1 << 10 | 1 << 12 | 1 << 13 | 1 << 25:016x}" for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")},
}  # fmt: skip


def time_server():
    """Starts an SNTP server on a port of this machine. Returns the port."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def answer():
        while True:
            question, asker = server.recvfrom(64)
            now = struct.pack(">Q", int((THEN + time.monotonic()) * (1 << 32)))
            head = struct.pack(">BBbbII4s", 0x24, 1, 0, -20, 0, 0, b"TEST")
            server.sendto(head + now + question[40:48] + now + now, asker)

    threading.Thread(target=answer, daemon=True).start()
    return server.getsockname()[1]


class Shell:
    """A shell on the console, after a login."""

    def __init__(self, pi):
        self.pi = pi
        pi.wait_for_prompt("[#] ", 60, tries(pi, PASSWORD, since=0))

    def __call__(self, command):
        """The lines that `command` prints, without the lines of the log."""
        since = len(self.pi.lines)
        self.pi.type(f"{command}; echo @@ $?\r")
        at, _, _ = self.pi.wait(r"^@@ \d", 60, since)
        return [line for _, line in self.pi.lines[since:at] if not re.search(r"^\d{4}-\d\d-\d\dT|; echo @@", line)]


def listening(shell):
    """The sockets to which other machines could send something."""
    found = []
    for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        for row in shell(f"cat /proc/net/{kind}"):
            if fields := re.match(r" *\d+: (\S+) (\S+) (\S\S) ", row):
                ours, theirs, state = fields.groups()
                unconnected = re.fullmatch("0+:0000", theirs)
                if unconnected and (state == "0A" or not kind.startswith("tcp")):
                    found.append(f"{kind} {ours}")
    # The flag that marks sockets that accept connections.
    return found + [row for row in shell("cat /proc/net/unix") if re.search(r": \S+ \S+ 00010000 ", row)]


def rights(shell, command):
    """The rights of the process with `command` (a regular expression that does not match itself) on its command line: user,
    group, other groups, whether it can gain rights, what it may do, and what it sees of the data partition."""
    (file,) = shell(f"grep -l '{command}' /proc/[0-9]*/cmdline")
    process = file.removesuffix("/cmdline")
    of = dict(row.split(":", 1) for row in shell(f"cat {process}/status") if ":" in row)
    of = {key: " ".join(of[key].split()) for key in ("Uid", "Gid", "Groups", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    return {**of, "data": shell(f"ls {process}/root/data")}


def used(shell):
    """Memory in use, in KiB."""
    of = {row.split(":")[0]: int(row.split()[1]) for row in shell("head -3 /proc/meminfo") if ":" in row}
    return of["MemTotal"] - of["MemAvailable"]


def main():
    image, work = sys.argv[1], Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    check = Checks()
    card = Card(image, work / "card.img")
    system = f'[system]\nconsole = "{digest()}"\n'
    server = f"{HOST}:{time_server()}"

    card.put(system, "latchkey.toml")
    with Pi(card, work, devices=ADAPTER) as pi:
        pi.wait("step=ready", 120)
        shell = Shell(pi)
        time.sleep(5)
        check("not configured: the log has no line about it", not pi.matches("network|wifi|clock_set|time_unknown"))
        interfaces = shell("ls /sys/class/net")
        check(f"no interface but the loop, which is down ({interfaces})", "".join(interfaces).split() == ["lo"])
        check("no driver", not [row for row in shell("cat /proc/modules") if re.search("80211|usbnet|cdc_ether", row)])
        check("no process", not [row for row in shell("ps") if re.search("udhcpc|wpa_supplicant|/network", row)])
        check("no network program in memory", bool(shell("ls -d /usr/sbin/wpa_supplicant /run/network 2> /dev/null") == []))
        check("nothing listens", listening(shell) == [])
        before = used(shell)

    wired = f'[network]\nethernet = true\n{system}time_server = "{server}"\n'
    card.put(wired, "latchkey.toml")
    with Pi(card, work, devices=ADAPTER) as pi:
        pi.wait("step=ready", 120)
        pi.wait(r"network address=10\.0\.2\.", 120)
        pi.wait(rf"^2031-\S+ INFO +clock_set by_s=\d+\S* server={server}", 30)
        check("by wire: an address, and the time", True)
        shell = Shell(pi)
        check("the clock goes on from there", any("2031" in row for row in shell("date")))
        found = listening(shell)
        check(f"nothing listens {found or ''}", not found)
        for command in ("^/[n]etwork", "[u]dhcpc"):
            found = rights(shell, command)
            check(f"{command}: few rights {found if found != FEW else ''}", found == FEW)
        modes = [shell(f"stat -c '%a %u' /dev/{name}") for name in ("gpiochip0", "mmcblk0")]
        check(f"pins and card belong to other users ({modes})", modes == [["600 1000"], ["600 0"]])
        print(f"    memory in use: {before} KiB without, {used(shell)} KiB with a network")
        since = len(pi.lines)
        shell("kill -9 $(ps | awk '/[u]dhcpc/ { print $1 }')")
        pi.wait("network_program_ended name=udhcpc", 30, since)
        pi.wait(r"network address=\"\"", 60, since)
        pi.wait(r"network address=10\.0\.2\.", 60, since)
        check("an address that is lost comes back", True)
        since = len(pi.lines)
        shell("kill -9 $(ps | awk '/[n]etwork/ { print $1 }')")
        pi.wait("network_ended", 30, since)
        pi.wait(r"network address=10\.0\.2\.", 60, since)
        check("the whole network comes back, too", True)
        check("with one program of each", len([row for row in shell("ps") if "udhcpc" in row]) == 1)
        check("the job ran through all that", not pi.matches("job_ended|job_hangs"))

    for what, network, message in (
        ("a short password", 'wifi = { name = "home", password = "shorty!" }', r"network.wifi.password: must be"),
        ("none", 'wifi = { name = "home" }', "network.wifi.* missing field `password`"),
        ("a quote left out", f'wifi = {{ name = "home", password = "{KEY} }}', r"line \d \("),
        ("an invalid country", f'wifi = {{ name = "home", password = "{KEY}", country = "nl" }}', "wifi.country = .*capital"),
        ("both", f'ethernet = true\nwifi = {{ name = "home", password = "{KEY}" }}', "network.ethernet: .*keep one"),
    ):
        card.put(f"[network]\n{network}\n{system}", "latchkey.toml")
        with Pi(card, work) as pi:
            pi.wait(f"setup_refused .*{message}", 120)
            pi.wait("step=ready", 120)
            report = card.read("latchkey-says.txt") or ""
            output = "\n".join(line for _, line in pi.lines) + report
            check(f"{what}: reported on the console and the card", bool(re.search(message, report)))
            check(f"{what}: the password is not", not re.search(f"shorty|{KEY}", output))
            pi.wait("network drivers=", 60)
            check(f"{what}: what was in force stays", True)

    card.put(f'[network]\nwifi = {{ name = "home", password = "{KEY}", country = "NL" }}\n{system}', "latchkey.toml")
    with Pi(card, work) as pi:
        pi.wait("step=ready", 120)
        pi.wait("network drivers=", 120)
        shell = Shell(pi)
        check("without a radio the door works", not pi.matches("job_ended|network_failed|network_ended"))
        check("the program for the radio can run", any("wpa_supplicant v2" in row for row in shell("wpa_supplicant -v")))
        # The commands are short, as the shell breaks long ones into lines.
        modes = [shell(f"stat -c '%a %u' {file}") for file in ("/run/network", "/run/network/wifi.conf", "/data/latchkey.toml")]
        check(f"only the network and the job can read the password ({modes})", modes == [["700 1001"], ["600 1001"], ["640 0"]])
        check("and it is not in the log", not pi.matches(KEY))

    subprocess.run([Path(__file__).with_name("radios.prepare"), work], check=True)
    for what, key, state in (("the right password", KEY, "joined"), ("a wrong one", "wrong horse", "wrong_password")):
        card.put(f'[network]\nwifi = {{ name = "home", password = "{key}", country = "NL" }}\n{system}', "latchkey.toml")
        with Pi(card, work, extra="test=radios", test=work / "radios.cpio") as pi:
            pi.wait("step=ready", 120)
            pi.wait("@@ home", 120)
            _, found, _ = pi.wait(r"wifi state=(joined|wrong_password)", 120)
            check(f"{what}: the log has {found[1]}", found[1] == state)
            if found[1] == "joined":
                pi.wait(r"network address=10\.9\.0\.", 60)
                check(f"{what}: an address over the air", True)
                # This is the process of the card's radio, not that of the other radio.
                found = rights(Shell(pi), "[s]elf/fd/1")
                check(f"{what}: few rights {found if found != FEW else ''}", found == FEW)
            else:
                time.sleep(10)
                check(f"{what}: no address", not pi.matches(r"network address=10"))
            check(f"{what}: it is not in the log", not pi.matches(key))
    check.finish()


if __name__ == "__main__":
    main()
