# Runs in the emulated Pi, beside the card's own processes, with `test=visitors` on the kernel's command line: a camera, and the
# people in front of it.

cd /test || exit
work=/test/bench
. ./lib.sh
for module in $(cat modules/order.txt); do
    case $module in vivid | softdog) ;; *) insmod modules/$module.ko 2> /dev/null ;; esac
done
camera_start scenes/empty.raw 640 480 YUYV 24
touch /test/camera
echo "@@ camera $(now)"
wait_for 120 pidof latchkey-guard
sleep 5
for scene in visit-1 stranger-1 visit-2; do
    echo "@@ scene $scene $(now)"
    scene "$scene" "scenes/$scene.raw"
    sleep 30
    echo "@@ scene empty $(now)"
    scene empty scenes/empty.raw
    sleep 12
done
echo "@@ end $(now)"
