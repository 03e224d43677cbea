# Runs in the emulated Pi with `test=faults,WHAT` on the kernel's command line: a resident is let in, and a fault happens while
# the relay is on.

what=$2
cd /test || exit
work=/test/bench
. ./lib.sh
for module in $(cat modules/order.txt); do
    case $module in
        vivid | softdog | lkdtm) ;;
        *) insmod "modules/$module.ko" 2> /dev/null ;;
    esac
done
camera_start scenes/empty.raw 640 480 YUYV 24
touch /test/camera
job() { pidof latchkey | tr ' ' '\n' | sort -n | while read -r p; do grep -q run "/proc/$p/cmdline" && echo "$p" && break; done; }
wait_for 120 pidof latchkey-guard
sleep 5
if [ "$what" = idle ]; then
    echo "@@ fault $what $(now)"
    kill -STOP "$(job)"
    exit
fi
scene visit-1 scenes/visit-1.raw
if [ "$what" = forgotten ]; then
    # No one is enrolled after the loss of the data.
    sleep 60
    echo "@@ end"
    exit
fi
# The relay is judged by what the kernel reports about the line, not by the log.
relay_up() { grep -qE 'gpio-?17 .*latchkey.* out hi' /sys/kernel/debug/gpio; }
mount -t debugfs debug /sys/kernel/debug
wait_for 90 relay_up || { echo "@@ no one was let in"; cat /sys/kernel/debug/gpio; }
# Waits until the hold time ends; then the next visit opens the door.
goes_on() {
    scene empty scenes/empty.raw
    until not relay_up; do usleep 100000; done
    sleep 5
    scene visit-2 scenes/visit-2.raw
    wait_for 90 relay_up && echo "@@ $what and well"
}
sleep 1
echo "@@ fault $what $(now)"
case $what in
    kill) kill -9 "$(job)" ;;
    # Kills both guards: the active one and the spare.
    # shellcheck disable=SC2046  # a list
    guard) kill -9 $(pidof latchkey-guard) ;;
    # Like a guard that sleeps where no signal wakes it, this guard answers no heartbeat and does not end.
    guard-stopped) kill -STOP "$(pidof latchkey-guard | tr ' ' '\n' | sort -n | head -n 1)" ;;
    broker) kill -9 "$(pidof latchkey-broker)" ;;
    hang) kill -STOP "$(job)" ;;
    camera) camera_unplug; sleep 5; camera_replug ;;
    panic) echo c > /proc/sysrq-trigger ;;
    # A fault that the kernel would survive. The kernel's module for such faults causes it, if Debian's kernel has that module.
    oops)
        echo "@@ on faults $(cd /proc/sys/kernel && grep -H . panic panic_on_oops softlockup_panic hardlockup_panic hung_task_panic 2> /dev/null | tr '\n' ' ')"
        insmod /test/modules/lkdtm.ko || { echo "@@ skipped oops"; exit; }
        echo BUG > /sys/kernel/debug/provoke-crash/DIRECT
        ;;
    # The first process hangs, and the job with it, so nothing feeds the watchdog. They are frozen, because no signal stops the
    # first process.
    watchdog)
        mkdir /test/groups
        mount -t cgroup2 groups /test/groups
        mkdir /test/groups/frozen
        for process in 1 $(job); do echo "$process" > /test/groups/frozen/cgroup.procs; done
        echo 1 > /test/groups/frozen/cgroup.freeze
        ;;
    full)
        fallocate -l "$(df -k /data | awk 'END { print ($4 - 2048) "k" }')" /data/full || echo "@@ not filled"
        dd if=/dev/zero of=/data/fuller bs=4k 2> /dev/null
        echo "@@ $(df -k /data | awk 'END { print $4 }') KiB left"
        goes_on
        ;;
    # This overwrites both places where the file system describes itself, and everything between them.
    destroyed)
        dd if=/dev/zero of=/dev/mmcblk0p3 bs=1M count=160 2> /dev/null
        sync
        goes_on
        ;;
    shutdown) kill -USR2 1 ;;
esac
