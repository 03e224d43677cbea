# Tests the outputs against the kernel's GPIO simulator. Runs tests/gpio_sim.rs, which cargo leaves out elsewhere.

cp gpio_sim "$work/"
LD_LIBRARY_PATH=$PWD/bin "$work/gpio_sim" --ignored --test-threads=1 > "$work/gpio_sim.log" 2>&1
status=$?
cat "$work/gpio_sim.log"
check "tests/gpio_sim.rs ($status)" test "$status" = 0
check "ran" grep -q 'test result: ok. [1-9]' "$work/gpio_sim.log"
finish
