#!/bin/bash
# Runs as a unit of a VM with Debian and systemd. Each server runs as a unit under a load. A profile is generated from
# that, and becomes a drop-in of another unit with the same server: it must start, run another load, reload and stop, and
# nothing may be denied. What xtask reads begins with "@".
exec >/dev/console 2>&1
echo
echo "@release $(uname -r)"
echo "@systemd $(systemctl --version | head -n 1)"
syscallmon=/syscallmon/syscallmon
api=http://127.0.0.1:9778
systemd-run --quiet --unit=syscallmon $syscallmon run --state.directory=/run/state
until curl -sf $api/readyz >/dev/null; do sleep 0.5; done
echo "# the daemon counts"

cluster=$(echo /etc/postgresql/*/main)
version=$(basename "$(dirname "$cluster")")
mkdir -p /var/www/html /srv/redis && echo hello >/var/www/html/index.html && chown redis /srv/redis
seq 100000 >/var/www/html/numbers
echo 'daemon off; user www-data; worker_processes 2; events {}
    http { access_log /var/log/nginx/access.log; server { listen 8001; root /var/www/html; } }' >/etc/nginx/test.conf
psql="psql --quiet --no-psqlrc --host=127.0.0.1 --port=5433 --username=postgres"
echo "host all all 127.0.0.1/32 trust" >"$cluster/pg_hba.conf"

# The command of each server, and properties of its unit.
declare -A serve=(
    [nginx]="/usr/sbin/nginx -c /etc/nginx/test.conf"
    [redis]="/usr/bin/redis-server --port 8002 --dir /srv/redis --save 3600 1 --appendonly yes"
    [postgres]="/usr/lib/postgresql/$version/bin/postgres -D /var/lib/postgresql/$version/main \
        -c config_file=$cluster/postgresql.conf -c port=5433 -c listen_addresses=127.0.0.1 -c unix_socket_directories=/tmp"
    [python]="/usr/bin/python3 -m http.server --bind 127.0.0.1 --directory /var/www/html 8004"
    [go]="/usr/bin/prometheus-node-exporter --web.listen-address=127.0.0.1:8005"
    [rust]="/syscallmon/programs/web_server 8006"
    [busybox]="/usr/bin/busybox httpd -f -p 127.0.0.1:8007 -h /var/www/html"
)
declare -A user=([redis]=redis [postgres]=postgres [go]=prometheus [python]=www-data)
declare -A port=([nginx]=8001 [python]=8004 [go]=8005 [rust]=8006 [busybox]=8007)

get() { curl --silent --output /dev/null --max-time 120 "$@"; }
# Requests to a web server: small and large files, a missing one, a range, a method it may not know, in parallel.
web() {
    get "http://127.0.0.1:$1/" && get "http://127.0.0.1:$1/numbers" && get "http://127.0.0.1:$1/missing"
    get --head "http://127.0.0.1:$1/" && get --range 10-99 "http://127.0.0.1:$1/numbers"
    # Not every server knows the method.
    get --data x=1 "http://127.0.0.1:$1/"
    local jobs i
    for i in $(seq "$2"); do
        jobs=()
        for part in a b c; do get "http://127.0.0.1:$1/metrics?$i$part" & jobs+=($!); done
        wait "${jobs[@]}" || return
    done
}
load() {
    case $1 in
    redis)
        redis-benchmark -p 8002 -q -n "$2" -c 5 >/dev/null
        redis-cli -p 8002 lpush list "$2" >/dev/null
        redis-cli -p 8002 bgsave >/dev/null && redis-cli -p 8002 bgrewriteaof >/dev/null
        until redis-cli -p 8002 info persistence | grep -q 'rdb_bgsave_in_progress:0' &&
            redis-cli -p 8002 info persistence | grep -q 'aof_rewrite_in_progress:0'; do sleep 0.2; done
        ;;
    postgres)
        $psql -c 'drop table if exists numbers' -c 'create table numbers as select generate_series(1, 20000) as number' \
            -c 'create index on numbers (number)' -c "select count(*) from numbers where number % $2 = 0" \
            -c 'copy numbers to stdout' -c 'vacuum full analyze numbers' -c checkpoint >/dev/null
        ;;
    *) web "${port[$1]}" "$2" ;;
    esac
}
answers() {
    case $1 in
    redis) redis-cli -p 8002 ping | grep -q PONG ;;
    postgres) $psql -c 'select 1' ;;
    *) get "http://127.0.0.1:${port[$1]}/" ;;
    esac >/dev/null 2>&1
}
reload() {
    case $1 in
    nginx | postgres) systemctl kill --signal=HUP --kill-whom=main "$2" ;;
    redis) redis-cli -p 8002 config set maxmemory 100mb >/dev/null ;;
    esac
}
# Starts a server as this unit with these properties, waits until it answers, and makes a load, a reload and a stop.
lives() {
    local name=$1 unit=$2 amount=$3
    shift 3
    # shellcheck disable=SC2086 # The command has several words.
    systemd-run --quiet --unit="$unit" ${user[$name]:+--property=User=${user[$name]}} "$@" ${serve[$name]} || return 1
    for _ in $(seq 300); do answers "$name" && break; systemctl is-active --quiet "$unit" || break; sleep 0.2; done
    answers "$name" || { systemctl status --no-pager --lines=20 "$unit"; systemctl stop "$unit"; return 1; }
    load "$name" "$amount" && reload "$name" "$unit" && load "$name" "$((amount / 2))" && answers "$name"
    local works=$?
    systemctl stop "$unit"
    return $works
}
# The denied calls of a unit.
denied() {
    curl -sG $api/api/v1/workloads --data-urlencode "match=cgroup=\"/system.slice/$1.service\"" |
        python3 -c 'import json, sys
for entry in json.load(sys.stdin)["data"]["workloads"]:
    for call in entry.get("denied", []): print(call["syscall"], call.get("errno", ""), call["attempts"])'
}

for name in nginx redis postgres python go rust busybox; do
    echo "# $name: without a filter"
    if ! lives $name "plain-$name" 10; then echo "@fail $name: does not run without a filter"; continue; fi
    drop_in=/run/$name.conf
    if ! $syscallmon profile generate --daemon $api --workload "cgroup=\"/system.slice/plain-$name.service\"" \
        --format systemd --output $drop_in; then echo "@fail $name: no profile"; continue; fi
    calls=$(grep '^SystemCallFilter=.' $drop_in | sed 's/^SystemCallFilter=//' | wc -w)
    for privileges in no yes; do
        echo "# $name: $calls calls, NoNewPrivileges=$privileges"
        unit=enforced-$name-$privileges
        mkdir -p "/run/systemd/system/$unit.service.d"
        cp $drop_in "/run/systemd/system/$unit.service.d/50-syscalls.conf"
        lives $name "$unit" 8 --property=NoNewPrivileges=$privileges
        works=$?
        refused=$(denied "$unit" | tr '\n' ';')
        what="$name as a unit, $calls calls, NoNewPrivileges=$privileges"
        if [ $works -eq 0 ] && [ -z "$refused" ]; then
            echo "@pass $what"
        else
            echo "@fail $what: status $works, denied: $refused"
        fi
    done
done
# A filter without a call that the server makes: the refusal is counted. nginx cannot answer then.
mkdir -p /run/systemd/system/enforced-less.service.d
sed 's/\bwritev\b//' /run/nginx.conf >/run/systemd/system/enforced-less.service.d/50-syscalls.conf
systemd-run --quiet --unit=enforced-less ${serve[nginx]}
for _ in $(seq 300); do get "http://127.0.0.1:8001/"; denied enforced-less | grep -q writev && break; sleep 0.2; done
systemctl stop enforced-less
if denied enforced-less | grep -q writev; then echo "@pass a call that is missing is counted"; else
    echo "@fail a call that is missing is not counted: $(denied enforced-less | tr '\n' ';')"
fi
echo "@end"
systemctl poweroff --force --force
