# timeout: 700
# Ada is enrolled with the camera, and then opens the door with the same camera; a stranger does not. Then she is removed: the
# door stays shut for her, and no file has any of her data.

. ./program.sh
program_install
gpio_start latchkey-bench
trace_start
program_config 2000

# Two photos of her are shown alternately and slowly, because a look takes long here.
camera_start scenes/visit-1.1.raw 640 480 YUYV 24
say "enrolling"
latchkey enroll Ada --camera --count 2 --keep "$work/photos" > "$work/enrol.log" 2>&1 &
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
check "with two pictures" grep -q '^Ada (p2): 2 of 2 pictures enrolled' "$work/enrol.log"
check "both are kept, as asked" test "$(find "$work/photos/Ada" -name '*.jpg' | wc -l)" = 2
check "no one else can read them" test "$(stat -c %a "$work"/photos/Ada/*.jpg | sort -u)" = 600
check "she is in the gallery" test "$(latchkey people | grep -c Ada)" = 1
trace_dump "$work/trace"
flashes() { edges "$work/trace" 23 | awk '$2 == 1' | wc -l; }
check "the green LED flashed for each, and once for both ($(flashes))" within "$(flashes)" 2 3
check "enrolling: the relay was never on" test "$(times_on)" = 0

# visit NAME FILE VERDICT: shows FILE until the log has the verdict.
visit() {
    visit_from=$(now)
    scene "$1" "$2"
    check "$1: $3" logged_within 90 "$visit_from" " $3"
}

scene no-face scenes/empty.1.raw
trace_clear
program_start
wait_for 60 looks "$program_since" || die "nothing is looked at"
visit stranger scenes/stranger-1.1.raw "refused "
check "a stranger: the relay was never on" test "$(times_on)" = 0
visit Ada scenes/visit-1.2.raw "granted person=Ada "
was_on() { [ "$(times_on)" = "$1" ]; }
check "Ada: the relay went on" wait_for 5 was_on 1
scene no-face scenes/empty.1.raw
wait_for 30 relay_is 0 || die "the relay stays on"

say "removing her while the program runs"
cp "$work/gallery/people" /tmp/before
removed_at=$(now)
latchkey people remove Ada
check "she is no longer listed" test "$(latchkey people | grep -c Ada)" = 0
check "the running program takes it up" logged_within 10 "$removed_at" " gallery people=1 "
trace_clear
visit Ada-again scenes/visit-1.2.raw "refused "
check "Ada, removed: the relay was never on" test "$(times_on)" = 0
visit Ben scenes/visit-2.1.raw "granted person=Ben "
program_stop
check "the program ends with 0" test "$program_status" = 0

# The photos were kept, and the log has names, only because the scenario asks for it.
rm -r "$work/photos"
# pieces FILE: pieces of 16 bytes, one starting at every 4th byte, in hexadecimal, one per line.
pieces() { hexdump -v -e '4/1 "%02x" "\n"' "$1" | awk '{ a = b; b = c; c = d; d = $1; if (a != "") print a b c d }'; }
# common HERS OTHERS: the number of lines of OTHERS that are also in HERS.
common() { awk 'NR == FNR { hers[$0]; next } $0 in hers' "$1" "$2" | wc -l; }
pieces /tmp/before > /tmp/was
pieces "$work/gallery/people" > /tmp/is
awk 'NR == FNR { is[$0]; next } !($0 in is)' /tmp/is /tmp/was > /tmp/hers
check "her templates were in the gallery ($(wc -l < /tmp/hers) pieces of it are gone)" test "$(wc -l < /tmp/hers)" -ge 200
left=0
find "$work" -type f ! -path "$work/models/*" ! -path "$work/bin/*" ! -name '*.log' ! -name trace ! -name scenes > /tmp/files
while read -r file; do
    pieces "$file" > /tmp/pieces
    if [ "$(common /tmp/hers /tmp/pieces)" != 0 ] || grep -q Ada "$file"; then
        say "data of hers in $file"
        left=$((left + 1))
    fi
done < /tmp/files
check "none of her data is left in any file ($(ls "$work/gallery"))" test "$left" = 0
camera_stop
finish
