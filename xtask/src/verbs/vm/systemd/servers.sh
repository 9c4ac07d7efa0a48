#!/bin/bash
# Servers of a VM with Debian: their files, commands, loads and reloads. Other scripts include this file.
# With arguments, it calls the function with these arguments.
program=/syscallmon/syscallmon
api=http://127.0.0.1:9778
cluster=$(echo /etc/postgresql/*/main)
version=$(basename "$(dirname "$cluster")")
psql="psql --quiet --no-psqlrc --host=127.0.0.1 --port=5433 --username=postgres"

# The command of each server, its user, and the port of a web server.
# shellcheck disable=SC2034 # Other scripts use them.
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
# shellcheck disable=SC2034
declare -A user=([redis]=redis [postgres]=postgres [go]=prometheus [python]=www-data)
declare -A port=([nginx]=8001 [python]=8004 [go]=8005 [rust]=8006 [busybox]=8007)

# Starts the daemon, waits until it counts, and writes the files of the servers.
prepare() {
    systemd-run --quiet --unit=syscallmon $program run --state.directory=/run/state
    until curl -sf $api/readyz >/dev/null; do sleep 0.5; done
    mkdir -p /var/www/html /srv/redis && echo hello >/var/www/html/index.html && chown redis /srv/redis
    seq 100000 >/var/www/html/numbers
    echo 'daemon off; user www-data; worker_processes 2; events {}
        http { access_log /var/log/nginx/access.log; server { listen 8001; root /var/www/html; } }' >/etc/nginx/test.conf
    if [ -d "$cluster" ]; then echo "host all all 127.0.0.1/32 trust" >"$cluster/pg_hba.conf"; fi
}
# Removes what a server has stored. With its directories, it starts in another way.
forget() {
    case $1 in
    nginx) rm -rf /var/lib/nginx/* ;;
    redis) rm -rf /srv/redis/* ;;
    esac
}
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
is_saved() {
    redis-cli -p 8002 info persistence | tr -d '\r' >/tmp/persistence
    grep -qx rdb_bgsave_in_progress:0 /tmp/persistence && grep -qx aof_rewrite_in_progress:0 /tmp/persistence
}
load() {
    case $1 in
    redis)
        timeout 120 redis-benchmark -p 8002 -q -n "$2" -c 5 >/dev/null || return
        redis-cli -p 8002 lpush list "$2" >/dev/null
        redis-cli -p 8002 bgsave >/dev/null && redis-cli -p 8002 bgrewriteaof >/dev/null
        for _ in $(seq 300); do is_saved && return; sleep 0.2; done
        return 1
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
# Has a server read its configuration again, by the rest of the arguments: the command that sends it SIGHUP.
reload() {
    case $1 in
    nginx | postgres) "${@:2}" ;;
    redis) redis-cli -p 8002 config set maxmemory 100mb >/dev/null ;;
    esac
}
if [ $# -gt 0 ]; then "$@"; fi
