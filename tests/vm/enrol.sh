# timeout: 600
# Somebody is enrolled with the camera, and then opens the door with the same camera; somebody else does not.

. ./firmware.sh
firmware_install
gpio_start latchkey-bench
trace_start
firmware_config 2000

# Two photos of her, in turn: a look takes seconds here.
camera_start scenes/visit-1.1.raw 640 480 YUYV 24
say "enrolling"
latchkey enroll Ada --camera --count 2 > "$work/enrol.log" 2>&1 &
enrolling=$!
shown=0
while alive $enrolling; do
    shown=$((shown + 1))
    [ $((shown % 10)) != 0 ] || scene "ada$shown" "scenes/visit-$((1 + shown / 10 % 2 * 2)).1.raw"
    usleep 200000
done
wait $enrolling
status=$?
cat "$work/enrol.log"
check "enrolling ends with 0 ($status)" test "$status" = 0
check "with two pictures" grep -q '^Ada (p1): 2 of 2 pictures enrolled' "$work/enrol.log"
check "she is in the gallery" test "$(latchkey people | grep -c Ada)" = 1

# visit NAME FILE VERDICT: until the log has the verdict.
visit() {
    visit_from=$(now)
    scene "$1" "$2"
    check "$1: $3" firmware_says 90 "$visit_from" " $3"
}

scene nobody scenes/empty.1.raw
trace_clear
firmware_start
wait_for 60 looks "$firmware_since" || die "nothing is looked at"
visit stranger scenes/stranger-1.1.raw "refused "
check "a stranger: the relay was never on" test "$(times_on)" = 0
visit Ada scenes/visit-1.2.raw "granted person=Ada "
was_on() { [ "$(times_on)" = "$1" ]; }
check "Ada: the relay went on" wait_for 5 was_on 1
firmware_stop
check "the program ends with 0" test "$firmware_status" = 0
camera_stop
finish
