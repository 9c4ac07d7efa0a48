#!/bin/bash
# Runs as a unit of a VM with Debian and systemd. systemd-nspawn boots a copy of this system, as `machinectl start` does.
# A service in it makes known calls. What xtask reads begins with "@".
exec >/dev/console 2>&1
api=http://127.0.0.1:9778
machine=/var/lib/machines/web
label=/machine.slice/systemd-nspawn@web.service
echo
echo "@release $(uname -r)"
echo "@systemd $(systemctl --version | head -n 1)"

failed=0
check() { if "${@:2}"; then echo "@pass $1"; else echo "@fail $1"; failed=1; fi; }
# Ends a column of the table: with this text, if its checks have passed.
row=
column() { if [ $failed = 0 ]; then row+=" $1 |"; else row+=" FAILED |"; fi; failed=0; }
# The sum of a metric's series with this call, of the machine.
count() {
    curl -sf $api/metrics | grep -F "$1{" | grep -F "cgroup=\"$label\"" | grep -F "syscall=\"$2" |
        awk '{ sum += $NF } END { print sum + 0 }'
}
# Whether a metric has this value soon, and not a higher one.
has() {
    local value
    for _ in $(seq 60); do
        value=$(count "$1" "$2")
        [ "$value" = "$3" ] && return
        [ "$value" -lt "$3" ] || break
        sleep 1
    done
    echo "$1 of $2 is $value, not $3"
    return 1
}
calls() { has syscallmon_syscalls_total times\" "$1"; }
unexpected() { has syscallmon_unexpected_syscalls_total "$1" "$2" || { violations; return 1; }; }
violations() {
    curl -sfG $api/api/v1/violations --data-urlencode limit=1000 |
        python3 -c 'import json, sys
for violation in json.load(sys.stdin)["data"]["violations"]:
    print(violation["workload"], violation["abi"], violation["syscall"], violation.get("argument"),
        violation["process"]["comm"], violation["process"].get("command_line"))'
}
# Whether one alert was sent, and soon.
is_alone() {
    for _ in $(seq 60); do [ "$(wc -l </tmp/alerts)" = 0 ] || break; sleep 1; done
    [ "$(grep -cF '"state":"new"' /tmp/alerts)" = 1 ] && grep -qF '"syscall":"swapoff"' /tmp/alerts
}
not_below() { ! curl -sf $api/metrics | grep -qF "$label/"; }
is_gone() {
    for _ in $(seq 120); do curl -sf $api/metrics | grep -qF "cgroup=\"$label\"" || return 0; sleep 1; done
    return 1
}
in_machine() { systemd-run --quiet --machine=web --wait --pipe /bin/sh -c "$1"; }
is_up() {
    for _ in $(seq 120); do in_machine true 2>/dev/null && return; sleep 1; done
    systemctl status --no-pager systemd-nspawn@web
    return 1
}

systemd-run --quiet --unit=syscallmon /syscallmon/syscallmon run --policy.directory=/syscallmon/policies \
    --workload.expire-after=1m --alert.log=/tmp/alerts
until curl -sf $api/readyz >/dev/null; do sleep 0.5; done

mkdir -p $machine /etc/systemd/nspawn && chmod 700 /var/lib/machines
for dir in bin etc lib lib64 sbin usr; do cp -a /$dir $machine/; done
mkdir -p $machine/{dev,proc,root,run,sys,tmp,var/lib,var/log}
rm -f $machine/etc/systemd/system/test.service $machine/etc/systemd/system/multi-user.target.wants/test.service
cat >$machine/etc/systemd/system/calls.service <<'UNIT'
[Service]
ExecStart=/bin/sh -c 'i=0; while [ $i -lt 1000 ]; do times >/dev/null; i=$((i + 1)); done; exec sleep 100000'
UNIT
ln -s /etc/systemd/system/calls.service $machine/etc/systemd/system/multi-user.target.wants/
# The kernel of the VM has no virtual Ethernet.
printf '[Network]\nVirtualEthernet=no\n' >/etc/systemd/nspawn/web.nspawn

check "start" machinectl start web
check "the machine boots" is_up
check "names: the path of its unit, and of no cgroup in it" not_below
column "path of the unit"
check "exact counts: 1000 calls of a service" calls 1000
check "exec" in_machine 'i=0; while [ $i -lt 100 ]; do times >/dev/null; i=$((i + 1)); done'
check "exact counts: 100 calls of a command" calls 1100
column "1100 of 1100"
check "start and exec are silent" unexpected "" 0
column yes
in_machine 'exec /sbin/swapoff /etc/passwd'
check "unexpected call counted" unexpected swapoff 1
check "one alert" is_alone
column "swapoff, once"
check "terminate" machinectl terminate web
while machinectl show web >/dev/null 2>&1; do sleep 0.5; done
check "start again" machinectl start web
check "the machine boots again" is_up
check "counting goes on" calls 2100
check "no other unexpected call" unexpected "" 1
column "2100 of 2100"
check "terminate again" machinectl terminate web
check "the series end" is_gone
check "one alert in all" is_alone
column yes
violations
version=$(systemd-nspawn --version | head -n 1 | cut -d ' ' -f 2)
echo "@| Debian | engine | names | exact counts | start and exec silent | unexpected call reported | restart | removal |"
echo "@|---|---|---|---|---|---|---|---|"
echo "@| trixie | systemd-nspawn $version |$row"
echo "@end"
systemctl poweroff --force --force
