# timeout: 400
# The doorstep is played into a V4L2 output, and the door watches the camera at its other end. Generating pictures is slow here,
# and so is the play.

. ./program.sh
program_install
gpio_start latchkey-bench
trace_start
program_config 2000

play=5,visits=2,residents=1,strangers=1
latchkey doorstep visits $play
# The camera is set up with any frame; then it shows the play.
dd if=/dev/zero of="$work/black" bs="$(frame_bytes 640 480 YUYV)" count=1 2> /dev/null
camera_start "$work/black" 640 480 YUYV 24
player_stop
latchkey doorstep $play --fps 5 --to "$camera_out" > "$work/play.log" 2>&1 &
playing=$!
sleep 2
program_start
wait $playing
status=$?
cat "$work/play.log"
check "the play is shown to its end ($status)" test "$status" = 0
program_stop
grep -E ' (granted|refused|opened|closed) ' "$program_log" | cut -d' ' -f2-
check "the resident Ada is let in" grep -q " granted person=Ada " "$program_log"
others() { grep ' granted ' "$program_log" | grep -qv person=Ada; }
check "no one else is" not others
check "the relay went on" test "$(times_on)" -ge 1
finish
