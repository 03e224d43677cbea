# In the emulated Pi, beside the card's own processes: a camera, and who comes before it. `test=visitors` on the kernel's
# command line; `test=visitors,rppal` runs the program itself, as root and without the card's first process being
# involved, through rppal and the registers that this kernel gives to root only.

cd /test || exit
work=/tmp/bench
# /tmp and /run are mounted over when the card's own first process gets there.
until [ -e /data/latchkey.toml ]; do usleep 200000; done
. ./lib.sh
for module in $(cat modules/order.txt); do
    case $module in vivid) ;; softdog) [ "$2" != softdog ] || insmod modules/softdog.ko ;; *) insmod modules/$module.ko 2> /dev/null ;; esac
done
camera_start scenes/empty.raw 640 480 YUYV 24
echo "@@ camera $(now)"
[ "$2" != hold ] || exit 0
sleep 15
for scene in visit-1 stranger-1 visit-2; do
    echo "@@ scene $scene $(now)"
    scene "$scene" "scenes/$scene.raw"
    sleep "${SCENE:-60}"
    echo "@@ scene empty $(now)"
    scene empty scenes/empty.raw
    sleep 12
done
echo "@@ end $(now)"
