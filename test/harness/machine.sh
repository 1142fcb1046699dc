#!/bin/sh
# A throw-away machine made of namespaces: machine.sh NAME FOLDER. Whatever runs inside ends with it.
#
#   net     lo, and eth0 10.231.0.2/24 with a gateway 10.231.0.1 (a namespace of its own, /run/netns/gateway)
#   pid     killing the holder (PID 1 inside) kills everything; it dies with the test's process
#   mount   private: tmpfs on /run, /var/lib/gantry on FOLDER, sysfs of this net namespace
#   cgroup  of each v1 hierarchy only the group NAME is seen, as its root; all of v2, where a namespace would forbid (nsdelegate)
#           groups beside the one that the tests run in
#
# Prints "ready" when everything stands, and lives until it is killed.
set -eu
name=$1
folder=$2

if [ "${3-}" != inside ]; then
  groups=
  if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
    groups=own
    for hierarchy in /sys/fs/cgroup/*/; do
      # Neither a link nor a folder that nothing is mounted on.
      { [ ! -h "${hierarchy%/}" ] && [ -e "${hierarchy}cgroup.procs" ]; } || continue
      group=$hierarchy$name
      mkdir "$group"
      for file in cpuset.cpus cpuset.mems; do
        [ ! -e "$group/$file" ] || cat "$hierarchy$file" >"$group/$file"
      done
      echo $$ >"$group/cgroup.procs"
    done
  fi
  exec setpriv --pdeathsig KILL unshare --mount --net --pid ${groups:+--cgroup} --fork --kill-child --propagation private "$0" "$name" "$folder" inside
fi

# A process 2 for whoever looks for one, as every machine has.
sleep infinity &
mount -t proc proc /proc
if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir "$folder/cgroup"
  mount --rbind /sys/fs/cgroup "$folder/cgroup"
  mount -t sysfs sysfs /sys
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  for hierarchy in "$folder"/cgroup/*; do
    target=/sys/fs/cgroup/${hierarchy##*/}
    if [ -h "$hierarchy" ]; then
      ln -s "$(readlink "$hierarchy")" "$target"
    elif [ -e "$hierarchy/cgroup.procs" ]; then
      mkdir "$target"
      mount --bind "$hierarchy/$name" "$target"
    fi
  done
  umount -l "$folder/cgroup"
  rmdir "$folder/cgroup"
fi
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/netns /run/lock /var/lib/gantry "$folder/var"
mount --bind "$folder/var" /var/lib/gantry

ip link set lo up
ip netns add gateway
ip link add eth0 type veth peer name eth0 netns gateway
ip addr add 10.231.0.2/24 dev eth0
ip link set eth0 up
ip -n gateway addr add 10.231.0.1/24 dev eth0
ip -n gateway link set eth0 up
ip -n gateway link set lo up
ip route add default via 10.231.0.1

echo ready
exec 1>/dev/null
while :; do
  sleep 3600 &
  wait $! || :
done
