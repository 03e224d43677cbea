# machine: arm64
# timeout: 600
# A camera's buffer is the detector's input: no pixel is sampled for it, and the detector finds the same faces. The scenario
# runs on 64-bit ARM, because the TensorFlow Lite for x86_64 only takes its own memory.

. ./program.sh
program_install
gpio_start latchkey-bench
cp direct "$work/"

# shows FILE: shows FILE's frames one after the other, over and over, until the file `stop` exists.
shows() { while [ ! -e "$work/stop" ]; do scene moving "$1"; usleep 300000; done; }

for format in grey nv12; do
    code=$(echo $format | tr a-z A-Z)
    say "$code"
    rm -f "$work/stop"
    camera_start scenes/$format.raw 640 480 "$code" 24
    shows scenes/$format.raw &
    showing=$!

    LATCHKEY_CAMERA=$(camera_device) LATCHKEY_CAMERA_FORMAT=$format \
        "$work/direct" --ignored --nocapture > "$work/direct.$format.log" 2>&1
    status=$?
    grep '^frame' "$work/direct.$format.log" || cat "$work/direct.$format.log"
    check "$code: the same frames both ways ($status)" test "$status" = 0

    program_config 2000
    sed -i "s/^format = .*/format = \"$format\"/; s/^board = .*/&\nmodels = \"latchkey\"/" "$work/latchkey.toml"
    program_start
    sure='looked .* faces=[1-9].* second_looks=0$'
    sees() { [ "$(grep -c 'looked frame=.* faces=[1-9]' "$program_log")" -ge 3 ] && grep -q "$sure" "$program_log"; }
    check "$code: the program sees faces" wait_for 120 sees
    program_stop
    check "$code: it logs which way it takes" grep -q "detect_sampled=" "$program_log"
    say "$(grep -c ' looked ' "$program_log") looks, $(grep -c 'looked .*detect_sampled=0 ' "$program_log") of them without a pixel sampled for detection"
    check "$code: nothing is sampled to find a face" not grep -q 'looked .*detect_sampled=[1-9]' "$program_log"
    check "$code: the detector looks once" not grep -q 'looked .*second_looks=[1-9]' "$program_log"
    touch "$work/stop"
    wait $showing
    camera_stop
done
finish
