# Helpers for scenarios: checks, processes, and (from their own files) the camera and the GPIO chip.
# For the guest's shell (busybox), sourced in /share. All times are seconds of CLOCK_MONOTONIC, the clock of V4L2's
# timestamps and, through `trace_start`, of the GPIO edges.

work=${work:-/tmp/bench}
mkdir -p "$work"
failures=0

say() { echo "-- $*"; }
die() {
    echo "FAIL: $*"
    keep_logs
    exit 1
}

# Copies the files that the helpers wrote to out/, where the scenario puts its own files.
keep_logs() { cp "$work"/*.log "$work/scenes" "$work/trace" out/ 2>/dev/null; }

# check WHAT COMMAND...: passes if the command succeeds. The scenario continues in any case; `finish` ends it.
check() {
    check_what=$1
    shift
    if "$@"; then
        echo "ok: $check_what"
    else
        echo "FAIL: $check_what ($*)"
        failures=$((failures + 1))
    fi
}

not() { ! "$@"; }

finish() {
    [ "$failures" = 0 ] || die "$failures checks failed"
    keep_logs
    echo "all checks passed"
    exit 0
}

# The resolution is 10 ms. The guest never sleeps, so the time since boot is the monotonic clock.
now() { cut -d' ' -f1 /proc/uptime; }

# within VALUE LOW HIGH, as decimal numbers. A value that is not a number is never within.
within() {
    awk -v v="$1" -v low="$2" -v high="$3" 'BEGIN { exit !(v ~ /^-?[0-9.]+$/ && v + 0 >= low + 0 && v + 0 <= high + 0) }'
}

minus() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.6f\n", a - b }'; }

# wait_for SECONDS COMMAND...: waits until the command succeeds; fails when the time is over.
wait_for() {
    wait_until=$(awk -v now="$(now)" -v s="$1" 'BEGIN { print now + s }')
    shift
    until "$@"; do
        within "$(now)" 0 "$wait_until" || return 1
        usleep 20000
    done
}

alive() { kill -0 "$1" 2>/dev/null; }
ended() { ! alive "$1"; }

# The resources of a process: descriptors, mapped camera buffers, resident memory in KiB.
descriptors() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
camera_maps() { grep -c '/dev/video' "/proc/$1/maps"; }
resident_kib() { awk '/^VmRSS:/ { print $2 }' "/proc/$1/status"; }

. ./camera.sh
. ./gpio.sh
