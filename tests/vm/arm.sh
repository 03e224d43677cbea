# machine: arm64
# timeout: 900
# The test programs that need a kernel of the product's architecture: what a confined process can still reach, the guard, and
# the outputs against the kernel's GPIO simulator. QEMU's emulation of single programs has neither Landlock nor seccomp.

mkdir -p "$work/bin"
cp bin/* confine guard gpio_sim "$work/bin/"
export LD_LIBRARY_PATH="$work/bin" LATCHKEY_PROGRAM="$work/bin/latchkey"

# tests NAME ARGUMENT...: checks that all tests of the program NAME run and pass.
tests() {
    tests_of=$1
    shift
    "$work/bin/$tests_of" --test-threads=1 "$@" > "$work/$tests_of.log" 2>&1
    tests_status=$?
    cat "$work/$tests_of.log"
    check "tests/$tests_of.rs ($tests_status)" test "$tests_status" = 0
    check "tests/$tests_of.rs: some ran" grep -q 'test result: ok. [1-9]' "$work/$tests_of.log"
    check "tests/$tests_of.rs: none was left out" not grep -q '^not run ' "$work/$tests_of.log"
}

tests confine
tests guard
tests gpio_sim --ignored
finish
