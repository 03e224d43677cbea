#!/bin/sh
# The package is installed in a Debian with systemd, run as its unit, made to fail, and purged. This script runs in /bench, with
# the scripts of tests/vm for camera and pins.
cd /bench || exit
exec > /dev/ttyS0 2>&1
. ./lib.sh

relay=17
play=5,visits=2,residents=1,strangers=1
latchkey_as_its_user() { runuser -u latchkey -- latchkey --config /etc/latchkey/latchkey.toml "$@"; }
journal() { journalctl --no-pager --output=cat --unit latchkey; }
logged() { journal | grep -qE "$1"; }
times_logged() { journal | grep -cE "$1"; }
logged_again() { [ "$(times_logged "$1")" -gt "$2" ]; }
state() { systemctl show --property=ActiveState --value latchkey; }
main_process() { systemctl show --property=MainPID --value latchkey; }
is_active() { [ "$(state)" = active ]; }
relay_is() { gpio_is $relay "$1"; }

for module in $(cat /modules/order.txt); do
    [ "$module" = vivid ] || insmod "/modules/$module.ko" 2> /dev/null
done
mount -t configfs config /sys/kernel/config 2> /dev/null
gpio_start latchkey-bench
# The camera is set up with any frame; then it shows the play.
dd if=/dev/zero of="$work/black" bs="$(frame_bytes 640 480 YUYV)" count=1 2> /dev/null
camera_start "$work/black" 640 480 YUYV 24
player_stop

say "install"
check "the package installs" dpkg -i /latchkey.deb
udevadm settle
check "it starts nothing" test "$(state)" = inactive
check "its user may drive the pins" runuser -u latchkey -- test -w "/dev/$gpio_chip"
cat > /etc/latchkey/latchkey.toml << LINES
board = "bench"
gallery = "/var/lib/latchkey/latchkey.gallery"
[camera]
format = "yuyv"
[recognition]
# The processor is emulated, and generated people look more alike than real people.
watchdog_ms = 60000
threshold = 0.7
[door]
hold_ms = 60000
votes = 2
of = 3
vote_window_ms = 60000
[log]
names = true
LINES

say "enrol"
install -o latchkey -g latchkey -m 600 /gallery /var/lib/latchkey/latchkey.gallery
check "its user learns from photos" latchkey_as_its_user enroll Ada /photos/Ada/006.jpg /photos/Ada/007.jpg
check "and checks its outputs" latchkey_as_its_user run --check --outputs

say "run"
check "the unit starts" systemctl enable --now latchkey
check "it is ready" is_active
check "it is confined" logged "confined files=full calls=yes"
systemd-analyze --no-pager security latchkey | tail -n 1
check "the relay is off" relay_is 0
latchkey doorstep $play --fps 5 --to "$camera_out" > "$work/play.log" 2>&1 &
check "the resident Ada is let in" wait_for 120 logged " granted person=Ada "
check "the relay is on" wait_for 5 relay_is 1

say "kill"
kill -9 "$(main_process)"
check "killed: the relay goes off" wait_for 5 relay_is 0
# A line of this chip falls low when it is released. On other chips it keeps its level, and only the guard turns it off.
check "killed: it was the guard" wait_for 5 logged "guard: latchkey died; relay off"
check "killed: it is ready again" wait_for 60 logged_again "Started latchkey" 1

say "hang"
kill $! 2> /dev/null
systemctl restart latchkey
stopped=$(times_logged "Watchdog timeout")
kill -STOP "$(main_process)"
check "stopped: the watchdog finds it" wait_for 60 logged_again "Watchdog timeout" "$stopped"
check "stopped: it is ready again" wait_for 90 is_active

say "stop"
check "the unit stops" systemctl stop latchkey
check "by itself, not killed" not logged "State 'stop-sigterm' timed out"
check "the relay is off" relay_is 0
check "no guard stays" not pidof latchkey-guard

say "purge"
systemctl start latchkey
check "it is purged while it runs" dpkg --purge latchkey
check "nothing runs" not pidof latchkey latchkey-guard latchkey-broker
check "no one's face is left" test ! -e /var/lib/latchkey
check "nor its user" not getent passwd latchkey
check "nor its unit" test "$(systemctl show --property=LoadState --value latchkey)" = not-found
[ "$failures" = 0 ] || journal | tail -n 60
echo "@@ $failures failures"
systemctl poweroff
