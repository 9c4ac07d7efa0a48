#!/bin/bash
# Runs as a unit of a VM with Debian and systemd. Each server runs as a unit under a load. A profile is generated from
# that, and becomes a drop-in of another unit with the same server: it must start, run another load, reload and stop, and
# nothing may be denied. What xtask reads begins with "@".
exec >/dev/console 2>&1
set -o pipefail
echo
echo "@release $(uname -r)"
echo "@systemd $(systemctl --version | head -n 1)"
source /syscallmon/programs/servers.sh
prepare
echo "# the daemon counts"

# Starts a server as this unit with these properties, waits until it answers, and makes a load, a reload and a stop.
lives() {
    local name=$1 unit=$2 amount=$3
    shift 3
    # shellcheck disable=SC2086 # The command has several words.
    systemd-run --quiet --unit="$unit" ${user[$name]:+--property=User=${user[$name]}} "$@" ${serve[$name]} || return 1
    for _ in $(seq 300); do answers "$name" && break; systemctl is-active --quiet "$unit" || break; sleep 0.2; done
    answers "$name" || { systemctl status --no-pager --lines=20 "$unit"; systemctl stop "$unit"; return 1; }
    load "$name" "$amount" && reload "$name" systemctl kill --signal=HUP --kill-whom=main "$unit" &&
        load "$name" "$((amount / 2))" && answers "$name"
    local works=$?
    systemctl stop "$unit"
    return $works
}
# The denied calls of a unit. Fails if the daemon does not know the unit.
denied() {
    curl -sfG $api/api/v1/workloads --data-urlencode "match=cgroup=\"/system.slice/$1.service\"" |
        python3 -c 'import json, sys
[entry] = json.load(sys.stdin)["data"]["workloads"]
for call in entry.get("denied", []): print(call["syscall"], call.get("errno", ""), call["denied"])'
}

for name in nginx redis postgres python go rust busybox; do
    echo "# $SECONDS s: $name without a filter"
    if ! lives $name "plain-$name" 10; then echo "@fail $name: does not run without a filter"; continue; fi
    drop_in=/run/$name.conf
    if ! $program profile generate --daemon $api --workload "cgroup=\"/system.slice/plain-$name.service\"" \
        --format systemd --output $drop_in; then echo "@fail $name: no profile"; continue; fi
    calls=$(grep '^SystemCallFilter=.' $drop_in | sed 's/^SystemCallFilter=//' | wc -w)
    for privileges in no yes; do
        echo "# $SECONDS s: $name, $calls calls, NoNewPrivileges=$privileges"
        unit=enforced-$name-$privileges
        mkdir -p "/run/systemd/system/$unit.service.d"
        cp $drop_in "/run/systemd/system/$unit.service.d/50-syscalls.conf"
        what="$name as a unit, $calls calls, NoNewPrivileges=$privileges"
        if ! lives $name "$unit" 8 --property=NoNewPrivileges=$privileges; then works=no; else works=yes; fi
        if ! refused=$(denied "$unit" | tr '\n' ';'); then
            echo "@fail $what: the daemon does not know its denied calls"
        elif [ $works = yes ] && [ -z "$refused" ]; then
            echo "@pass $what"
        else
            echo "@fail $what: works: $works, denied: $refused"
        fi
    done
done
# A filter without a call that the server makes: the refusal is counted. nginx cannot answer then.
mkdir -p /run/systemd/system/enforced-less.service.d
sed 's/\bwritev\b//' /run/nginx.conf >/run/systemd/system/enforced-less.service.d/50-syscalls.conf
# shellcheck disable=SC2086
systemd-run --quiet --unit=enforced-less ${serve[nginx]}
for _ in $(seq 300); do get --max-time 5 "http://127.0.0.1:8001/"; denied enforced-less | grep -q writev && break; sleep 0.2; done
systemctl stop enforced-less
if denied enforced-less | grep -q writev; then echo "@pass a call that is missing is counted"; else
    echo "@fail a call that is missing is not counted: $(denied enforced-less | tr '\n' ';')"
fi
echo "# $SECONDS s"
echo "@end"
systemctl poweroff --force --force
