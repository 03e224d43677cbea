# The GPIO chip of a scenario: gpio-sim, with every edge recorded by the kernel's tracing. A scenario presses buttons
# with gpio_pull, and reads outputs as a relay would see them with gpio_value and `edges`.

gpio_config=/sys/kernel/config/gpio-sim/bench
gpio_tracing=/sys/kernel/tracing

# gpio_start LABEL [LINES]: a chip with that label; its lines are named GPIO0, GPIO1, ...
gpio_start() {
    mkdir "$gpio_config" "$gpio_config/bank" || die "gpio_start: no gpio-sim, or a chip is there already"
    echo "$1" > "$gpio_config/bank/label"
    echo "${2:-32}" > "$gpio_config/bank/num_lines"
    for gpio_line in $(seq 0 $((${2:-32} - 1))); do
        mkdir "$gpio_config/bank/line$gpio_line"
        echo "GPIO$gpio_line" > "$gpio_config/bank/line$gpio_line/name"
    done
    echo 1 > "$gpio_config/live"
    gpio_chip=$(cat "$gpio_config/bank/chip_name")
    gpio_lines=/sys/devices/platform/$(cat "$gpio_config/dev_name")/$gpio_chip
    # The kernel's trace counts lines across all chips.
    gpio_base=$(for entry in /sys/class/gpio/gpiochip*; do
        [ "$(cat "$entry/label")" = "$1" ] && cat "$entry/base"
    done)
    [ -n "$gpio_base" ] || die "gpio_start: /sys/class/gpio does not show the number of the chip's first line"
    wait_for 5 test -c "/dev/$gpio_chip" || die "gpio_start: no /dev/$gpio_chip"
}

# Removes the chip, even while processes have its lines open. The calls of these processes then fail with ENODEV.
gpio_stop() {
    echo 0 > "$gpio_config/live"
    rmdir "$gpio_config"/bank/line* "$gpio_config/bank" "$gpio_config"
}

# The level on the pin, whether driven or pulled.
gpio_value() { cat "$gpio_lines/sim_gpio$1/value"; }
gpio_is() { [ "$(gpio_value "$1")" = "$2" ]; }

# gpio_pull LINE up|down
gpio_pull() { echo "pull-$2" > "$gpio_lines/sim_gpio$1/pull"; }

trace_start() {
    echo mono > "$gpio_tracing/trace_clock"
    # A line that is released, as the kernel does for a process that dies, falls back to its pull without any write, and
    # there is no event gpio_value. So the driver's own release is recorded as well.
    echo 'p:bench/release gpio_sim:gpio_sim_free line=$arg2:u32' > "$gpio_tracing/kprobe_events"
    echo > "$gpio_tracing/trace"
    echo 1 > "$gpio_tracing/events/gpio/gpio_value/enable"
    echo 1 > "$gpio_tracing/events/bench/release/enable"
}

# trace_dump FILE: what was recorded since trace_start; recording goes on.
trace_dump() { grep -v '^#' "$gpio_tracing/trace" > "$1"; }

# edges FILE LINE: one line `TIME LEVEL CAUSE` for every change of the level of an output; CAUSE is "set" or "release".
# The line is low before the first change, and goes low when released, because a scenario's outputs have no pull-up.
edges() {
    awk -v number=$((gpio_base + $2)) -v line="line=$2" '
        function edge(to, cause, time) {
            if (to == level) return
            level = to
            sub(/:$/, "", time)
            print time, level, cause
        }
        BEGIN { level = 0 }
        {
            for (i = 1; i < NF; i++) {
                if ($i == "gpio_value:" && $(i + 1) == number && $(i + 2) == "set") edge($(i + 3), "set", $(i - 1))
                if ($i == "release:" && $NF == line) edge(0, "release", $(i - 1))
            }
        }' "$1"
}
