# The program itself in a scenario: started as on a device, judged by its log and by what the kernel says its relay did.
# Wiring as in boards/bench.toml. The processor is emulated: a look takes some tenths of a second, more where the host is busy.

relay=17
button=27
firmware_log=$work/firmware.log
firmware=

# firmware_install: program, library and models into memory: from the shared folder every page would cost milliseconds.
firmware_install() {
    mkdir -p "$work/bin" "$work/gallery" || die "no room in memory"
    cp bin/* "$work/bin/" && cp -r models "$work/" || die "firmware_install: no program, or no models"
    # An empty gallery unless the scenario was given one.
    [ ! -e gallery ] || cp gallery "$work/gallery/people"
    export LD_LIBRARY_PATH="$work/bin"
    # The one line a look that recovery is judged by, and why a camera is still down.
    export LATCHKEY_LOG=info,latchkey::pipeline::recognition=debug,latchkey::capture=debug
    # The log has the time of day. busybox's date tells whole seconds only: one that begins just now is exact.
    firmware_second=$(date +%s)
    while firmware_day=$(date +%s) && [ "$firmware_day" = "$firmware_second" ]; do :; done
    firmware_midnight=$(awk -v uptime="$(now)" -v day="$firmware_day" 'BEGIN { printf "%.3f", day % 86400 - uptime }')
}

# firmware_config HOLD_MS: the configuration. Looks are slow here: bounds on how long they take are
# wide, and two are enough.
firmware_config() {
    cat > "$work/latchkey.toml" << LINES
board = "bench"
model_files = "$work/models"
gallery = "$work/gallery/people"
[camera]
format = "yuyv"
[recognition]
watchdog_ms = 60000
# People drawn by one hand are more alike than people are.
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

# firmware_start: `latchkey run` in the background, with a new log; the old ones stay in out/.
firmware_start() {
    [ ! -e "$firmware_log" ] || mv "$firmware_log" "$work/firmware.$(now).log"
    "$work/bin/latchkey" --config "$work/latchkey.toml" run > "$firmware_log" 2>&1 &
    firmware=$!
    firmware_since=$(now)
}

# The program, and the guard that it leaves behind when it is killed.
firmware_stop() {
    kill "$firmware" 2>/dev/null
    wait "$firmware" 2>/dev/null
    firmware_status=$?
    wait_for 8 not pidof latchkey-guard > /dev/null || die "a guard stays behind"
}

# told TIME PATTERN: when, on the monotonic clock, the log first said so after TIME; fails if it has not.
told() {
    awk -v after="$1" -v midnight="$firmware_midnight" -v pattern="$2" '
        match($1, /T[0-9:.]+Z$/) && $0 ~ pattern {
            split(substr($1, RSTART + 1, RLENGTH - 2), clock, ":")
            time = clock[1] * 3600 + clock[2] * 60 + clock[3] - midnight
            if (time < -43200) time += 86400
            # Half a tick of either clock.
            if (time >= after - 0.02) { printf "%.3f\n", time; found = 1; exit }
        }
        END { exit !found }' "$firmware_log"
}
says() { told "$@" > /dev/null; }

# firmware_says SECONDS TIME PATTERN: waits for the log to say so, after TIME.
firmware_says() { wait_for "$1" says "$2" "$3"; }

# The line itself without its time, for the table.
line_of() { grep -E "$1" "$firmware_log" | tail -n 1 | cut -d' ' -f2- | tr -s ' '; }

# looked_at TIME: when the first frame that was taken after TIME had been looked at. A frame of before may be looked at
# after.
looked_at() {
    told "$1" "looked frame=$(awk '$3 == "looked" { sub(/frame=/, "", $4); print $4 }' "$firmware_log" | awk -v after="$1" '$1 > after { print; exit }') "
}
looks() { looked_at "$1" > /dev/null; }

press() {
    gpio_pull $button down
    usleep 60000
    gpio_pull $button up
}

relay_is() { gpio_is $relay "$1"; }

# relay_on: by the exit button, which works whatever the camera shows.
relay_on() {
    trace_clear
    press
    wait_for 5 relay_is 1 || die "the exit button opens nothing: $(tail -n 3 "$firmware_log")"
}

# Only while the outputs are low: `edges` begins so.
trace_clear() { echo > "$gpio_tracing/trace"; }

# relay_edge TIME LEVEL: when the relay first went to LEVEL after TIME; fails if it has not.
relay_edge() {
    trace_dump "$work/trace"
    edges "$work/trace" $relay | awk -v after="$1" -v level="$2" '
        $1 >= after && $2 == level { print $1; found = 1; exit } END { exit !found }'
}

# How often the relay went on since trace_clear.
times_on() {
    trace_dump "$work/trace"
    edges "$work/trace" $relay | awk '$2 == 1' | wc -l
}
