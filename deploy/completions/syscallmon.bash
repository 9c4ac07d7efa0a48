_syscallmon() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="syscallmon"
                ;;
            syscallmon,check)
                cmd="syscallmon__subcmd__check"
                ;;
            syscallmon,completions)
                cmd="syscallmon__subcmd__completions"
                ;;
            syscallmon,health)
                cmd="syscallmon__subcmd__health"
                ;;
            syscallmon,help)
                cmd="syscallmon__subcmd__help"
                ;;
            syscallmon,man)
                cmd="syscallmon__subcmd__man"
                ;;
            syscallmon,policy)
                cmd="syscallmon__subcmd__policy"
                ;;
            syscallmon,profile)
                cmd="syscallmon__subcmd__profile"
                ;;
            syscallmon,record)
                cmd="syscallmon__subcmd__record"
                ;;
            syscallmon,replay)
                cmd="syscallmon__subcmd__replay"
                ;;
            syscallmon,run)
                cmd="syscallmon__subcmd__run"
                ;;
            syscallmon,seccomp-profile)
                cmd="syscallmon__subcmd__seccomp__subcmd__profile"
                ;;
            syscallmon,top)
                cmd="syscallmon__subcmd__top"
                ;;
            syscallmon,unpin)
                cmd="syscallmon__subcmd__unpin"
                ;;
            syscallmon__subcmd__help,check)
                cmd="syscallmon__subcmd__help__subcmd__check"
                ;;
            syscallmon__subcmd__help,completions)
                cmd="syscallmon__subcmd__help__subcmd__completions"
                ;;
            syscallmon__subcmd__help,health)
                cmd="syscallmon__subcmd__help__subcmd__health"
                ;;
            syscallmon__subcmd__help,help)
                cmd="syscallmon__subcmd__help__subcmd__help"
                ;;
            syscallmon__subcmd__help,man)
                cmd="syscallmon__subcmd__help__subcmd__man"
                ;;
            syscallmon__subcmd__help,policy)
                cmd="syscallmon__subcmd__help__subcmd__policy"
                ;;
            syscallmon__subcmd__help,profile)
                cmd="syscallmon__subcmd__help__subcmd__profile"
                ;;
            syscallmon__subcmd__help,record)
                cmd="syscallmon__subcmd__help__subcmd__record"
                ;;
            syscallmon__subcmd__help,replay)
                cmd="syscallmon__subcmd__help__subcmd__replay"
                ;;
            syscallmon__subcmd__help,run)
                cmd="syscallmon__subcmd__help__subcmd__run"
                ;;
            syscallmon__subcmd__help,seccomp-profile)
                cmd="syscallmon__subcmd__help__subcmd__seccomp__subcmd__profile"
                ;;
            syscallmon__subcmd__help,top)
                cmd="syscallmon__subcmd__help__subcmd__top"
                ;;
            syscallmon__subcmd__help,unpin)
                cmd="syscallmon__subcmd__help__subcmd__unpin"
                ;;
            syscallmon__subcmd__help__subcmd__policy,allow)
                cmd="syscallmon__subcmd__help__subcmd__policy__subcmd__allow"
                ;;
            syscallmon__subcmd__help__subcmd__policy,approve)
                cmd="syscallmon__subcmd__help__subcmd__policy__subcmd__approve"
                ;;
            syscallmon__subcmd__help__subcmd__policy,export)
                cmd="syscallmon__subcmd__help__subcmd__policy__subcmd__export"
                ;;
            syscallmon__subcmd__help__subcmd__policy,forget)
                cmd="syscallmon__subcmd__help__subcmd__policy__subcmd__forget"
                ;;
            syscallmon__subcmd__help__subcmd__policy,list)
                cmd="syscallmon__subcmd__help__subcmd__policy__subcmd__list"
                ;;
            syscallmon__subcmd__help__subcmd__policy,print)
                cmd="syscallmon__subcmd__help__subcmd__policy__subcmd__print"
                ;;
            syscallmon__subcmd__help__subcmd__policy,relearn)
                cmd="syscallmon__subcmd__help__subcmd__policy__subcmd__relearn"
                ;;
            syscallmon__subcmd__help__subcmd__policy,show)
                cmd="syscallmon__subcmd__help__subcmd__policy__subcmd__show"
                ;;
            syscallmon__subcmd__help__subcmd__policy,test)
                cmd="syscallmon__subcmd__help__subcmd__policy__subcmd__test"
                ;;
            syscallmon__subcmd__help__subcmd__profile,check)
                cmd="syscallmon__subcmd__help__subcmd__profile__subcmd__check"
                ;;
            syscallmon__subcmd__help__subcmd__profile,diff)
                cmd="syscallmon__subcmd__help__subcmd__profile__subcmd__diff"
                ;;
            syscallmon__subcmd__help__subcmd__profile,explain)
                cmd="syscallmon__subcmd__help__subcmd__profile__subcmd__explain"
                ;;
            syscallmon__subcmd__help__subcmd__profile,generate)
                cmd="syscallmon__subcmd__help__subcmd__profile__subcmd__generate"
                ;;
            syscallmon__subcmd__help__subcmd__profile,self)
                cmd="syscallmon__subcmd__help__subcmd__profile__subcmd__self"
                ;;
            syscallmon__subcmd__policy,allow)
                cmd="syscallmon__subcmd__policy__subcmd__allow"
                ;;
            syscallmon__subcmd__policy,approve)
                cmd="syscallmon__subcmd__policy__subcmd__approve"
                ;;
            syscallmon__subcmd__policy,export)
                cmd="syscallmon__subcmd__policy__subcmd__export"
                ;;
            syscallmon__subcmd__policy,forget)
                cmd="syscallmon__subcmd__policy__subcmd__forget"
                ;;
            syscallmon__subcmd__policy,help)
                cmd="syscallmon__subcmd__policy__subcmd__help"
                ;;
            syscallmon__subcmd__policy,list)
                cmd="syscallmon__subcmd__policy__subcmd__list"
                ;;
            syscallmon__subcmd__policy,print)
                cmd="syscallmon__subcmd__policy__subcmd__print"
                ;;
            syscallmon__subcmd__policy,relearn)
                cmd="syscallmon__subcmd__policy__subcmd__relearn"
                ;;
            syscallmon__subcmd__policy,show)
                cmd="syscallmon__subcmd__policy__subcmd__show"
                ;;
            syscallmon__subcmd__policy,test)
                cmd="syscallmon__subcmd__policy__subcmd__test"
                ;;
            syscallmon__subcmd__policy__subcmd__help,allow)
                cmd="syscallmon__subcmd__policy__subcmd__help__subcmd__allow"
                ;;
            syscallmon__subcmd__policy__subcmd__help,approve)
                cmd="syscallmon__subcmd__policy__subcmd__help__subcmd__approve"
                ;;
            syscallmon__subcmd__policy__subcmd__help,export)
                cmd="syscallmon__subcmd__policy__subcmd__help__subcmd__export"
                ;;
            syscallmon__subcmd__policy__subcmd__help,forget)
                cmd="syscallmon__subcmd__policy__subcmd__help__subcmd__forget"
                ;;
            syscallmon__subcmd__policy__subcmd__help,help)
                cmd="syscallmon__subcmd__policy__subcmd__help__subcmd__help"
                ;;
            syscallmon__subcmd__policy__subcmd__help,list)
                cmd="syscallmon__subcmd__policy__subcmd__help__subcmd__list"
                ;;
            syscallmon__subcmd__policy__subcmd__help,print)
                cmd="syscallmon__subcmd__policy__subcmd__help__subcmd__print"
                ;;
            syscallmon__subcmd__policy__subcmd__help,relearn)
                cmd="syscallmon__subcmd__policy__subcmd__help__subcmd__relearn"
                ;;
            syscallmon__subcmd__policy__subcmd__help,show)
                cmd="syscallmon__subcmd__policy__subcmd__help__subcmd__show"
                ;;
            syscallmon__subcmd__policy__subcmd__help,test)
                cmd="syscallmon__subcmd__policy__subcmd__help__subcmd__test"
                ;;
            syscallmon__subcmd__profile,check)
                cmd="syscallmon__subcmd__profile__subcmd__check"
                ;;
            syscallmon__subcmd__profile,diff)
                cmd="syscallmon__subcmd__profile__subcmd__diff"
                ;;
            syscallmon__subcmd__profile,explain)
                cmd="syscallmon__subcmd__profile__subcmd__explain"
                ;;
            syscallmon__subcmd__profile,generate)
                cmd="syscallmon__subcmd__profile__subcmd__generate"
                ;;
            syscallmon__subcmd__profile,help)
                cmd="syscallmon__subcmd__profile__subcmd__help"
                ;;
            syscallmon__subcmd__profile,self)
                cmd="syscallmon__subcmd__profile__subcmd__self"
                ;;
            syscallmon__subcmd__profile__subcmd__help,check)
                cmd="syscallmon__subcmd__profile__subcmd__help__subcmd__check"
                ;;
            syscallmon__subcmd__profile__subcmd__help,diff)
                cmd="syscallmon__subcmd__profile__subcmd__help__subcmd__diff"
                ;;
            syscallmon__subcmd__profile__subcmd__help,explain)
                cmd="syscallmon__subcmd__profile__subcmd__help__subcmd__explain"
                ;;
            syscallmon__subcmd__profile__subcmd__help,generate)
                cmd="syscallmon__subcmd__profile__subcmd__help__subcmd__generate"
                ;;
            syscallmon__subcmd__profile__subcmd__help,help)
                cmd="syscallmon__subcmd__profile__subcmd__help__subcmd__help"
                ;;
            syscallmon__subcmd__profile__subcmd__help,self)
                cmd="syscallmon__subcmd__profile__subcmd__help__subcmd__self"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        syscallmon)
            opts="-h -V --help --version run check completions health man policy profile record replay top unpin seccomp-profile help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__check)
            opts="-h --config.file --output --web.listen-address --web.telemetry-path --web.max-connections --web.config.file --poll.interval --workload.expire-after --workload.labels --workload.keep --workload.drop --workload.pause-containers --workload.group-transient-units --workload.max-series --metrics.syscalls --metrics.errors --metrics.denied --metrics.latency --metrics.created-timestamps --names.cri --names.docker --names.podman --names.kubernetes --kubernetes.node-name --kubernetes.kubeconfig --cgroup.hierarchy --capacity.cgroups --capacity.series --capacity.errors --capacity.denied --capacity.histograms --capacity.timed-calls --probe.sys-enter --probe.errors --probe.denied --probe.latency --probe.io-uring --probe.arguments --latency.syscalls --latency.buckets --policy.runtime-default --policy.directory --policy.strict --state.directory --state.baseline-retention --pin.directory --pin.lease --alert.log --alert.command-line --alert.incident-window --alert.repeat-interval --alert.rate-limit --alert.resolve-after --alert.kubernetes-events --alert.alertmanager.url --alert.alertmanager.labels --alert.alertmanager.ca-file --alert.alertmanager.bearer-token-file --alert.alertmanager.username --alert.alertmanager.password-file --alert.webhook.url --alert.webhook.template --alert.webhook.content-type --alert.webhook.headers --alert.webhook.ca-file --alert.webhook.bearer-token-file --alert.webhook.username --alert.webhook.password-file --log.level --log.format --path.procfs --path.sysfs --path.cgroupfs --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "table json" -- "${cur}"))
                    return 0
                    ;;
                --web.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.telemetry-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.max-connections)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --poll.interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.expire-after)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.labels)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.keep)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.drop)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.pause-containers)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --workload.group-transient-units)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --workload.max-series)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics.syscalls)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.errors)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.denied)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.latency)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.created-timestamps)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --names.cri)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --names.docker)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --names.podman)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --names.kubernetes)
                    COMPREPLY=($(compgen -W "auto on off" -- "${cur}"))
                    return 0
                    ;;
                --kubernetes.node-name)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --kubernetes.kubeconfig)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cgroup.hierarchy)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.cgroups)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.series)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.errors)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.denied)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.histograms)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.timed-calls)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --probe.sys-enter)
                    COMPREPLY=($(compgen -W "auto tp_btf raw_tp tracepoint" -- "${cur}"))
                    return 0
                    ;;
                --probe.errors)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.denied)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.latency)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.io-uring)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.arguments)
                    COMPREPLY=($(compgen -W "none security all" -- "${cur}"))
                    return 0
                    ;;
                --latency.syscalls)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --latency.buckets)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --policy.runtime-default)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --policy.directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --policy.strict)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --state.directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.baseline-retention)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --pin.directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --pin.lease)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.log)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.command-line)
                    COMPREPLY=($(compgen -W "redacted full program none" -- "${cur}"))
                    return 0
                    ;;
                --alert.incident-window)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.repeat-interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.rate-limit)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.resolve-after)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.kubernetes-events)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.labels)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.bearer-token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.template)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.content-type)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.headers)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.bearer-token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log.level)
                    COMPREPLY=($(compgen -W "debug info warn error" -- "${cur}"))
                    return 0
                    ;;
                --log.format)
                    COMPREPLY=($(compgen -W "logfmt json" -- "${cur}"))
                    return 0
                    ;;
                --path.procfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --path.sysfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --path.cgroupfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__completions)
            opts="-h --help bash elvish fish powershell zsh"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__health)
            opts="-h --url --username --password-file --ca-file --telemetry-path --wait --daemonset --every-pod --service --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --telemetry-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --daemonset)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --service)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help)
            opts="run check completions health man policy profile record replay top unpin seccomp-profile help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__check)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__completions)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__health)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__man)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__policy)
            opts="list show approve forget relearn allow export test print"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__policy__subcmd__allow)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__policy__subcmd__approve)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__policy__subcmd__export)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__policy__subcmd__forget)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__policy__subcmd__list)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__policy__subcmd__print)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__policy__subcmd__relearn)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__policy__subcmd__show)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__policy__subcmd__test)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__profile)
            opts="generate check diff explain self"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__profile__subcmd__check)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__profile__subcmd__diff)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__profile__subcmd__explain)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__profile__subcmd__generate)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__profile__subcmd__self)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__record)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__replay)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__run)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__seccomp__subcmd__profile)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__top)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__help__subcmd__unpin)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__man)
            opts="-h --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy)
            opts="-h --url --username --password-file --ca-file --output --help list show approve forget relearn allow export test print help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "table json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__allow)
            opts="-h --url --username --password-file --ca-file --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "table json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__approve)
            opts="-h --url --username --password-file --ca-file --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "table json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__export)
            opts="-h --format --name --match --url --username --password-file --ca-file --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --format)
                    COMPREPLY=($(compgen -W "oci spo spo-v1beta1 systemd policy artifact" -- "${cur}"))
                    return 0
                    ;;
                --name)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --match)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "table json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__forget)
            opts="-h --url --username --password-file --ca-file --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "table json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__help)
            opts="list show approve forget relearn allow export test print help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__help__subcmd__allow)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__help__subcmd__approve)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__help__subcmd__export)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__help__subcmd__forget)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__help__subcmd__list)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__help__subcmd__print)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__help__subcmd__relearn)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__help__subcmd__show)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__help__subcmd__test)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__list)
            opts="-h --url --username --password-file --ca-file --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "table json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__print)
            opts="-h --url --username --password-file --ca-file --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "table json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__relearn)
            opts="-h --url --username --password-file --ca-file --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "table json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__show)
            opts="-h --url --username --password-file --ca-file --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "table json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__policy__subcmd__test)
            opts="-h --workload --call --against --prometheus --range --prometheus-username --prometheus-password-file --prometheus-token-file --prometheus-ca-file --prometheus-header --prometheus-timeout --url --username --password-file --ca-file --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --workload)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --call)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --against)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --range)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-header)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "table json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile)
            opts="-h --help generate check diff explain self help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile__subcmd__check)
            opts="-h --workload --daemon --daemon-username --daemon-password-file --daemon-ca-file --baseline --prometheus --range --prometheus-username --prometheus-password-file --prometheus-token-file --prometheus-ca-file --prometheus-header --prometheus-timeout --runtime --no-new-privileges --suggest --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --workload)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --daemon)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --daemon-username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --daemon-password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --daemon-ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --baseline)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --range)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-header)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --runtime)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --suggest)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "text json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile__subcmd__diff)
            opts="-h --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --output)
                    COMPREPLY=($(compgen -W "text json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile__subcmd__explain)
            opts="-h --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --output)
                    COMPREPLY=($(compgen -W "text json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile__subcmd__generate)
            opts="-o -h --workload --daemon --daemon-username --daemon-password-file --daemon-ca-file --baseline --prometheus --range --prometheus-username --prometheus-password-file --prometheus-token-file --prometheus-ca-file --prometheus-header --prometheus-timeout --format --output --arch --strict --runtime --no-new-privileges --allow --allow-denied --any-arguments --name --namespace --match --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --workload)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --daemon)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --daemon-username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --daemon-password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --daemon-ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --baseline)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --range)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-header)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --prometheus-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --format)
                    COMPREPLY=($(compgen -W "oci spo spo-v1beta1 systemd policy artifact" -- "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -o)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --arch)
                    COMPREPLY=($(compgen -W "x86_64 aarch64" -- "${cur}"))
                    return 0
                    ;;
                --runtime)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --name)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --namespace)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --match)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile__subcmd__help)
            opts="generate check diff explain self help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile__subcmd__help__subcmd__check)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile__subcmd__help__subcmd__diff)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile__subcmd__help__subcmd__explain)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile__subcmd__help__subcmd__generate)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile__subcmd__help__subcmd__self)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__profile__subcmd__self)
            opts="-h --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --output)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__record)
            opts="-o -h --host --output --duration --startup --startup-until --max-size --mask --config.file --web.listen-address --web.telemetry-path --web.max-connections --web.config.file --poll.interval --workload.expire-after --workload.labels --workload.keep --workload.drop --workload.pause-containers --workload.group-transient-units --workload.max-series --metrics.syscalls --metrics.errors --metrics.denied --metrics.latency --metrics.created-timestamps --names.cri --names.docker --names.podman --names.kubernetes --kubernetes.node-name --kubernetes.kubeconfig --cgroup.hierarchy --capacity.cgroups --capacity.series --capacity.errors --capacity.denied --capacity.histograms --capacity.timed-calls --probe.sys-enter --probe.errors --probe.denied --probe.latency --probe.io-uring --probe.arguments --latency.syscalls --latency.buckets --policy.runtime-default --policy.directory --policy.strict --state.directory --state.baseline-retention --pin.directory --pin.lease --alert.log --alert.command-line --alert.incident-window --alert.repeat-interval --alert.rate-limit --alert.resolve-after --alert.kubernetes-events --alert.alertmanager.url --alert.alertmanager.labels --alert.alertmanager.ca-file --alert.alertmanager.bearer-token-file --alert.alertmanager.username --alert.alertmanager.password-file --alert.webhook.url --alert.webhook.template --alert.webhook.content-type --alert.webhook.headers --alert.webhook.ca-file --alert.webhook.bearer-token-file --alert.webhook.username --alert.webhook.password-file --log.level --log.format --path.procfs --path.sysfs --path.cgroupfs --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --output)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -o)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --duration)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --startup)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --startup-until)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.telemetry-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.max-connections)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --poll.interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.expire-after)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.labels)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.keep)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.drop)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.pause-containers)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --workload.group-transient-units)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --workload.max-series)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics.syscalls)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.errors)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.denied)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.latency)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.created-timestamps)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --names.cri)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --names.docker)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --names.podman)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --names.kubernetes)
                    COMPREPLY=($(compgen -W "auto on off" -- "${cur}"))
                    return 0
                    ;;
                --kubernetes.node-name)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --kubernetes.kubeconfig)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cgroup.hierarchy)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.cgroups)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.series)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.errors)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.denied)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.histograms)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.timed-calls)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --probe.sys-enter)
                    COMPREPLY=($(compgen -W "auto tp_btf raw_tp tracepoint" -- "${cur}"))
                    return 0
                    ;;
                --probe.errors)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.denied)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.latency)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.io-uring)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.arguments)
                    COMPREPLY=($(compgen -W "none security all" -- "${cur}"))
                    return 0
                    ;;
                --latency.syscalls)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --latency.buckets)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --policy.runtime-default)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --policy.directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --policy.strict)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --state.directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.baseline-retention)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --pin.directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --pin.lease)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.log)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.command-line)
                    COMPREPLY=($(compgen -W "redacted full program none" -- "${cur}"))
                    return 0
                    ;;
                --alert.incident-window)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.repeat-interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.rate-limit)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.resolve-after)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.kubernetes-events)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.labels)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.bearer-token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.template)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.content-type)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.headers)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.bearer-token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log.level)
                    COMPREPLY=($(compgen -W "debug info warn error" -- "${cur}"))
                    return 0
                    ;;
                --log.format)
                    COMPREPLY=($(compgen -W "logfmt json" -- "${cur}"))
                    return 0
                    ;;
                --path.procfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --path.sysfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --path.cgroupfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__replay)
            opts="-h --speed --once --web.listen-address --web.telemetry-path --web.max-connections --web.config.file --metrics.syscalls --metrics.errors --metrics.denied --metrics.latency --metrics.created-timestamps --log.level --log.format --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --speed)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.telemetry-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.max-connections)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics.syscalls)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.errors)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.denied)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.latency)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.created-timestamps)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --log.level)
                    COMPREPLY=($(compgen -W "debug info warn error" -- "${cur}"))
                    return 0
                    ;;
                --log.format)
                    COMPREPLY=($(compgen -W "logfmt json" -- "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__run)
            opts="-h --config.file --once --web.listen-address --web.telemetry-path --web.max-connections --web.config.file --poll.interval --workload.expire-after --workload.labels --workload.keep --workload.drop --workload.pause-containers --workload.group-transient-units --workload.max-series --metrics.syscalls --metrics.errors --metrics.denied --metrics.latency --metrics.created-timestamps --names.cri --names.docker --names.podman --names.kubernetes --kubernetes.node-name --kubernetes.kubeconfig --cgroup.hierarchy --capacity.cgroups --capacity.series --capacity.errors --capacity.denied --capacity.histograms --capacity.timed-calls --probe.sys-enter --probe.errors --probe.denied --probe.latency --probe.io-uring --probe.arguments --latency.syscalls --latency.buckets --policy.runtime-default --policy.directory --policy.strict --state.directory --state.baseline-retention --pin.directory --pin.lease --alert.log --alert.command-line --alert.incident-window --alert.repeat-interval --alert.rate-limit --alert.resolve-after --alert.kubernetes-events --alert.alertmanager.url --alert.alertmanager.labels --alert.alertmanager.ca-file --alert.alertmanager.bearer-token-file --alert.alertmanager.username --alert.alertmanager.password-file --alert.webhook.url --alert.webhook.template --alert.webhook.content-type --alert.webhook.headers --alert.webhook.ca-file --alert.webhook.bearer-token-file --alert.webhook.username --alert.webhook.password-file --log.level --log.format --path.procfs --path.sysfs --path.cgroupfs --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.telemetry-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.max-connections)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --poll.interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.expire-after)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.labels)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.keep)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.drop)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.pause-containers)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --workload.group-transient-units)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --workload.max-series)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics.syscalls)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.errors)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.denied)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.latency)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.created-timestamps)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --names.cri)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --names.docker)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --names.podman)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --names.kubernetes)
                    COMPREPLY=($(compgen -W "auto on off" -- "${cur}"))
                    return 0
                    ;;
                --kubernetes.node-name)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --kubernetes.kubeconfig)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cgroup.hierarchy)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.cgroups)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.series)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.errors)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.denied)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.histograms)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.timed-calls)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --probe.sys-enter)
                    COMPREPLY=($(compgen -W "auto tp_btf raw_tp tracepoint" -- "${cur}"))
                    return 0
                    ;;
                --probe.errors)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.denied)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.latency)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.io-uring)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.arguments)
                    COMPREPLY=($(compgen -W "none security all" -- "${cur}"))
                    return 0
                    ;;
                --latency.syscalls)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --latency.buckets)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --policy.runtime-default)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --policy.directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --policy.strict)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --state.directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.baseline-retention)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --pin.directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --pin.lease)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.log)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.command-line)
                    COMPREPLY=($(compgen -W "redacted full program none" -- "${cur}"))
                    return 0
                    ;;
                --alert.incident-window)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.repeat-interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.rate-limit)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.resolve-after)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.kubernetes-events)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.labels)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.bearer-token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.template)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.content-type)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.headers)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.bearer-token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log.level)
                    COMPREPLY=($(compgen -W "debug info warn error" -- "${cur}"))
                    return 0
                    ;;
                --log.format)
                    COMPREPLY=($(compgen -W "logfmt json" -- "${cur}"))
                    return 0
                    ;;
                --path.procfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --path.sysfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --path.cgroupfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__seccomp__subcmd__profile)
            opts="-h --output --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --output)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__top)
            opts="-h --url --username --password-file --ca-file --recording --interval --sort --reverse --filter --columns --output --once --config.file --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --recording)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --sort)
                    COMPREPLY=($(compgen -W "rate history error-rate denied-rate calls errors denied io-uring incidents name" -- "${cur}"))
                    return 0
                    ;;
                --filter)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --columns)
                    COMPREPLY=($(compgen -W "rate history error-rate denied-rate calls errors denied io-uring incidents name" -- "${cur}"))
                    return 0
                    ;;
                --output)
                    COMPREPLY=($(compgen -W "table json csv" -- "${cur}"))
                    return 0
                    ;;
                --config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        syscallmon__subcmd__unpin)
            opts="-h --config.file --prepare --wait --stay --web.listen-address --web.telemetry-path --web.max-connections --web.config.file --poll.interval --workload.expire-after --workload.labels --workload.keep --workload.drop --workload.pause-containers --workload.group-transient-units --workload.max-series --metrics.syscalls --metrics.errors --metrics.denied --metrics.latency --metrics.created-timestamps --names.cri --names.docker --names.podman --names.kubernetes --kubernetes.node-name --kubernetes.kubeconfig --cgroup.hierarchy --capacity.cgroups --capacity.series --capacity.errors --capacity.denied --capacity.histograms --capacity.timed-calls --probe.sys-enter --probe.errors --probe.denied --probe.latency --probe.io-uring --probe.arguments --latency.syscalls --latency.buckets --policy.runtime-default --policy.directory --policy.strict --state.directory --state.baseline-retention --pin.directory --pin.lease --alert.log --alert.command-line --alert.incident-window --alert.repeat-interval --alert.rate-limit --alert.resolve-after --alert.kubernetes-events --alert.alertmanager.url --alert.alertmanager.labels --alert.alertmanager.ca-file --alert.alertmanager.bearer-token-file --alert.alertmanager.username --alert.alertmanager.password-file --alert.webhook.url --alert.webhook.template --alert.webhook.content-type --alert.webhook.headers --alert.webhook.ca-file --alert.webhook.bearer-token-file --alert.webhook.username --alert.webhook.password-file --log.level --log.format --path.procfs --path.sysfs --path.cgroupfs --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.listen-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.telemetry-path)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.max-connections)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --web.config.file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --poll.interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.expire-after)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.labels)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.keep)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.drop)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --workload.pause-containers)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --workload.group-transient-units)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --workload.max-series)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics.syscalls)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.errors)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.denied)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.latency)
                    COMPREPLY=($(compgen -W "name set none" -- "${cur}"))
                    return 0
                    ;;
                --metrics.created-timestamps)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --names.cri)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --names.docker)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --names.podman)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --names.kubernetes)
                    COMPREPLY=($(compgen -W "auto on off" -- "${cur}"))
                    return 0
                    ;;
                --kubernetes.node-name)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --kubernetes.kubeconfig)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cgroup.hierarchy)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.cgroups)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.series)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.errors)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.denied)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.histograms)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --capacity.timed-calls)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --probe.sys-enter)
                    COMPREPLY=($(compgen -W "auto tp_btf raw_tp tracepoint" -- "${cur}"))
                    return 0
                    ;;
                --probe.errors)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.denied)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.latency)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.io-uring)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --probe.arguments)
                    COMPREPLY=($(compgen -W "none security all" -- "${cur}"))
                    return 0
                    ;;
                --latency.syscalls)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --latency.buckets)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --policy.runtime-default)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --policy.directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --policy.strict)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --state.directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --state.baseline-retention)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --pin.directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --pin.lease)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.log)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.command-line)
                    COMPREPLY=($(compgen -W "redacted full program none" -- "${cur}"))
                    return 0
                    ;;
                --alert.incident-window)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.repeat-interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.rate-limit)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.resolve-after)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.kubernetes-events)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.labels)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.bearer-token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.alertmanager.password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.template)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.content-type)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.headers)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.ca-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.bearer-token-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.username)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --alert.webhook.password-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --log.level)
                    COMPREPLY=($(compgen -W "debug info warn error" -- "${cur}"))
                    return 0
                    ;;
                --log.format)
                    COMPREPLY=($(compgen -W "logfmt json" -- "${cur}"))
                    return 0
                    ;;
                --path.procfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --path.sysfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --path.cgroupfs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _syscallmon -o nosort -o bashdefault -o default syscallmon
else
    complete -F _syscallmon -o bashdefault -o default syscallmon
fi
