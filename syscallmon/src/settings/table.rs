//! The table of settings: one row each, in the order of `--help`. [`mod@group`] says what a row has.

use std::{path::PathBuf, time::Duration};

use clap::ArgAction;

use super::{
    InvalidError, ListenAddress, PolicyItems,
    group::{self, Effect, Group, Setting, group},
};
use crate::{
    alert::{ExtraHeader, ExtraLabel, LogTarget, RateLimit, Template, Url},
    cgroup::HierarchyChoice,
    kernel::SysEnter,
    logging::{LogFormat, LogLevel},
    model::Granularity,
    process::CommandLines,
    snapshot::Bound,
    syscalls::ArgumentClasses,
    workload::{
        Label, Selector,
        providers::{KubernetesChoice, SocketChoice},
    },
};

group! {
    /// Everything that flags and the configuration file can set.
    Settings {
        groups {
            /// The HTTP server.
            web: Web;
            /// Polling.
            poll: Poll;
            /// Workloads.
            workload: Workload;
            /// Granularity of metrics.
            metrics: Metrics;
            /// Metadata providers.
            names: Names;
            /// The Kubernetes API.
            kubernetes: Kubernetes;
            /// Cgroups.
            cgroup: Cgroup;
            /// Sizes of the kernel's tables.
            capacity: Capacity;
            /// Probes.
            probe: Probe;
            /// Durations of calls.
            latency: Latency;
            /// Policies.
            policy: Policy;
            /// State on disk.
            state: State;
            /// Counting without a daemon.
            pin: Pin;
            /// Delivery of alerts.
            alert: Alert;
            /// Logging.
            log: Log;
            /// Mount points of kernel file systems.
            path: Paths;
        }
        keys {
            /// Policies; they have no flag.
            policies: Option<PolicyItems>;
        }
    }
}

group! {
    /// The HTTP server.
    Web {
        /// Address and port to listen on; :PORT listens on all addresses; repeatable.
        listen_address: Vec<ListenAddress> = flag("web.listen-address", "ADDRESS:PORT")
            default("127.0.0.1:9778") arg(action = ArgAction::Append) at(Restart);
        /// URL path of the metrics.
        telemetry_path: String = flag("web.telemetry-path", "PATH") default("/metrics") at(Restart);
        /// Maximum number of open connections.
        max_connections: usize = flag("web.max-connections", "NUMBER") default("256") range("1", "100000") at(Restart);
        groups {
            /// TLS and basic authentication.
            config: WebConfig;
        }
    }
}

group! {
    /// TLS and basic authentication.
    WebConfig {
        /// File with TLS and basic authentication settings, in the format of Prometheus' exporter-toolkit; reloaded
        /// when it changes.
        file: PathBuf = flag("web.config.file", "FILE") at(Restart);
    }
}

group! {
    /// Polling.
    Poll {
        /// Time between two reads of the kernel's tables. Scrapes get counts that are at most 1 s old, whatever the
        /// interval is.
        interval: Duration = flag("poll.interval", "DURATION")
            default("5s") range("100ms", "1day") arg(value_parser = humantime::parse_duration) serde(with = "humantime_serde") at(Reload);
    }
}

group! {
    /// Workloads.
    Workload {
        /// How long a workload is still exported after it has ended.
        expire_after: Duration = flag("workload.expire-after", "DURATION")
            default("5m") range("1s", "365days") arg(value_parser = humantime::parse_duration) serde(with = "humantime_serde") at(Reload);
        /// Labels that identify a workload, of those of workload info (image, owner, ...); cgroups with equal labels
        /// are counted together.
        labels: Vec<Label> = flag("workload.labels", "LABELS") default("namespace,pod,container,cgroup") arg(value_delimiter = ',') at(Restart);
        /// Export only workloads that match, such as namespace="shop",pod=~"web-.*" (by any label of
        /// workload info); repeatable. All others are counted together.
        keep: Vec<Selector> = flag("workload.keep", "SELECTOR") arg(action = ArgAction::Append) at(Restart);
        /// Do not export workloads that match; repeatable. They are counted together.
        drop: Vec<Selector> = flag("workload.drop", "SELECTOR") arg(action = ArgAction::Append) at(Restart);
        /// Whether to export each pause container as container "POD"; otherwise all pause containers are counted
        /// together.
        pause_containers: bool = flag("workload.pause-containers", "BOOL") default("false") at(Restart);
        /// Whether to count transient units together, such as session-12.scope and run-u7.service, under cgroup paths
        /// such as /user.slice/user-1000.slice/session-*.scope.
        group_transient_units: bool = flag("workload.group-transient-units", "BOOL") default("true") at(Restart);
        /// Approximate maximum number of exported series of workloads; calls beyond it are counted in a remainder.
        max_series: usize = flag("workload.max-series", "NUMBER") default("200000") range("1", "10000000") at(Restart);
    }
}

group! {
    /// Granularity of metrics.
    Metrics {
        /// Granularity of counts of calls: name, set (the smallest of systemd's sets that contains the call, such as
        /// @file-system), or none (one series for each workload and ABI).
        syscalls: Granularity = flag("metrics.syscalls", "HOW") default("name") at(Restart);
        /// Granularity of counts of errors: name, set or none. Each keeps the label errno.
        errors: Granularity = flag("metrics.errors", "HOW") default("name") at(Restart);
        /// Granularity of counts of denied calls: name, set or none.
        denied: Granularity = flag("metrics.denied", "HOW") default("name") at(Restart);
        /// Granularity of histograms of durations: name, set or none.
        latency: Granularity = flag("metrics.latency", "HOW") default("name") at(Restart);
        /// Whether to write the creation time of each counter into OpenMetrics. For Prometheus with the feature
        /// created-timestamp-zero-ingestion; without it, Prometheus stores a second series for each counter.
        created_timestamps: bool = flag("metrics.created-timestamps", "BOOL") default("false") at(Restart);
    }
}

group! {
    /// Metadata providers.
    Names {
        /// Get names of containers from a CRI runtime (containerd, CRI-O): path of its socket, auto for the usual
        /// paths, or off. Access to this socket gives full control of the runtime; syscallmon only reads names.
        cri: SocketChoice = flag("names.cri", "SOCKET") default("auto") at(Restart);
        /// Get names of containers from Docker: path of its socket, auto or off.
        docker: SocketChoice = flag("names.docker", "SOCKET") default("auto") at(Restart);
        /// Get names of containers from Podman: path of its socket, auto or off.
        podman: SocketChoice = flag("names.podman", "SOCKET") default("auto") at(Restart);
        /// Get names of pods, containers and owners from the Kubernetes API: on, off, or auto (on in a pod or with a
        /// kubeconfig). Watches only the pods of this node.
        kubernetes: KubernetesChoice = flag("names.kubernetes", "WHETHER") default("auto") at(Restart);
    }
}

group! {
    /// The Kubernetes API.
    Kubernetes {
        /// Name of this node in Kubernetes; by default the environment variable NODE_NAME, or the host's name.
        node_name: String = flag("kubernetes.node-name", "NAME") at(Restart);
        /// Kubeconfig file for access to the Kubernetes API from outside a pod.
        kubeconfig: PathBuf = flag("kubernetes.kubeconfig", "FILE") at(Restart);
    }
}

group! {
    /// Cgroups.
    Cgroup {
        /// Cgroup hierarchy that identifies workloads: cgroup2, a v1 controller such as memory, or cgroup2+memory,
        /// which uses v1 for tasks in the root of cgroup2; auto selects the one that has the most containers at start.
        hierarchy: HierarchyChoice = flag("cgroup.hierarchy", "HIERARCHY") default("auto") at(Restart);
    }
}

group! {
    /// Sizes of the kernel's tables.
    Capacity {
        /// Maximum number of cgroups that are counted at the same time; calls of further cgroups go to a remainder.
        cgroups: u32 = flag("capacity.cgroups", "NUMBER") default("1024") range("1", "65536") at(Restart);
        /// Maximum number of series (cgroup, ABI, syscall) in the kernel; up to a quarter can also hold errors and
        /// denied calls.
        series: u32 = flag("capacity.series", "NUMBER") default("65536") range("1", "4194304") at(Restart);
        /// Maximum number of pairs (syscall, errno) for each cgroup; errors beyond it go to a remainder of the cgroup.
        errors: u32 = flag("capacity.errors", "NUMBER") default("256") range("1", "65536") at(Restart);
        /// Maximum number of different denied syscalls for each cgroup; further ones go to a remainder of the cgroup.
        denied: u32 = flag("capacity.denied", "NUMBER") default("256") range("1", "65536") at(Restart);
        /// Maximum number of histograms of durations (cgroup, ABI, syscall) in the kernel.
        histograms: u32 = flag("capacity.histograms", "NUMBER") default("2048") range("1", "1048576") at(Restart);
        /// Maximum number of calls in progress whose durations are measured.
        timed_calls: u32 = flag("capacity.timed-calls", "NUMBER") default("16384") range("1", "1048576") at(Restart);
    }
}

group! {
    /// Probes.
    Probe {
        /// How to attach to sys_enter and sys_exit; auto selects the cheapest method that this kernel supports.
        sys_enter: SysEnter = flag("probe.sys-enter", "HOW") default("auto") at(Restart);
        /// Whether to count errors by errno.
        errors: bool = flag("probe.errors", "BOOL") default("true") at(Restart);
        /// Whether to count calls that seccomp denied. Otherwise, those that return an errno count as errors.
        denied: bool = flag("probe.denied", "BOOL") default("true") at(Restart);
        /// Whether to measure how long calls take.
        latency: bool = flag("probe.latency", "BOOL") default("false") at(Restart);
        /// Whether to count io_uring operations.
        io_uring: bool = flag("probe.io-uring", "BOOL") default("true") at(Restart);
        /// Which arguments of calls to count: security counts those that matter for security, such as the address
        /// families of socket and the namespaces of unshare.
        arguments: ArgumentClasses = flag("probe.arguments", "WHICH") default("security") at(Restart);
    }
}

group! {
    /// Durations of calls.
    Latency {
        /// Syscalls whose durations are measured: names, and systemd's sets such as @file-system, separated by commas.
        /// By default calls that wait for disk and network: read, write, openat, fsync, connect, recvmsg and similar.
        syscalls: Vec<String> = flag("latency.syscalls", "NAMES") arg(value_delimiter = ',') at(Restart);
        /// Upper bounds of the exported buckets, from the powers of two 1us, 2us, 4us, ... 512us, 1ms, ... 512ms, 1s,
        /// ... 16s (1ms is 1,024 us).
        buckets: Vec<Bound> = flag("latency.buckets", "DURATIONS")
            default("1us,4us,16us,64us,256us,1ms,4ms,16ms,64ms,256ms,1s,4s,16s") arg(value_delimiter = ',') at(Restart);
    }
}

group! {
    /// Policies.
    Policy {
        /// Whether the built-in policy applies to containers that no other policy selects. It expects the calls that
        /// the default seccomp profile of container runtimes allows.
        runtime_default: bool = flag("policy.runtime-default", "BOOL") default("true") at(Reload);
        /// Directory of policy files, read in addition to the key policies of the configuration file: all *.yaml and
        /// *.yml, in the order of their names; reloaded when they change.
        directory: PathBuf = flag("policy.directory", "DIR") at(Reload);
        /// Whether one invalid policy makes the start fail, and makes a reload keep all old policies. Otherwise the
        /// valid policies apply, and invalid ones are logged and counted in a metric.
        strict: bool = flag("policy.strict", "BOOL") default("false") at(Reload);
    }
}

group! {
    /// Delivery of alerts.
    Alert {
        /// Where to write each incident as a line of JSON: stdout, stderr, off, or the path of a file.
        log: LogTarget = flag("alert.log", "WHERE") default("stdout") at(Restart);
        /// How much of command lines to report: redacted (without values that look like secrets), full, program or
        /// none.
        command_line: CommandLines = flag("alert.command-line", "HOW") default("redacted") arg(hide_possible_values = true) at(Restart);
        /// Unexpected calls of one workload and process tree are one incident, and one alert, if each is made within
        /// this time after the last one.
        incident_window: Duration = flag("alert.incident-window", "DURATION")
            default("10m") range("1s", "1day") arg(value_parser = humantime::parse_duration) serde(with = "humantime_serde") at(Restart);
        /// Minimum time between two reports (log lines, webhooks, Events) of an incident without new calls.
        repeat_interval: Duration = flag("alert.repeat-interval", "DURATION")
            default("1h") range("1s", "365days") arg(value_parser = humantime::parse_duration) serde(with = "humantime_serde") at(Restart);
        /// Maximum new alerts for each workload, policy and severity; one summary stands for the rest. All violations
        /// are counted.
        rate_limit: RateLimit = flag("alert.rate-limit", "NUMBER/DURATION") default("20/10m") at(Restart);
        /// An incident and its alert are resolved when none of its calls has occurred for this time.
        resolve_after: Duration = flag("alert.resolve-after", "DURATION")
            default("15m") range("1s", "365days") arg(value_parser = humantime::parse_duration) serde(with = "humantime_serde") at(Restart);
        /// Whether to create a Kubernetes Event on the pod for each incident; requires the rights to create and patch
        /// events.
        kubernetes_events: bool = flag("alert.kubernetes-events", "BOOL") default("false") at(Restart);
        groups {
            /// Alertmanagers.
            alertmanager: Alertmanager;
            /// A webhook.
            webhook: Webhook;
        }
    }
}

group! {
    /// State on disk.
    State {
        /// Directory for baselines of policies that learn, and for alerts; created with the first one, if its parent
        /// directory exists.
        directory: PathBuf = flag("state.directory", "DIR") default("/var/lib/syscallmon") at(Restart);
        /// How long to keep a baseline that no workload uses; approved baselines are never removed.
        baseline_retention: Duration = flag("state.baseline-retention", "DURATION")
            default("40days") range("0s", "36500days") arg(value_parser = humantime::parse_duration) serde(with = "humantime_serde") at(Restart);
    }
}

group! {
    /// Counting without a daemon.
    Pin {
        /// Keep counting while no daemon runs: directory of its own for the programs and tables, on a bpf file system
        /// (/sys/fs/bpf/syscallmon). The next daemon continues with the counts. `syscallmon unpin` removes everything.
        directory: PathBuf = flag("pin.directory", "DIR") at(Restart);
        /// How long the programs run without a daemon.
        lease: Duration = flag("pin.lease", "DURATION")
            default("10m") range("10s", "30days") arg(value_parser = humantime::parse_duration) serde(with = "humantime_serde") at(Restart);
    }
}

group! {
    /// Alertmanagers.
    Alertmanager {
        /// Send alerts to the Alertmanager at this URL (http:// or https://, with host and port); repeatable: each gets
        /// all alerts.
        url: Vec<Url> = flag("alert.alertmanager.url", "URL") arg(action = ArgAction::Append) at(Restart);
        /// Additional label for every alert, such as cluster=prod; repeatable.
        labels: Vec<ExtraLabel> = flag("alert.alertmanager.labels", "NAME=VALUE") arg(action = ArgAction::Append) at(Restart);
        /// File with CA certificates (PEM) for the Alertmanager; by default those of the host.
        ca_file: PathBuf = flag("alert.alertmanager.ca-file", "FILE") at(Restart);
        /// File with the bearer token; read again for each request.
        bearer_token_file: PathBuf = flag("alert.alertmanager.bearer-token-file", "FILE") at(Restart);
        /// User name for basic authentication; requires password-file.
        username: String = flag("alert.alertmanager.username", "NAME") at(Restart);
        /// File with the password; read again for each request.
        password_file: PathBuf = flag("alert.alertmanager.password-file", "FILE") at(Restart);
    }
}

group! {
    /// A webhook.
    Webhook {
        /// Post each incident to this URL, as the JSON of alert.log.
        url: Url = flag("alert.webhook.url", "URL") at(Restart);
        /// Text to post instead; {{ message }} is replaced by the field message of that JSON, escaped for a JSON
        /// string.
        template: Template = flag("alert.webhook.template", "TEXT") at(Restart);
        /// Content-Type of the request.
        content_type: String = flag("alert.webhook.content-type", "TYPE") default("application/json") at(Restart);
        /// Additional header, such as 'X-Scope: prod'; repeatable.
        headers: Vec<ExtraHeader> = flag("alert.webhook.headers", "NAME: VALUE")
            arg(action = ArgAction::Append) at(Restart);
        /// File with CA certificates (PEM) for the webhook; by default those of the host.
        ca_file: PathBuf = flag("alert.webhook.ca-file", "FILE") at(Restart);
        /// File with the bearer token; read again for each request.
        bearer_token_file: PathBuf = flag("alert.webhook.bearer-token-file", "FILE") at(Restart);
        /// User name for basic authentication; requires password-file.
        username: String = flag("alert.webhook.username", "NAME") at(Restart);
        /// File with the password; read again for each request.
        password_file: PathBuf = flag("alert.webhook.password-file", "FILE") at(Restart);
    }
}

group! {
    /// Logging.
    Log {
        /// Minimum level of log messages.
        level: LogLevel = flag("log.level", "LEVEL") default("info") at(Reload);
        /// Format of log messages.
        format: LogFormat = flag("log.format", "FORMAT") default("logfmt") at(Restart);
    }
}

group! {
    /// Mount points of kernel file systems.
    Paths {
        /// Mount point of procfs.
        procfs: PathBuf = flag("path.procfs", "DIR") default("/proc") at(Restart);
        /// Mount point of sysfs.
        sysfs: PathBuf = flag("path.sysfs", "DIR") default("/sys") at(Restart);
        /// Search for cgroup mounts only below this directory; by default they are found in mountinfo.
        cgroupfs: PathBuf = flag("path.cgroupfs", "DIR") at(Restart);
    }
}
