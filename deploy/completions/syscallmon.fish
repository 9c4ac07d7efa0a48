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
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "health" -d 'Check whether a running daemon counts, or the daemons of a cluster'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "man" -d 'Print the man page of syscallmon or of one of its commands'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "policy" -d 'Test and show policies, and show and change baselines (learned calls)'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "profile" -d 'Generate seccomp profiles from what workloads call, and check, compare and explain profiles'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "record" -d 'Record the system calls of one command, or of every workload of this host'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "replay" -d 'Serve a recording of `syscallmon record` over HTTP, like a live daemon'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "top" -d 'Show the workloads of a host with their system calls per second, live in the terminal'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "unpin" -d 'Detach and remove the programs and tables that a daemon with --pin.directory left'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "seccomp-profile" -d 'Print the seccomp profile for syscallmon itself, or install it into the directory of the kubelet'
complete -c syscallmon -n "__fish_syscallmon_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l config.file -d 'Configuration file; flags override it. Reloaded on SIGHUP' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l web.listen-address -d 'Address and port to listen on; :PORT listens on all addresses; repeatable. [default: 127.0.0.1:9778]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l web.telemetry-path -d 'URL path of the metrics. [default: /metrics]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l web.max-connections -d 'Maximum number of open connections. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l web.config.file -d 'File with TLS and basic authentication settings, in the format of Prometheus\' exporter-toolkit; reloaded when it changes' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l poll.interval -d 'Time between two reads of the kernel\'s tables. Scrapes get counts that are at most 1 s old, whatever the interval is. [default: 5s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.expire-after -d 'How long a workload is still exported after it has ended. [default: 5m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.labels -d 'Labels that identify a workload, of those of workload info (image, owner, ...); cgroups with equal labels are counted together. [default: namespace,pod,container,cgroup]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.keep -d 'Export only workloads that match, such as namespace="shop",pod=~"web-.*" (by any label of workload info); repeatable. All others are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.drop -d 'Do not export workloads that match; repeatable. They are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.pause-containers -d 'Whether to export each pause container as container "POD"; otherwise all pause containers are counted together. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.group-transient-units -d 'Whether to count transient units together, such as session-12.scope and run-u7.service, under cgroup paths such as /user.slice/user-1000.slice/session-*.scope. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l workload.max-series -d 'Approximate maximum number of exported series of workloads; calls beyond it are counted in a remainder. [default: 200000]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l metrics.syscalls -d 'Granularity of counts of calls: name, set (the smallest of systemd\'s sets that contains the call, such as @file-system), or none (one series for each workload and ABI). [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l metrics.errors -d 'Granularity of counts of errors: name, set or none. Each keeps the label errno. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l metrics.denied -d 'Granularity of counts of denied calls: name, set or none. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l metrics.latency -d 'Granularity of histograms of durations: name, set or none. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l metrics.created-timestamps -d 'Whether to write the creation time of each counter into OpenMetrics. For Prometheus with the feature created-timestamp-zero-ingestion; without it, Prometheus stores a second series for each counter. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l names.cri -d 'Get names of containers from a CRI runtime (containerd, CRI-O): path of its socket, auto for the usual paths, or off. Access to this socket gives full control of the runtime; syscallmon only reads names. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l names.docker -d 'Get names of containers from Docker: path of its socket, auto or off. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l names.podman -d 'Get names of containers from Podman: path of its socket, auto or off. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l names.kubernetes -d 'Get names of pods, containers and owners from the Kubernetes API: on, off, or auto (on in a pod or with a kubeconfig). Watches only the pods of this node. [default: auto]' -r -f -a "auto\t'Use it in a pod, and with a kubeconfig'
on\t'Use it'
off\t'Do not use it'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l kubernetes.node-name -d 'Name of this node in Kubernetes; by default the environment variable NODE_NAME, or the host\'s name' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l kubernetes.kubeconfig -d 'Kubeconfig file for access to the Kubernetes API from outside a pod' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l cgroup.hierarchy -d 'Cgroup hierarchy that identifies workloads: cgroup2, a v1 controller such as memory, or cgroup2+memory, which uses v1 for tasks in the root of cgroup2; auto selects the one that has the most containers at start. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l capacity.cgroups -d 'Maximum number of cgroups that are counted at the same time; calls of further cgroups go to a remainder. [default: 1024]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l capacity.series -d 'Maximum number of series (cgroup, ABI, syscall) in the kernel; up to a quarter can also hold errors and denied calls. [default: 65536]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l capacity.errors -d 'Maximum number of pairs (syscall, errno) for each cgroup; errors beyond it go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l capacity.denied -d 'Maximum number of different denied syscalls for each cgroup; further ones go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l capacity.histograms -d 'Maximum number of histograms of durations (cgroup, ABI, syscall) in the kernel. [default: 2048]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l capacity.timed-calls -d 'Maximum number of calls in progress whose durations are measured. [default: 16384]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l probe.sys-enter -d 'How to attach to sys_enter and sys_exit; auto selects the cheapest method that this kernel supports. [default: auto]' -r -f -a "auto\t'The cheapest method that this kernel supports'
tp_btf\t'BTF-typed raw tracepoint (Linux 5.11 with BTF)'
raw_tp\t'Raw tracepoint (Linux 4.18)'
tracepoint\t'Classic tracepoint, for kernels that preempt raw tracepoints; requires tracefs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l probe.errors -d 'Whether to count errors by errno. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l probe.denied -d 'Whether to count calls that seccomp denied. Otherwise, those that return an errno count as errors. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l probe.latency -d 'Whether to measure how long calls take. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l probe.io-uring -d 'Whether to count io_uring operations. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l probe.arguments -d 'Which arguments of calls to count: security counts those that matter for security, such as the address families of socket and the namespaces of unshare. [default: security]' -r -f -a "none\t'None'
security\t'Those that matter for security. Calls with other arguments are of the class `other`'
all\t'All that have a name'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l latency.syscalls -d 'Syscalls whose durations are measured: names, and systemd\'s sets such as @file-system, separated by commas. By default calls that wait for disk and network: read, write, openat, fsync, connect, recvmsg and similar' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l latency.buckets -d 'Upper bounds of the exported buckets, from the powers of two 1us, 2us, 4us, ... 512us, 1ms, ... 512ms, 1s, ... 16s (1ms is 1,024 us). [default: 1us,4us,16us,64us,256us,1ms,4ms,16ms,64ms,256ms,1s,4s,16s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l policy.runtime-default -d 'Whether the built-in policy applies to containers that no other policy selects. It expects the calls that the default seccomp profile of container runtimes allows. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l policy.directory -d 'Directory of policy files, read in addition to the key policies of the configuration file: all *.yaml and *.yml, in the order of their names; reloaded when they change' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l policy.strict -d 'Whether one invalid policy makes the start fail, and makes a reload keep all old policies. Otherwise the valid policies apply, and invalid ones are logged and counted in a metric. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l state.directory -d 'Directory for baselines of policies that learn, and for alerts; created with the first one, if its parent directory exists. [default: /var/lib/syscallmon]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l state.baseline-retention -d 'How long to keep a baseline that no workload uses; approved baselines are never removed. [default: 40days]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l pin.directory -d 'Keep counting while no daemon runs: directory of its own for the programs and tables, on a bpf file system (/sys/fs/bpf/syscallmon). The next daemon continues with the counts. `syscallmon unpin` removes everything' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l pin.lease -d 'How long the programs run without a daemon. [default: 10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.log -d 'Where to write each incident as a line of JSON: stdout, stderr, off, or the path of a file. [default: stdout]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.command-line -d 'How much of command lines to report: redacted (without values that look like secrets), full, program or none. [default: redacted]' -r -f -a "redacted\t'All arguments; values that look like a password, token or key are replaced by `[redacted]`'
full\t'All arguments, unchanged'
program\t'Only the first argument, the name of the program'
none\t'No arguments'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.incident-window -d 'Unexpected calls of one workload and process tree are one incident, and one alert, if each is made within this time after the last one. [default: 10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.repeat-interval -d 'Minimum time between two reports (log lines, webhooks, Events) of an incident without new calls. [default: 1h]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.rate-limit -d 'Maximum new alerts for each workload, policy and severity; one summary stands for the rest. All violations are counted. [default: 20/10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.resolve-after -d 'An incident and its alert are resolved when none of its calls has occurred for this time. [default: 15m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.kubernetes-events -d 'Whether to create a Kubernetes Event on the pod for each incident; requires the rights to create and patch events. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.alertmanager.url -d 'Send alerts to the Alertmanager at this URL (http:// or https://, with host and port); repeatable: each gets all alerts' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.alertmanager.labels -d 'Additional label for every alert, such as cluster=prod; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.alertmanager.ca-file -d 'File with CA certificates (PEM) for the Alertmanager; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.alertmanager.bearer-token-file -d 'File with the bearer token; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.alertmanager.username -d 'User name for basic authentication; requires password-file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.alertmanager.password-file -d 'File with the password; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.url -d 'Post each incident to this URL, as the JSON of alert.log' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.template -d 'Text to post instead; {{ message }} is replaced by the field message of that JSON, escaped for a JSON string' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.content-type -d 'Content-Type of the request. [default: application/json]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.headers -d 'Additional header, such as \'X-Scope: prod\'; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.ca-file -d 'File with CA certificates (PEM) for the webhook; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.bearer-token-file -d 'File with the bearer token; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.username -d 'User name for basic authentication; requires password-file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l alert.webhook.password-file -d 'File with the password; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l log.level -d 'Minimum level of log messages. [default: info]' -r -f -a "debug\t'All messages'
info\t'Changes of state'
warn\t'Degraded operation'
error\t'Failures'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l log.format -d 'Format of log messages. [default: logfmt]' -r -f -a "logfmt\t'`key=value` pairs, like Prometheus'
json\t'One JSON object for each line'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l path.procfs -d 'Mount point of procfs. [default: /proc]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l path.sysfs -d 'Mount point of sysfs. [default: /sys]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l path.cgroupfs -d 'Search for cgroup mounts only below this directory; by default they are found in mountinfo' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -l once -d 'Attach, wait one poll interval, print the metrics to stdout and exit'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l config.file -d 'Configuration file; flags override it. Reloaded on SIGHUP' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l output -d 'Output format' -r -f -a "table\t'One line for each requirement'
json\t'JSON list of objects with name, state and text'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l web.listen-address -d 'Address and port to listen on; :PORT listens on all addresses; repeatable. [default: 127.0.0.1:9778]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l web.telemetry-path -d 'URL path of the metrics. [default: /metrics]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l web.max-connections -d 'Maximum number of open connections. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l web.config.file -d 'File with TLS and basic authentication settings, in the format of Prometheus\' exporter-toolkit; reloaded when it changes' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l poll.interval -d 'Time between two reads of the kernel\'s tables. Scrapes get counts that are at most 1 s old, whatever the interval is. [default: 5s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.expire-after -d 'How long a workload is still exported after it has ended. [default: 5m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.labels -d 'Labels that identify a workload, of those of workload info (image, owner, ...); cgroups with equal labels are counted together. [default: namespace,pod,container,cgroup]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.keep -d 'Export only workloads that match, such as namespace="shop",pod=~"web-.*" (by any label of workload info); repeatable. All others are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.drop -d 'Do not export workloads that match; repeatable. They are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.pause-containers -d 'Whether to export each pause container as container "POD"; otherwise all pause containers are counted together. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.group-transient-units -d 'Whether to count transient units together, such as session-12.scope and run-u7.service, under cgroup paths such as /user.slice/user-1000.slice/session-*.scope. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l workload.max-series -d 'Approximate maximum number of exported series of workloads; calls beyond it are counted in a remainder. [default: 200000]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l metrics.syscalls -d 'Granularity of counts of calls: name, set (the smallest of systemd\'s sets that contains the call, such as @file-system), or none (one series for each workload and ABI). [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l metrics.errors -d 'Granularity of counts of errors: name, set or none. Each keeps the label errno. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l metrics.denied -d 'Granularity of counts of denied calls: name, set or none. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l metrics.latency -d 'Granularity of histograms of durations: name, set or none. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l metrics.created-timestamps -d 'Whether to write the creation time of each counter into OpenMetrics. For Prometheus with the feature created-timestamp-zero-ingestion; without it, Prometheus stores a second series for each counter. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l names.cri -d 'Get names of containers from a CRI runtime (containerd, CRI-O): path of its socket, auto for the usual paths, or off. Access to this socket gives full control of the runtime; syscallmon only reads names. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l names.docker -d 'Get names of containers from Docker: path of its socket, auto or off. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l names.podman -d 'Get names of containers from Podman: path of its socket, auto or off. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l names.kubernetes -d 'Get names of pods, containers and owners from the Kubernetes API: on, off, or auto (on in a pod or with a kubeconfig). Watches only the pods of this node. [default: auto]' -r -f -a "auto\t'Use it in a pod, and with a kubeconfig'
on\t'Use it'
off\t'Do not use it'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l kubernetes.node-name -d 'Name of this node in Kubernetes; by default the environment variable NODE_NAME, or the host\'s name' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l kubernetes.kubeconfig -d 'Kubeconfig file for access to the Kubernetes API from outside a pod' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l cgroup.hierarchy -d 'Cgroup hierarchy that identifies workloads: cgroup2, a v1 controller such as memory, or cgroup2+memory, which uses v1 for tasks in the root of cgroup2; auto selects the one that has the most containers at start. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l capacity.cgroups -d 'Maximum number of cgroups that are counted at the same time; calls of further cgroups go to a remainder. [default: 1024]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l capacity.series -d 'Maximum number of series (cgroup, ABI, syscall) in the kernel; up to a quarter can also hold errors and denied calls. [default: 65536]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l capacity.errors -d 'Maximum number of pairs (syscall, errno) for each cgroup; errors beyond it go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l capacity.denied -d 'Maximum number of different denied syscalls for each cgroup; further ones go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l capacity.histograms -d 'Maximum number of histograms of durations (cgroup, ABI, syscall) in the kernel. [default: 2048]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l capacity.timed-calls -d 'Maximum number of calls in progress whose durations are measured. [default: 16384]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l probe.sys-enter -d 'How to attach to sys_enter and sys_exit; auto selects the cheapest method that this kernel supports. [default: auto]' -r -f -a "auto\t'The cheapest method that this kernel supports'
tp_btf\t'BTF-typed raw tracepoint (Linux 5.11 with BTF)'
raw_tp\t'Raw tracepoint (Linux 4.18)'
tracepoint\t'Classic tracepoint, for kernels that preempt raw tracepoints; requires tracefs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l probe.errors -d 'Whether to count errors by errno. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l probe.denied -d 'Whether to count calls that seccomp denied. Otherwise, those that return an errno count as errors. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l probe.latency -d 'Whether to measure how long calls take. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l probe.io-uring -d 'Whether to count io_uring operations. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l probe.arguments -d 'Which arguments of calls to count: security counts those that matter for security, such as the address families of socket and the namespaces of unshare. [default: security]' -r -f -a "none\t'None'
security\t'Those that matter for security. Calls with other arguments are of the class `other`'
all\t'All that have a name'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l latency.syscalls -d 'Syscalls whose durations are measured: names, and systemd\'s sets such as @file-system, separated by commas. By default calls that wait for disk and network: read, write, openat, fsync, connect, recvmsg and similar' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l latency.buckets -d 'Upper bounds of the exported buckets, from the powers of two 1us, 2us, 4us, ... 512us, 1ms, ... 512ms, 1s, ... 16s (1ms is 1,024 us). [default: 1us,4us,16us,64us,256us,1ms,4ms,16ms,64ms,256ms,1s,4s,16s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l policy.runtime-default -d 'Whether the built-in policy applies to containers that no other policy selects. It expects the calls that the default seccomp profile of container runtimes allows. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l policy.directory -d 'Directory of policy files, read in addition to the key policies of the configuration file: all *.yaml and *.yml, in the order of their names; reloaded when they change' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l policy.strict -d 'Whether one invalid policy makes the start fail, and makes a reload keep all old policies. Otherwise the valid policies apply, and invalid ones are logged and counted in a metric. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l state.directory -d 'Directory for baselines of policies that learn, and for alerts; created with the first one, if its parent directory exists. [default: /var/lib/syscallmon]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l state.baseline-retention -d 'How long to keep a baseline that no workload uses; approved baselines are never removed. [default: 40days]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l pin.directory -d 'Keep counting while no daemon runs: directory of its own for the programs and tables, on a bpf file system (/sys/fs/bpf/syscallmon). The next daemon continues with the counts. `syscallmon unpin` removes everything' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l pin.lease -d 'How long the programs run without a daemon. [default: 10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.log -d 'Where to write each incident as a line of JSON: stdout, stderr, off, or the path of a file. [default: stdout]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.command-line -d 'How much of command lines to report: redacted (without values that look like secrets), full, program or none. [default: redacted]' -r -f -a "redacted\t'All arguments; values that look like a password, token or key are replaced by `[redacted]`'
full\t'All arguments, unchanged'
program\t'Only the first argument, the name of the program'
none\t'No arguments'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.incident-window -d 'Unexpected calls of one workload and process tree are one incident, and one alert, if each is made within this time after the last one. [default: 10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.repeat-interval -d 'Minimum time between two reports (log lines, webhooks, Events) of an incident without new calls. [default: 1h]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.rate-limit -d 'Maximum new alerts for each workload, policy and severity; one summary stands for the rest. All violations are counted. [default: 20/10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.resolve-after -d 'An incident and its alert are resolved when none of its calls has occurred for this time. [default: 15m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.kubernetes-events -d 'Whether to create a Kubernetes Event on the pod for each incident; requires the rights to create and patch events. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.alertmanager.url -d 'Send alerts to the Alertmanager at this URL (http:// or https://, with host and port); repeatable: each gets all alerts' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.alertmanager.labels -d 'Additional label for every alert, such as cluster=prod; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.alertmanager.ca-file -d 'File with CA certificates (PEM) for the Alertmanager; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.alertmanager.bearer-token-file -d 'File with the bearer token; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.alertmanager.username -d 'User name for basic authentication; requires password-file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.alertmanager.password-file -d 'File with the password; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.url -d 'Post each incident to this URL, as the JSON of alert.log' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.template -d 'Text to post instead; {{ message }} is replaced by the field message of that JSON, escaped for a JSON string' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.content-type -d 'Content-Type of the request. [default: application/json]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.headers -d 'Additional header, such as \'X-Scope: prod\'; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.ca-file -d 'File with CA certificates (PEM) for the webhook; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.bearer-token-file -d 'File with the bearer token; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.username -d 'User name for basic authentication; requires password-file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l alert.webhook.password-file -d 'File with the password; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l log.level -d 'Minimum level of log messages. [default: info]' -r -f -a "debug\t'All messages'
info\t'Changes of state'
warn\t'Degraded operation'
error\t'Failures'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l log.format -d 'Format of log messages. [default: logfmt]' -r -f -a "logfmt\t'`key=value` pairs, like Prometheus'
json\t'One JSON object for each line'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l path.procfs -d 'Mount point of procfs. [default: /proc]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l path.sysfs -d 'Mount point of sysfs. [default: /sys]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -l path.cgroupfs -d 'Search for cgroup mounts only below this directory; by default they are found in mountinfo' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand completions" -s h -l help -d 'Print help'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand health" -l url -d 'URL of the daemon; by default `http://127.0.0.1:9778`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand health" -l username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand health" -l password-file -d 'File with the password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand health" -l ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand health" -l telemetry-path -d 'Path of the metrics, as in `web.telemetry_path` of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand health" -l wait -d 'Repeat for this time until all is well' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand health" -l daemonset -d 'Check by the Kubernetes API that enough pods of this `DaemonSet` are ready: all but its `maxUnavailable`, and at least one. Requires a pod whose service account may get the `DaemonSet`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand health" -l service -d 'Request the pages of every daemon of this Service, with the scheme of --url. Gets the addresses from the Kubernetes API: needs no DNS. Requires a pod whose service account may get the `Endpoints`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand health" -l every-pod -d 'All pods of the `DaemonSet` must be ready, whatever its `maxUnavailable` is'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand health" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand man" -s h -l help -d 'Print help'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -l url -d 'URL of the daemon; by default `http://127.0.0.1:9778`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -l username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -l password-file -d 'File with the password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -l ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -l output -d 'Output format' -r -f -a "table\t'Table; a single baseline is printed as JSON'
json\t'JSON, as from the API'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -f -a "list" -d 'List the policies and the baselines'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -f -a "show" -d 'Print a baseline with its calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -f -a "approve" -d 'Make a baseline guard: calls that it has not learned are unexpected from now on'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -f -a "forget" -d 'Remove a baseline and print it. If a policy still learns, a new empty baseline begins'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -f -a "relearn" -d 'Make a baseline learn again; it keeps its calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -f -a "allow" -d 'Print the narrowest exception for violations, as YAML for the policy that reported them'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -f -a "export" -d 'Print a seccomp profile that allows the calls of a baseline'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -f -a "test" -d 'Test policies before they are in force: which policy and line decide about a call, and what would have alarmed'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -f -a "print" -d 'Print the built-in policy as YAML'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and not __fish_seen_subcommand_from list show approve forget relearn allow export test print help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from list" -l url -d 'URL of the daemon; by default `http://127.0.0.1:9778`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from list" -l username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from list" -l password-file -d 'File with the password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from list" -l ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from list" -l output -d 'Output format' -r -f -a "table\t'Table; a single baseline is printed as JSON'
json\t'JSON, as from the API'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from show" -l url -d 'URL of the daemon; by default `http://127.0.0.1:9778`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from show" -l username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from show" -l password-file -d 'File with the password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from show" -l ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from show" -l output -d 'Output format' -r -f -a "table\t'Table; a single baseline is printed as JSON'
json\t'JSON, as from the API'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from approve" -l url -d 'URL of the daemon; by default `http://127.0.0.1:9778`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from approve" -l username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from approve" -l password-file -d 'File with the password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from approve" -l ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from approve" -l output -d 'Output format' -r -f -a "table\t'Table; a single baseline is printed as JSON'
json\t'JSON, as from the API'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from approve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from forget" -l url -d 'URL of the daemon; by default `http://127.0.0.1:9778`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from forget" -l username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from forget" -l password-file -d 'File with the password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from forget" -l ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from forget" -l output -d 'Output format' -r -f -a "table\t'Table; a single baseline is printed as JSON'
json\t'JSON, as from the API'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from relearn" -l url -d 'URL of the daemon; by default `http://127.0.0.1:9778`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from relearn" -l username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from relearn" -l password-file -d 'File with the password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from relearn" -l ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from relearn" -l output -d 'Output format' -r -f -a "table\t'Table; a single baseline is printed as JSON'
json\t'JSON, as from the API'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from relearn" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from allow" -l url -d 'URL of the daemon; by default `http://127.0.0.1:9778`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from allow" -l username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from allow" -l password-file -d 'File with the password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from allow" -l ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from allow" -l output -d 'Output format' -r -f -a "table\t'Table; a single baseline is printed as JSON'
json\t'JSON, as from the API'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from allow" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from export" -l format -d 'Format of the profile' -r -f -a "oci\t'JSON of the OCI runtime specification: runc, crun, Docker, Podman, Compose, Kubernetes (localhost)'
spo\t'`SeccompProfile` of the security-profiles-operator, v1 (cluster-wide)'
spo-v1beta1\t'`SeccompProfile` of the security-profiles-operator, v1beta1 (in a namespace)'
systemd\t'Drop-in of a systemd unit'
policy\t'Policy of syscallmon'
artifact\t'Directory with an OCI image layout that has the profile as an artifact (KEP-6061)'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from export" -l name -d 'Name of the object (formats spo, spo-v1beta1) or of the policy' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from export" -l match -d 'Selector of the workloads that the policy is for (format policy)' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from export" -l url -d 'URL of the daemon; by default `http://127.0.0.1:9778`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from export" -l username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from export" -l password-file -d 'File with the password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from export" -l ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from export" -l output -d 'Output format' -r -f -a "table\t'Table; a single baseline is printed as JSON'
json\t'JSON, as from the API'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l workload -d 'Workload to read, as a selector of PromQL by its labels: namespace="shop",owner=~"web|api"' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l call -d 'Call of the workload, such as mount or ia32:openat; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l against -d 'Recording of `syscallmon record`, of a host or of one command; repeatable' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l prometheus -d 'URL of a Prometheus, Thanos or Mimir that scrapes syscallmon. A path is kept, such as /prometheus of Mimir' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l range -d 'How far to look back: 12h, 7d. A long range finds calls that are rare' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l prometheus-username -d 'User name for Prometheus' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l prometheus-password-file -d 'File with the password for Prometheus' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l prometheus-token-file -d 'File with the bearer token for Prometheus' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l prometheus-ca-file -d 'File with CA certificates (PEM) for Prometheus; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l prometheus-header -d 'HTTP header of each query, such as X-Scope-OrgID=tenant for Mimir. Repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l prometheus-timeout -d 'Maximum duration of one query' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l url -d 'URL of the daemon; by default `http://127.0.0.1:9778`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l password-file -d 'File with the password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -l output -d 'Output format' -r -f -a "table\t'Table; a single baseline is printed as JSON'
json\t'JSON, as from the API'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from print" -l url -d 'URL of the daemon; by default `http://127.0.0.1:9778`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from print" -l username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from print" -l password-file -d 'File with the password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from print" -l ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from print" -l output -d 'Output format' -r -f -a "table\t'Table; a single baseline is printed as JSON'
json\t'JSON, as from the API'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from print" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the policies and the baselines'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print a baseline with its calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "approve" -d 'Make a baseline guard: calls that it has not learned are unexpected from now on'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "forget" -d 'Remove a baseline and print it. If a policy still learns, a new empty baseline begins'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "relearn" -d 'Make a baseline learn again; it keeps its calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "allow" -d 'Print the narrowest exception for violations, as YAML for the policy that reported them'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "export" -d 'Print a seccomp profile that allows the calls of a baseline'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "test" -d 'Test policies before they are in force: which policy and line decide about a call, and what would have alarmed'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "print" -d 'Print the built-in policy as YAML'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and not __fish_seen_subcommand_from generate check diff explain self help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and not __fish_seen_subcommand_from generate check diff explain self help" -f -a "generate" -d 'Generate a seccomp profile from what a workload calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and not __fish_seen_subcommand_from generate check diff explain self help" -f -a "check" -d 'Check a seccomp profile against what a workload calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and not __fish_seen_subcommand_from generate check diff explain self help" -f -a "diff" -d 'Show the calls about which two seccomp profiles decide differently'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and not __fish_seen_subcommand_from generate check diff explain self help" -f -a "explain" -d 'Show how much of the kernel a seccomp profile leaves open, and which dangerous calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and not __fish_seen_subcommand_from generate check diff explain self help" -f -a "self" -d 'Print the seccomp profile for syscallmon itself, or install it into the directory of the kubelet'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and not __fish_seen_subcommand_from generate check diff explain self help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l workload -d 'Workload to read, as a selector of PromQL by its labels: namespace="shop",owner=~"web|api"' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l daemon -d 'URL of a running daemon. It knows the calls on its host since it started' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l daemon-username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l daemon-password-file -d 'File with the password for the daemon' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l daemon-ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l baseline -d 'Baseline of the daemon, such as shop/Deployment/web/httpd; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l prometheus -d 'URL of a Prometheus, Thanos or Mimir that scrapes syscallmon. A path is kept, such as /prometheus of Mimir' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l range -d 'How far to look back: 12h, 7d. A long range finds calls that are rare' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l prometheus-username -d 'User name for Prometheus' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l prometheus-password-file -d 'File with the password for Prometheus' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l prometheus-token-file -d 'File with the bearer token for Prometheus' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l prometheus-ca-file -d 'File with CA certificates (PEM) for Prometheus; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l prometheus-header -d 'HTTP header of each query, such as X-Scope-OrgID=tenant for Mimir. Repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l prometheus-timeout -d 'Maximum duration of one query' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l format -d 'Format of the profile' -r -f -a "oci\t'JSON of the OCI runtime specification: runc, crun, Docker, Podman, Compose, Kubernetes (localhost)'
spo\t'`SeccompProfile` of the security-profiles-operator, v1 (cluster-wide)'
spo-v1beta1\t'`SeccompProfile` of the security-profiles-operator, v1beta1 (in a namespace)'
systemd\t'Drop-in of a systemd unit'
policy\t'Policy of syscallmon'
artifact\t'Directory with an OCI image layout that has the profile as an artifact (KEP-6061)'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -s o -l output -d 'File to write, atomically; a new directory for the format artifact. By default stdout' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l arch -d 'Architecture that the profile is for; repeatable. Calls of others are translated. By default the observed ones' -r -f -a "x86_64\t''
aarch64\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l runtime -d 'Container runtime that the profile is for, such as runc-1.3; by default all that were measured. Smaller' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l allow -d 'Allow this call as well; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l name -d 'Name of the object (formats spo, spo-v1beta1) or of the policy' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l namespace -d 'Namespace of the object (format spo-v1beta1)' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l match -d 'Selector of the workloads that the policy is for (format policy)' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l strict -d 'Leave out siblings of calls, such as openat2 beside openat. An update of a library can then need a new profile'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l no-new-privileges -d 'The container runs with `no_new_privs`, which Kubernetes sets for allowPrivilegeEscalation: false. The runtime then makes fewer calls after it has loaded the profile'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l allow-denied -d 'Allow calls that seccomp denied the workload, except for dangerous ones'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -l any-arguments -d 'Allow calls with all arguments, and not only with observed ones, such as sockets of every family'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from generate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l workload -d 'Workload to read, as a selector of PromQL by its labels: namespace="shop",owner=~"web|api"' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l daemon -d 'URL of a running daemon. It knows the calls on its host since it started' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l daemon-username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l daemon-password-file -d 'File with the password for the daemon' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l daemon-ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l baseline -d 'Baseline of the daemon, such as shop/Deployment/web/httpd; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l prometheus -d 'URL of a Prometheus, Thanos or Mimir that scrapes syscallmon. A path is kept, such as /prometheus of Mimir' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l range -d 'How far to look back: 12h, 7d. A long range finds calls that are rare' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l prometheus-username -d 'User name for Prometheus' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l prometheus-password-file -d 'File with the password for Prometheus' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l prometheus-token-file -d 'File with the bearer token for Prometheus' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l prometheus-ca-file -d 'File with CA certificates (PEM) for Prometheus; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l prometheus-header -d 'HTTP header of each query, such as X-Scope-OrgID=tenant for Mimir. Repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l prometheus-timeout -d 'Maximum duration of one query' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l runtime -d 'Container runtime that the profile is for, such as runc-1.3; by default all that were measured. Smaller' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l suggest -d 'Write the profile with the calls that it lacks to this file, without dangerous ones' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l output -d 'Form of the report' -r -f -a "text\t'Text for people'
json\t'JSON'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -l no-new-privileges -d 'The container runs with `no_new_privs`, which Kubernetes sets for allowPrivilegeEscalation: false. The runtime then makes fewer calls after it has loaded the profile'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from diff" -l output -d 'Form of the report' -r -f -a "text\t'Text for people'
json\t'JSON'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from explain" -l output -d 'Form of the report' -r -f -a "text\t'Text for people'
json\t'JSON'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from self" -l output -d 'Write the profile to this file instead; creates the directory, and replaces an existing file atomically' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from self" -s h -l help -d 'Print help'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "generate" -d 'Generate a seccomp profile from what a workload calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check a seccomp profile against what a workload calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Show the calls about which two seccomp profiles decide differently'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "explain" -d 'Show how much of the kernel a seccomp profile leaves open, and which dangerous calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "self" -d 'Print the seccomp profile for syscallmon itself, or install it into the directory of the kubelet'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand profile; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -s o -l output -d 'File to create; it must not exist. Only its owner can read it. By default, PROGRAM.recording.json in the working directory; --host requires a file' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l duration -d 'Duration of the recording; by default until a signal, or the end of the command. All processes of the command then get SIGTERM, and SIGKILL after 10 s' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l startup -d 'Count calls of the command\'s first seconds or minutes separately, as its start-up phase' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l startup-until -d 'Count calls separately until the command prints a line that matches, to stdout or stderr. Both are pipes then' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l max-size -d 'Maximum size of the file in MiB. The last sample can exceed it' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l config.file -d 'Configuration file; flags override it. Reloaded on SIGHUP' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l web.listen-address -d 'Address and port to listen on; :PORT listens on all addresses; repeatable. [default: 127.0.0.1:9778]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l web.telemetry-path -d 'URL path of the metrics. [default: /metrics]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l web.max-connections -d 'Maximum number of open connections. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l web.config.file -d 'File with TLS and basic authentication settings, in the format of Prometheus\' exporter-toolkit; reloaded when it changes' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l poll.interval -d 'Time between two reads of the kernel\'s tables. Scrapes get counts that are at most 1 s old, whatever the interval is. [default: 5s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.expire-after -d 'How long a workload is still exported after it has ended. [default: 5m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.labels -d 'Labels that identify a workload, of those of workload info (image, owner, ...); cgroups with equal labels are counted together. [default: namespace,pod,container,cgroup]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.keep -d 'Export only workloads that match, such as namespace="shop",pod=~"web-.*" (by any label of workload info); repeatable. All others are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.drop -d 'Do not export workloads that match; repeatable. They are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.pause-containers -d 'Whether to export each pause container as container "POD"; otherwise all pause containers are counted together. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.group-transient-units -d 'Whether to count transient units together, such as session-12.scope and run-u7.service, under cgroup paths such as /user.slice/user-1000.slice/session-*.scope. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l workload.max-series -d 'Approximate maximum number of exported series of workloads; calls beyond it are counted in a remainder. [default: 200000]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l metrics.syscalls -d 'Granularity of counts of calls: name, set (the smallest of systemd\'s sets that contains the call, such as @file-system), or none (one series for each workload and ABI). [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l metrics.errors -d 'Granularity of counts of errors: name, set or none. Each keeps the label errno. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l metrics.denied -d 'Granularity of counts of denied calls: name, set or none. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l metrics.latency -d 'Granularity of histograms of durations: name, set or none. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l metrics.created-timestamps -d 'Whether to write the creation time of each counter into OpenMetrics. For Prometheus with the feature created-timestamp-zero-ingestion; without it, Prometheus stores a second series for each counter. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l names.cri -d 'Get names of containers from a CRI runtime (containerd, CRI-O): path of its socket, auto for the usual paths, or off. Access to this socket gives full control of the runtime; syscallmon only reads names. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l names.docker -d 'Get names of containers from Docker: path of its socket, auto or off. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l names.podman -d 'Get names of containers from Podman: path of its socket, auto or off. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l names.kubernetes -d 'Get names of pods, containers and owners from the Kubernetes API: on, off, or auto (on in a pod or with a kubeconfig). Watches only the pods of this node. [default: auto]' -r -f -a "auto\t'Use it in a pod, and with a kubeconfig'
on\t'Use it'
off\t'Do not use it'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l kubernetes.node-name -d 'Name of this node in Kubernetes; by default the environment variable NODE_NAME, or the host\'s name' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l kubernetes.kubeconfig -d 'Kubeconfig file for access to the Kubernetes API from outside a pod' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l cgroup.hierarchy -d 'Cgroup hierarchy that identifies workloads: cgroup2, a v1 controller such as memory, or cgroup2+memory, which uses v1 for tasks in the root of cgroup2; auto selects the one that has the most containers at start. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l capacity.cgroups -d 'Maximum number of cgroups that are counted at the same time; calls of further cgroups go to a remainder. [default: 1024]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l capacity.series -d 'Maximum number of series (cgroup, ABI, syscall) in the kernel; up to a quarter can also hold errors and denied calls. [default: 65536]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l capacity.errors -d 'Maximum number of pairs (syscall, errno) for each cgroup; errors beyond it go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l capacity.denied -d 'Maximum number of different denied syscalls for each cgroup; further ones go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l capacity.histograms -d 'Maximum number of histograms of durations (cgroup, ABI, syscall) in the kernel. [default: 2048]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l capacity.timed-calls -d 'Maximum number of calls in progress whose durations are measured. [default: 16384]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l probe.sys-enter -d 'How to attach to sys_enter and sys_exit; auto selects the cheapest method that this kernel supports. [default: auto]' -r -f -a "auto\t'The cheapest method that this kernel supports'
tp_btf\t'BTF-typed raw tracepoint (Linux 5.11 with BTF)'
raw_tp\t'Raw tracepoint (Linux 4.18)'
tracepoint\t'Classic tracepoint, for kernels that preempt raw tracepoints; requires tracefs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l probe.errors -d 'Whether to count errors by errno. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l probe.denied -d 'Whether to count calls that seccomp denied. Otherwise, those that return an errno count as errors. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l probe.latency -d 'Whether to measure how long calls take. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l probe.io-uring -d 'Whether to count io_uring operations. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l probe.arguments -d 'Which arguments of calls to count: security counts those that matter for security, such as the address families of socket and the namespaces of unshare. [default: security]' -r -f -a "none\t'None'
security\t'Those that matter for security. Calls with other arguments are of the class `other`'
all\t'All that have a name'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l latency.syscalls -d 'Syscalls whose durations are measured: names, and systemd\'s sets such as @file-system, separated by commas. By default calls that wait for disk and network: read, write, openat, fsync, connect, recvmsg and similar' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l latency.buckets -d 'Upper bounds of the exported buckets, from the powers of two 1us, 2us, 4us, ... 512us, 1ms, ... 512ms, 1s, ... 16s (1ms is 1,024 us). [default: 1us,4us,16us,64us,256us,1ms,4ms,16ms,64ms,256ms,1s,4s,16s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l policy.runtime-default -d 'Whether the built-in policy applies to containers that no other policy selects. It expects the calls that the default seccomp profile of container runtimes allows. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l policy.directory -d 'Directory of policy files, read in addition to the key policies of the configuration file: all *.yaml and *.yml, in the order of their names; reloaded when they change' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l policy.strict -d 'Whether one invalid policy makes the start fail, and makes a reload keep all old policies. Otherwise the valid policies apply, and invalid ones are logged and counted in a metric. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l state.directory -d 'Directory for baselines of policies that learn, and for alerts; created with the first one, if its parent directory exists. [default: /var/lib/syscallmon]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l state.baseline-retention -d 'How long to keep a baseline that no workload uses; approved baselines are never removed. [default: 40days]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l pin.directory -d 'Keep counting while no daemon runs: directory of its own for the programs and tables, on a bpf file system (/sys/fs/bpf/syscallmon). The next daemon continues with the counts. `syscallmon unpin` removes everything' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l pin.lease -d 'How long the programs run without a daemon. [default: 10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.log -d 'Where to write each incident as a line of JSON: stdout, stderr, off, or the path of a file. [default: stdout]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.command-line -d 'How much of command lines to report: redacted (without values that look like secrets), full, program or none. [default: redacted]' -r -f -a "redacted\t'All arguments; values that look like a password, token or key are replaced by `[redacted]`'
full\t'All arguments, unchanged'
program\t'Only the first argument, the name of the program'
none\t'No arguments'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.incident-window -d 'Unexpected calls of one workload and process tree are one incident, and one alert, if each is made within this time after the last one. [default: 10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.repeat-interval -d 'Minimum time between two reports (log lines, webhooks, Events) of an incident without new calls. [default: 1h]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.rate-limit -d 'Maximum new alerts for each workload, policy and severity; one summary stands for the rest. All violations are counted. [default: 20/10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.resolve-after -d 'An incident and its alert are resolved when none of its calls has occurred for this time. [default: 15m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.kubernetes-events -d 'Whether to create a Kubernetes Event on the pod for each incident; requires the rights to create and patch events. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.alertmanager.url -d 'Send alerts to the Alertmanager at this URL (http:// or https://, with host and port); repeatable: each gets all alerts' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.alertmanager.labels -d 'Additional label for every alert, such as cluster=prod; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.alertmanager.ca-file -d 'File with CA certificates (PEM) for the Alertmanager; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.alertmanager.bearer-token-file -d 'File with the bearer token; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.alertmanager.username -d 'User name for basic authentication; requires password-file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.alertmanager.password-file -d 'File with the password; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.url -d 'Post each incident to this URL, as the JSON of alert.log' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.template -d 'Text to post instead; {{ message }} is replaced by the field message of that JSON, escaped for a JSON string' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.content-type -d 'Content-Type of the request. [default: application/json]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.headers -d 'Additional header, such as \'X-Scope: prod\'; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.ca-file -d 'File with CA certificates (PEM) for the webhook; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.bearer-token-file -d 'File with the bearer token; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.username -d 'User name for basic authentication; requires password-file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l alert.webhook.password-file -d 'File with the password; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l log.level -d 'Minimum level of log messages. [default: info]' -r -f -a "debug\t'All messages'
info\t'Changes of state'
warn\t'Degraded operation'
error\t'Failures'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l log.format -d 'Format of log messages. [default: logfmt]' -r -f -a "logfmt\t'`key=value` pairs, like Prometheus'
json\t'One JSON object for each line'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l path.procfs -d 'Mount point of procfs. [default: /proc]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l path.sysfs -d 'Mount point of sysfs. [default: /sys]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l path.cgroupfs -d 'Search for cgroup mounts only below this directory; by default they are found in mountinfo' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l host -d 'Record the whole host'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -l mask -d 'Replace names by pseudonyms: cgroups, pods, namespaces, containers, images, owners, nodes, executables, threads and arguments. Keeps numbers and names of calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand record" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l speed -d 'Speed: factor such as 2.5, or max for as fast as possible' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l web.listen-address -d 'Address and port to listen on; :PORT listens on all addresses; repeatable. [default: 127.0.0.1:9778]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l web.telemetry-path -d 'URL path of the metrics. [default: /metrics]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l web.max-connections -d 'Maximum number of open connections. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l web.config.file -d 'File with TLS and basic authentication settings, in the format of Prometheus\' exporter-toolkit; reloaded when it changes' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l metrics.syscalls -d 'Granularity of counts of calls: name, set (the smallest of systemd\'s sets that contains the call, such as @file-system), or none (one series for each workload and ABI). [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l metrics.errors -d 'Granularity of counts of errors: name, set or none. Each keeps the label errno. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l metrics.denied -d 'Granularity of counts of denied calls: name, set or none. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l metrics.latency -d 'Granularity of histograms of durations: name, set or none. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l metrics.created-timestamps -d 'Whether to write the creation time of each counter into OpenMetrics. For Prometheus with the feature created-timestamp-zero-ingestion; without it, Prometheus stores a second series for each counter. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l log.level -d 'Minimum level of log messages. [default: info]' -r -f -a "debug\t'All messages'
info\t'Changes of state'
warn\t'Degraded operation'
error\t'Failures'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l log.format -d 'Format of log messages. [default: logfmt]' -r -f -a "logfmt\t'`key=value` pairs, like Prometheus'
json\t'One JSON object for each line'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -l once -d 'Replay the whole file, print the metrics at its end and exit, with status 1 if the file is truncated or damaged'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l url -d 'URL of the daemon; by default `http://127.0.0.1:9778`' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l username -d 'User name, as in the web.config.file of the daemon' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l password-file -d 'File with the password' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l ca-file -d 'File with CA certificates (PEM) for the daemon; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l recording -d 'Recording of `syscallmon record --host` to play, instead of a daemon' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l interval -d 'Time between two samples' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l sort -d 'Column to sort by' -r -f -a "rate\t'Calls per second'
history\t'Calls per second over the last minutes'
error-rate\t'Calls that failed, per second'
denied-rate\t'Calls that seccomp denied, per second'
calls\t'All calls'
errors\t'All calls that failed'
denied\t'All calls that seccomp denied'
io-uring\t'All operations of `io_uring`'
incidents\t'Incidents: unexpected calls by process tree'
name\t'Namespace, pod and container, or the cgroup'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l filter -d 'Show only workloads with these words in their name, image or owner' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l columns -d 'Columns to show, in this order. By default: rate, history, error-rate, denied-rate, calls, errors, name' -r -f -a "rate\t'Calls per second'
history\t'Calls per second over the last minutes'
error-rate\t'Calls that failed, per second'
denied-rate\t'Calls that seccomp denied, per second'
calls\t'All calls'
errors\t'All calls that failed'
denied\t'All calls that seccomp denied'
io-uring\t'All operations of `io_uring`'
incidents\t'Incidents: unexpected calls by process tree'
name\t'Namespace, pod and container, or the cgroup'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l output -d 'Print samples to stdout instead of drawing a screen' -r -f -a "table\t'The list as on the screen'
json\t'A line of JSON for each sample'
csv\t'A line for each workload'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l config.file -d 'Configuration file; flags override it. Reloaded on SIGHUP' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l reverse -d 'Reverse the order'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -l once -d 'Print one sample and exit; as a table, unless --output says otherwise'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand top" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l config.file -d 'Configuration file; flags override it. Reloaded on SIGHUP' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l wait -d 'How long to wait for the end of a daemon that uses the directory' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l web.listen-address -d 'Address and port to listen on; :PORT listens on all addresses; repeatable. [default: 127.0.0.1:9778]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l web.telemetry-path -d 'URL path of the metrics. [default: /metrics]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l web.max-connections -d 'Maximum number of open connections. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l web.config.file -d 'File with TLS and basic authentication settings, in the format of Prometheus\' exporter-toolkit; reloaded when it changes' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l poll.interval -d 'Time between two reads of the kernel\'s tables. Scrapes get counts that are at most 1 s old, whatever the interval is. [default: 5s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l workload.expire-after -d 'How long a workload is still exported after it has ended. [default: 5m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l workload.labels -d 'Labels that identify a workload, of those of workload info (image, owner, ...); cgroups with equal labels are counted together. [default: namespace,pod,container,cgroup]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l workload.keep -d 'Export only workloads that match, such as namespace="shop",pod=~"web-.*" (by any label of workload info); repeatable. All others are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l workload.drop -d 'Do not export workloads that match; repeatable. They are counted together' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l workload.pause-containers -d 'Whether to export each pause container as container "POD"; otherwise all pause containers are counted together. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l workload.group-transient-units -d 'Whether to count transient units together, such as session-12.scope and run-u7.service, under cgroup paths such as /user.slice/user-1000.slice/session-*.scope. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l workload.max-series -d 'Approximate maximum number of exported series of workloads; calls beyond it are counted in a remainder. [default: 200000]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l metrics.syscalls -d 'Granularity of counts of calls: name, set (the smallest of systemd\'s sets that contains the call, such as @file-system), or none (one series for each workload and ABI). [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l metrics.errors -d 'Granularity of counts of errors: name, set or none. Each keeps the label errno. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l metrics.denied -d 'Granularity of counts of denied calls: name, set or none. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l metrics.latency -d 'Granularity of histograms of durations: name, set or none. [default: name]' -r -f -a "name\t'By name, in the label `syscall`'
set\t'By systemd\'s set, in the label `set`'
none\t'Without a label'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l metrics.created-timestamps -d 'Whether to write the creation time of each counter into OpenMetrics. For Prometheus with the feature created-timestamp-zero-ingestion; without it, Prometheus stores a second series for each counter. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l names.cri -d 'Get names of containers from a CRI runtime (containerd, CRI-O): path of its socket, auto for the usual paths, or off. Access to this socket gives full control of the runtime; syscallmon only reads names. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l names.docker -d 'Get names of containers from Docker: path of its socket, auto or off. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l names.podman -d 'Get names of containers from Podman: path of its socket, auto or off. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l names.kubernetes -d 'Get names of pods, containers and owners from the Kubernetes API: on, off, or auto (on in a pod or with a kubeconfig). Watches only the pods of this node. [default: auto]' -r -f -a "auto\t'Use it in a pod, and with a kubeconfig'
on\t'Use it'
off\t'Do not use it'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l kubernetes.node-name -d 'Name of this node in Kubernetes; by default the environment variable NODE_NAME, or the host\'s name' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l kubernetes.kubeconfig -d 'Kubeconfig file for access to the Kubernetes API from outside a pod' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l cgroup.hierarchy -d 'Cgroup hierarchy that identifies workloads: cgroup2, a v1 controller such as memory, or cgroup2+memory, which uses v1 for tasks in the root of cgroup2; auto selects the one that has the most containers at start. [default: auto]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l capacity.cgroups -d 'Maximum number of cgroups that are counted at the same time; calls of further cgroups go to a remainder. [default: 1024]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l capacity.series -d 'Maximum number of series (cgroup, ABI, syscall) in the kernel; up to a quarter can also hold errors and denied calls. [default: 65536]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l capacity.errors -d 'Maximum number of pairs (syscall, errno) for each cgroup; errors beyond it go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l capacity.denied -d 'Maximum number of different denied syscalls for each cgroup; further ones go to a remainder of the cgroup. [default: 256]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l capacity.histograms -d 'Maximum number of histograms of durations (cgroup, ABI, syscall) in the kernel. [default: 2048]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l capacity.timed-calls -d 'Maximum number of calls in progress whose durations are measured. [default: 16384]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l probe.sys-enter -d 'How to attach to sys_enter and sys_exit; auto selects the cheapest method that this kernel supports. [default: auto]' -r -f -a "auto\t'The cheapest method that this kernel supports'
tp_btf\t'BTF-typed raw tracepoint (Linux 5.11 with BTF)'
raw_tp\t'Raw tracepoint (Linux 4.18)'
tracepoint\t'Classic tracepoint, for kernels that preempt raw tracepoints; requires tracefs'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l probe.errors -d 'Whether to count errors by errno. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l probe.denied -d 'Whether to count calls that seccomp denied. Otherwise, those that return an errno count as errors. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l probe.latency -d 'Whether to measure how long calls take. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l probe.io-uring -d 'Whether to count io_uring operations. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l probe.arguments -d 'Which arguments of calls to count: security counts those that matter for security, such as the address families of socket and the namespaces of unshare. [default: security]' -r -f -a "none\t'None'
security\t'Those that matter for security. Calls with other arguments are of the class `other`'
all\t'All that have a name'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l latency.syscalls -d 'Syscalls whose durations are measured: names, and systemd\'s sets such as @file-system, separated by commas. By default calls that wait for disk and network: read, write, openat, fsync, connect, recvmsg and similar' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l latency.buckets -d 'Upper bounds of the exported buckets, from the powers of two 1us, 2us, 4us, ... 512us, 1ms, ... 512ms, 1s, ... 16s (1ms is 1,024 us). [default: 1us,4us,16us,64us,256us,1ms,4ms,16ms,64ms,256ms,1s,4s,16s]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l policy.runtime-default -d 'Whether the built-in policy applies to containers that no other policy selects. It expects the calls that the default seccomp profile of container runtimes allows. [default: true]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l policy.directory -d 'Directory of policy files, read in addition to the key policies of the configuration file: all *.yaml and *.yml, in the order of their names; reloaded when they change' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l policy.strict -d 'Whether one invalid policy makes the start fail, and makes a reload keep all old policies. Otherwise the valid policies apply, and invalid ones are logged and counted in a metric. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l state.directory -d 'Directory for baselines of policies that learn, and for alerts; created with the first one, if its parent directory exists. [default: /var/lib/syscallmon]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l state.baseline-retention -d 'How long to keep a baseline that no workload uses; approved baselines are never removed. [default: 40days]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l pin.directory -d 'Keep counting while no daemon runs: directory of its own for the programs and tables, on a bpf file system (/sys/fs/bpf/syscallmon). The next daemon continues with the counts. `syscallmon unpin` removes everything' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l pin.lease -d 'How long the programs run without a daemon. [default: 10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.log -d 'Where to write each incident as a line of JSON: stdout, stderr, off, or the path of a file. [default: stdout]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.command-line -d 'How much of command lines to report: redacted (without values that look like secrets), full, program or none. [default: redacted]' -r -f -a "redacted\t'All arguments; values that look like a password, token or key are replaced by `[redacted]`'
full\t'All arguments, unchanged'
program\t'Only the first argument, the name of the program'
none\t'No arguments'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.incident-window -d 'Unexpected calls of one workload and process tree are one incident, and one alert, if each is made within this time after the last one. [default: 10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.repeat-interval -d 'Minimum time between two reports (log lines, webhooks, Events) of an incident without new calls. [default: 1h]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.rate-limit -d 'Maximum new alerts for each workload, policy and severity; one summary stands for the rest. All violations are counted. [default: 20/10m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.resolve-after -d 'An incident and its alert are resolved when none of its calls has occurred for this time. [default: 15m]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.kubernetes-events -d 'Whether to create a Kubernetes Event on the pod for each incident; requires the rights to create and patch events. [default: false]' -r -f -a "true\t''
false\t''"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.alertmanager.url -d 'Send alerts to the Alertmanager at this URL (http:// or https://, with host and port); repeatable: each gets all alerts' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.alertmanager.labels -d 'Additional label for every alert, such as cluster=prod; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.alertmanager.ca-file -d 'File with CA certificates (PEM) for the Alertmanager; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.alertmanager.bearer-token-file -d 'File with the bearer token; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.alertmanager.username -d 'User name for basic authentication; requires password-file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.alertmanager.password-file -d 'File with the password; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.webhook.url -d 'Post each incident to this URL, as the JSON of alert.log' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.webhook.template -d 'Text to post instead; {{ message }} is replaced by the field message of that JSON, escaped for a JSON string' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.webhook.content-type -d 'Content-Type of the request. [default: application/json]' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.webhook.headers -d 'Additional header, such as \'X-Scope: prod\'; repeatable' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.webhook.ca-file -d 'File with CA certificates (PEM) for the webhook; by default those of the host' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.webhook.bearer-token-file -d 'File with the bearer token; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.webhook.username -d 'User name for basic authentication; requires password-file' -r
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l alert.webhook.password-file -d 'File with the password; read again for each request' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l log.level -d 'Minimum level of log messages. [default: info]' -r -f -a "debug\t'All messages'
info\t'Changes of state'
warn\t'Degraded operation'
error\t'Failures'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l log.format -d 'Format of log messages. [default: logfmt]' -r -f -a "logfmt\t'`key=value` pairs, like Prometheus'
json\t'One JSON object for each line'"
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l path.procfs -d 'Mount point of procfs. [default: /proc]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l path.sysfs -d 'Mount point of sysfs. [default: /sys]' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l path.cgroupfs -d 'Search for cgroup mounts only below this directory; by default they are found in mountinfo' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l prepare -d 'Prepare the start of a service. If the flags or the file have a --pin.directory, only make it, because the service\'s sandbox may not. Otherwise, remove what is left, because pinned mode was switched off'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -l stay -d 'Do not end after the removal, but at a signal. For a pod of a `DaemonSet`, which would be started again'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand unpin" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand seccomp-profile" -l output -d 'Write the profile to this file instead; creates the directory, and replaces an existing file atomically' -r -F
complete -c syscallmon -n "__fish_syscallmon_using_subcommand seccomp-profile" -s h -l help -d 'Print help'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "run" -d 'Count system calls and export them until SIGTERM or SIGINT'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "check" -d 'Check whether this host can run syscallmon, and whether a configuration is valid'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "completions" -d 'Print completions for a shell'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "health" -d 'Check whether a running daemon counts, or the daemons of a cluster'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "man" -d 'Print the man page of syscallmon or of one of its commands'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "policy" -d 'Test and show policies, and show and change baselines (learned calls)'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "profile" -d 'Generate seccomp profiles from what workloads call, and check, compare and explain profiles'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "record" -d 'Record the system calls of one command, or of every workload of this host'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "replay" -d 'Serve a recording of `syscallmon record` over HTTP, like a live daemon'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "top" -d 'Show the workloads of a host with their system calls per second, live in the terminal'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "unpin" -d 'Detach and remove the programs and tables that a daemon with --pin.directory left'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "seccomp-profile" -d 'Print the seccomp profile for syscallmon itself, or install it into the directory of the kubelet'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and not __fish_seen_subcommand_from run check completions health man policy profile record replay top unpin seccomp-profile help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "list" -d 'List the policies and the baselines'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "show" -d 'Print a baseline with its calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "approve" -d 'Make a baseline guard: calls that it has not learned are unexpected from now on'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "forget" -d 'Remove a baseline and print it. If a policy still learns, a new empty baseline begins'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "relearn" -d 'Make a baseline learn again; it keeps its calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "allow" -d 'Print the narrowest exception for violations, as YAML for the policy that reported them'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "export" -d 'Print a seccomp profile that allows the calls of a baseline'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "test" -d 'Test policies before they are in force: which policy and line decide about a call, and what would have alarmed'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "print" -d 'Print the built-in policy as YAML'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from profile" -f -a "generate" -d 'Generate a seccomp profile from what a workload calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from profile" -f -a "check" -d 'Check a seccomp profile against what a workload calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from profile" -f -a "diff" -d 'Show the calls about which two seccomp profiles decide differently'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from profile" -f -a "explain" -d 'Show how much of the kernel a seccomp profile leaves open, and which dangerous calls'
complete -c syscallmon -n "__fish_syscallmon_using_subcommand help; and __fish_seen_subcommand_from profile" -f -a "self" -d 'Print the seccomp profile for syscallmon itself, or install it into the directory of the kubelet'
