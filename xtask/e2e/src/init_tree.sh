# The first process of an environment with a file system of its own: makes that the only one, then waits.
# Arguments: the file system, and directories of the host with where they shall be inside.
set -eu
root=$1
shift
mount --bind "$root" "$root"
mount -t sysfs none "$root/sys"
# As on today's hosts. crun refuses hosts that also have hierarchies of version 1.
mount -t cgroup2 none "$root/sys/fs/cgroup"
mount -t proc none "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 none "$root/run"
mount -t tmpfs -o mode=1777 none "$root/tmp"
while [ $# -gt 1 ]; do
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    shift 2
done
cd "$root"
# Runtimes require / to be a mount point, which chroot does not make it.
pivot_root . old
exec /busybox sh -euc '
    /busybox umount -l /old
    # As systemd has it: mounts of containers reach those that ask for them.
    /busybox mount --make-rshared /
    /busybox mkdir -p /run/lock /run/netns
    /busybox ifconfig lo up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    echo ready
    exec /pause'
