# Runs in Debian with rpm: installs, upgrades and erases the package. rpm's database is empty, so dependencies are not
# checked. What xtask reads begins with "@".
exec 2>&1
check() { if "${@:2}"; then echo "@pass $1"; else echo "@fail $1: ${*:2}"; fi; }
not() { ! "$@"; }
list() {
    find / -xdev \( -path /proc -o -path /packages -o -path /tmp -o -path '*/rpm' \) -prune -o \
        -printf '%y %m %u:%g %p %l\n' | sort
}
same() { diff /tmp/before /tmp/after; }
has() { [ "$(stat -c '%a %U:%G' "$2")" = "$1 root:root" ]; }
version() { [ "$(rpm --query --queryformat '%{VERSION}' syscallmon)" = "$1" ]; }
# Other dependencies than a shell, features of rpm and the package itself would not be there on every distribution.
requires_little() { not grep -qvE '^(/bin/sh|rpmlib\(|config\(syscallmon\))' <(rpm --query --package --requires /packages/new.rpm); }

echo "@release $(rpm --version) of Debian $(cat /etc/debian_version)"
# Directories of other packages, on distributions with rpm.
mkdir -p /usr/share/fish/vendor_completions.d /usr/share/zsh/site-functions /usr/share/licenses
list >/tmp/before
check "the package and its hashes are good" rpm --checksig --nosignature /packages/new.rpm
check "it requires a shell only" requires_little
check "install" rpm --install --nodeps /packages/old.rpm
check "it has the old version" version 0.0.1
check "the binary runs" syscallmon --version
check "the configuration is for root only" has 600 /etc/syscallmon.yaml
check "the unit runs the installed binary" grep -q '^ExecStart=/usr/bin/syscallmon run ' /usr/lib/systemd/system/syscallmon.service
check "man pages are there" test "$(find /usr/share/man/man1 -name 'syscallmon*.1' | wc -l)" -ge 10
check "zsh has completions" has 644 /usr/share/zsh/site-functions/_syscallmon
check "licences are there" test -e /usr/share/licenses/syscallmon/LICENSE-MIT -a -e /usr/share/licenses/syscallmon/LICENSE-APACHE
check "licences of crates are there" grep -q 'tokio 1' /usr/share/licenses/syscallmon/THIRD-PARTY-LICENSES
check "files are as in the package" rpm --verify --nodeps syscallmon

echo '# a change of the administrator' >>/etc/syscallmon.yaml
check "upgrade" rpm --upgrade --nodeps /packages/new.rpm
check "it has another version" not version 0.0.1
check "an upgrade keeps the configuration" grep -q '^# a change of the administrator' /etc/syscallmon.yaml
check "the binary still runs" syscallmon --version

check "erase" rpm --erase syscallmon
check "erase keeps a changed configuration" grep -q '^# a change of the administrator' /etc/syscallmon.yaml.rpmsave
rm /etc/syscallmon.yaml.rpmsave
list >/tmp/after
check "erase leaves nothing else" same
echo "@end"
