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

check "deb: install" dpkg --install $packages/old.deb
check "deb: install starts the service" is_active
check "deb: install enables the service" is_enabled
check "deb: the daemon is ready" is_ready
check "deb: systemd has the unit of the package" is_loaded
check "deb: the daemon may run in the unit's sandbox: baselines have a directory" test -d /var/lib/syscallmon
echo "@exposure $(exposure)"
echo 'poll: {interval: 3s}' >>/etc/syscallmon.yaml
check "deb: reload" systemctl reload syscallmon
before=$(main_pid)
check "deb: upgrade" dpkg --install $packages/new.deb
check "deb: upgrade restarts the service" is_another_process "$before"
check "deb: the daemon is ready after the upgrade" is_ready
check "deb: systemd has the unit of the new package" is_loaded
check "deb: remove" dpkg --remove syscallmon
check "deb: remove stops the service" not is_active
check "deb: remove leaves no process" not pgrep --exact syscallmon
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
check "rpm: erase" rpm --erase syscallmon
check "rpm: erase stops the service" not is_active
check "rpm: erase leaves no process" not pgrep --exact syscallmon
check "rpm: erase leaves no unit" is_unknown
check "rpm: erase leaves baselines" test -d /var/lib/syscallmon
rm -rf /var/lib/syscallmon /var/log/syscallmon
check "rpm: nothing else is left" nothing_left
echo "@end"
systemctl poweroff --force --force
