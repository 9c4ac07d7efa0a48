#!/bin/bash
# Runs as a unit of a VM with Debian and systemd. Programs of units, scopes and user sessions call `kill`, which a policy
# denies. It must be reported at once. The policy also denies `umask`, which systemd's executor calls in each unit. That
# must not be reported. What xtask reads begins with "@".
exec >/dev/console 2>&1
violations=/tmp/violations
echo
echo "@release $(uname -r)"
echo "@systemd $(systemctl --version | head -n 1)"

systemd-run --quiet --unit=syscallmon /syscallmon/syscallmon run --web.listen-address=127.0.0.1:9778 \
    --policy.directory=/syscallmon/policies --state.directory=/tmp/state --alert.log=$violations
answers() { exec 3<>/dev/tcp/127.0.0.1/9778 && printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 && head -n 1 <&3 | grep -q 200; }
until (answers) 2>/dev/null; do sleep 0.2; done

# Whether a thread of this name made this call in the cgroup whose path ends like this, according to the violations.
has() { grep -F "$1\"},\"metadata\"" $violations | grep -F "\"syscall\":\"$3\"" | grep -qF "\"comm\":\"$2\""; }
# What a program calls is reported, within half of the time that container init may take.
reported() {
    for _ in $(seq 60); do has "$2" "$3" kill && echo "@pass $1" && return; sleep 0.5; done
    echo "@fail $1: no violation of $2 by $3"
}
# The executor has the name of the program that it will run, in parentheses.
silent() {
    if has "$2" "($3)" umask; then echo "@fail $1: a violation of $2 by ($3)"; else echo "@pass $1"; fi
}
start() { systemd-run --quiet --collect --unit="$1" "${@:2}"; }
as_user() { systemd-run --quiet --collect --user --machine=user@ --unit="$1" "${@:2}"; }
programs=/syscallmon/programs

start test-plain $programs/calls
reported "a service" /test-plain.service calls
silent "the executor in a service" /test-plain.service calls
start test-sandbox --property=PrivateTmp=yes --property=ProtectSystem=strict --property=User=user $programs/calls
reported "a sandboxed service" /test-sandbox.service calls
silent "the executor in a sandboxed service" /test-sandbox.service calls
start test-root /proc/self/root$programs/calls
reported "ExecStart by /proc/self/root" /test-root.service calls
start test-moves $programs/moves_itself test-moved.scope
reported "StartTransientUnit with a running process" /test-moved.scope moves_itself
start test-delegated --property=Delegate=yes --property=User=user $programs/moves_a_child
reported "a child in another cgroup of a delegated unit" /test-delegated.service moves_a_child
# systemd attaches processes to delegated units only.
start test-target --property=Delegate=yes --property=User=user sleep 1000
start test-attaches --property=User=user $programs/attaches test-target.service
reported "AttachProcessesToUnit to a unit of the system" /test-target.service attaches

loginctl enable-linger user
until systemctl is-active --quiet user@1000.service; do sleep 0.2; done
user=/user.slice/user-1000.slice/user@1000.service/app.slice
as_user test-of-user $programs/calls
reported "a service of a user" $user/test-of-user.service calls
as_user test-user-moves $programs/moves_itself test-user-moved.scope --user
reported "StartTransientUnit of a user with a running process" $user/test-user-moved.scope moves_itself
as_user test-user-target --property=Delegate=yes sleep 1000
as_user test-user-attaches $programs/attaches test-user-target.service --user
reported "AttachProcessesToUnit of a user" $user/test-user-target.service attaches
echo "@end"
systemctl poweroff --force --force
