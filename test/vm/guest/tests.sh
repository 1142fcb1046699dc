#!/bin/busybox sh
# Runs in the virtual machine, by systemd: unpacks the project from the second disk, runs what arguments.txt in it names with
# the Node program beside it, tells the outcome on the last line, and switches the machine off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/busybox HOME=/root
mkdir -p /gantry /tmp
tar -xf /dev/vdb -C /gantry
cd /gantry || exit 1
ip link set lo up
modprobe -a overlay loop fuse veth bridge 2>/dev/null
if [ -d zfs ]; then
  cp -af zfs/usr/. /usr
  while read -r module; do insmod "zfs/modules/$module"; done <zfs/modules/order
fi
export GANTRY_TEST_RUNTIME=/gantry/build/native/gantry-runtime GANTRY_VM=1 NODE_COMPILE_CACHE=/tmp/compile-cache
# shellcheck disable=SC2046 # words
build/node $(cat arguments.txt) 2>&1
echo "virtual machine: ended with $?"
sync
systemctl poweroff --force --force >/dev/null 2>&1
