# The program itself in a scenario. It is started as on a device, and judged by its log and by the kernel's trace of its relay.
# The wiring is that of boards/bench.toml. The processor is emulated, so a look takes some tenths of a second, and more if the
# host is busy.

relay=17
button=27
program_log=$work/program.log
program=

# program_install: copies program, library and models into memory, because every page from the shared folder takes milliseconds.
program_install() {
    mkdir -p "$work/bin" "$work/gallery" || die "no room in memory"
    cp bin/* "$work/bin/" && cp -r models "$work/" || die "program_install: no program, or no models"
    # An empty gallery unless the scenario was given one.
    [ ! -e gallery ] || cp gallery "$work/gallery/people"
    export LD_LIBRARY_PATH="$work/bin"
    # These levels add a line for each look, by which recovery is judged, and the reason why a camera is still down.
    export LATCHKEY_LOG=info,latchkey::pipeline::recognition=debug,latchkey::capture=debug
    # The log has the time of day. busybox's date prints whole seconds only, which are exact when a second begins.
    program_second=$(date +%s)
    while program_day=$(date +%s) && [ "$program_day" = "$program_second" ]; do :; done
    program_midnight=$(awk -v uptime="$(now)" -v day="$program_day" 'BEGIN { printf "%.3f", day % 86400 - uptime }')
}

# program_config HOLD_MS: writes the configuration. Looks are slow here, so the limits on their time
# are wide, and two looks are enough.
program_config() {
    cat > "$work/latchkey.toml" << LINES
board = "bench"
model_files = "$work/models"
gallery = "$work/gallery/people"
[camera]
format = "yuyv"
[recognition]
watchdog_ms = 60000
# Generated people look more alike than real people.
threshold = 0.7
[door]
hold_ms = $1
votes = 2
of = 3
vote_window_ms = 60000
[log]
names = true
LINES
}

latchkey() { "$work/bin/latchkey" --config "$work/latchkey.toml" "$@"; }

# program_start: starts `latchkey run` in the background, with a new log; the old ones stay in out/.
program_start() {
    [ ! -e "$program_log" ] || mv "$program_log" "$work/program.$(now).log"
    "$work/bin/latchkey" --config "$work/latchkey.toml" run > "$program_log" 2>&1 &
    program=$!
    program_since=$(now)
}

# Stops the program, and waits for the guard that a killed program leaves behind.
program_stop() {
    kill "$program" 2>/dev/null
    wait "$program" 2>/dev/null
    program_status=$?
    wait_for 8 not pidof latchkey-guard > /dev/null || die "a guard stays behind"
}

# logged_at TIME PATTERN: the monotonic time of the log's first line with PATTERN after TIME; fails if there is none.
logged_at() {
    awk -v after="$1" -v midnight="$program_midnight" -v pattern="$2" '
        match($1, /T[0-9:.]+Z$/) && $0 ~ pattern {
            split(substr($1, RSTART + 1, RLENGTH - 2), clock, ":")
            time = clock[1] * 3600 + clock[2] * 60 + clock[3] - midnight
            if (time < -43200) time += 86400
            # The tolerance is half a tick of either clock.
            if (time >= after - 0.02) { printf "%.3f\n", time; found = 1; exit }
        }
        END { exit !found }' "$program_log"
}
logged() { logged_at "$@" > /dev/null; }

# logged_within SECONDS TIME PATTERN: waits up to SECONDS for a line with PATTERN that was logged after TIME.
logged_within() { wait_for "$1" logged "$2" "$3"; }

# line_of PATTERN: the last line with PATTERN, without its time, for the table.
line_of() { grep -E "$1" "$program_log" | tail -n 1 | cut -d' ' -f2- | tr -s ' '; }

# looked_at TIME: the time at which the first frame taken after TIME had been looked at. A frame from before TIME may be looked at
# later and does not count.
looked_at() {
    logged_at "$1" "looked frame=$(awk '$3 == "looked" { sub(/frame=/, "", $4); print $4 }' "$program_log" | awk -v after="$1" '$1 > after { print; exit }') "
}
looks() { looked_at "$1" > /dev/null; }

press() {
    gpio_pull $button down
    usleep 60000
    gpio_pull $button up
}

relay_is() { gpio_is $relay "$1"; }

# relay_on: turns the relay on by the exit button, which works whatever the camera shows.
relay_on() {
    trace_clear
    press
    wait_for 5 relay_is 1 || die "the exit button opens nothing: $(tail -n 3 "$program_log")"
}

# Call this only while the outputs are low, because `edges` assumes that they are low at first.
trace_clear() { echo > "$gpio_tracing/trace"; }

# relay_edge TIME LEVEL: the time at which the relay first went to LEVEL after TIME; fails if it has not.
relay_edge() {
    trace_dump "$work/trace"
    edges "$work/trace" $relay | awk -v after="$1" -v level="$2" '
        $1 >= after && $2 == level { print $1; found = 1; exit } END { exit !found }'
}

# The number of times that the relay went on since trace_clear.
times_on() {
    trace_dump "$work/trace"
    edges "$work/trace" $relay | awk '$2 == 1' | wc -l
}
