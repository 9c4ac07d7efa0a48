#!/bin/bash
# Runs as a unit of a VM with Debian and systemd: installs, upgrades, removes and purges the packages. What xtask reads
# begins with "@".
exec >/dev/console 2>&1
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
packages=/syscallmon/packages
echo
echo "@release $(uname -r)"
echo "@systemd $(systemctl --version | head -n 1)"

check() { if "${@:2}"; then echo "@pass $1"; else echo "@fail $1: ${*:2}"; fi; }
not() { ! "$@"; }
main_pid() { systemctl show --property=MainPID --value syscallmon; }
is_ready() {
    for _ in $(seq 60); do curl --silent --fail --output /dev/null http://127.0.0.1:9778/readyz && return; sleep 0.5; done
    systemctl status --no-pager syscallmon
    journalctl --no-pager --unit=syscallmon
    return 1
}
is_enabled() { systemctl is-enabled --quiet syscallmon; }
is_active() { systemctl is-active --quiet syscallmon; }
# Whether systemd runs the service of this package, and no command reports a unit that changed on disk.
is_loaded() {
    [ "$(systemctl show --property=NeedDaemonReload --value syscallmon)" = no ] &&
        [ "$(systemctl show --property=FragmentPath --value syscallmon)" = /usr/lib/systemd/system/syscallmon.service ]
}
is_unknown() { [ "$(systemctl show --property=LoadState --value syscallmon)" = not-found ]; }
is_another_process() { [ "$1" != 0 ] && [ "$(main_pid)" != "$1" ] && is_active; }
exposure() { systemd-analyze security --no-pager syscallmon.service | tail -n 1; }
nothing_left() {
    local left
    left=$(find / -xdev \( -path /syscallmon -o -path /proc -o -path /var/lib/dpkg -o -path '*/rpm' -o -path /var/log/journal \) \
        -prune -o -iname '*syscallmon*' -print)
    [ -z "$left" ] || { echo "$left"; return 1; }
}

# A unit that makes the same calls each time, and their number in all its runs.
make_calls() { systemd-run --quiet --wait --collect --unit=counted bash -c 'for i in $(seq 100); do umask 022; done'; }
counted() {
    curl --silent http://127.0.0.1:9778/metrics |
        sed -n 's|^syscallmon_syscalls_total{cgroup="[^"]*/counted.service",syscall="umask".* \([0-9]*\)$|\1|p'
}
is_counted() {
    for _ in $(seq 60); do [ "$(counted)" = "$1" ] && return; sleep 0.5; done
    echo "counted: $(counted), not $1"
    return 1
}
pins=/sys/fs/bpf/syscallmon
is_empty() { [ -z "$(ls -A "$1" 2>/dev/null)" ]; }
is_ready_again() { systemctl restart syscallmon && is_ready; }

check "deb: install" dpkg --install $packages/old.deb
check "deb: install starts the service" is_active
check "deb: install enables the service" is_enabled
check "deb: the daemon is ready" is_ready
check "deb: systemd has the unit of the package" is_loaded
check "deb: the daemon may run in the unit's sandbox: baselines have a directory" test -d /var/lib/syscallmon
echo "@exposure $(exposure)"
echo 'poll: {interval: 3s}' >>/etc/syscallmon.yaml
check "deb: reload" systemctl reload syscallmon
echo "pin: {directory: $pins}" >>/etc/syscallmon.yaml
check "pinned: the daemon is ready" is_ready_again
make_calls
for _ in $(seq 60); do once=$(counted); [ "${once:-0}" -ge 100 ] && break; sleep 0.5; done
check "pinned: the calls of a unit are counted" test "${once:-0}" -ge 100
systemctl stop syscallmon
make_calls
systemctl start syscallmon
check "pinned: calls are counted while the service is stopped" is_counted $((2 * once))
before=$(main_pid)
check "deb: upgrade" dpkg --install $packages/new.deb
check "deb: upgrade restarts the service" is_another_process "$before"
check "deb: the daemon is ready after the upgrade" is_ready
check "deb: systemd has the unit of the new package" is_loaded
make_calls
check "pinned: counts continue after the upgrade" is_counted $((3 * once))
sed -i '/^pin:/d' /etc/syscallmon.yaml
check "pinned: the daemon is ready without it" is_ready_again
check "pinned: nothing is left after it is switched off" is_empty $pins
echo "pin: {directory: $pins}" >>/etc/syscallmon.yaml
check "pinned: the daemon is ready with it again" is_ready_again
check "pinned: the programs are there" test -e $pins/dispatch
check "deb: remove" dpkg --remove syscallmon
check "deb: remove stops the service" not is_active
check "deb: remove leaves no process" not pgrep --exact syscallmon
check "deb: remove leaves no pinned program" test ! -e $pins
check "deb: remove leaves the configuration" test -e /etc/syscallmon.yaml
check "deb: purge" dpkg --purge syscallmon
check "deb: purge leaves no unit" is_unknown
check "deb: purge leaves no file" nothing_left

# The packages of Debian are not in rpm's database, so dependencies are not checked.
check "rpm: install" rpm --install --nodeps $packages/old.rpm
check "rpm: install does not start the service" not is_active
check "rpm: systemd has the unit of the package" is_loaded
check "rpm: start" systemctl enable --now syscallmon
check "rpm: the daemon is ready" is_ready
before=$(main_pid)
check "rpm: upgrade" rpm --upgrade --nodeps $packages/new.rpm
check "rpm: upgrade restarts the service" is_another_process "$before"
check "rpm: the daemon is ready after the upgrade" is_ready
check "rpm: systemd has the unit of the new package" is_loaded
check "rpm: upgrade leaves the service enabled" is_enabled
echo "pin: {directory: $pins}" >>/etc/syscallmon.yaml
check "rpm: the daemon is ready in pinned mode" is_ready_again
# rpm keeps a changed configuration.
sed -i '/^pin:/d' /etc/syscallmon.yaml
check "rpm: erase" rpm --erase syscallmon
check "rpm: erase stops the service" not is_active
check "rpm: erase leaves no process" not pgrep --exact syscallmon
check "rpm: erase leaves no pinned program" test ! -e $pins
check "rpm: erase leaves no unit" is_unknown
check "rpm: erase leaves baselines" test -d /var/lib/syscallmon
rm -rf /var/lib/syscallmon /var/log/syscallmon
check "rpm: nothing else is left" nothing_left
echo "@end"
systemctl poweroff --force --force
