# Faults of the camera, for `faults`. One process goes through all of them, except the first.

# fault WHAT PATTERN SECONDS COMMAND...: COMMAND causes the fault while the relay is on. The relay goes off within SECONDS, and
# the log has a line with PATTERN.
fault() {
    fault_what=$1 fault_pattern=$2 fault_soon=$3
    shift 3
    relay_on
    fault_at=$(now)
    "$@"
    off_within "$fault_what" "$fault_at" "$fault_soon"
    check "$fault_what: logged" logged_within 2 "$fault_at" "$fault_pattern"
    fault_line=$(line_of "$fault_pattern")
}

# over TIME: the fault of the last `fault` was over at TIME.
over() {
    back_within "$fault_what" "$1" 10
    check "$fault_what: its end is logged" logged "$fault_at" ' camera_(back|up) '
    check "$fault_what: the relay stays off by itself" relay_is 0
    row "$fault_what" "$off" "$fault_line" "$back"
}

settled() { [ "$(camera_maps "$program")" = "$1" ]; }

# replugged: plugs the camera in with frames to show. This takes several steps here, which the program must not see. The
# program must have closed the camera before that; otherwise the camera would come back under another number.
replugged() {
    wait_for 5 settled 0
    kill -STOP "$program"
    camera_replug
    camera_start "$work/empty" 640 480 YUYV 24
    kill -CONT "$program"
}

say "no camera at start"
camera_stop
! camera_present || camera_unload
trace_clear
program_start
check "no camera: logged" logged_within 20 "$program_since" 'camera_down path=/dev/video0'
check "no camera: the relay was never on" test "$(times_on)" = 0
absent=$(line_of camera_down)
relay_on
check "no camera: the exit button opens all the same" relay_is 1
plugged=$(now)
camera_load
back_within "no camera at start" "$plugged" 10
row "no camera at start" "never on" "$absent" "$back"
program_stop
check "the program ends with 0" test "$program_status" = 0
camera_start "$work/empty" 640 480 YUYV 24
program_start
ready "after a new start"

say "all frames dropped for 5 s"
drop() { camera_set percentage_of_dropped_buffers=100; }
fault "all frames dropped for 5 s" 'camera_down .*no frame for 2' 5 drop
sleep "$(awk -v from="$fault_at" -v now="$(now)" 'BEGIN { d = from + 5 - now; print (d > 0 ? d : 0) }')"
ended=$(now)
camera_set percentage_of_dropped_buffers=0
over "$ended"
recognises "all frames dropped for 5 s"

say "a fatal streaming error"
fault "EIO from the driver" 'camera_down .*(VIDIOC_Q|VIDIOC_DQ|poll)' 3 camera_set inject_fatal_streaming_error=1
over "$fault_at"
# The player met the same error.
player_start "$work/empty"
recognises "EIO from the driver"

say "disconnected: the node stays, every call fails"
fault "ENODEV from the driver" 'camera_down .*unplugged' 3 camera_set disconnect=1
# The node works again once all processes have closed it. Without the player, the camera shows noise after this.
ended=$(now)
player_stop
over "$ended"
player_start "$work/empty"
recognises "ENODEV from the driver"

say "unplugged and plugged in again"
fault "unplugged" 'camera_down .*unplugged' 3 camera_unplug
replugged
over "$(now)"
recognises "unplugged"

say "buffers flagged ERROR"
# Each call of `camera_set` flags only the next frame. At two frames a second, the calls are fast enough to flag every frame. The
# driver can be this slow only while it shows its test pattern, so the camera is plugged in again first.
at=$(now)
camera_unplug
logged_within 5 "$at" camera_down
wait_for 5 settled 0
camera_replug
wait_for 10 looks "$(now)"
v4l2-ctl -d "$(camera_device)" --set-parm=2 > /dev/null
relay_on
flag_at=$(now)
camera_set inject_v4l2_buf_flag_error=1
usleep 1000000
check "one damaged frame: the relay stays on" relay_is 1
check "one damaged frame: no fault" not logged "$flag_at" camera_down
row "one buffer flagged ERROR" "stays on" "nothing: a damaged frame is no fault" "-"
flag() { while [ -e "$work/flagging" ]; do camera_set inject_v4l2_buf_flag_error=1 2> /dev/null; done; }
flag_on() {
    : > "$work/flagging"
    flag &
    flagger=$!
}
# Frames are flagged until the program gives up on the stream. The next stream that it starts has another rate, at which some
# frames are not flagged.
fault_at=$(now)
flag_on
off_within "every buffer flagged ERROR" "$fault_at" 5
check "every buffer flagged ERROR: logged" logged_within 2 "$fault_at" 'camera_down .*only damaged frames'
fault_what="every buffer flagged ERROR" fault_line=$(line_of 'only damaged frames')
rm "$work/flagging"
wait $flagger
over "$(now)"

say "unplugged 50 times"
held() { echo "$(descriptors "$program") descriptors, $(camera_maps "$program") mappings, $(resident_kib "$program") KiB"; }
maps=$(camera_maps "$program")
fds=$(descriptors "$program")
longest=0 slowest=0
downs=$(grep -c camera_down "$program_log")
backs=$(grep -c camera_back "$program_log")
for round in $(seq 50); do
    [ $((round % 10)) != 1 ] || relay_on
    gone=$(now)
    camera_unplug
    logged_within 5 "$gone" camera_down || { check "unplugged $round times: logged" false; break; }
    if [ $((round % 10)) = 1 ]; then
        off_within "unplugged, round $round" "$gone" 3
        [ "$off" -le "$longest" ] || longest=$off
    fi
    # A leased frame goes back once it was looked at.
    wait_for 5 settled 0 || { check "unplugged $round times: mappings go" false; break; }
    returned=$(now)
    camera_replug
    wait_for 10 looks "$returned" || { check "unplugged $round times: recognition is back" false; break; }
    took=$(seconds "$(looked_at "$returned")" "$returned")
    slowest=$(awk -v a="$slowest" -v b="$took" 'BEGIN { print (b > a ? b : a) }')
    if [ "$round" = 5 ]; then early=$(resident_kib "$program"); fi
    [ $((round % 10)) != 0 ] || say "after $round: $(held)"
done
check "50 times: all rounds done" test "$round" = 50
downs=$(($(grep -c camera_down "$program_log") - downs))
backs=$(($(grep -c camera_back "$program_log") - backs))
check "50 times: each logged once ($downs down, $backs back)" test "$downs $backs" = "50 50"
check "50 times: no line of the log lost" not grep -q suppressed "$program_log"
check "50 times: descriptors as before ($fds, now $(descriptors "$program"))" test "$(descriptors "$program")" = "$fds"
check "50 times: mappings as before ($maps, now $(camera_maps "$program"))" test "$(camera_maps "$program")" = "$maps"
late=$(resident_kib "$program")
check "50 times: memory flat ($early KiB after 5, $late after 50)" within "$(minus "$late" "$early")" -100000 512
row "unplugged and back 50 times" "$longest" "$downs camera_down, $backs camera_back; $(held), $early KiB after 5" "$slowest"
at=$(now)
camera_unplug
logged_within 5 "$at" camera_down
replugged
wait_for 10 looks "$(now)"
recognises "unplugged 50 times"
check "one process survived all of it" alive "$program"
program_stop
check "and ends with 0" test "$program_status" = 0
