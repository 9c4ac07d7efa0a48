#!/bin/busybox sh
# PID 1 of a test VM. What xtask reads begins with "@". From the kernel's command line: CGROUPS=v2|v1|hybrid.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mkdir -p /proc /sys /dev /tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
mount -t tracefs nodev /sys/kernel/tracing

if [ "$CGROUPS" = v2 ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
    mount -t tmpfs cgroup /sys/fs/cgroup
    for controllers in memory pids cpu,cpuacct devices freezer; do
        mkdir "/sys/fs/cgroup/$controllers"
        mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers"
    done
fi
if [ "$CGROUPS" = hybrid ]; then
    mkdir /sys/fs/cgroup/unified
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
fi

ip link set lo up
ulimit -l unlimited

# At the beginning of a line, whatever the firmware printed.
echo
echo "@boot $(cut -d ' ' -f 1 /proc/uptime)"
echo "@release $(uname -r)"
echo "@version $(uname -v)"
echo "@page-kib $(grep -m 1 KernelPageSize /proc/self/smaps | tr -dc 0-9)"
/test/deps/kernel --list --format terse | sed 's/^/@test /'

export SYSCALLMON_TEST_BINARY=/bin/syscallmon SYSCALLMON_TEST_SHORT=1 RUST_BACKTRACE=0
# A session of its own: process group 0, in which the kernel starts init, is no group that programs expect.
# shellcheck disable=SC2046
setsid /test/deps/kernel --test-threads 2 --show-output $(cat /test/arguments) 2>&1

syscallmon check 2>&1 | sed 's/^/@check /'
syscallmon run --once --poll.interval 300ms >/tmp/metrics 2>/tmp/log
sed -n '/^syscallmon_\(probe_\|lost_\|[a-z_]*_info\)/s/^/@metric /p' /tmp/metrics
sed -n '/level=\(warn\|error\)/s/^/@log /p; /^error/s/^/@log /p' /tmp/log
echo "@end $(cut -d ' ' -f 1 /proc/uptime)"
poweroff -f
