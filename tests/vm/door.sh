# The door in use: enrolled people, strangers, things and an empty scene in front of the camera, in three pixel formats;
# relay, LEDs and button as the kernel's trace recorded them. door.prepare makes the scenes.
#
#   scripts/vm/scenario door [-- FORMAT...]
#
# timeout: 1800
#
# The table goes to out/door.txt: when the relay's line rose and fell, how long it was up, when the deciding frame
# was taken (V4L2's timestamp), and how long after that the line rose. All times are from one clock.

relay=17 status=22 granted=23 refused=24 button=27
hold_ms=$(sed -n 's/^hold_ms = //p' door.toml)
# A verdict takes two or three looks; a look takes seconds here, and more if the host is busy.
patience=90
# For a scene without a face: long enough for several looks, and for at least two flashes of the status LED.
quiet=4.5
log=$work/door.log
table=out/door.txt

door_start() {
    { cat door.toml; echo "format = \"$1\""; } > "door.$1.toml"
    : > "$log"
    bin/latchkey run --config "door.$1.toml" --source "$(camera_device)" 2> "$log" &
    door=$!
    wait_for 60 log_has 'gallery people=2' || die "no gallery: $(tail -n 5 "$log")"
    wait_for 60 log_has camera_up || die "no camera: $(tail -n 5 "$log")"
}

log_has() { grep -q " $1" "$log"; }
log_lines() { wc -l < "$log"; }
# log_since COUNT: the lines of the log after the first COUNT.
log_since() { tail -n +$(($1 + 1)) "$log"; }
verdict_since() { log_since "$1" | grep -qE ' (granted|refused|locked_out) '; }

# pulses LINE FROM UNTIL: `UP DOWN` for every rise of the line between these times.
pulses() {
    edges "$work/trace" "$1" | awk -v from="$2" -v until="$3" '
        $2 == 1 { up = $1 }
        $2 == 0 && up >= from + 0 && up < until + 0 { print up, $1; up = "" }
        $2 == 0 { up = "" }
        END { if (up != "" && up >= from + 0 && up < until + 0) print up, "never" }'
}
count() { echo "$1" | grep -c .; }
same() { [ "$1" = "$2" ]; }
lasts() { awk -v up="$1" -v down="$2" 'BEGIN { if (down == "never") print "never"; else printf "%.1f\n", (down - up) * 1000 }'; }

row() { printf '%-6s %-11s %-9s %14s %14s %9s %14s %9s\n' "$@" | tee -a "$table"; }

# show NAME WHO FRAMES: shows the scene until there is a verdict about the face, or for some seconds if it has no face;
# then shows an empty scene, until the relay is off. All of this happens between show_from and show_until.
show() {
    show_lines=$(log_lines)
    scene "$1" "scenes/$format/$1.1.raw"
    show_from=$(wait_for 5 scene_start "$1") || die "$1 was never on display"
    if [ "$2" = none ]; then
        sleep "$quiet"
    else
        # The face moves now and then, and back.
        show_turn=0
        while ! verdict_since "$show_lines" && within "$(now)" 0 "$(awk -v from="$show_from" -v s=$patience 'BEGIN { print from + s }')"; do
            show_turn=$((show_turn + 1))
            [ $((show_turn % 10)) != 0 ] || scene "$1+" "scenes/$format/$1.$((1 + show_turn / 10 % $3)).raw"
            usleep 200000
        done
    fi
    scene no-face "scenes/$format/empty.1.raw"
    # Long enough for three blinks, and for a face to be forgotten.
    sleep 1.5
    wait_for 10 gpio_is $relay 0 || die "the relay stays on"
    show_until=$(now)
}

press() {
    press_from=$(now)
    gpio_pull $button down
    usleep 150000
    gpio_pull $button up
    wait_for 5 gpio_is $relay 1 || say "the button did nothing"
    wait_for 10 gpio_is $relay 0 || die "the relay stays on"
    usleep 100000
    press_until=$(now)
}

# check_pulse WHAT FROM UNTIL: checks that the relay has one pulse of the right length, and the green LED, too. Sets up, down,
# held.
check_pulse() {
    pulse=$(pulses $relay "$2" "$3")
    check "$1: one pulse of the relay" same "$(count "$pulse")" 1
    up=${pulse%% *} down=${pulse##* }
    down=${down:-never}
    held=$(lasts "$up" "$down")
    check "$1: held for $held ms" within "$held" $((hold_ms * 9 / 10 - 50)) $((hold_ms * 11 / 10 + 50))
    green=$(pulses $granted "$2" "$3")
    check "$1: one pulse of the green LED" same "$(count "$green")" 1
    check "$1: which comes with the relay" within "$(minus "${green%% *}" "$up")" -0.1 0.25
    check "$1: and goes with it" within "$(minus "${green##* }" "$down")" -0.1 0.25
}

check_shut() {
    check "$1: the relay stays off" same "$(pulses $relay "$2" "$3")" ""
    check "$1: the green LED stays dark" same "$(pulses $granted "$2" "$3")" ""
}

# check_scene NAME WHO FROM UNTIL: checks the outputs by the trace and the person by the log's lines in $work/lines.
check_scene() {
    what="$format $1 ($2)"
    verdicts=$(grep -oE ' (granted person=[^ ]*|refused|locked_out) ' "$work/lines" | tr -d '\n')
    frame='-' delay='-'
    case $2 in
        none)
            check "$what: no verdict" same "$verdicts" ""
            check_shut "$what" "$3" "$4"
            ;;
        stranger)
            check "$what: refused once" same "$verdicts" " refused "
            check_shut "$what" "$3" "$4"
            blinks=$(pulses $refused "$3" "$4")
            check "$what: the red LED blinks three times" same "$(count "$blinks")" 3
            for blink in $(echo "$blinks" | tr ' ' ,); do
                check "$what: for 200 ms" within "$(lasts "${blink%,*}" "${blink#*,}")" 150 400
            done
            ;;
        *)
            check "$what: granted once, to the right person" same "$verdicts" " granted person=$2 "
            check_pulse "$what" "$3" "$4"
            frame=$(sed -n 's/.* granted .*frame=\([0-9.]*\).*/\1/p' "$work/lines")
            check "$what: the deciding frame shows the scene" within "$frame" "$3" "$up"
            delay=$(awk -v up="$up" -v frame="$frame" 'BEGIN { printf "%.1f", (up - frame) * 1000 }')
            ;;
    esac
    [ "$2" = stranger ] || check "$what: the red LED stays dark" same "$(pulses $refused "$3" "$4")" ""
    pulse=$(pulses $relay "$3" "$4" | head -n 1)
    if [ -z "$pulse" ]; then row "$format" "$1" "$2" - - - - -
    else row "$format" "$1" "$2" "${pulse%% *}" "${pulse##* }" "$(lasts $pulse)" "$frame" "$delay"
    fi
}

check_idle() {
    flashes=$(pulses $status "$1" "$2")
    check "$format idle: the status LED flashes every two seconds ($(count "$flashes") times)" within "$(count "$flashes")" 2 4
    last=
    for flash in $(echo "$flashes" | tr ' ' ,); do
        check "$format idle: for 50 ms" within "$(lasts "${flash%,*}" "${flash#*,}")" 30 200
        [ -z "$last" ] || check "$format idle: every 2 s" within "$(minus "${flash%,*}" "$last")" 1.8 2.3
        last=${flash%,*}
    done
}

gpio_start latchkey-bench
trace_start
: > "$table"
[ $# != 0 ] || set -- yuyv nv12 grey
for format; do
    say "$format"
    begun=$(now)
    fourcc=$(echo "$format" | tr a-z A-Z)
    camera_start "scenes/$format/empty.1.raw" 640 480 "$fourcc" 24
    door_start "$format"
    check "$format: it is the camera's format" grep -q "camera_up .*format=$fourcc size=640x480" "$log"
    check "$format: the relay is off at start" gpio_is $relay 0
    say "started in $(minus "$(now)" "$begun") s"
    press
    : > "$work/shown"
    while read -r name who frames; do
        show "$name" "$who" "$frames"
        log_since "$show_lines" > "$work/lines.$name"
        echo "$name $who $show_from $show_until" >> "$work/shown"
        say "$name ($who) took $(minus "$show_until" "$show_from") s"
    done < "scenes/$format/truth"
    kill "$door"
    wait "$door"
    check "$format: ends in order" same $? 0
    camera_stop
    trace_dump "$work/trace"

    row format scene who up down held_ms frame delay_ms
    check_pulse "$format button" "$press_from" "$press_until"
    row "$format" button - "$up" "$down" "$held" - "-"
    while read -r name who from until; do
        mv "$work/lines.$name" "$work/lines"
        check_scene "$name" "$who" "$from" "$until"
        [ "$name" != empty ] || check_idle "$from" "$until"
    done < "$work/shown"
    visits=$(grep -c -v -E ' (stranger|none) ' "$work/shown")
    check "$format: no other pulse of the relay" same "$(count "$(pulses $relay "$begun" "$(now)")")" $((visits + 1))
    check "$format: the button is logged" grep -q 'opened by=button' "$log"
    check "$format: no fault" not grep -qE 'camera_down|fault what|_lost|suppressed' "$log"
    mv "$log" "$work/door.$format.log"
    say "$format took $(minus "$(now)" "$begun") s"
done
echo
cat "$table"
finish
