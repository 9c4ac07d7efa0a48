# The first process in a root with a runtime: makes that root the only one, then waits.
# Argument: the root.
set -eu
root=$1
mount --bind "$root" "$root"
mount -t sysfs none "$root/sys"
# crun refuses hosts that also have hierarchies of version 1, so only cgroup2 is mounted here.
mount -t cgroup2 none "$root/sys/fs/cgroup"
mount -t proc none "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/tmp"
cd "$root"
# Runtimes require / to be a mount point, which chroot does not make it.
pivot_root . old
exec /busybox sh -c '/busybox umount -l /old && echo ready && exec /pause'
