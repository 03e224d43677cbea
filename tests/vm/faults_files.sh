# Damaged files and full disks, for `faults`.

camera_present || camera_start "$work/empty" 640 480 YUYV 24
trace_clear

# flip FILE OFFSET: inverts bit 0 of the byte at OFFSET.
flip() {
    flip_byte=$(dd if="$1" bs=1 skip="$2" count=1 2> /dev/null | od -An -tu1 | tr -d ' ')
    printf "\\$(printf %03o $((flip_byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2> /dev/null
}
# cut_to FILE TO BYTES: copies FILE's first BYTES bytes, a multiple of 64, to TO.
cut_to() { dd if="$1" of="$2" bs=64 count=$(($3 / 64)) 2> /dev/null; }

say "damaged models"
models_tried=0
at=$(now)
find "$work/models" -name '*.tflite' -o -name '*.i8' > "$work/model_files"
while read -r model; do
    cp "$model" "$work/whole"
    size=$(stat -c %s "$model")
    for damage in cut flipped; do
        case $damage in
            cut) cut_to "$work/whole" "$model" $((size / 2)) ;;
            flipped) flip "$model" $((size / 2)) ;;
        esac
        latchkey run > "$work/refused.log" 2>&1
        status=$?
        check "${model##*/} $damage: refused ($status)" test "$status" = 2
        check "${model##*/} $damage: reported with file, reason and fix" \
            grep -q "${model##*/}: sha256 is .*damaged or another version; copy it again" "$work/refused.log"
        models_tried=$((models_tried + 1))
        cp "$work/whole" "$model"
    done
done < "$work/model_files"
check "models: the relay was never on" test "$(times_on)" = 0
check "models: every file in two ways" test "$models_tried" = $((2 * $(wc -l < "$work/model_files"))) -a "$models_tried" -gt 4
line=$(tail -n 1 "$work/refused.log" | sed 's/sha256 is \([0-9a-f]\{8\}\)[0-9a-f]*, the manifest has \([0-9a-f]\{8\}\)[0-9a-f]*/sha256 is \1..., the manifest has \2.../')
say "models: $(seconds "$(now)" "$at") s"
row "model cut or one bit flipped (each file)" "never on" "exit 2: $line" "-"

say "a gallery cut at every eighth of its length; tests/bad_inputs.rs cuts one at every 64th byte"
at=$(now)
cp "$work/gallery/people" "$work/whole"
size=$(stat -c %s "$work/whole")
cuts=0 wrong=""
cut=0
while [ $cut -lt "$size" ]; do
    cut_to "$work/whole" "$work/gallery/people" $cut
    latchkey people > "$work/refused.log" 2>&1
    status=$?
    { [ "$status" = 2 ] && grep -q 'gallery/people: .*the file is damaged and is not used' "$work/refused.log" &&
        ! grep -qE 'panick|Ada|Ben' "$work/refused.log"; } || wrong="$wrong $cut($status)"
    cuts=$((cuts + 1)) cut=$((cut + size / 8 / 64 * 64))
done
check "all $cuts cuts of $size bytes refused, not:$wrong" test -z "$wrong"
check "there were enough of them" test "$cuts" -ge 8
say "gallery: $(seconds "$(now)" "$at") s"

# The last cut file is still in place. The program starts, and knows no one.
latchkey run --check > "$work/refused.log" 2>&1
status=$?
check "run --check refuses it ($status)" test "$status" = 2
program_start
check "run logs it" logged_within 30 "$program_since" 'gallery_refused why=.*damaged'
check "run goes on" wait_for 30 looks "$program_since"
check "and knows no one" not logged "$program_since" ' gallery people='
line=$(line_of gallery_refused)
cp "$work/whole" "$work/gallery/new" && mv "$work/gallery/new" "$work/gallery/people"
repaired=$(now)
check "repaired: in force without a new start" logged_within 5 "$repaired" ' gallery people=2 '
back=$(logged_at "$repaired" ' gallery people=2 ') && back=$(seconds "$back" "$repaired")
cut_to "$work/whole" "$work/gallery/new" $((size / 128 * 64)) && mv "$work/gallery/new" "$work/gallery/people"
damaged=$(now)
check "damaged while running: logged" logged_within 5 "$damaged" gallery_refused
check "the relay was never on" test "$(times_on)" = 0
check "and the program goes on" alive "$program"
row "gallery cut at every eighth ($cuts cuts)" "never on" "exit 2 each; run: $line" "$back"
cp "$work/whole" "$work/gallery/people"
program_stop

say "disk full on enrolment"
mkdir -p "$work/disk"
# The disk has the gallery's pages and one more page, so that the first page of the new file can still be written.
pages=$(((size + 4095) / 4096))
mount -t tmpfs -o size=$(((pages + 1) * 4))k disk "$work/disk"
cp "$work/whole" "$work/disk/people"
set -- photos/*.jpg
latchkey --gallery "$work/disk/people" enroll Eve "$1" > "$work/refused.log" 2>&1
status=$?
cat "$work/refused.log"
check "disk full: ends with 3 ($status)" test "$status" = 3
check "disk full: reported" grep -q 'the old one stays in force: No space left on device' "$work/refused.log"
check "disk full: the old gallery is untouched" cmp "$work/whole" "$work/disk/people"
check "disk full: no half file" test "$(ls "$work/disk")" = people
line=$(tail -n 1 "$work/refused.log")
mount -o remount,size=1m "$work/disk"
latchkey --gallery "$work/disk/people" enroll Eve "$1" > "$work/refused.log" 2>&1
status=$?
check "with room again she is enrolled ($status)" test "$status" = 0
check "beside the others" test "$(latchkey --gallery "$work/disk/people" people | wc -l)" = 3
umount "$work/disk"
row "disk full on enrolment" "-" "exit 3: $line" "-"
