# The camera of a scenario: the driver vivid, which shows real frames. vivid's HDMI output is looped to its HDMI input; what is
# written to one node is captured, byte for byte, from the other.
#
# Both nodes must have the same pixel format: vivid converts nothing, and otherwise shows noise. The signal is
# 1280x720 whatever the frame size, because only its rates go down to 24 frames a second (640x480 has 60 and
# more). With cropping and composing off, both scalers act on the whole picture and cancel out.

camera_capture_name=vivid-000-vid-cap
camera_output_name=vivid-000-vid-out
camera_log=$work/player.log
camera_scenes=$work/scenes
camera_fifo=$work/frames
player=

# One device with two nodes, a webcam (a test pattern) as input 0, HDMI as input 1.
camera_load() {
    insmod /modules/vivid.ko n_devs=1 node_types=0x101 num_inputs=2 input_types=0xc num_outputs=1 output_types=1
    wait_for 5 camera_present || die "vivid is loaded but has no capture node"
}

# Fails (EAGAIN) as long as any process holds one of the nodes. camera_unplug works in that case, too.
camera_unload() { rmmod vivid; }

camera_node() {
    for camera_entry in /sys/class/video4linux/*; do
        [ "$(cat "$camera_entry/name" 2>/dev/null)" = "$1" ] || continue
        echo "/dev/${camera_entry##*/}"
        return 0
    done
    return 1
}

# The capture node's path. It is not always /dev/video0: if a camera goes while a process holds its node, its number
# stays taken until that process closes the node, and a camera that comes back before that gets the next number.
camera_device() { camera_node $camera_capture_name; }
camera_present() { camera_device >/dev/null; }

camera_set() { v4l2-ctl -d "$(camera_device)" -c "$1"; }
camera_get() { v4l2-ctl -d "$(camera_device)" -C "$1" | cut -d' ' -f2; }

# The faults that camera_set can cause in vivid:
#   percentage_of_dropped_buffers=100   no frame comes, and poll times out; 0 ends this
#   inject_v4l2_buf_flag_error=1        the next frame carries V4L2_BUF_FLAG_ERROR
#   inject_vidioc_qbuf_error=1          the next VIDIOC_QBUF fails with EINVAL; the same with
#   inject_vidioc_reqbufs_error=1, inject_vidioc_streamon_error=1
#   inject_fatal_streaming_error=1      VIDIOC_DQBUF and VIDIOC_QBUF fail with EIO until streaming is started again
#   disconnect=1                        every call on an open node fails with ENODEV, poll reports POLLHUP; the nodes
#                                       stay in /dev and work again once *all* processes that held one, the player
#                                       included, have closed it

# Pulls the camera's plug, as with USB: the nodes leave /dev, and a process that has one open gets errors.
camera_unplug() {
    echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind
    player_stop
}

# Plugs the camera in again. It shows its test pattern; camera_start gives it frames again.
camera_replug() {
    echo vivid.0 > /sys/bus/platform/drivers/vivid/bind
    wait_for 5 camera_present || die "vivid was bound again but has no capture node"
}

frame_bytes() {
    case $3 in
        YUYV) echo $(($1 * $2 * 2)) ;;
        NV12 | YU12) echo $(($1 * $2 * 3 / 2)) ;;
        GREY) echo $(($1 * $2)) ;;
        RGB3 | BGR3) echo $(($1 * $2 * 3)) ;;
        *) die "frame_bytes: $3 is none of YUYV NV12 YU12 GREY RGB3 BGR3" ;;
    esac
}

camera_timings() {
    v4l2-ctl -d "$1" --list-dv-timings | awk -v fps="$2" '
        /Index:/ { index_ = $2 }
        /Active width:/ { width = $3 }
        /Active height:/ { height = $3 }
        /Pixelclock:/ { rate = substr($4, 2) + 0; if (width == 1280 && height == 720 && rate == fps + 0) { print index_; exit } }'
}

# camera_start FILE W H FOURCC FPS: the camera shows FILE's first frame from now on, as scene "start".
# FPS is 24, 25, 30, 50 or 60.
camera_start() {
    camera_bytes=$(frame_bytes "$2" "$3" "$4")
    camera_fps=$5
    camera_present || camera_load
    camera_in=$(camera_device)
    camera_out=$(camera_node $camera_output_name)
    v4l2-ctl -d "$camera_in" -i 1 >/dev/null
    # The connection is refused for a moment after the input was chosen.
    wait_for 5 camera_connect || die "vivid's HDMI input cannot be connected to its output"
    v4l2-ctl -d "$camera_in" -c osd_text_mode=2,enable_capture_cropping=0,enable_capture_composing=0
    v4l2-ctl -d "$camera_out" -c enable_output_cropping=0,enable_output_composing=0
    camera_index=$(camera_timings "$camera_out" "$camera_fps")
    [ -n "$camera_index" ] || die "camera_start: no 1280x720 signal of $camera_fps frames a second"
    v4l2-ctl -d "$camera_out" --set-dv-bt-timings=index="$camera_index" >/dev/null
    v4l2-ctl -d "$camera_in" --set-dv-bt-timings=index="$camera_index" >/dev/null
    v4l2-ctl -d "$camera_out" --set-fmt-video-out=width="$2",height="$3",pixelformat="$4" || die "camera_start: output format"
    v4l2-ctl -d "$camera_in" --set-fmt-video=width="$2",height="$3",pixelformat="$4" || die "camera_start: capture format"
    player_start "$1"
}

# player_start FILE: starts the player again, for a camera that is set up and may be in use, and shows FILE's first frame.
player_start() {
    player_stop
    mkfifo "$camera_fifo"
    : > "$camera_scenes"
    # The pipe is opened for reading, too; otherwise a write would end this shell when the player dies with its camera.
    exec 3<> "$camera_fifo"
    # Two buffers are the minimum: vivid keeps one on display until it has the next one. So a frame stays as long as
    # no other is written, and the player's log shows at once when it was replaced.
    v4l2-ctl -d "$camera_out" --stream-out-mmap=2 --stream-from=- --stream-no-query --verbose \
        < "$camera_fifo" > "$camera_log" 2>&1 3>&- &
    player=$!
    write_frames "$1" 1
    echo 1 > "$work/frames_written"
    scene start "$1" 1
    wait_for 5 scene_start start >/dev/null || die "the player shows nothing: $(tail -n 3 "$camera_log")"
}

camera_connect() {
    v4l2-ctl -d "$camera_in" -c hdmi_000_0_is_connected_to=2 2>/dev/null
    [ "$(camera_get hdmi_000_0_is_connected_to)" = 2 ]
}

player_stop() {
    [ -n "$player" ] || return 0
    kill "$player" 2>/dev/null
    wait "$player" 2>/dev/null
    exec 3>&-
    rm -f "$camera_fifo"
    player=
}

# Without frames on its output vivid shows noise.
camera_stop() { player_stop; }

# dd writes one frame at a time. busybox's head works byte by byte, which takes longer than a frame lasts.
write_frames() { dd if="$1" bs="$camera_bytes" count="$2" 2>/dev/null >&3; }

# scene NAME FILE [FRAMES]: shows FILE's frames, each for one frame time (vivid sets the pace), over and over until
# FRAMES were shown, by default once; the last one stays. Returns when the last one is handed over.
scene() {
    scene_file_frames=$(($(stat -c %s "$2") / camera_bytes))
    # A write without a reader would never return.
    alive "$player" || die "scene $1: the player is gone: $(tail -n 3 "$camera_log")"
    [ "$scene_file_frames" -ge 1 ] || die "scene $1: $2 is smaller than one frame of $camera_bytes bytes"
    scene_frames=${3:-$scene_file_frames}
    scene_written=$(cat "$work/frames_written")
    echo "$1 $scene_written" >> "$camera_scenes"
    echo $((scene_written + scene_frames)) > "$work/frames_written"
    while [ "$scene_frames" -gt 0 ]; do
        scene_part=$((scene_frames < scene_file_frames ? scene_frames : scene_file_frames))
        write_frames "$2" $scene_part
        scene_frames=$((scene_frames - scene_part))
    done
}

# The time at which the last scene NAME was on display. Every frame stamped more than one frame time later shows
# it. The time comes from the driver itself: a frame is on display from the moment when its predecessor is given back.
scene_start() {
    scene_index=$(awk -v name="$1" '$1 == name { n = $2 } END { print n }' "$camera_scenes")
    [ -n "$scene_index" ] || die "scene_start: no scene $1"
    awk -v n="$scene_index" '
        /^out dqbuf/ && ++seen == n { sub(/.* ts: /, ""); print $1; found = 1; exit }
        END { exit !found }' "$camera_log"
}

# scene_until NAME SECONDS: waits until the scene has been on display for that long.
scene_until() {
    scene_from=$(wait_for 5 scene_start "$1") || die "scene $1 was never on display"
    sleep "$(awk -v from="$scene_from" -v s="$2" -v now="$(now)" 'BEGIN { d = from + s - now; print (d > 0 ? d : 0) }')"
}

# timeline < FILE: plays lines of `SECONDS NAME FILE [MOVING]`, each scene for SECONDS. Without a fourth word the scene is
# still (FILE's first frames once, and the last one stays); with a fourth word FILE is shown over and over.
timeline() {
    while read -r timeline_seconds timeline_name timeline_file timeline_moving; do
        if [ -n "$timeline_moving" ]; then
            scene "$timeline_name" "$timeline_file" "$(awk -v s="$timeline_seconds" -v fps="$camera_fps" 'BEGIN { printf "%d", s * fps }')"
        else
            scene "$timeline_name" "$timeline_file"
        fi
        scene_until "$timeline_name" "$timeline_seconds"
    done
}

# capture COUNT FILE [LOG]: a stand-in for the product, which captures COUNT frames with the camera as it is set up.
capture() {
    v4l2-ctl -d "$(camera_device)" --stream-mmap=4 --stream-count="$1" --stream-to="$2" --stream-no-query --verbose \
        > "${3:-$work/capture.log}" 2>&1
}

# stamps LOG: the frames' timestamps, one per line.
stamps() { sed -n 's/^cap dqbuf.* ts: \([0-9.]*\).*/\1/p' "$1"; }
