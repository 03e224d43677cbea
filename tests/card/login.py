"""The login on the serial console: it exists only if it is configured, and then it needs the right password.

usage: login.py IMAGE WORK
"""

import subprocess
import sys
import time
from pathlib import Path

from pi import Card, Checks, Pi

PASSWORD = "open sesame, please"


def digest():
    """The value of the key `console` for the test's password."""
    made = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True)
    return made.stdout.strip()


def tries(pi, password, since):
    """Answers both prompts, the first of which comes after line `since`. Returns the number of the line after it."""
    pi.wait_for_prompt("login: ", 60, since)
    # Text that was typed before the prompt is discarded.
    time.sleep(1)
    pi.type("root\r")
    since = len(pi.lines)
    pi.wait_for_prompt("Password: ", 60, since)
    time.sleep(1)
    pi.type(f"{password}\r")
    return since


def main():
    image, work = sys.argv[1], Path(sys.argv[2])
    work.mkdir(parents=True, exist_ok=True)
    check = Checks()
    card = Card(image, work / "card.img")

    card.put("# no console\n", "latchkey.toml")
    with Pi(card, work) as pi:
        at, _, _ = pi.wait("step=ready", 120)
        for typed in ("\r", "root\r", f"{PASSWORD}\r", "id\r"):
            pi.type(typed)
            time.sleep(3)
        pi.rest = b""
        prompts = pi.matches("login: |Password: |uid=|/bin/sh")
        check(f"without a password there is no login {prompts or ''}", not prompts)

    for kind, reason in (("$y$j9T$", "does not take"), ("", "no hash")):
        card.put(f'[system]\nconsole = "{kind}{PASSWORD.replace(" ", "")}"\n', "latchkey.toml")
        with Pi(card, work) as pi:
            pi.wait(f"setup_refused .*system.console: .*{reason}.*openssl passwd -6", 120)
            pi.wait("step=ready", 120)
            check(f"{kind or 'a password in the clear'}: refused, reported, and no login", not pi.matches("login: "))

    card.put(f'[system]\nconsole = "{digest()}"\n', "latchkey.toml")
    with Pi(card, work) as pi:
        pi.wait("step=ready", 120)
        since = tries(pi, PASSWORD.upper(), since=0)
        refused, _, _ = pi.wait("Login incorrect", 60, since)
        check("a wrong password is refused", not pi.matches("# $", since))
        since = tries(pi, PASSWORD, refused + 1)
        pi.wait_for_prompt("# ", 60, since)
        pi.type("id; kill -0 1 && echo well and alive\r")
        pi.wait(r"^uid=0\(root\)", 30, since)
        pi.wait("^well and alive", 30, since)
        check("the right one gets a shell as root", True)
        since = len(pi.lines)
        pi.type("exit\r")
        pi.wait(r"login_ended age_s=\d+ ", 30, since)
        pi.wait_for_prompt("login: ", 30, since)
        check("leaving the shell brings the login prompt back", True)
        check("the password and its hash are not in the log", not pi.matches(f"{PASSWORD}|\\$6\\$"))
    check.finish()


if __name__ == "__main__":
    main()
