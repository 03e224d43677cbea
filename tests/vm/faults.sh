# timeout: 1800
# Every fault that a door in a house meets, with the complete program: what the relay did, what was logged, and whether
# recognition came back by itself. When the fault happens, the exit button has turned the relay on for 20 s, so only the fault
# can turn it off. Recognition is back when a frame is looked at; after some faults an enrolled person comes and opens
# the door.
#
#   scripts/vm/scenario faults --timeout 600 [-- camera|output|files...]
#
# The table of all faults stays in out/faults.txt.

. ./program.sh

# row FAULT OFF LOG BACK: the relay was off after OFF ms, recognition was back after BACK s; "-" if this does not apply.
row() { printf '%s|%s|%s|%s\n' "$@" >> "$work/rows"; }
milliseconds() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.0f", (a - b) * 1000 }'; }
seconds() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f", a - b }'; }

# off_within WHAT TIME SECONDS: the relay goes off within SECONDS after TIME, and stays off; $off is the delay in ms.
off_within() {
    wait_for 10 relay_edge "$2" 0 > /dev/null
    off=$(milliseconds "$(relay_edge "$2" 0)" "$2")
    check "$1: the relay goes off ($off ms)" within "$off" 0 $(($3 * 1000))
    check "$1: and stays off" relay_is 0
}

# back_within WHAT TIME SECONDS: a frame is looked at within SECONDS after TIME; $back is the delay in s.
back_within() {
    wait_for "$3" looked_at "$2" > /dev/null
    back=$(looked_at "$2") && back=$(seconds "$back" "$2") || back=never
    check "$1: recognition is back ($back s)" within "$back" 0 "$3"
}

# recognises WHAT: an enrolled person comes, and leaves when the door is open.
recognises() {
    recognises_from=$(now)
    scene ada ada
    check "$1: an enrolled person is granted" logged_within 90 "$recognises_from" ' granted person=Ada '
    granted_at=$(logged_at "$recognises_from" ' granted ') && granted=$(seconds "$granted_at" "$recognises_from") || granted=never
    check "$1: the relay goes on ($granted s after the face came)" wait_for 2 relay_is 1
    scene no-face "$work/empty"
    wait_for 30 relay_is 0 || die "the relay stays on"
}

ready() {
    wait_for 30 looks "$program_since" || die "$1: nothing is looked at: $(tail -n 3 "$program_log")"
}

program_install
gpio_start latchkey-bench
trace_start
program_config 20000
# An empty scene: mid-grey, no colour.
yes '' | tr '\n' '\200' | dd of="$work/empty" bs=614400 count=1 iflag=fullblock 2>/dev/null

[ $# -gt 0 ] || set -- camera output files
for part in "$@"; do
    began=$(now)
    case $part in
        camera) . ./faults_camera.sh ;;
        output) . ./faults_output.sh ;;
        files) . ./faults_files.sh ;;
        *) die "no part $part: camera, output or files" ;;
    esac
    say "$part: $(seconds "$(now)" "$began") s"
done

{
    echo 'fault|relay off after, ms|log line|back after, s'
    cat "$work/rows"
} | awk -F'|' '
    function padded(text, to) { while (length(text) < to) text = text " "; return text }
    { for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } }
    END {
        for (n = 1; n <= NR; n++)
            print padded(cell[n, 1], width[1]) " | " padded(cell[n, 2], width[2]) " | " padded(cell[n, 4], width[4]) " | " cell[n, 3]
    }' > out/faults.txt
cat out/faults.txt
camera_stop
finish
