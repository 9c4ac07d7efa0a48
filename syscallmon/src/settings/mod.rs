//! What can be set: one table feeds the flags, `--help`, the man page, the configuration file and its template.
//!
//! A flag `--web.listen-address` is the key `listen_address` under `web` in the file. Flags win over the file,
//! the file over the defaults. [`Config`] is the validated result; nothing else reads settings.

mod address;
mod alert;
mod config;
mod file;
mod latency;
mod log;
mod log_writer;
mod policies;
mod policy_list;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde::Deserialize;

pub use self::{
    address::{AddressError, ListenAddress},
    alert::AlertError,
    config::{Config, InvalidError},
    file::FileError,
    latency::{Latency as LatencyConfig, LatencyError},
    log::{LogFormat, LogHandle, LogLevel, start as start_log},
    log_writer::{dropped_lines, flush_log},
    policies::{LoadedPolicies, PoliciesError, PolicyProblem, PolicySources, Watched},
    policy_list::PolicyItems,
};
use crate::{
    alert::{ExtraLabel, Header, LogTarget, RateLimit, Template, Url},
    cgroup::HierarchyChoice,
    durations::Bound,
    kernel::SysEnter,
    process::CommandLines,
    workload::{
        Label, Selector,
        source::{KubernetesChoice, SocketChoice},
    },
};

/// Declares a group of settings: each is optional, a flag and a key at once.
macro_rules! group {
    ($(#[$group_attribute:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$group_attribute])*
        #[derive(Clone, Debug, Default, PartialEq, Args, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$attribute])* pub $field: $type,)+
        }

        impl Merge for $name {
            fn or(self, other: Self) -> Self {
                Self { $($field: Merge::or(self.$field, other.$field),)+ }
            }
        }
    };
}

/// Takes what is set here, and from the other what is not.
trait Merge {
    fn or(self, other: Self) -> Self;
}

impl<T> Merge for Option<T> {
    fn or(self, other: Self) -> Self {
        Option::or(self, other)
    }
}

group! {
    /// Everything that flags and the configuration file can set.
    Settings {
        /// The HTTP server.
        #[command(flatten)]
        web: Web,
        /// Polling.
        #[command(flatten)]
        poll: Poll,
        /// Workloads.
        #[command(flatten)]
        workload: Workload,
        /// Where names come from.
        #[command(flatten)]
        names: Names,
        /// The Kubernetes API.
        #[command(flatten)]
        kubernetes: Kubernetes,
        /// Cgroups.
        #[command(flatten)]
        cgroup: Cgroup,
        /// Sizes of the kernel's tables.
        #[command(flatten)]
        capacity: Capacity,
        /// Probes.
        #[command(flatten)]
        probe: Probe,
        /// Durations of calls.
        #[command(flatten)]
        latency: Latency,
        /// What is expected of workloads.
        #[command(flatten)]
        policy: Policy,
        /// Policies; nothing that a flag could say.
        #[arg(skip)]
        policies: Option<PolicyItems>,
        /// What is kept on disk.
        #[command(flatten)]
        state: State,
        /// Where violations go.
        #[command(flatten)]
        alert: Alert,
        /// Logging.
        #[command(flatten)]
        log: Log,
        /// Places of kernel file systems.
        #[command(flatten)]
        path: Paths,
    }
}

group! {
    /// The HTTP server.
    Web {
        /// Address and port to listen on; :PORT means every address; repeatable. [default: 127.0.0.1:9778]
        #[arg(long = "web.listen-address", value_name = "ADDRESS:PORT", action = clap::ArgAction::Append)]
        listen_address: Option<Vec<ListenAddress>>,
        /// Path of the metrics. [default: /metrics]
        #[arg(long = "web.telemetry-path", value_name = "PATH")]
        telemetry_path: Option<String>,
        /// Most connections that are open at the same time. [default: 256]
        #[arg(long = "web.max-connections", value_name = "NUMBER")]
        max_connections: Option<usize>,
        /// TLS and passwords.
        #[command(flatten)]
        config: WebConfig,
    }
}

group! {
    /// TLS and passwords.
    WebConfig {
        /// File with TLS and basic authentication, in the format of Prometheus' exporter-toolkit; re-read when it changes.
        #[arg(long = "web.config.file", value_name = "FILE")]
        file: Option<PathBuf>,
    }
}

group! {
    /// Polling.
    Poll {
        /// Time between two readings of the kernel's tables. A scrape gets counts that are at most 1 s old
        /// whatever this is. [default: 5s]
        #[arg(long = "poll.interval", value_name = "DURATION", value_parser = humantime::parse_duration)]
        #[serde(with = "humantime_serde")]
        interval: Option<Duration>,
    }
}

group! {
    /// Workloads.
    Workload {
        /// How long a workload that is gone is still exported. [default: 5m]
        #[arg(long = "workload.expire-after", value_name = "DURATION", value_parser = humantime::parse_duration)]
        #[serde(with = "humantime_serde")]
        expire_after: Option<Duration>,
        /// Labels that tell workloads apart, of those of workload info (container, image, owner, ...); what has the same values is counted together. [default: namespace,pod,container,cgroup]
        #[arg(long = "workload.labels", value_name = "LABELS", value_delimiter = ',')]
        labels: Option<Vec<Label>>,
        /// Export workloads that this selects and no others, such as namespace="shop",pod=~"web-.*" (any of the labels above, matched as in
        /// PromQL); repeatable. The others are counted together.
        #[arg(long = "workload.keep", value_name = "SELECTOR", action = clap::ArgAction::Append)]
        keep: Option<Vec<Selector>>,
        /// Do not export workloads that this selects; repeatable. They are counted together.
        #[arg(long = "workload.drop", value_name = "SELECTOR", action = clap::ArgAction::Append)]
        drop: Option<Vec<Selector>>,
        /// Whether to export each container that only holds a pod's namespaces, as container "POD"; otherwise they are counted
        /// together. [default: false]
        #[arg(long = "workload.pause-containers", value_name = "BOOL")]
        pause_containers: Option<bool>,
        /// Whether to count units together whose names are made for one session or run, such as session-12.scope and run-u7.service, under
        /// cgroup paths such as /user.slice/user-1000.slice/session-*.scope. [default: true]
        #[arg(long = "workload.group-transient-units", value_name = "BOOL")]
        group_transient_units: Option<bool>,
        /// Most series of workloads to export, about; what is beyond is counted in a remainder. [default: 200000]
        #[arg(long = "workload.max-series", value_name = "NUMBER")]
        max_series: Option<usize>,
    }
}

group! {
    /// Where names come from.
    Names {
        /// Names of containers from a runtime's CRI (containerd, CRI-O): a socket, auto for the usual ones, or off. Whoever can
        /// connect to it can control the runtime; only names are asked for. [default: auto]
        #[arg(long = "names.cri", value_name = "SOCKET")]
        cri: Option<SocketChoice>,
        /// The same from Docker. [default: auto]
        #[arg(long = "names.docker", value_name = "SOCKET")]
        docker: Option<SocketChoice>,
        /// The same from Podman. [default: auto]
        #[arg(long = "names.podman", value_name = "SOCKET")]
        podman: Option<SocketChoice>,
        /// Names of pods, containers and owners from the Kubernetes API: auto in a pod or with a kubeconfig, on, or off. Watches the pods
        /// of this node only. [default: auto]
        #[arg(id = "names.kubernetes", long = "names.kubernetes", value_name = "WHETHER")]
        kubernetes: Option<KubernetesChoice>,
    }
}

group! {
    /// The Kubernetes API.
    Kubernetes {
        /// Name of this host in Kubernetes; by default what the environment variable NODE_NAME says, or the host's name.
        #[arg(long = "kubernetes.node-name", value_name = "NAME")]
        node_name: Option<String>,
        /// How to reach the Kubernetes API from outside a pod.
        #[arg(long = "kubernetes.kubeconfig", value_name = "FILE")]
        kubeconfig: Option<PathBuf>,
    }
}

group! {
    /// Cgroups.
    Cgroup {
        /// Hierarchies that workloads are told apart by: cgroup2, a v1 controller such as memory, or cgroup2+memory, which takes
        /// v1 for tasks in cgroup2's root; auto takes what tells most apart when it starts. [default: auto]
        #[arg(long = "cgroup.hierarchy", value_name = "HIERARCHY")]
        hierarchy: Option<HierarchyChoice>,
    }
}

group! {
    /// Sizes of the kernel's tables.
    Capacity {
        /// Cgroups that can be counted at the same time; the calls of more go to a remainder. [default: 1024]
        #[arg(long = "capacity.cgroups", value_name = "NUMBER")]
        cgroups: Option<u32>,
        /// Triples of cgroup, ABI and syscall that can be counted at the same time; a quarter is also for their errors and
        /// refused attempts. [default: 65536]
        #[arg(long = "capacity.series", value_name = "NUMBER")]
        series: Option<u32>,
        /// Pairs of syscall and errno that are told apart in one cgroup; more go to a remainder of the cgroup. [default: 256]
        #[arg(id = "capacity.errors", long = "capacity.errors", value_name = "NUMBER")]
        errors: Option<u32>,
        /// Refused syscalls that are told apart in one cgroup; more go to a remainder of the cgroup. [default: 256]
        #[arg(id = "capacity.denied", long = "capacity.denied", value_name = "NUMBER")]
        denied: Option<u32>,
        /// Triples of cgroup, ABI and syscall whose durations can be measured at the same time. [default: 2048]
        #[arg(long = "capacity.histograms", value_name = "NUMBER")]
        histograms: Option<u32>,
        /// Calls that are measured and under way at the same time. [default: 16384]
        #[arg(long = "capacity.timed-calls", value_name = "NUMBER")]
        timed_calls: Option<u32>,
    }
}

group! {
    /// Probes.
    Probe {
        /// How to attach to sys_enter and sys_exit: auto takes the cheapest that this kernel has. [default: auto]
        #[arg(long = "probe.sys-enter", value_name = "HOW")]
        sys_enter: Option<SysEnter>,
        /// Whether to count errors by errno. [default: true]
        #[arg(long = "probe.errors", value_name = "BOOL")]
        errors: Option<bool>,
        /// Whether to count calls that seccomp refused. Without, they count as errors where they return one. [default: true]
        #[arg(long = "probe.denied", value_name = "BOOL")]
        denied: Option<bool>,
        /// Whether to measure how long calls take. [default: false]
        #[arg(long = "probe.latency", value_name = "BOOL")]
        latency: Option<bool>,
        /// Whether to count operations given to io_uring. [default: true]
        #[arg(long = "probe.io-uring", value_name = "BOOL")]
        io_uring: Option<bool>,
    }
}

group! {
    /// Durations of calls.
    Latency {
        /// Calls that are measured: names, and sets such as @file-system with systemd's names and meaning, separated by commas. By
        /// default those that wait on disk and network: read, write, openat, fsync, connect, recvmsg and their like.
        #[arg(long = "latency.syscalls", value_name = "NAMES", value_delimiter = ',')]
        syscalls: Option<Vec<String>>,
        /// Upper bounds of the buckets to export, of 1us, 2us, 4us, ... 512us, 1ms, ... 512ms, 1s, ... 16s: powers of two, where
        /// 1ms is 1,024 us. [default: 1us,4us,16us,64us,256us,1ms,4ms,16ms,64ms,256ms,1s,4s,16s]
        #[arg(long = "latency.buckets", value_name = "DURATIONS", value_delimiter = ',')]
        buckets: Option<Vec<Bound>>,
    }
}

group! {
    /// What is expected of workloads.
    Policy {
        /// Whether containers that no other policy selects have the built-in one, which expects what the default seccomp profile of
        /// container runtimes allows. [default: true]
        #[arg(long = "policy.runtime-default", value_name = "BOOL")]
        runtime_default: Option<bool>,
        /// Directory of files with policies, besides those under the key policies of the configuration file: all *.yaml and *.yml in it,
        /// in the order of their names; re-read when they change.
        #[arg(id = "policy.directory", long = "policy.directory", value_name = "DIR")]
        directory: Option<PathBuf>,
        /// Whether one bad policy is enough to refuse all: the start fails, and a reload changes nothing. Otherwise valid policies are
        /// in force, and bad ones are logged, and counted by a metric. [default: false]
        #[arg(id = "policy.strict", long = "policy.strict", value_name = "BOOL")]
        strict: Option<bool>,
    }
}

group! {
    /// Where violations go.
    Alert {
        /// Where each violation is written as a line of JSON: stdout, stderr, off, or the path of a file. [default: stdout]
        #[arg(id = "alert.log", long = "alert.log", value_name = "WHERE")]
        log: Option<LogTarget>,
        /// What is kept of command lines: redacted (without what looks like a secret), full, program or none. [default: redacted]
        #[arg(long = "alert.command-line", value_name = "HOW", hide_possible_values = true)]
        command_line: Option<CommandLines>,
        /// Least time between two lines, webhooks or Events of one violation that goes on. [default: 1h]
        #[arg(long = "alert.repeat-interval", value_name = "DURATION", value_parser = humantime::parse_duration)]
        #[serde(with = "humantime_serde")]
        repeat_interval: Option<Duration>,
        /// Most violations of each workload, policy and severity to be told for the first time; of more, one summary. All are
        /// counted. [default: 20/10m]
        #[arg(long = "alert.rate-limit", value_name = "NUMBER/DURATION")]
        rate_limit: Option<RateLimit>,
        /// After which time without such a call its alert is resolved. [default: 15m]
        #[arg(long = "alert.resolve-after", value_name = "DURATION", value_parser = humantime::parse_duration)]
        #[serde(with = "humantime_serde")]
        resolve_after: Option<Duration>,
        /// Whether to make a Kubernetes Event on the pod for each violation; needs the rights to create and patch events. [default: false]
        #[arg(id = "alert.kubernetes-events", long = "alert.kubernetes-events", value_name = "BOOL")]
        kubernetes_events: Option<bool>,
        /// Alertmanagers.
        #[command(flatten)]
        alertmanager: Alertmanager,
        /// A webhook.
        #[command(flatten)]
        webhook: Webhook,
    }
}

group! {
    /// What is kept on disk.
    State {
        /// Where baselines of policies that learn are kept; made when the first one is, if the directory above it is there.
        /// [default: /var/lib/syscallmon]
        #[arg(id = "state.directory", long = "state.directory", value_name = "DIR")]
        directory: Option<PathBuf>,
        /// How long a baseline is kept that no workload has; an approved one is kept for ever. [default: 40days]
        #[arg(long = "state.baseline-retention", value_name = "DURATION", value_parser = humantime::parse_duration)]
        #[serde(with = "humantime_serde")]
        baseline_retention: Option<Duration>,
    }
}

group! {
    /// Alertmanagers.
    Alertmanager {
        /// Send alerts to the Alertmanager at this URL, http:// or https:// with a host and a port; repeatable: each gets all.
        #[arg(id = "alert.alertmanager.url", long = "alert.alertmanager.url", value_name = "URL", action = clap::ArgAction::Append)]
        url: Option<Vec<Url>>,
        /// One more label of every alert, such as cluster=prod; repeatable.
        #[arg(id = "alert.alertmanager.labels", long = "alert.alertmanager.labels", value_name = "NAME=VALUE", action = clap::ArgAction::Append)]
        labels: Option<Vec<ExtraLabel>>,
        /// File with the certificates (PEM) that the Alertmanager's must be signed by; by default those of the host.
        #[arg(id = "alert.alertmanager.ca-file", long = "alert.alertmanager.ca-file", value_name = "FILE")]
        ca_file: Option<PathBuf>,
        /// File with a token to be let in by; re-read when it is needed.
        #[arg(id = "alert.alertmanager.bearer-token-file", long = "alert.alertmanager.bearer-token-file", value_name = "FILE")]
        bearer_token_file: Option<PathBuf>,
        /// Name to be let in by, with a password.
        #[arg(id = "alert.alertmanager.username", long = "alert.alertmanager.username", value_name = "NAME")]
        username: Option<String>,
        /// File with the password; re-read when it is needed.
        #[arg(id = "alert.alertmanager.password-file", long = "alert.alertmanager.password-file", value_name = "FILE")]
        password_file: Option<PathBuf>,
    }
}

group! {
    /// A webhook.
    Webhook {
        /// Post each violation to this URL, as the same JSON as in the log.
        #[arg(id = "alert.webhook.url", long = "alert.webhook.url", value_name = "URL")]
        url: Option<Url>,
        /// Text to post instead, in which {{ message }} stands for the field message of that JSON, as within a string.
        #[arg(id = "alert.webhook.template", long = "alert.webhook.template", value_name = "TEXT")]
        template: Option<Template>,
        /// Its Content-Type. [default: application/json]
        #[arg(id = "alert.webhook.content-type", long = "alert.webhook.content-type", value_name = "TYPE")]
        content_type: Option<String>,
        /// One more header, such as 'X-Scope: prod'; repeatable.
        #[arg(id = "alert.webhook.headers", long = "alert.webhook.headers", value_name = "NAME: VALUE", action = clap::ArgAction::Append)]
        headers: Option<Vec<Header>>,
        /// File with the certificates (PEM) that the webhook's must be signed by; by default those of the host.
        #[arg(id = "alert.webhook.ca-file", long = "alert.webhook.ca-file", value_name = "FILE")]
        ca_file: Option<PathBuf>,
        /// File with a token to be let in by; re-read when it is needed.
        #[arg(id = "alert.webhook.bearer-token-file", long = "alert.webhook.bearer-token-file", value_name = "FILE")]
        bearer_token_file: Option<PathBuf>,
        /// Name to be let in by, with a password.
        #[arg(id = "alert.webhook.username", long = "alert.webhook.username", value_name = "NAME")]
        username: Option<String>,
        /// File with the password; re-read when it is needed.
        #[arg(id = "alert.webhook.password-file", long = "alert.webhook.password-file", value_name = "FILE")]
        password_file: Option<PathBuf>,
    }
}

group! {
    /// Logging.
    Log {
        /// Only log messages of this level and above. [default: info]
        #[arg(long = "log.level", value_name = "LEVEL")]
        level: Option<LogLevel>,
        /// Format of log messages. [default: logfmt]
        #[arg(long = "log.format", value_name = "FORMAT")]
        format: Option<LogFormat>,
    }
}

group! {
    /// Places of kernel file systems.
    Paths {
        /// Where procfs is mounted. [default: /proc]
        #[arg(long = "path.procfs", value_name = "DIR")]
        procfs: Option<PathBuf>,
        /// Where sysfs is mounted. [default: /sys]
        #[arg(long = "path.sysfs", value_name = "DIR")]
        sysfs: Option<PathBuf>,
        /// Look for cgroup mounts below this directory only; by default they are found through mountinfo.
        #[arg(long = "path.cgroupfs", value_name = "DIR")]
        cgroupfs: Option<PathBuf>,
    }
}
