# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_syscallmon_global_optspecs
    string join \n h/help V/version
end

function __fish_syscallmon_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_syscallmon_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_syscallmon_using_subcommand
    set -l cmd (__fish_syscallmon_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c syscallmon -n "__fish_syscallmon_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -s V -l version -d 'Print version'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "run" -d 'Count system calls and export them until SIGTERM or SIGINT'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "check" -d 'Check whether this host can run syscallmon, and whether a configuration is valid'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "completions" -d 'Print completions for a shell'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "man" -d 'Print the man page of syscallmon or of one of its commands'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "policy" -d 'Show and change what workloads have learned (baselines)'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "record" -d 'Record the system calls of every workload of this host, to be shown anywhere by `syscallmon replay`'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "replay" -d 'Serve a recording of `syscallmon record` as if it were live'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "seccomp-profile" -d 'Print the seccomp profile that syscallmon itself can run under, or install it where the kubelet looks for it'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l config.file -d 'Configuration file; flags win over it. Reloaded on SIGHUP' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l web.listen-address -d 'Address and port to listen on; :PORT means every address; repeatable. [default: 127.0.0.1:9778]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l web.telemetry-path -d 'Path of the metrics. [default: /metrics]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l web.max-connections -d 'Most connections that are open at the same time. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l web.config.file -d 'File with TLS and basic authentication, in the format of Prometheus\' exporter-toolkit; re-read when it changes' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l poll.interval -d 'Time between two readings of the kernel\'s tables. A scrape gets counts that are at most 1 s old whatever this is. [default: 5s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.expire-after -d 'How long a workload that is gone is still exported. [default: 5m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.labels -d 'Labels that tell workloads apart, of those of workload info (container, image, owner, ...); what has the same values is counted together. [default: namespace,pod,container,cgroup]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.keep -d 'Export workloads that this selects and no others, such as namespace="shop",pod=~"web-.*" (any of the labels above, matched as in PromQL); repeatable. The others are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.drop -d 'Do not export workloads that this selects; repeatable. They are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.pause-containers -d 'Whether to export each container that only holds a pod\'s namespaces, as container "POD"; otherwise they are counted together. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.group-transient-units -d 'Whether to count units together whose names are made for one session or run, such as session-12.scope and run-u7.service, under cgroup paths such as /user.slice/user-1000.slice/session-*.scope. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.max-series -d 'Most series of workloads to export, about; what is beyond is counted in a remainder. [default: 200000]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l metrics.syscalls -d 'How calls are told apart in the counts of calls: by name, by set (the smallest of systemd\'s sets that has the call, such as @file-system), or none, which leaves one series for each workload and ABI. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l metrics.errors -d 'How calls are told apart in the counts of errors: by name, by set, or none. Errnos are told apart in any case. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l metrics.denied -d 'How calls are told apart in the counts of refused calls: by name, by set, or none. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l metrics.latency -d 'How calls are told apart in the histograms of durations: by name, by set, or none. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l metrics.created-timestamps -d 'Whether OpenMetrics has when each counter began. For a Prometheus with the feature created-timestamp-zero-ingestion: any other makes a second series of each counter. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l names.cri -d 'Names of containers from a runtime\'s CRI (containerd, CRI-O): a socket, auto for the usual ones, or off. Whoever can connect to it can control the runtime; only names are asked for. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l names.docker -d 'The same from Docker. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l names.podman -d 'The same from Podman. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l names.kubernetes -d 'Names of pods, containers and owners from the Kubernetes API: auto in a pod or with a kubeconfig, on, or off. Watches the pods of this node only. [default: auto]' -r -f -a "auto\t'In a pod, and where a kubeconfig is given'
on\t'Yes'
off\t'No'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l kubernetes.node-name -d 'Name of this host in Kubernetes; by default what the environment variable NODE_NAME says, or the host\'s name' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l kubernetes.kubeconfig -d 'How to reach the Kubernetes API from outside a pod' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l cgroup.hierarchy -d 'Hierarchies that workloads are told apart by: cgroup2, a v1 controller such as memory, or cgroup2+memory, which takes v1 for tasks in cgroup2\'s root; auto takes what tells most apart when it starts. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l capacity.cgroups -d 'Cgroups that can be counted at the same time; the calls of more go to a remainder. [default: 1024]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l capacity.series -d 'Triples of cgroup, ABI and syscall that can be counted at the same time; a quarter is also for their errors and refused attempts. [default: 65536]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l capacity.errors -d 'Pairs of syscall and errno that are told apart in one cgroup; more go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l capacity.denied -d 'Refused syscalls that are told apart in one cgroup; more go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l capacity.histograms -d 'Triples of cgroup, ABI and syscall whose durations can be measured at the same time. [default: 2048]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l capacity.timed-calls -d 'Calls that are measured and under way at the same time. [default: 16384]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l probe.sys-enter -d 'How to attach to sys_enter and sys_exit: auto takes the cheapest that this kernel has. [default: auto]' -r -f -a "auto\t'The first that this kernel accepts'
tp_btf\t'BTF-typed, the cheapest (Linux 5.11 with BTF)'
raw_tp\t'A raw tracepoint and a helper (Linux 4.18)'
tracepoint\t'The classic tracepoint, for kernels that preempt the others; needs tracefs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l probe.errors -d 'Whether to count errors by errno. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l probe.denied -d 'Whether to count calls that seccomp refused. Without, they count as errors where they return one. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l probe.latency -d 'Whether to measure how long calls take. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l probe.io-uring -d 'Whether to count operations given to io_uring. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l latency.syscalls -d 'Calls that are measured: names, and sets such as @file-system with systemd\'s names and meaning, separated by commas. By default those that wait on disk and network: read, write, openat, fsync, connect, recvmsg and their like' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l latency.buckets -d 'Upper bounds of the buckets to export, of 1us, 2us, 4us, ... 512us, 1ms, ... 512ms, 1s, ... 16s: powers of two, where 1ms is 1,024 us. [default: 1us,4us,16us,64us,256us,1ms,4ms,16ms,64ms,256ms,1s,4s,16s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l policy.runtime-default -d 'Whether containers that no other policy selects have the built-in one, which expects what the default seccomp profile of container runtimes allows. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l policy.directory -d 'Directory of files with policies, besides those under the key policies of the configuration file: all *.yaml and *.yml in it, in the order of their names; re-read when they change' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l policy.strict -d 'Whether one bad policy is enough to refuse all: the start fails, and a reload changes nothing. Otherwise valid policies are in force, and bad ones are logged, and counted by a metric. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l state.directory -d 'Where baselines of policies that learn are kept; made when the first one is, if the directory above it is there. [default: /var/lib/syscallmon]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l state.baseline-retention -d 'How long a baseline is kept that no workload has; an approved one is kept for ever. [default: 40days]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.log -d 'Where each violation is written as a line of JSON: stdout, stderr, off, or the path of a file. [default: stdout]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.command-line -d 'What is kept of command lines: redacted (without what looks like a secret), full, program or none. [default: redacted]' -r -f -a "redacted\t'All arguments; what looks like a password, token or key is replaced by `[redacted]`'
full\t'All arguments as they are'
program\t'The first one, by which the program was called'
none\t'Nothing'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.repeat-interval -d 'Least time between two lines, webhooks or Events of one violation that goes on. [default: 1h]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.rate-limit -d 'Most violations of each workload, policy and severity to be told for the first time; of more, one summary. All are counted. [default: 20/10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.resolve-after -d 'After which time without such a call its alert is resolved. [default: 15m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.kubernetes-events -d 'Whether to make a Kubernetes Event on the pod for each violation; needs the rights to create and patch events. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.alertmanager.url -d 'Send alerts to the Alertmanager at this URL, http:// or https:// with a host and a port; repeatable: each gets all' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.alertmanager.labels -d 'One more label of every alert, such as cluster=prod; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.alertmanager.ca-file -d 'File with the certificates (PEM) that the Alertmanager\'s must be signed by; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.alertmanager.bearer-token-file -d 'File with a token to be let in by; re-read when it is needed' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.alertmanager.username -d 'Name to be let in by, with a password' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.alertmanager.password-file -d 'File with the password; re-read when it is needed' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.url -d 'Post each violation to this URL, as the same JSON as in the log' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.template -d 'Text to post instead, in which {{ message }} stands for the field message of that JSON, as within a string' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.content-type -d 'Its Content-Type. [default: application/json]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.headers -d 'One more header, such as \'X-Scope: prod\'; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.ca-file -d 'File with the certificates (PEM) that the webhook\'s must be signed by; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.bearer-token-file -d 'File with a token to be let in by; re-read when it is needed' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.username -d 'Name to be let in by, with a password' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.password-file -d 'File with the password; re-read when it is needed' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l log.level -d 'Only log messages of this level and above. [default: info]' -r -f -a "debug\t'Everything'
info\t'Changes of state'
warn\t'What is not as it should be'
error\t'What does not work'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l log.format -d 'Format of log messages. [default: logfmt]' -r -f -a "logfmt\t'`key=value`, as Prometheus logs'
json\t'One JSON object a line'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l path.procfs -d 'Where procfs is mounted. [default: /proc]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l path.sysfs -d 'Where sysfs is mounted. [default: /sys]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l path.cgroupfs -d 'Look for cgroup mounts below this directory only; by default they are found through mountinfo' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l once -d 'Attach, wait one poll interval, print the metrics to stdout and exit'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l config.file -d 'Configuration file; flags win over it. Reloaded on SIGHUP' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l output -d 'How to print what was found' -r -f -a "table\t'For people: one line per requirement'
json\t'For programs: a list of objects with name, state and text'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l web.listen-address -d 'Address and port to listen on; :PORT means every address; repeatable. [default: 127.0.0.1:9778]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l web.telemetry-path -d 'Path of the metrics. [default: /metrics]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l web.max-connections -d 'Most connections that are open at the same time. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l web.config.file -d 'File with TLS and basic authentication, in the format of Prometheus\' exporter-toolkit; re-read when it changes' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l poll.interval -d 'Time between two readings of the kernel\'s tables. A scrape gets counts that are at most 1 s old whatever this is. [default: 5s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.expire-after -d 'How long a workload that is gone is still exported. [default: 5m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.labels -d 'Labels that tell workloads apart, of those of workload info (container, image, owner, ...); what has the same values is counted together. [default: namespace,pod,container,cgroup]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.keep -d 'Export workloads that this selects and no others, such as namespace="shop",pod=~"web-.*" (any of the labels above, matched as in PromQL); repeatable. The others are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.drop -d 'Do not export workloads that this selects; repeatable. They are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.pause-containers -d 'Whether to export each container that only holds a pod\'s namespaces, as container "POD"; otherwise they are counted together. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.group-transient-units -d 'Whether to count units together whose names are made for one session or run, such as session-12.scope and run-u7.service, under cgroup paths such as /user.slice/user-1000.slice/session-*.scope. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.max-series -d 'Most series of workloads to export, about; what is beyond is counted in a remainder. [default: 200000]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l metrics.syscalls -d 'How calls are told apart in the counts of calls: by name, by set (the smallest of systemd\'s sets that has the call, such as @file-system), or none, which leaves one series for each workload and ABI. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l metrics.errors -d 'How calls are told apart in the counts of errors: by name, by set, or none. Errnos are told apart in any case. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l metrics.denied -d 'How calls are told apart in the counts of refused calls: by name, by set, or none. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l metrics.latency -d 'How calls are told apart in the histograms of durations: by name, by set, or none. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l metrics.created-timestamps -d 'Whether OpenMetrics has when each counter began. For a Prometheus with the feature created-timestamp-zero-ingestion: any other makes a second series of each counter. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l names.cri -d 'Names of containers from a runtime\'s CRI (containerd, CRI-O): a socket, auto for the usual ones, or off. Whoever can connect to it can control the runtime; only names are asked for. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l names.docker -d 'The same from Docker. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l names.podman -d 'The same from Podman. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l names.kubernetes -d 'Names of pods, containers and owners from the Kubernetes API: auto in a pod or with a kubeconfig, on, or off. Watches the pods of this node only. [default: auto]' -r -f -a "auto\t'In a pod, and where a kubeconfig is given'
on\t'Yes'
off\t'No'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l kubernetes.node-name -d 'Name of this host in Kubernetes; by default what the environment variable NODE_NAME says, or the host\'s name' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l kubernetes.kubeconfig -d 'How to reach the Kubernetes API from outside a pod' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l cgroup.hierarchy -d 'Hierarchies that workloads are told apart by: cgroup2, a v1 controller such as memory, or cgroup2+memory, which takes v1 for tasks in cgroup2\'s root; auto takes what tells most apart when it starts. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l capacity.cgroups -d 'Cgroups that can be counted at the same time; the calls of more go to a remainder. [default: 1024]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l capacity.series -d 'Triples of cgroup, ABI and syscall that can be counted at the same time; a quarter is also for their errors and refused attempts. [default: 65536]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l capacity.errors -d 'Pairs of syscall and errno that are told apart in one cgroup; more go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l capacity.denied -d 'Refused syscalls that are told apart in one cgroup; more go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l capacity.histograms -d 'Triples of cgroup, ABI and syscall whose durations can be measured at the same time. [default: 2048]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l capacity.timed-calls -d 'Calls that are measured and under way at the same time. [default: 16384]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l probe.sys-enter -d 'How to attach to sys_enter and sys_exit: auto takes the cheapest that this kernel has. [default: auto]' -r -f -a "auto\t'The first that this kernel accepts'
tp_btf\t'BTF-typed, the cheapest (Linux 5.11 with BTF)'
raw_tp\t'A raw tracepoint and a helper (Linux 4.18)'
tracepoint\t'The classic tracepoint, for kernels that preempt the others; needs tracefs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l probe.errors -d 'Whether to count errors by errno. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l probe.denied -d 'Whether to count calls that seccomp refused. Without, they count as errors where they return one. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l probe.latency -d 'Whether to measure how long calls take. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l probe.io-uring -d 'Whether to count operations given to io_uring. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l latency.syscalls -d 'Calls that are measured: names, and sets such as @file-system with systemd\'s names and meaning, separated by commas. By default those that wait on disk and network: read, write, openat, fsync, connect, recvmsg and their like' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l latency.buckets -d 'Upper bounds of the buckets to export, of 1us, 2us, 4us, ... 512us, 1ms, ... 512ms, 1s, ... 16s: powers of two, where 1ms is 1,024 us. [default: 1us,4us,16us,64us,256us,1ms,4ms,16ms,64ms,256ms,1s,4s,16s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l policy.runtime-default -d 'Whether containers that no other policy selects have the built-in one, which expects what the default seccomp profile of container runtimes allows. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l policy.directory -d 'Directory of files with policies, besides those under the key policies of the configuration file: all *.yaml and *.yml in it, in the order of their names; re-read when they change' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l policy.strict -d 'Whether one bad policy is enough to refuse all: the start fails, and a reload changes nothing. Otherwise valid policies are in force, and bad ones are logged, and counted by a metric. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l state.directory -d 'Where baselines of policies that learn are kept; made when the first one is, if the directory above it is there. [default: /var/lib/syscallmon]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l state.baseline-retention -d 'How long a baseline is kept that no workload has; an approved one is kept for ever. [default: 40days]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.log -d 'Where each violation is written as a line of JSON: stdout, stderr, off, or the path of a file. [default: stdout]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.command-line -d 'What is kept of command lines: redacted (without what looks like a secret), full, program or none. [default: redacted]' -r -f -a "redacted\t'All arguments; what looks like a password, token or key is replaced by `[redacted]`'
full\t'All arguments as they are'
program\t'The first one, by which the program was called'
none\t'Nothing'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.repeat-interval -d 'Least time between two lines, webhooks or Events of one violation that goes on. [default: 1h]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.rate-limit -d 'Most violations of each workload, policy and severity to be told for the first time; of more, one summary. All are counted. [default: 20/10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.resolve-after -d 'After which time without such a call its alert is resolved. [default: 15m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.kubernetes-events -d 'Whether to make a Kubernetes Event on the pod for each violation; needs the rights to create and patch events. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.alertmanager.url -d 'Send alerts to the Alertmanager at this URL, http:// or https:// with a host and a port; repeatable: each gets all' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.alertmanager.labels -d 'One more label of every alert, such as cluster=prod; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.alertmanager.ca-file -d 'File with the certificates (PEM) that the Alertmanager\'s must be signed by; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.alertmanager.bearer-token-file -d 'File with a token to be let in by; re-read when it is needed' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.alertmanager.username -d 'Name to be let in by, with a password' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.alertmanager.password-file -d 'File with the password; re-read when it is needed' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.url -d 'Post each violation to this URL, as the same JSON as in the log' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.template -d 'Text to post instead, in which {{ message }} stands for the field message of that JSON, as within a string' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.content-type -d 'Its Content-Type. [default: application/json]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.headers -d 'One more header, such as \'X-Scope: prod\'; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.ca-file -d 'File with the certificates (PEM) that the webhook\'s must be signed by; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.bearer-token-file -d 'File with a token to be let in by; re-read when it is needed' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.username -d 'Name to be let in by, with a password' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.password-file -d 'File with the password; re-read when it is needed' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l log.level -d 'Only log messages of this level and above. [default: info]' -r -f -a "debug\t'Everything'
info\t'Changes of state'
warn\t'What is not as it should be'
error\t'What does not work'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l log.format -d 'Format of log messages. [default: logfmt]' -r -f -a "logfmt\t'`key=value`, as Prometheus logs'
json\t'One JSON object a line'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l path.procfs -d 'Where procfs is mounted. [default: /proc]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l path.sysfs -d 'Where sysfs is mounted. [default: /sys]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l path.cgroupfs -d 'Look for cgroup mounts below this directory only; by default they are found through mountinfo' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand completions" -s h -l help -d 'Print help'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand man" -s h -l help -d 'Print help'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn help" -l url -d 'Where the daemon listens' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn help" -l username -d 'User of its web.config.file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn help" -l password-file -d 'File with the user\'s password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn help" -l ca-file -d 'File with the certificate of whoever signed the daemon\'s, where that is not one whom this host trusts' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn help" -l output -d 'How to print what the daemon answers' -r -f -a "table\t'For people. A single baseline is JSON, as its file'
json\t'For programs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn help" -f -a "list" -d 'List the policies and the baselines'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn help" -f -a "show" -d 'Print one, with its calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn help" -f -a "approve" -d 'Let it guard from now on: what it has not learned is unexpected'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn help" -f -a "forget" -d 'Forget it. Where a policy still learns, another one begins with nothing; prints what it was'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn help" -f -a "relearn" -d 'Let it learn on, with the calls that it has'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from list" -l url -d 'Where the daemon listens' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from list" -l username -d 'User of its web.config.file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from list" -l password-file -d 'File with the user\'s password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from list" -l ca-file -d 'File with the certificate of whoever signed the daemon\'s, where that is not one whom this host trusts' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from list" -l output -d 'How to print what the daemon answers' -r -f -a "table\t'For people. A single baseline is JSON, as its file'
json\t'For programs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from show" -l url -d 'Where the daemon listens' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from show" -l username -d 'User of its web.config.file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from show" -l password-file -d 'File with the user\'s password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from show" -l ca-file -d 'File with the certificate of whoever signed the daemon\'s, where that is not one whom this host trusts' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from show" -l output -d 'How to print what the daemon answers' -r -f -a "table\t'For people. A single baseline is JSON, as its file'
json\t'For programs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from approve" -l url -d 'Where the daemon listens' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from approve" -l username -d 'User of its web.config.file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from approve" -l password-file -d 'File with the user\'s password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from approve" -l ca-file -d 'File with the certificate of whoever signed the daemon\'s, where that is not one whom this host trusts' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from approve" -l output -d 'How to print what the daemon answers' -r -f -a "table\t'For people. A single baseline is JSON, as its file'
json\t'For programs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from approve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from forget" -l url -d 'Where the daemon listens' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from forget" -l username -d 'User of its web.config.file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from forget" -l password-file -d 'File with the user\'s password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from forget" -l ca-file -d 'File with the certificate of whoever signed the daemon\'s, where that is not one whom this host trusts' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from forget" -l output -d 'How to print what the daemon answers' -r -f -a "table\t'For people. A single baseline is JSON, as its file'
json\t'For programs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from relearn" -l url -d 'Where the daemon listens' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from relearn" -l username -d 'User of its web.config.file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from relearn" -l password-file -d 'File with the user\'s password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from relearn" -l ca-file -d 'File with the certificate of whoever signed the daemon\'s, where that is not one whom this host trusts' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from relearn" -l output -d 'How to print what the daemon answers' -r -f -a "table\t'For people. A single baseline is JSON, as its file'
json\t'For programs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from relearn" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the policies and the baselines'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print one, with its calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "approve" -d 'Let it guard from now on: what it has not learned is unexpected'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "forget" -d 'Forget it. Where a policy still learns, another one begins with nothing; prints what it was'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "relearn" -d 'Let it learn on, with the calls that it has'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -s o -l output -d 'File to write; it must not exist. Only its owner can read it' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l duration -d 'End after so long; otherwise when stopped' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l max-size -d 'End when the file has this size, in MiB. The last sample can exceed it' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l config.file -d 'Configuration file; flags win over it. Reloaded on SIGHUP' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l web.listen-address -d 'Address and port to listen on; :PORT means every address; repeatable. [default: 127.0.0.1:9778]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l web.telemetry-path -d 'Path of the metrics. [default: /metrics]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l web.max-connections -d 'Most connections that are open at the same time. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l web.config.file -d 'File with TLS and basic authentication, in the format of Prometheus\' exporter-toolkit; re-read when it changes' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l poll.interval -d 'Time between two readings of the kernel\'s tables. A scrape gets counts that are at most 1 s old whatever this is. [default: 5s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.expire-after -d 'How long a workload that is gone is still exported. [default: 5m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.labels -d 'Labels that tell workloads apart, of those of workload info (container, image, owner, ...); what has the same values is counted together. [default: namespace,pod,container,cgroup]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.keep -d 'Export workloads that this selects and no others, such as namespace="shop",pod=~"web-.*" (any of the labels above, matched as in PromQL); repeatable. The others are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.drop -d 'Do not export workloads that this selects; repeatable. They are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.pause-containers -d 'Whether to export each container that only holds a pod\'s namespaces, as container "POD"; otherwise they are counted together. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.group-transient-units -d 'Whether to count units together whose names are made for one session or run, such as session-12.scope and run-u7.service, under cgroup paths such as /user.slice/user-1000.slice/session-*.scope. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.max-series -d 'Most series of workloads to export, about; what is beyond is counted in a remainder. [default: 200000]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l metrics.syscalls -d 'How calls are told apart in the counts of calls: by name, by set (the smallest of systemd\'s sets that has the call, such as @file-system), or none, which leaves one series for each workload and ABI. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l metrics.errors -d 'How calls are told apart in the counts of errors: by name, by set, or none. Errnos are told apart in any case. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l metrics.denied -d 'How calls are told apart in the counts of refused calls: by name, by set, or none. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l metrics.latency -d 'How calls are told apart in the histograms of durations: by name, by set, or none. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l metrics.created-timestamps -d 'Whether OpenMetrics has when each counter began. For a Prometheus with the feature created-timestamp-zero-ingestion: any other makes a second series of each counter. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l names.cri -d 'Names of containers from a runtime\'s CRI (containerd, CRI-O): a socket, auto for the usual ones, or off. Whoever can connect to it can control the runtime; only names are asked for. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l names.docker -d 'The same from Docker. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l names.podman -d 'The same from Podman. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l names.kubernetes -d 'Names of pods, containers and owners from the Kubernetes API: auto in a pod or with a kubeconfig, on, or off. Watches the pods of this node only. [default: auto]' -r -f -a "auto\t'In a pod, and where a kubeconfig is given'
on\t'Yes'
off\t'No'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l kubernetes.node-name -d 'Name of this host in Kubernetes; by default what the environment variable NODE_NAME says, or the host\'s name' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l kubernetes.kubeconfig -d 'How to reach the Kubernetes API from outside a pod' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l cgroup.hierarchy -d 'Hierarchies that workloads are told apart by: cgroup2, a v1 controller such as memory, or cgroup2+memory, which takes v1 for tasks in cgroup2\'s root; auto takes what tells most apart when it starts. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l capacity.cgroups -d 'Cgroups that can be counted at the same time; the calls of more go to a remainder. [default: 1024]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l capacity.series -d 'Triples of cgroup, ABI and syscall that can be counted at the same time; a quarter is also for their errors and refused attempts. [default: 65536]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l capacity.errors -d 'Pairs of syscall and errno that are told apart in one cgroup; more go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l capacity.denied -d 'Refused syscalls that are told apart in one cgroup; more go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l capacity.histograms -d 'Triples of cgroup, ABI and syscall whose durations can be measured at the same time. [default: 2048]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l capacity.timed-calls -d 'Calls that are measured and under way at the same time. [default: 16384]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l probe.sys-enter -d 'How to attach to sys_enter and sys_exit: auto takes the cheapest that this kernel has. [default: auto]' -r -f -a "auto\t'The first that this kernel accepts'
tp_btf\t'BTF-typed, the cheapest (Linux 5.11 with BTF)'
raw_tp\t'A raw tracepoint and a helper (Linux 4.18)'
tracepoint\t'The classic tracepoint, for kernels that preempt the others; needs tracefs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l probe.errors -d 'Whether to count errors by errno. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l probe.denied -d 'Whether to count calls that seccomp refused. Without, they count as errors where they return one. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l probe.latency -d 'Whether to measure how long calls take. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l probe.io-uring -d 'Whether to count operations given to io_uring. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l latency.syscalls -d 'Calls that are measured: names, and sets such as @file-system with systemd\'s names and meaning, separated by commas. By default those that wait on disk and network: read, write, openat, fsync, connect, recvmsg and their like' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l latency.buckets -d 'Upper bounds of the buckets to export, of 1us, 2us, 4us, ... 512us, 1ms, ... 512ms, 1s, ... 16s: powers of two, where 1ms is 1,024 us. [default: 1us,4us,16us,64us,256us,1ms,4ms,16ms,64ms,256ms,1s,4s,16s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l policy.runtime-default -d 'Whether containers that no other policy selects have the built-in one, which expects what the default seccomp profile of container runtimes allows. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l policy.directory -d 'Directory of files with policies, besides those under the key policies of the configuration file: all *.yaml and *.yml in it, in the order of their names; re-read when they change' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l policy.strict -d 'Whether one bad policy is enough to refuse all: the start fails, and a reload changes nothing. Otherwise valid policies are in force, and bad ones are logged, and counted by a metric. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l state.directory -d 'Where baselines of policies that learn are kept; made when the first one is, if the directory above it is there. [default: /var/lib/syscallmon]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l state.baseline-retention -d 'How long a baseline is kept that no workload has; an approved one is kept for ever. [default: 40days]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.log -d 'Where each violation is written as a line of JSON: stdout, stderr, off, or the path of a file. [default: stdout]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.command-line -d 'What is kept of command lines: redacted (without what looks like a secret), full, program or none. [default: redacted]' -r -f -a "redacted\t'All arguments; what looks like a password, token or key is replaced by `[redacted]`'
full\t'All arguments as they are'
program\t'The first one, by which the program was called'
none\t'Nothing'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.repeat-interval -d 'Least time between two lines, webhooks or Events of one violation that goes on. [default: 1h]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.rate-limit -d 'Most violations of each workload, policy and severity to be told for the first time; of more, one summary. All are counted. [default: 20/10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.resolve-after -d 'After which time without such a call its alert is resolved. [default: 15m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.kubernetes-events -d 'Whether to make a Kubernetes Event on the pod for each violation; needs the rights to create and patch events. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.alertmanager.url -d 'Send alerts to the Alertmanager at this URL, http:// or https:// with a host and a port; repeatable: each gets all' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.alertmanager.labels -d 'One more label of every alert, such as cluster=prod; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.alertmanager.ca-file -d 'File with the certificates (PEM) that the Alertmanager\'s must be signed by; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.alertmanager.bearer-token-file -d 'File with a token to be let in by; re-read when it is needed' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.alertmanager.username -d 'Name to be let in by, with a password' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.alertmanager.password-file -d 'File with the password; re-read when it is needed' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.url -d 'Post each violation to this URL, as the same JSON as in the log' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.template -d 'Text to post instead, in which {{ message }} stands for the field message of that JSON, as within a string' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.content-type -d 'Its Content-Type. [default: application/json]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.headers -d 'One more header, such as \'X-Scope: prod\'; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.ca-file -d 'File with the certificates (PEM) that the webhook\'s must be signed by; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.bearer-token-file -d 'File with a token to be let in by; re-read when it is needed' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.username -d 'Name to be let in by, with a password' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.password-file -d 'File with the password; re-read when it is needed' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l log.level -d 'Only log messages of this level and above. [default: info]' -r -f -a "debug\t'Everything'
info\t'Changes of state'
warn\t'What is not as it should be'
error\t'What does not work'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l log.format -d 'Format of log messages. [default: logfmt]' -r -f -a "logfmt\t'`key=value`, as Prometheus logs'
json\t'One JSON object a line'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l path.procfs -d 'Where procfs is mounted. [default: /proc]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l path.sysfs -d 'Where sysfs is mounted. [default: /sys]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l path.cgroupfs -d 'Look for cgroup mounts below this directory only; by default they are found through mountinfo' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l host -d 'Record the whole host'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l mask -d 'Write pseudonyms instead of names: of cgroups, pods, namespaces, containers, images, owners, nodes, executables, threads and arguments. Numbers and names of calls stay'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l speed -d 'How fast time goes: so many times as fast as it was, or max for as fast as possible' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l web.listen-address -d 'Address and port to listen on; :PORT means every address; repeatable. [default: 127.0.0.1:9778]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l web.telemetry-path -d 'Path of the metrics. [default: /metrics]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l web.max-connections -d 'Most connections that are open at the same time. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l web.config.file -d 'File with TLS and basic authentication, in the format of Prometheus\' exporter-toolkit; re-read when it changes' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l metrics.syscalls -d 'How calls are told apart in the counts of calls: by name, by set (the smallest of systemd\'s sets that has the call, such as @file-system), or none, which leaves one series for each workload and ABI. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l metrics.errors -d 'How calls are told apart in the counts of errors: by name, by set, or none. Errnos are told apart in any case. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l metrics.denied -d 'How calls are told apart in the counts of refused calls: by name, by set, or none. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l metrics.latency -d 'How calls are told apart in the histograms of durations: by name, by set, or none. [default: name]' -r -f -a "name\t'By name, with the label `syscall`'
set\t'By systemd\'s set, with the label `set`'
none\t'Not at all, without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l metrics.created-timestamps -d 'Whether OpenMetrics has when each counter began. For a Prometheus with the feature created-timestamp-zero-ingestion: any other makes a second series of each counter. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l log.level -d 'Only log messages of this level and above. [default: info]' -r -f -a "debug\t'Everything'
info\t'Changes of state'
warn\t'What is not as it should be'
error\t'What does not work'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l log.format -d 'Format of log messages. [default: logfmt]' -r -f -a "logfmt\t'`key=value`, as Prometheus logs'
json\t'One JSON object a line'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l once -d 'Replay all of it, print the metrics at its end to stdout and exit; with status 1 if the file is cut or damaged'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand seccomp-profile" -l output -d 'Write it to this file instead; its directory is made, and a profile that is there is replaced at once' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand seccomp-profile" -s h -l help -d 'Print help'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions man policy record replay seccomp-profile help" -f -a "run" -d 'Count system calls and export them until SIGTERM or SIGINT'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions man policy record replay seccomp-profile help" -f -a "check" -d 'Check whether this host can run syscallmon, and whether a configuration is valid'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions man policy record replay seccomp-profile help" -f -a "completions" -d 'Print completions for a shell'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions man policy record replay seccomp-profile help" -f -a "man" -d 'Print the man page of syscallmon or of one of its commands'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions man policy record replay seccomp-profile help" -f -a "policy" -d 'Show and change what workloads have learned (baselines)'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions man policy record replay seccomp-profile help" -f -a "record" -d 'Record the system calls of every workload of this host, to be shown anywhere by `syscallmon replay`'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions man policy record replay seccomp-profile help" -f -a "replay" -d 'Serve a recording of `syscallmon record` as if it were live'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions man policy record replay seccomp-profile help" -f -a "seccomp-profile" -d 'Print the seccomp profile that syscallmon itself can run under, or install it where the kubelet looks for it'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions man policy record replay seccomp-profile help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "list" -d 'List the policies and the baselines'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "show" -d 'Print one, with its calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "approve" -d 'Let it guard from now on: what it has not learned is unexpected'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "forget" -d 'Forget it. Where a policy still learns, another one begins with nothing; prints what it was'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "relearn" -d 'Let it learn on, with the calls that it has'
