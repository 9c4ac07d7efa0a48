//! The table of settings: one row each, in the order of `--help`. [`group`] says what a row has.

use std::{path::PathBuf, time::Duration};

use clap::ArgAction;

use super::{
    InvalidError, ListenAddress, PolicyItems,
    group::{self, Effect, Group, Setting, group},
};
use crate::{
    alert::{ExtraLabel, Header, LogTarget, RateLimit, Template, Url},
    cgroup::HierarchyChoice,
    kernel::SysEnter,
    logging::{LogFormat, LogLevel},
    model::Granularity,
    process::CommandLines,
    snapshot::Bound,
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
            /// What metrics tell apart.
            metrics: Metrics;
            /// Where names come from.
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
            /// What is expected of workloads.
            policy: Policy;
            /// What is kept on disk.
            state: State;
            /// Where violations go.
            alert: Alert;
            /// Logging.
            log: Log;
            /// Places of kernel file systems.
            path: Paths;
        }
        keys {
            /// Policies; nothing that a flag could say.
            policies: Option<PolicyItems>;
        }
    }
}

group! {
    /// The HTTP server.
    Web {
        /// Address and port to listen on; :PORT means every address; repeatable.
        listen_address: Vec<ListenAddress> = flag("web.listen-address", "ADDRESS:PORT")
            default("127.0.0.1:9778") arg(action = ArgAction::Append) at(Restart);
        /// Path of the metrics.
        telemetry_path: String = flag("web.telemetry-path", "PATH") default("/metrics") at(Restart);
        /// Most connections that are open at the same time.
        max_connections: usize = flag("web.max-connections", "NUMBER") default("256") range("1", "100000") at(Restart);
        groups {
            /// TLS and passwords.
            config: WebConfig;
        }
    }
}

group! {
    /// TLS and passwords.
    WebConfig {
        /// File with TLS and basic authentication, in the format of Prometheus' exporter-toolkit; re-read when it changes.
        file: PathBuf = flag("web.config.file", "FILE") at(Restart);
    }
}

group! {
    /// Polling.
    Poll {
        /// Time between two readings of the kernel's tables. A scrape gets counts that are at most 1 s old
        /// whatever this is.
        interval: Duration = flag("poll.interval", "DURATION")
            default("5s") range("100ms", "1day") arg(value_parser = humantime::parse_duration) serde(with = "humantime_serde") at(Reload);
    }
}

group! {
    /// Workloads.
    Workload {
        /// How long a workload that is gone is still exported.
        expire_after: Duration = flag("workload.expire-after", "DURATION")
            default("5m") range("1s", "365days") arg(value_parser = humantime::parse_duration) serde(with = "humantime_serde") at(Reload);
        /// Labels that tell workloads apart, of those of workload info (container, image, owner, ...); what has the same values is counted together.
        labels: Vec<Label> = flag("workload.labels", "LABELS") default("namespace,pod,container,cgroup") arg(value_delimiter = ',') at(Restart);
        /// Export workloads that this selects and no others, such as namespace="shop",pod=~"web-.*" (any of the labels above, matched as in
        /// PromQL); repeatable. The others are counted together.
        keep: Vec<Selector> = flag("workload.keep", "SELECTOR") arg(action = ArgAction::Append) at(Restart);
        /// Do not export workloads that this selects; repeatable. They are counted together.
        drop: Vec<Selector> = flag("workload.drop", "SELECTOR") arg(action = ArgAction::Append) at(Restart);
        /// Whether to export each container that only holds a pod's namespaces, as container "POD"; otherwise they are counted
        /// together.
        pause_containers: bool = flag("workload.pause-containers", "BOOL") default("false") at(Restart);
        /// Whether to count units together whose names are made for one session or run, such as session-12.scope and run-u7.service, under
        /// cgroup paths such as /user.slice/user-1000.slice/session-*.scope.
        group_transient_units: bool = flag("workload.group-transient-units", "BOOL") default("true") at(Restart);
        /// Most series of workloads to export, about; what is beyond is counted in a remainder.
        max_series: usize = flag("workload.max-series", "NUMBER") default("200000") range("1", "10000000") at(Restart);
    }
}

group! {
    /// What metrics tell apart.
    Metrics {
        /// How calls are told apart in the counts of calls: by name, by set (the smallest of systemd's sets that has
        /// the call, such as @file-system), or none, which leaves one series for each workload and ABI.
        syscalls: Granularity = flag("metrics.syscalls", "HOW") default("name") at(Restart);
        /// How calls are told apart in the counts of errors: by name, by set, or none. Errnos are told apart in any
        /// case.
        errors: Granularity = flag("metrics.errors", "HOW") default("name") at(Restart);
        /// How calls are told apart in the counts of refused calls: by name, by set, or none.
        denied: Granularity = flag("metrics.denied", "HOW") default("name") at(Restart);
        /// How calls are told apart in the histograms of durations: by name, by set, or none.
        latency: Granularity = flag("metrics.latency", "HOW") default("name") at(Restart);
        /// Whether OpenMetrics has when each counter began. For a Prometheus with the feature
        /// created-timestamp-zero-ingestion: any other makes a second series of each counter.
        created_timestamps: bool = flag("metrics.created-timestamps", "BOOL") default("false") at(Restart);
    }
}

group! {
    /// Where names come from.
    Names {
        /// Names of containers from a runtime's CRI (containerd, CRI-O): a socket, auto for the usual ones, or off. Whoever can
        /// connect to it can control the runtime; only names are asked for.
        cri: SocketChoice = flag("names.cri", "SOCKET") default("auto") at(Restart);
        /// The same from Docker.
        docker: SocketChoice = flag("names.docker", "SOCKET") default("auto") at(Restart);
        /// The same from Podman.
        podman: SocketChoice = flag("names.podman", "SOCKET") default("auto") at(Restart);
        /// Names of pods, containers and owners from the Kubernetes API: auto in a pod or with a kubeconfig, on, or off. Watches the pods
        /// of this node only.
        kubernetes: KubernetesChoice = flag("names.kubernetes", "WHETHER") default("auto") at(Restart);
    }
}

group! {
    /// The Kubernetes API.
    Kubernetes {
        /// Name of this host in Kubernetes; by default what the environment variable NODE_NAME says, or the host's name.
        node_name: String = flag("kubernetes.node-name", "NAME") at(Restart);
        /// How to reach the Kubernetes API from outside a pod.
        kubeconfig: PathBuf = flag("kubernetes.kubeconfig", "FILE") at(Restart);
    }
}

group! {
    /// Cgroups.
    Cgroup {
        /// Hierarchies that workloads are told apart by: cgroup2, a v1 controller such as memory, or cgroup2+memory, which takes
        /// v1 for tasks in cgroup2's root; auto takes what tells most apart when it starts.
        hierarchy: HierarchyChoice = flag("cgroup.hierarchy", "HIERARCHY") default("auto") at(Restart);
    }
}

group! {
    /// Sizes of the kernel's tables.
    Capacity {
        /// Cgroups that can be counted at the same time; the calls of more go to a remainder.
        cgroups: u32 = flag("capacity.cgroups", "NUMBER") default("1024") range("1", "65536") at(Restart);
        /// Triples of cgroup, ABI and syscall that can be counted at the same time; a quarter is also for their errors and
        /// refused attempts.
        series: u32 = flag("capacity.series", "NUMBER") default("65536") range("1", "4194304") at(Restart);
        /// Pairs of syscall and errno that are told apart in one cgroup; more go to a remainder of the cgroup.
        errors: u32 = flag("capacity.errors", "NUMBER") default("256") range("1", "65536") at(Restart);
        /// Refused syscalls that are told apart in one cgroup; more go to a remainder of the cgroup.
        denied: u32 = flag("capacity.denied", "NUMBER") default("256") range("1", "65536") at(Restart);
        /// Triples of cgroup, ABI and syscall whose durations can be measured at the same time.
        histograms: u32 = flag("capacity.histograms", "NUMBER") default("2048") range("1", "1048576") at(Restart);
        /// Calls that are measured and under way at the same time.
        timed_calls: u32 = flag("capacity.timed-calls", "NUMBER") default("16384") range("1", "1048576") at(Restart);
    }
}

group! {
    /// Probes.
    Probe {
        /// How to attach to sys_enter and sys_exit: auto takes the cheapest that this kernel has.
        sys_enter: SysEnter = flag("probe.sys-enter", "HOW") default("auto") at(Restart);
        /// Whether to count errors by errno.
        errors: bool = flag("probe.errors", "BOOL") default("true") at(Restart);
        /// Whether to count calls that seccomp refused. Without, they count as errors where they return one.
        denied: bool = flag("probe.denied", "BOOL") default("true") at(Restart);
        /// Whether to measure how long calls take.
        latency: bool = flag("probe.latency", "BOOL") default("false") at(Restart);
        /// Whether to count operations given to io_uring.
        io_uring: bool = flag("probe.io-uring", "BOOL") default("true") at(Restart);
    }
}

group! {
    /// Durations of calls.
    Latency {
        /// Calls that are measured: names, and sets such as @file-system with systemd's names and meaning, separated by commas. By
        /// default those that wait on disk and network: read, write, openat, fsync, connect, recvmsg and their like.
        syscalls: Vec<String> = flag("latency.syscalls", "NAMES") arg(value_delimiter = ',') at(Restart);
        /// Upper bounds of the buckets to export, of 1us, 2us, 4us, ... 512us, 1ms, ... 512ms, 1s, ... 16s: powers of two, where
        /// 1ms is 1,024 us.
        buckets: Vec<Bound> = flag("latency.buckets", "DURATIONS")
            default("1us,4us,16us,64us,256us,1ms,4ms,16ms,64ms,256ms,1s,4s,16s") arg(value_delimiter = ',') at(Restart);
    }
}

group! {
    /// What is expected of workloads.
    Policy {
        /// Whether containers that no other policy selects have the built-in one, which expects what the default seccomp profile of
        /// container runtimes allows.
        runtime_default: bool = flag("policy.runtime-default", "BOOL") default("true") at(Reload);
        /// Directory of files with policies, besides those under the key policies of the configuration file: all *.yaml and *.yml in it,
        /// in the order of their names; re-read when they change.
        directory: PathBuf = flag("policy.directory", "DIR") at(Reload);
        /// Whether one bad policy is enough to refuse all: the start fails, and a reload changes nothing. Otherwise valid policies are
        /// in force, and bad ones are logged, and counted by a metric.
        strict: bool = flag("policy.strict", "BOOL") default("false") at(Reload);
    }
}

group! {
    /// Where violations go.
    Alert {
        /// Where each violation is written as a line of JSON: stdout, stderr, off, or the path of a file.
        log: LogTarget = flag("alert.log", "WHERE") default("stdout") at(Restart);
        /// What is kept of command lines: redacted (without what looks like a secret), full, program or none.
        command_line: CommandLines = flag("alert.command-line", "HOW") default("redacted") arg(hide_possible_values = true) at(Restart);
        /// Least time between two lines, webhooks or Events of one violation that goes on.
        repeat_interval: Duration = flag("alert.repeat-interval", "DURATION")
            default("1h") range("1s", "365days") arg(value_parser = humantime::parse_duration) serde(with = "humantime_serde") at(Restart);
        /// Most violations of each workload, policy and severity to be told for the first time; of more, one summary. All are
        /// counted.
        rate_limit: RateLimit = flag("alert.rate-limit", "NUMBER/DURATION") default("20/10m") at(Restart);
        /// After which time without such a call its alert is resolved.
        resolve_after: Duration = flag("alert.resolve-after", "DURATION")
            default("15m") range("1s", "365days") arg(value_parser = humantime::parse_duration) serde(with = "humantime_serde") at(Restart);
        /// Whether to make a Kubernetes Event on the pod for each violation; needs the rights to create and patch events.
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
    /// What is kept on disk.
    State {
        /// Where baselines of policies that learn are kept; made when the first one is, if the directory above it is there.
        directory: PathBuf = flag("state.directory", "DIR") default("/var/lib/syscallmon") at(Restart);
        /// How long a baseline is kept that no workload has; an approved one is kept for ever.
        baseline_retention: Duration = flag("state.baseline-retention", "DURATION")
            default("40days") range("0s", "36500days") arg(value_parser = humantime::parse_duration) serde(with = "humantime_serde") at(Restart);
    }
}

group! {
    /// Alertmanagers.
    Alertmanager {
        /// Send alerts to the Alertmanager at this URL, http:// or https:// with a host and a port; repeatable: each gets all.
        url: Vec<Url> = flag("alert.alertmanager.url", "URL") arg(action = ArgAction::Append) at(Restart);
        /// One more label of every alert, such as cluster=prod; repeatable.
        labels: Vec<ExtraLabel> = flag("alert.alertmanager.labels", "NAME=VALUE") arg(action = ArgAction::Append) at(Restart);
        /// File with the certificates (PEM) that the Alertmanager's must be signed by; by default those of the host.
        ca_file: PathBuf = flag("alert.alertmanager.ca-file", "FILE") at(Restart);
        /// File with a token to be let in by; re-read when it is needed.
        bearer_token_file: PathBuf = flag("alert.alertmanager.bearer-token-file", "FILE") at(Restart);
        /// Name to be let in by, with a password.
        username: String = flag("alert.alertmanager.username", "NAME") at(Restart);
        /// File with the password; re-read when it is needed.
        password_file: PathBuf = flag("alert.alertmanager.password-file", "FILE") at(Restart);
    }
}

group! {
    /// A webhook.
    Webhook {
        /// Post each violation to this URL, as the same JSON as in the log.
        url: Url = flag("alert.webhook.url", "URL") at(Restart);
        /// Text to post instead, in which {{ message }} stands for the field message of that JSON, as within a string.
        template: Template = flag("alert.webhook.template", "TEXT") at(Restart);
        /// Its Content-Type.
        content_type: String = flag("alert.webhook.content-type", "TYPE") default("application/json") at(Restart);
        /// One more header, such as 'X-Scope: prod'; repeatable.
        headers: Vec<Header> = flag("alert.webhook.headers", "NAME: VALUE") arg(action = ArgAction::Append) at(Restart);
        /// File with the certificates (PEM) that the webhook's must be signed by; by default those of the host.
        ca_file: PathBuf = flag("alert.webhook.ca-file", "FILE") at(Restart);
        /// File with a token to be let in by; re-read when it is needed.
        bearer_token_file: PathBuf = flag("alert.webhook.bearer-token-file", "FILE") at(Restart);
        /// Name to be let in by, with a password.
        username: String = flag("alert.webhook.username", "NAME") at(Restart);
        /// File with the password; re-read when it is needed.
        password_file: PathBuf = flag("alert.webhook.password-file", "FILE") at(Restart);
    }
}

group! {
    /// Logging.
    Log {
        /// Only log messages of this level and above.
        level: LogLevel = flag("log.level", "LEVEL") default("info") at(Reload);
        /// Format of log messages.
        format: LogFormat = flag("log.format", "FORMAT") default("logfmt") at(Restart);
    }
}

group! {
    /// Places of kernel file systems.
    Paths {
        /// Where procfs is mounted.
        procfs: PathBuf = flag("path.procfs", "DIR") default("/proc") at(Restart);
        /// Where sysfs is mounted.
        sysfs: PathBuf = flag("path.sysfs", "DIR") default("/sys") at(Restart);
        /// Look for cgroup mounts below this directory only; by default they are found through mountinfo.
        cgroupfs: PathBuf = flag("path.cgroupfs", "DIR") at(Restart);
    }
}
