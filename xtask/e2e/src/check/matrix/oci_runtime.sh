#!/bin/sh
# runc or crun, by this script's name, without limits of CPU, memory, processes and block I/O. Both refuse them where
# cgroup2 has no such controllers, as on a machine that also has hierarchies of version 1.
bundle=
process=
last=
for argument; do
    case $last in
        --bundle | -b) bundle=$argument ;;
        --process | -p) process=$argument ;;
    esac
    last=$argument
done
if [ -n "$bundle" ]; then
    limits='"\(cpu\|memory\|pids\|blockIO\)":{[^{}]*}'
    /busybox sed -i "s/$limits,//g; s/,$limits//g" "$bundle/config.json"
    # crun 1.8 raises a limit before it loads a filter of devices, for which the machine may lack CAP_SYS_RESOURCE.
    rules='"devices":\[{"allow"[^]]*\]'
    [ "${0##*/}" != crun ] || /busybox sed -i "s/$rules,//g; s/,$rules//g; s/$rules//g" "$bundle/config.json"
fi
# Docker 20.10 gives a privileged container all capabilities, and the machine may lack this one.
for file in ${bundle:+"$bundle/config.json"} ${process:+"$process"}; do
    /busybox sed -i 's/"CAP_SYS_RESOURCE",//g' "$file"
done
for directory in /usr/sbin /usr/bin; do
    [ ! -x "$directory/${0##*/}" ] || exec "$directory/${0##*/}" "$@"
done
