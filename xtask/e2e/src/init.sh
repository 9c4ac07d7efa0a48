# The first process of an environment's namespaces: gives it a view of the host that it may change, then waits.
# Arguments: the program that waits, and directories of the host with where they shall be.
set -eu
pause=$1
shift
# /run is new: no systemd, no sockets of the host's. Below the others, changes go to memory.
mount -t tmpfs -o mode=755 none /run
for view in /etc /opt /var; do
    mkdir -p "/run/.view$view/upper" "/run/.view$view/work"
    mount -t overlay -o "lowerdir=$view,upperdir=/run/.view$view/upper,workdir=/run/.view$view/work" none "$view"
done
mkdir -p /run/lock /run/netns
# As systemd has it. What is pinned there ends with this namespace.
mount -t bpf -o mode=700 none /sys/fs/bpf
while [ $# -gt 1 ]; do
    mkdir -p "$2"
    mount --bind "$1" "$2"
    shift 2
done
# As systemd has it: mounts of containers reach those that ask for them.
mount --make-rshared /
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo ready
exec "$pause"
