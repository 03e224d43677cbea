# Runs in the emulated Pi, instead of the card's own first process, with `test=rppal iomem=relaxed` on the kernel's command line:
# the job as root, through rppal and the registers, which this kernel gives only to root.

mkdir -p /data /tmp /run
mount -t tmpfs tmp /tmp
for module in $(cat /modules/order.txt); do insmod "/modules/$module.ko" 2> /dev/null; done
cp /test/rppal.toml /test/gallery /data/
sh /test/visitors.sh visitors &
until [ -e /test/camera ]; do usleep 50000; done
latchkey run --config /data/rppal.toml --gallery /data/gallery
echo "@@ job ended $?"
