# Runs /packages/script in a copy of the file system $1, with the files of $2 in /packages. The copy is in memory and ends
# with this mount namespace.
set -eu
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir="$1",upperdir=/mnt/upper,workdir=/mnt/work none /mnt/root
mkdir /mnt/root/packages
mount --bind "$2" /mnt/root/packages
mount -t proc none /mnt/root/proc
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive \
    chroot /mnt/root /bin/bash /packages/script
