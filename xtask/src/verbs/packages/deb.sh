# Runs in a small Debian, where no systemd runs: installs, upgrades, removes and purges the package. What xtask reads begins
# with "@".
exec 2>&1
check() { if "${@:2}"; then echo "@pass $1"; else echo "@fail $1: ${*:2}"; fi; }
not() { ! "$@"; }
# All files with owners and modes, except those that dpkg changes for every package.
list() {
    find / -xdev \( -path /proc -o -path /packages -o -path /tmp -o -path /var/lib/dpkg -o -path /var/log/dpkg.log \
        -o -path /var/cache/debconf \) -prune -o -printf '%y %m %u:%g %p %l\n' | sort
}
same() { diff /tmp/before /tmp/after; }
has() { [ "$(stat -c '%a %U:%G' "$2")" = "$1 root:root" ]; }
version() { [ "$(dpkg-query --show --showformat='${Version}' syscallmon)" = "$1" ]; }
wanted=/etc/systemd/system/multi-user.target.wants/syscallmon.service

echo "@release Debian $(cat /etc/debian_version)"
list >/tmp/before
check "install" dpkg --install /packages/old.deb
check "it has the old version" version 0.0.1-1
check "the binary runs" syscallmon --version
check "the configuration is for root only" has 600 /etc/syscallmon.yaml
check "flags have a file" has 644 /etc/default/syscallmon
check "the unit runs the installed binary" grep -q '^ExecStart=/usr/bin/syscallmon run ' /usr/lib/systemd/system/syscallmon.service
check "the unit is enabled" test "$(readlink -f $wanted)" = /usr/lib/systemd/system/syscallmon.service
check "man pages are there" test "$(find /usr/share/man/man1 -name 'syscallmon*.1.gz' | wc -l)" -ge 10
check "bash completes" bash -c 'source /usr/share/bash-completion/completions/syscallmon && complete -p syscallmon'
check "zsh has completions" has 644 /usr/share/zsh/vendor-completions/_syscallmon
check "fish has completions" has 644 /usr/share/fish/vendor_completions.d/syscallmon.fish
check "the licence is there" grep -q 'Apache-2.0 or MIT' /usr/share/doc/syscallmon/copyright
check "licences of crates are there" zgrep -q 'tokio 1' /usr/share/doc/syscallmon/THIRD-PARTY-LICENSES*
check "every file has the hash in the package" dpkg --verify syscallmon

echo '# a change of the administrator' >>/etc/syscallmon.yaml
check "upgrade" dpkg --install /packages/new.deb
check "it has another version" not version 0.0.1-1
check "an upgrade keeps the configuration" grep -q '^# a change of the administrator' /etc/syscallmon.yaml
check "an upgrade leaves its mode" has 600 /etc/syscallmon.yaml
check "the unit is still enabled" test -e $wanted

# What systemd makes for the daemon, and the daemon writes.
mkdir -p /var/lib/syscallmon/baselines /var/log/syscallmon
touch /var/lib/syscallmon/baselines/a /var/log/syscallmon/violations.json
check "remove" dpkg --remove syscallmon
check "remove leaves no binary" not test -e /usr/bin/syscallmon
check "remove leaves no unit" not test -e /usr/lib/systemd/system/syscallmon.service
check "remove leaves the configuration" grep -q '^# a change of the administrator' /etc/syscallmon.yaml
check "remove leaves baselines" test -e /var/lib/syscallmon/baselines/a
check "install again" dpkg --install /packages/new.deb
check "the configuration is as before" grep -q '^# a change of the administrator' /etc/syscallmon.yaml
check "purge" dpkg --purge syscallmon
list >/tmp/after
check "purge leaves nothing" same
echo "@end"
