# Checks the bench with stand-ins for the product: what goes into the camera comes out of it, edges are recorded when they
# happen, and every fault has the effect that scenarios rely on.

# Distinct frames: numbered, so that a captured frame can be identified, and noisy, so that a shifted or
# converted frame is different from all of them.
make_frames() {
    rm -f "$work"/frame.*
    for n in 0 1 2 3; do
        dd if=/dev/urandom of="$work/frame.$n" bs="$1" count=1 iflag=fullblock 2>/dev/null
        md5sum < "$work/frame.$n" > "$work/sum.$n"
    done
    cat "$work/frame.1" "$work/frame.2" "$work/frame.3" > "$work/frame.run"
}

# frame_numbers FILE BYTES: the numbers of the captured frames, "?" for any other frame.
frame_numbers() {
    captured=0
    while [ $((captured * $2)) -lt "$(stat -c %s "$1")" ]; do
        sum=$(dd if="$1" bs="$2" skip=$captured count=1 2>/dev/null | md5sum)
        number='?'
        for n in 0 1 2 3; do [ "$sum" != "$(cat "$work/sum.$n")" ] || number=$n; done
        printf '%s' "$number"
        captured=$((captured + 1))
    done
    echo
}

is() { [ "$1" = "$2" ]; }
same_count() { [ "$1" -eq "$2" ]; }
matches() { echo "$1" | grep -qE "$2"; }

say "neural networks need AVX2 and FMA"
check "the CPU has AVX2" grep -qw avx2 /proc/cpuinfo
check "the CPU has FMA" grep -qw fma /proc/cpuinfo

for format in "YUYV 640 480 30" "NV12 640 480 30" "GREY 640 480 30" "YU12 320 240 60" "YUYV 1280 720 24"; do
    set -- $format
    say "$1 $2x$3 at $4 frames a second"
    bytes=$(frame_bytes "$2" "$3" "$1")
    make_frames "$bytes"
    camera_start "$work/frame.0" "$2" "$3" "$1" "$4"
    : > "$work/capture.log"
    capture 20 "$work/capture" &
    capturing=$!
    wait_for 5 grep -q '^cap dqbuf' "$work/capture.log"
    scene moving "$work/frame.run"
    wait $capturing
    shown=$(frame_numbers "$work/capture" "$bytes")
    check "only our frames, unchanged and in order: $shown" matches "$shown" '^0+1*2*3+$'
    from=$(scene_start moving)
    first=$(stamps "$work/capture.log" | sed -n "$(echo "$shown" | sed 's/[1-3].*//' | wc -c)p")
    check "none shows the scene before its start, and soon after ($(minus "$first" "$from") s) one does" within "$(minus "$first" "$from")" 0 0.5
    rate=$(stamps "$work/capture.log" | awk 'NR == 1 { a = $1 } { b = $1 } END { printf "%.1f", (NR - 1) / (b - a) }')
    say "captured at $rate frames a second"
    camera_stop
done

say "a timeline"
bytes=$(frame_bytes 640 480 GREY)
make_frames "$bytes"
camera_start "$work/frame.0" 640 480 GREY 30
timeline << LINES
0.5 first $work/frame.1
0.5 second $work/frame.run moving
0.3 third $work/frame.0
LINES
lasted=$(minus "$(scene_start second)" "$(scene_start first)")
check "the first scene lasts half a second ($lasted s)" within "$lasted" 0.45 3
lasted=$(minus "$(scene_start third)" "$(scene_start second)")
check "the second scene lasts half a second ($lasted s)" within "$lasted" 0.45 3

say "different formats on both sides"
v4l2-ctl -d "$(camera_device)" --set-fmt-video=width=640,height=480,pixelformat=YUYV
capture 5 "$work/capture"
check "is noise, not our frames" is "$(frame_numbers "$work/capture" 614400)" '?????'
v4l2-ctl -d "$(camera_device)" --set-fmt-video=width=640,height=480,pixelformat=GREY

say "faults of the camera"
stream() {
    capture 100000 /dev/null "$work/stream.log" &
    # v4l2-ctl is a child of the function's shell
    wait_for 5 grep -q '^cap dqbuf' "$work/stream.log"
    streamer=$(pidof v4l2-ctl | tr ' ' '\n' | grep -vx "$player" | head -n 1)
}
frames() { stamps "$work/stream.log" | wc -l; }
stream_logs() { wait_for 5 grep -q "$@" "$work/stream.log"; }

: > "$work/stream.log"
stream
check "the stand-in maps four buffers" same_count "$(camera_maps "$streamer")" 4
check "its descriptors can be counted" within "$(descriptors "$streamer")" 4 20
check "its memory can be read" within "$(resident_kib "$streamer")" 500 50000
check "a held camera cannot be unloaded" not camera_unload 2>/dev/null
camera_set inject_v4l2_buf_flag_error=1
check "a frame is marked as broken" stream_logs '(error'
camera_set percentage_of_dropped_buffers=100
usleep 300000
before=$(frames)
usleep 300000
check "dropping all frames stops the stream" same_count "$(frames)" "$before"
camera_set percentage_of_dropped_buffers=0
usleep 300000
check "and lets it go on" not same_count "$(frames)" "$before"
camera_set inject_fatal_streaming_error=1
# Whichever of the two calls comes next is the one that fails.
check "a fatal error is reported" stream_logs -E 'VIDIOC_DQBUF: failed: Input/output error|qbuf error'
check "and ends the stand-in" wait_for 5 ended "$streamer"
for call in reqbufs streamon; do
    camera_set inject_vidioc_${call}_error=1
    capture 1 /dev/null "$work/stream.log"
    check "VIDIOC_$call fails" grep -qi "vidioc_$call returned -1 (Invalid argument)" "$work/stream.log"
done
capture 3 "$work/capture"
check "after which all is well" is "$(frame_numbers "$work/capture" "$bytes")" 000

say "unplugged while streaming"
: > "$work/stream.log"
stream
camera_unplug
check "the nodes are gone" not camera_present
check "the stand-in ends" wait_for 5 ended "$streamer"
camera_replug
camera_start "$work/frame.2" 640 480 GREY 30
capture 3 "$work/capture"
check "the camera is back" is "$(frame_numbers "$work/capture" "$bytes")" 222
check "under its old name" is "$(camera_device)" /dev/video0
exec 4< "$(camera_device)"
camera_unplug
camera_replug
check "with the old node still held it gets another" not is "$(camera_device)" /dev/video0
exec 4<&-
camera_unplug
camera_replug

say "disconnected"
camera_start "$work/frame.1" 640 480 GREY 30
: > "$work/stream.log"
stream
camera_set disconnect=1
check "the stand-in ends" wait_for 5 ended "$streamer"
check "the nodes stay" camera_present
check "and fail while one is held" not capture 1 /dev/null "$work/stream.log"
camera_stop
check "until all let go" capture 1 /dev/null
camera_unload
check "unloaded" not camera_present

say "the GPIO chip"
gpio_start pinctrl-bcm2835 54
check "is found by its label" matches "$(gpiodetect)" "$gpio_chip \[pinctrl-bcm2835\] \(54 lines\)"
check "has named lines" matches "$(gpioinfo GPIO17)" 'GPIO17'
trace_start
before=$(now)
gpioset -z -c "$gpio_chip" 17=1
check "an output goes high" wait_for 5 gpio_is 17 1
check "a line is not given twice" not gpioset -c "$gpio_chip" -t0 17=0 2>/dev/null
gpio_setter=$(pidof gpioset)
kill -9 "$gpio_setter"
check "and falls when its holder is killed" wait_for 5 gpio_is 17 0
gpioset -c "$gpio_chip" -t 200ms,200ms,0 17=1
check "a button is up" is "$(gpioget --numeric -c "$gpio_chip" 27)" 0
gpio_pull 27 up
check "a button is pressed" is "$(gpioget --numeric -c "$gpio_chip" 27)" 1
trace_dump "$work/trace"
edges "$work/trace" 17 > "$work/edges"
cat "$work/edges"
check "all edges were recorded" is "$(awk '{ printf "%s%s ", $2, $3 }' "$work/edges")" '1set 0release 1set 0set 1set 0release '
check "on the monotonic clock" within "$(minus "$(head -n 1 "$work/edges")" "$before")" -0.02 1
pulse=$(awk 'NR == 3 { a = $1 } NR == 4 { print $1 - a }' "$work/edges")
check "a pulse has its length ($pulse s)" within "$pulse" 0.19 2
check "another line has none" is "$(edges "$work/trace" 18)" ""
gpioset -z -c "$gpio_chip" 17=1
gpio_stop
check "the chip can go while in use" not test -e "/dev/$gpio_chip"

finish
