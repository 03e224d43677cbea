# Faults of the outputs and of the program's processes, for `faults`.

camera_stop
camera_start "$work/empty" 640 480 YUYV 24

# restarted WHAT TIME: starts the program again at once, as its supervisor would. Lines and camera are free, and the relay
# stays off.
restarted() {
    trace_clear
    program_start
    back_within "$1" "$2" 30
    check "$1: the relay stays off after the new start" test "$(times_on)" = 0
}

say "GPIO chip removed and returned"
program_start
ready "at the start"
relay_on
gone=$(now)
gpio_stop
check "chip removed: logged" logged_within 3 "$gone" outputs_lost
lost=$(logged_at "$gone" outputs_lost) && lost=$(milliseconds "$lost" "$gone")
check "chip removed: noticed soon ($lost ms)" within "$lost" 0 3000
check "chip removed: the door is shut" logged "$gone" ' closed '
check "chip removed: the program goes on" alive "$program"
check "chip removed: recognition goes on" wait_for 5 looks "$(now)"
line=$(line_of outputs_lost)
trace_clear
returned=$(now)
gpio_start latchkey-bench
check "chip returned: logged" logged_within 5 "$returned" 'fault_over what=outputs'
back=$(logged_at "$returned" 'fault_over what=outputs') && back=$(seconds "$back" "$returned")
usleep 500000
check "chip returned: the relay does not go on by itself" test "$(times_on)" = 0
relay_on
check "chip returned: the button opens again" relay_is 1
row "GPIO chip removed and returned" "gone with it, logged after $lost" "$line" "$back"

say "GPIO chip removed while the camera is down, door opened by the button"
# One fault during another: the button turned the relay on, and the relay must not go on again when the chip returns.
at=$(now)
camera_set percentage_of_dropped_buffers=100
check "camera down" logged_within 10 "$at" camera_down
wait_for 5 relay_is 0
relay_on
gone=$(now)
gpio_stop
check "chip removed: logged" logged_within 3 "$gone" outputs_lost
trace_clear
returned=$(now)
gpio_start latchkey-bench
check "chip returned: logged" logged_within 5 "$returned" 'fault_over what=outputs'
usleep 500000
check "chip returned: the relay does not go on by itself" test "$(times_on)" = 0
camera_set percentage_of_dropped_buffers=0
back_within "chip and camera" "$(now)" 10
check "chip and camera: the relay is off" relay_is 0
row "chip removed during a camera fault" "stays off" "$(line_of outputs_lost)" "$back"

say "both guards killed"
relay_on
at=$(now)
# shellcheck disable=SC2046  # a list
kill -9 $(pidof latchkey-guard)
off_within "guard killed" "$at" 3
check "guard killed: logged" logged_within 2 "$at" guard_lost
check "guard killed: another one watches" logged_within 5 "$at" 'fault_over what=guard'
back=$(logged_at "$at" 'fault_over what=guard') && back=$(seconds "$back" "$at")
row "both guards killed" "$off" "$(line_of guard_lost)" "$back"

# The active guard is stopped and traced, as if it slept where no signal wakes it. Not even its end is noticed.
guards() { pidof latchkey-guard | tr ' ' '\n' | sort -n; }
two_guards() { [ "$(guards | wc -l)" = 2 ]; }
say "the active guard stopped and traced"
wait_for 10 two_guards
relay_on
stuck=$(guards | head -n 1)
strace -qq -o /dev/null -p "$stuck" &
tracer=$!
usleep 300000
at=$(now)
kill -STOP "$stuck"
off_within "guard stopped" "$at" 2
check "guard stopped: logged" logged_within 2 "$at" guard_lost
trace_clear
pressed=$(now)
press
check "guard stopped: the button opens" wait_for 5 relay_is 1
served=$(milliseconds "$(relay_edge "$pressed" 1)" "$pressed")
echo "   pressed to relay on: $served ms"
row "guard stopped and traced" "$off" "$(line_of guard_lost)" "button served after $served ms"
kill "$tracer"
kill -9 "$stuck" 2> /dev/null
wait_for 30 relay_is 0

say "the broker killed"
relay_on
at=$(now)
kill -9 "$(pidof latchkey-broker)"
off_within "broker killed" "$at" 3
check "broker killed: logged" logged_within 2 "$at" broker_lost
wait "$program"
status=$?
check "broker killed: ends with 3 ($status), for its supervisor to start it again" test "$status" = 3
line=$(line_of broker_lost)
restarted "broker killed" "$(now)"
row "broker killed" "$off" "$line" "$back"

say "SIGTERM with the relay on"
relay_on
at=$(now)
kill -TERM "$program"
off_within "SIGTERM" "$at" 3
check "SIGTERM: by the program itself" test "$(edges "$work/trace" $relay | awk '$2 == 0 { print $3; exit }')" = set
wait "$program"
status=$?
check "SIGTERM: ends with 0 ($status)" test "$status" = 0
check "SIGTERM: logged" logged "$at" 'stopping signal=term'
line=$(line_of 'stopping signal')
wait_for 8 not pidof latchkey-guard > /dev/null
check "SIGTERM: nothing left behind" not pidof latchkey-guard latchkey-broker latchkey
restarted "SIGTERM" "$(now)"
row "SIGTERM with the relay on" "$off" "$line" "$back"

# signalled WHAT SIGNAL SECONDS LINE: sends SIGNAL with the relay on; the guard turns the relay off and logs LINE.
signalled() {
    say "$1"
    relay_on
    at=$(now)
    kill "-$2" "$program"
    off_within "$1" "$at" "$3"
    check "$1: the guard turns it off" logged_within 5 "$at" "guard: $4; relay off"
    line=$(line_of 'guard: ')
    restarted "$1" "$(now)"
    row "$1, relay on" "$off" "$line" "$back"
}
signalled SIGKILL KILL 3 "latchkey died"
recognises SIGKILL
signalled "SIGABRT, as a panic ends the program" ABRT 3 "latchkey died"
signalled "hung (SIGSTOP)" STOP 4 "latchkey hung with the relay on and was killed"
program_stop

say "no GPIO chip at start"
gpio_stop
at=$(now)
program_start
wait "$program"
status=$?
check "no chip: ends with 3 ($status)" test "$status" = 3
check "no chip: logged" grep -q 'chip = .*latchkey-bench.*no such GPIO chip' "$program_log"
row "no GPIO chip at start" "never on" "exit 3: $(line_of cannot_run)" "-"
gpio_start latchkey-bench
trace_clear
