# Runs in the emulated Pi with `test=radios` on the kernel's command line: there are two radios, and the second one has a wireless
# network "home" that gives addresses.

touch /test/camera
cd /test || exit
until grep -q ^cfg80211 /proc/modules; do sleep 1; done
for module in $(cat modules/order.txt); do insmod "modules/$module.ko"; done
until [ -e /sys/class/net/wlan1 ]; do sleep 1; done
cat > home.conf <<'CONF'
network={
    ssid="home"
    mode=2
    frequency=2412
    key_mgmt=WPA-PSK
    proto=RSN
    pairwise=CCMP
    psk="correct horse"
}
CONF
wpa_supplicant -B -i wlan1 -D nl80211 -c home.conf
ip addr add 10.9.0.1/24 dev wlan1
printf '%s\n' 'start 10.9.0.10' 'end 10.9.0.20' 'interface wlan1' 'lease_file /test/leases' 'pidfile /test/pid' > udhcpd.conf
touch leases
echo "@@ home $(cat /sys/class/net/wlan1/operstate)"
udhcpd -f udhcpd.conf
