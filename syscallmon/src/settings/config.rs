//! The validated configuration: real types, every default in one place.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    AlertError, FileError, LatencyConfig, LatencyError, ListenAddress, LogFormat, LogLevel, Merge, PolicySources,
    Settings,
};
use crate::{
    alert::AlertConfig,
    cgroup::HierarchyChoice,
    export::{PATHS, web::Limits},
    kernel::{Capacity, Signals, SysEnter},
    policy::RETENTION,
    sampler::Tunables,
    workload::{Label, Rules, source::Sources},
};

/// Where to listen unless told otherwise: not reachable from outside, which is for the user to decide.
const DEFAULT_ADDRESS: ListenAddress = ListenAddress::One(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9778));

/// What the daemon runs with.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where to listen; never empty.
    pub listen_addresses: Vec<ListenAddress>,
    /// Path of the metrics.
    pub telemetry_path: String,
    /// exporter-toolkit's web configuration.
    pub web_config_file: Option<PathBuf>,
    /// Most connections at the same time.
    pub max_connections: usize,
    /// What can change while the daemon runs.
    pub tunables: Tunables,
    /// Sizes of the kernel's tables.
    pub capacity: Capacity,
    /// How to attach to `sys_enter`.
    pub sys_enter: SysEnter,
    /// What to count besides calls.
    pub signals: Signals,
    /// Which calls are measured, if any, and how that is exported.
    pub latency: LatencyConfig,
    /// What workloads are, and which are exported.
    pub rules: Rules,
    /// Most series of workloads.
    pub max_series: usize,
    /// Whom to ask for names.
    pub sources: Sources,
    /// This host's name.
    pub node: String,
    /// Which cgroup hierarchies to count by.
    pub hierarchy: HierarchyChoice,
    /// Where baselines are kept.
    pub state_directory: PathBuf,
    /// How long a baseline is kept that no workload has.
    pub baseline_retention: Duration,
    /// What is expected of workloads, and where that is written.
    pub policies: PolicySources,
    /// Where violations go.
    pub alert: AlertConfig,
    /// What to log.
    pub log_level: LogLevel,
    /// How to log.
    pub log_format: LogFormat,
    /// Where procfs is.
    pub procfs: PathBuf,
    /// Where sysfs is.
    pub sysfs: PathBuf,
    /// Where to look for cgroup mounts.
    pub cgroupfs: Option<PathBuf>,
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum InvalidError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value is out of its range.
    #[error("{setting}: {value} is out of range: needs {range}")]
    Range {
        /// The flag's name.
        setting: &'static str,
        /// What was set.
        value: String,
        /// What can be.
        range: &'static str,
    },
    /// The calls to be measured, or the buckets.
    #[error(transparent)]
    Latency(#[from] LatencyError),
    /// Where violations go.
    #[error(transparent)]
    Alert(#[from] AlertError),
    /// The path of the metrics is somebody else's.
    #[error(
        "web.telemetry-path: {path:?} must begin with /, have only letters, digits and /-_.~, and be none of the other pages"
    )]
    TelemetryPath {
        /// What was set.
        path: String,
    },
}

impl Config {
    /// Flags over the file over the defaults, validated.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a value cannot be.
    pub fn resolve(flags: Settings, file: Option<&Path>) -> Result<Self, InvalidError> {
        let settings = flags.or(file.map(Settings::read).transpose()?.unwrap_or_default());
        let Settings {
            web,
            poll,
            workload,
            names,
            kubernetes,
            cgroup,
            capacity,
            probe,
            latency,
            policy,
            policies,
            state,
            alert,
            log,
            path,
        } = settings;
        let poll_interval = poll.interval.unwrap_or(Duration::from_secs(5));
        let alert = alert.resolve(poll_interval, kubernetes.kubeconfig.clone())?;
        let sources = Sources {
            cri: names.cri.unwrap_or_default(),
            docker: names.docker.unwrap_or_default(),
            podman: names.podman.unwrap_or_default(),
            kubernetes: names.kubernetes.unwrap_or_default(),
            kubeconfig: kubernetes.kubeconfig,
        };
        let config = Self {
            listen_addresses: web
                .listen_address
                .filter(|addresses| !addresses.is_empty())
                .unwrap_or_else(|| vec![DEFAULT_ADDRESS]),
            telemetry_path: web.telemetry_path.unwrap_or_else(|| "/metrics".to_owned()),
            web_config_file: web.config.file,
            max_connections: web.max_connections.unwrap_or(Limits::default().connections),
            tunables: Tunables { poll_interval, expire_after: workload.expire_after.unwrap_or(Duration::from_mins(5)) },
            capacity: Capacity {
                cgroups: capacity.cgroups.unwrap_or(1024),
                series: capacity.series.unwrap_or(65_536),
                errors: capacity.errors.unwrap_or(256),
                denied: capacity.denied.unwrap_or(256),
                histograms: capacity.histograms.unwrap_or(2048),
                timed_calls: capacity.timed_calls.unwrap_or(16_384),
            },
            sys_enter: probe.sys_enter.unwrap_or_default(),
            signals: Signals {
                errors: probe.errors.unwrap_or(true),
                denied: probe.denied.unwrap_or(true),
                latency: probe.latency.unwrap_or(false),
                io_uring: probe.io_uring.unwrap_or(true),
            },
            latency: LatencyConfig::resolve(latency.syscalls.as_deref(), latency.buckets.as_deref())?,
            rules: Rules {
                labels: workload.labels.unwrap_or_else(|| Label::DEFAULT.to_vec()),
                keep: workload.keep.unwrap_or_default(),
                drop: workload.drop.unwrap_or_default(),
                pause: workload.pause_containers.unwrap_or(false),
                group_transient: workload.group_transient_units.unwrap_or(true),
            },
            max_series: workload.max_series.unwrap_or(200_000),
            node: node_name(kubernetes.node_name, sources.asks_kubernetes()),
            sources,
            hierarchy: cgroup.hierarchy.unwrap_or_default(),
            state_directory: state.directory.unwrap_or_else(|| "/var/lib/syscallmon".into()),
            baseline_retention: state.baseline_retention.unwrap_or(RETENTION),
            policies: PolicySources {
                built_in: policy.runtime_default.unwrap_or(true),
                mixes_setup: false,
                file: policies.as_ref().and(file).map(Path::to_owned),
                configured: policies.unwrap_or_default(),
                directory: policy.directory,
                strict: policy.strict.unwrap_or(false),
            },
            alert,
            log_level: log.level.unwrap_or_default(),
            log_format: log.format.unwrap_or_default(),
            procfs: path.procfs.unwrap_or_else(|| "/proc".into()),
            sysfs: path.sysfs.unwrap_or_else(|| "/sys".into()),
            cgroupfs: path.cgroupfs,
        };
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), InvalidError> {
        let range = |setting, valid: bool, value: String, range| {
            if valid { Ok(()) } else { Err(InvalidError::Range { setting, value, range }) }
        };
        let duration = |duration: Duration| humantime::format_duration(duration).to_string();
        let Capacity { cgroups, series, errors, denied, histograms, timed_calls } = self.capacity;
        let Tunables { poll_interval, expire_after } = self.tunables;
        let (millisecond, day) = (Duration::from_millis(1), Duration::from_hours(24));
        range("capacity.cgroups", (1..=65_536).contains(&cgroups), cgroups.to_string(), "1 to 65536")?;
        range("capacity.series", (1..=4_194_304).contains(&series), series.to_string(), "1 to 4194304")?;
        range("capacity.errors", (1..=65_536).contains(&errors), errors.to_string(), "1 to 65536")?;
        range("capacity.denied", (1..=65_536).contains(&denied), denied.to_string(), "1 to 65536")?;
        let in_range = |number| (1..=1_048_576).contains(&number);
        range("capacity.histograms", in_range(histograms), histograms.to_string(), "1 to 1048576")?;
        range("capacity.timed-calls", in_range(timed_calls), timed_calls.to_string(), "1 to 1048576")?;
        let polls = (100 * millisecond..=day).contains(&poll_interval);
        range("poll.interval", polls, duration(poll_interval), "100ms to 1day")?;
        let expiry = (1000 * millisecond..=365 * day).contains(&expire_after);
        range("workload.expire-after", expiry, duration(expire_after), "1s to 365days")?;
        let most = (1..=10_000_000).contains(&self.max_series);
        range("workload.max-series", most, self.max_series.to_string(), "1 to 10000000")?;
        let connections = (1..=100_000).contains(&self.max_connections);
        range("web.max-connections", connections, self.max_connections.to_string(), "1 to 100000")?;
        let path = self.telemetry_path.as_str();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        if !path.starts_with('/') || !path.chars().all(is_plain) || PATHS.contains(&path) {
            return Err(InvalidError::TelemetryPath { path: path.to_owned() });
        }
        Ok(())
    }

    /// Names of settings that differ from `new`'s and cannot change while the daemon runs.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let changes = [
            ("web.listen-address", self.listen_addresses != new.listen_addresses),
            ("web.telemetry-path", self.telemetry_path != new.telemetry_path),
            ("web.config.file", self.web_config_file != new.web_config_file),
            ("web.max-connections", self.max_connections != new.max_connections),
            ("capacity", self.capacity != new.capacity),
            ("probe.sys-enter", self.sys_enter != new.sys_enter),
            ("probe", self.signals != new.signals),
            ("latency", self.latency != new.latency),
            ("workload", (&self.rules, self.max_series) != (&new.rules, new.max_series)),
            ("names", (&self.sources, &self.node) != (&new.sources, &new.node)),
            ("cgroup.hierarchy", self.hierarchy != new.hierarchy),
            ("state.directory", self.state_directory != new.state_directory),
            ("state.baseline-retention", self.baseline_retention != new.baseline_retention),
            ("alert", self.alert != new.alert),
            ("log.format", self.log_format != new.log_format),
            ("path", (&self.procfs, &self.sysfs, &self.cgroupfs) != (&new.procfs, &new.sysfs, &new.cgroupfs)),
        ];
        changes.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
    }
}

/// The name that was set, or that Kubernetes' downward API gives, or the host's own; without the line break that a file ends with.
/// Kubernetes writes names of nodes in lower case, whatever the host is called.
fn node_name(set: Option<String>, in_kubernetes: bool) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let names = [set, std::env::var("NODE_NAME").ok(), Some(host)].into_iter().flatten();
    let name = names.map(|name| name.trim().to_owned()).find(|name| !name.is_empty()).unwrap_or_default();
    if in_kubernetes { name.to_lowercase() } else { name }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        settings: Settings,
    }

    fn resolve(flags: &[&str]) -> Result<Config, InvalidError> {
        let matches = Flags::command().get_matches_from([&["test"], flags].concat());
        Config::resolve(Flags::from_arg_matches(&matches).unwrap().settings, None)
    }

    #[test]
    fn the_defaults_that_the_help_names_are_the_defaults() {
        let default = resolve(&[]).unwrap();
        let mut checked = 0;
        for arg in Flags::command().get_arguments() {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let Some((_, rest)) = help.split_once("[default: ") else { continue };
            let value = rest.split_once(']').unwrap().0;
            let flag = format!("--{}={value}", arg.get_long().unwrap());
            assert_eq!(resolve(&[&flag]).unwrap(), default, "{flag}");
            checked += 1;
        }
        assert_eq!(
            checked, 41,
            "every setting names its default but files, path.cgroupfs, latency.syscalls, selectors, kubernetes.node-name, and what \
             belongs to an Alertmanager or a webhook"
        );
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "capacity: {cgroups: 10, series: 20}\n").unwrap();
        let matches = Flags::command().get_matches_from(["test", "--capacity.cgroups=30"]);
        let flags = Flags::from_arg_matches(&matches).unwrap().settings;
        let config = Config::resolve(flags, Some(file.path())).unwrap();
        assert_eq!((config.capacity.cgroups, config.capacity.series), (30, 20));
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (flag, name) in [
            ("--capacity.cgroups=0", "capacity.cgroups"),
            ("--capacity.series=4194305", "capacity.series"),
            ("--capacity.errors=0", "capacity.errors"),
            ("--capacity.denied=0", "capacity.denied"),
            ("--capacity.histograms=1048577", "capacity.histograms"),
            ("--capacity.timed-calls=0", "capacity.timed-calls"),
            ("--latency.syscalls=openat,opennat", "latency.syscalls"),
            ("--latency.syscalls=@filesystem", "latency.syscalls"),
            ("--poll.interval=1ms", "poll.interval"),
            ("--web.telemetry-path=metrics", "web.telemetry-path"),
            ("--web.telemetry-path=/healthz", "web.telemetry-path"),
            ("--web.telemetry-path=/:metrics", "web.telemetry-path"),
            ("--web.telemetry-path=/{metrics}", "web.telemetry-path"),
            ("--workload.expire-after=0s", "workload.expire-after"),
            ("--web.max-connections=0", "web.max-connections"),
            ("--workload.max-series=0", "workload.max-series"),
            ("--alert.resolve-after=0s", "alert.resolve-after"),
            ("--alert.repeat-interval=0s", "alert.repeat-interval"),
            ("--alert.webhook.template={{ message }}", "alert.webhook.template needs alert.webhook.url"),
            ("--alert.webhook.username=me", "alert.webhook.username"),
            ("--alert.alertmanager.labels=cluster=prod", "alert.alertmanager.labels needs alert.alertmanager.url"),
        ] {
            let error = resolve(&[flag]).unwrap_err().to_string();
            assert!(error.starts_with(name), "{flag}: {error}");
        }
    }

    #[test]
    fn the_node_is_called_as_kubernetes_writes_it() {
        let name = |set: &str, in_kubernetes| node_name(Some(set.to_owned()), in_kubernetes);
        assert_eq!(name("Web01.Example.com\n", true), "web01.example.com");
        assert_eq!(name(" Web01\n", false), "Web01");
        assert!(!name("\n", true).is_empty(), "the host has a name");
        assert_eq!(resolve(&["--kubernetes.node-name=NODE1", "--names.kubernetes=on"]).unwrap().node, "node1");
    }

    #[test]
    fn what_cannot_change_at_runtime_is_named() {
        let old = resolve(&[]).unwrap();
        let new = resolve(&["--capacity.cgroups=5", "--poll.interval=1s", "--log.level=debug"]).unwrap();
        assert_eq!(old.needs_restart(&new), ["capacity"]);
    }
}
