//! The validated configuration, in the types that the rest of the program uses.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    AlertError, FileError, LatencyConfig, LatencyError, ListenAddress, PolicySources, Settings, group::Group,
    table::Web,
};
use crate::{
    alert::AlertConfig,
    cgroup::HierarchyChoice,
    engine::Tunables,
    kernel::{Features, SysEnter, TableCapacity},
    logging::{LogFormat, LogLevel},
    model::Granularities,
    serve::is_taken,
    workload::{Rules, providers::ProviderSettings},
};

/// The configuration of a daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Addresses to listen on; never empty.
    pub listen_addresses: Vec<ListenAddress>,
    /// Path of the metrics.
    pub telemetry_path: String,
    /// exporter-toolkit's web configuration.
    pub web_config_file: Option<PathBuf>,
    /// Maximum connections at the same time.
    pub max_connections: usize,
    /// Settings that can change while the daemon runs.
    pub tunables: Tunables,
    /// Sizes of the kernel's tables.
    pub capacity: TableCapacity,
    /// Implementation of the probe on `sys_enter`.
    pub sys_enter: SysEnter,
    /// Signals to count besides calls.
    pub features: Features,
    /// Calls with durations, if any, and the exported buckets.
    pub latency: LatencyConfig,
    /// Names of workloads, and which are exported.
    pub rules: Rules,
    /// Maximum series of workloads.
    pub max_series: usize,
    /// How finely each family of metrics distinguishes calls.
    pub granularities: Granularities,
    /// Whether `OpenMetrics` says when counters began.
    pub created_timestamps: bool,
    /// Metadata providers.
    pub sources: ProviderSettings,
    /// The name of this host.
    pub node: String,
    /// Cgroup hierarchies to count by.
    pub hierarchy: HierarchyChoice,
    /// State directory, for baselines.
    pub state_directory: PathBuf,
    /// Directory of the pinned mode, and how long programs run without a daemon; `None`: they end with the daemon.
    pub pin: Option<(PathBuf, Duration)>,
    /// How long a baseline without a workload is kept.
    pub baseline_retention: Duration,
    /// Policies, and where they are read from.
    pub policies: PolicySources,
    /// Sinks of violations, and their limits.
    pub alert: AlertConfig,
    /// Level of log messages.
    pub log_level: LogLevel,
    /// Format of log messages.
    pub log_format: LogFormat,
    /// Mount of procfs.
    pub procfs: PathBuf,
    /// Mount of sysfs.
    pub sysfs: PathBuf,
    /// Directory in which cgroup mounts are searched.
    pub cgroupfs: Option<PathBuf>,
    /// All settings with their defaults filled in, to find changes.
    settings: Settings,
}

/// A setting that is not valid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A value is out of its range.
    #[error("{setting}: {value} is out of range: expected {least} to {most}")]
    Range {
        /// The setting's name.
        setting: &'static str,
        /// The value.
        value: String,
        /// The minimum.
        least: &'static str,
        /// The maximum.
        most: &'static str,
    },
    /// Settings of durations are not valid.
    #[error(transparent)]
    Latency(#[from] LatencyError),
    /// Settings of alerts are not valid.
    #[error(transparent)]
    Alert(#[from] AlertError),
    /// Another page has the path of the metrics.
    #[error(
        "web.telemetry-path: {path:?} must begin with /, contain only letters, digits and /-_.~, and differ from other pages"
    )]
    TelemetryPath {
        /// The path.
        path: String,
    },
}

impl Config {
    /// Validates the settings. Flags win over the file, and the file wins over defaults.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a value is not valid.
    pub fn resolve(flags: Settings, file: Option<&Path>) -> Result<Self, InvalidError> {
        let settings = flags.or(file.map(Settings::read).transpose()?.unwrap_or_default()).with_defaults();
        settings.check()?;
        let Settings {
            web, poll, workload, metrics, kubernetes, cgroup, latency, state, pin, alert, log, path, ..
        } = &settings;
        let sources = settings.sources();
        Ok(Self {
            listen_addresses: addresses(web),
            telemetry_path: telemetry_path(web.telemetry_path())?,
            web_config_file: web.config.file.clone(),
            max_connections: web.max_connections(),
            tunables: Tunables { poll_interval: poll.interval(), expire_after: workload.expire_after() },
            capacity: settings.capacity(),
            sys_enter: settings.probe.sys_enter(),
            features: settings.features(),
            latency: LatencyConfig::resolve(latency.syscalls.as_deref(), &latency.buckets())?,
            rules: settings.rules(),
            max_series: workload.max_series(),
            granularities: settings.granularities(),
            created_timestamps: metrics.created_timestamps(),
            node: node_name(kubernetes.node_name.clone(), sources.asks_kubernetes()),
            sources,
            hierarchy: cgroup.hierarchy(),
            state_directory: state.directory(),
            pin: pin.directory.clone().map(|directory| (directory, pin.lease())),
            baseline_retention: state.baseline_retention(),
            policies: settings.policy_sources(file),
            alert: alert.resolve(poll.interval(), kubernetes.kubeconfig.clone())?,
            log_level: log.level(),
            log_format: log.format(),
            procfs: path.procfs(),
            sysfs: path.sysfs(),
            cgroupfs: path.cgroupfs.clone(),
            settings,
        })
    }

    /// Returns the names of settings that differ from `new`'s and need a restart.
    #[must_use]
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let mut names = Vec::new();
        self.settings.differing(&new.settings, &mut names);
        names
    }
}

/// An empty list in the file also means the default.
fn addresses(web: &Web) -> Vec<ListenAddress> {
    let set = web.listen_address();
    if set.is_empty() { Settings::default().with_defaults().web.listen_address() } else { set }
}

/// Checks that a path is not another page's.
fn telemetry_path(path: String) -> Result<String, InvalidError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
    if path.starts_with('/') && path.chars().all(is_plain) && !is_taken(&path) {
        Ok(path)
    } else {
        Err(InvalidError::TelemetryPath { path })
    }
}

/// Returns the name in the settings, from Kubernetes' downward API, or from the host, without the line break at the end
/// of a file. Kubernetes writes names of nodes in lower case, so the host's own name may differ.
fn node_name(set: Option<String>, in_kubernetes: bool) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let names = [set, std::env::var("NODE_NAME").ok(), Some(host)].into_iter().flatten();
    let name = names.map(|name| name.trim().to_owned()).find(|name| !name.is_empty()).unwrap_or_default();
    if in_kubernetes { name.to_lowercase() } else { name }
}

/// Parts of a configuration. Every setting has its default by now.
impl Settings {
    fn sources(&self) -> ProviderSettings {
        let Self { names, kubernetes, .. } = self;
        ProviderSettings {
            cri: names.cri(),
            docker: names.docker(),
            podman: names.podman(),
            kubernetes: names.kubernetes(),
            kubeconfig: kubernetes.kubeconfig.clone(),
        }
    }

    fn capacity(&self) -> TableCapacity {
        let capacity = &self.capacity;
        TableCapacity {
            cgroups: capacity.cgroups(),
            series: capacity.series(),
            errors: capacity.errors(),
            denied: capacity.denied(),
            histograms: capacity.histograms(),
            timed_calls: capacity.timed_calls(),
        }
    }

    fn features(&self) -> Features {
        let probe = &self.probe;
        Features {
            errors: probe.errors(),
            denied: probe.denied(),
            latency: probe.latency(),
            io_uring: probe.io_uring(),
            arguments: probe.arguments(),
        }
    }

    fn rules(&self) -> Rules {
        let workload = &self.workload;
        Rules {
            labels: workload.labels(),
            keep: workload.keep.clone().unwrap_or_default(),
            drop: workload.drop.clone().unwrap_or_default(),
            pause: workload.pause_containers(),
            group_transient: workload.group_transient_units(),
        }
    }

    fn granularities(&self) -> Granularities {
        let metrics = &self.metrics;
        Granularities {
            syscalls: metrics.syscalls(),
            errors: metrics.errors(),
            denied: metrics.denied(),
            latency: metrics.latency(),
        }
    }

    fn policy_sources(&self, file: Option<&Path>) -> PolicySources {
        let Self { policy, policies, .. } = self;
        PolicySources {
            built_in: policy.runtime_default(),
            mixes_container_init: false,
            file: policies.as_ref().and(file).map(Path::to_owned),
            configured: policies.clone().unwrap_or_default(),
            directory: policy.directory.clone(),
            strict: policy.strict(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches, Parser};
    use exporter_web::Limits;

    use super::*;
    use crate::{
        alert::RateLimit,
        detect::RETENTION,
        model::Granularity,
        settings::{Effect, Setting},
        snapshot::Bound,
        workload::Label,
    };

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
    fn every_row_of_the_table_is_whole() {
        let (table, command, default) = (Settings::table(), Flags::command(), resolve(&[]).unwrap());
        let flags: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
        assert_eq!(table.iter().map(|row| row.name).collect::<Vec<_>>(), flags);
        for (row, arg) in table.iter().zip(command.get_arguments()) {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.len() > 10 && !help.contains("  "), "{}: {help}", row.name);
            assert_eq!(help.contains("[default: "), row.default.is_some(), "{}: {help}", row.name);
            let Some(value) = row.default else { continue };
            assert!(help.ends_with(&format!(" [default: {value}]")), "{}: {help}", row.name);
            assert_eq!(resolve(&[&format!("--{}={value}", row.name)]).unwrap(), default, "{}", row.name);
        }
    }

    #[test]
    fn what_has_a_default_of_its_own_has_that_of_the_table() {
        let default = resolve(&[]).unwrap();
        assert_eq!(default.max_connections, Limits::default().connections);
        assert_eq!(default.rules.labels, Label::DEFAULT);
        assert_eq!(default.baseline_retention, RETENTION);
        assert_eq!(default.alert.rate_limit, RateLimit::default());
        assert_eq!(default.latency.bounds, Bound::defaults().collect::<Vec<_>>());
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "web: {listen_address: []}\n").unwrap();
        let empty = Config::resolve(Settings::default(), Some(file.path())).unwrap();
        assert_eq!(empty.listen_addresses, default.listen_addresses);
    }

    /// Numbers and durations have a range, and no other settings do. All values in it are accepted.
    #[test]
    fn every_range_holds_its_bounds_and_its_default() {
        for Setting { name, default, range, .. } in Settings::table() {
            let default = default.unwrap_or_default();
            let is_quantity = default.parse::<u64>().is_ok() || humantime::parse_duration(default).is_ok();
            assert_eq!(range.is_some(), is_quantity, "{name}: {default:?}");
            let Some((least, most)) = range else { continue };
            for value in [least, most] {
                let flag = format!("--{name}={value}");
                // The poll interval must fit to this one.
                let resolved = resolve(&[&flag]).map_err(|error| error.to_string());
                assert!(resolved.is_ok(), "{flag}: {resolved:?}");
            }
        }
    }

    #[test]
    fn each_setting_that_differs_needs_a_restart_unless_its_row_says_otherwise() {
        let old = resolve(&[]).unwrap();
        for Setting { name, range, effect, .. } in Settings::table() {
            let Some((least, _)) = range else { continue };
            let expected = if effect == Effect::Restart { vec![name] } else { Vec::new() };
            let new = resolve(&[&format!("--{name}={least}")]).unwrap();
            assert_eq!(old.needs_restart(&new), expected, "{name}");
        }
        let new = resolve(&["--policy.directory=/p", "--path.cgroupfs=/c", "--alert.kubernetes-events=true"]).unwrap();
        assert_eq!(old.needs_restart(&new), ["alert.kubernetes-events", "path.cgroupfs"]);
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
    fn every_example_of_the_documentation_is_a_configuration() {
        let document = include_str!("../../../docs/violations.md");
        let examples = document.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next());
        let examples: Vec<&str> = examples.collect();
        assert!(examples.len() >= 2, "{examples:?}");
        for example in examples {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), example).unwrap();
            let flags = Flags::from_arg_matches(&Flags::command().get_matches_from(["test"])).unwrap().settings;
            Config::resolve(flags, Some(file.path())).unwrap();
        }
    }

    #[test]
    fn each_family_has_its_own_granularity() {
        let [name, set, none] = [Granularity::Name, Granularity::Set, Granularity::None];
        assert_eq!(resolve(&[]).unwrap().granularities, Granularities::default());
        let config = resolve(&["--metrics.syscalls=none", "--metrics.errors=set", "--metrics.denied=name"]).unwrap();
        assert_eq!(config.granularities, Granularities { syscalls: none, errors: set, denied: name, latency: name });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "metrics: {syscalls: set, latency: none, created_timestamps: true}\n").unwrap();
        let config = Config::resolve(Settings::default(), Some(file.path())).unwrap();
        assert_eq!(config.granularities, Granularities { syscalls: set, errors: name, denied: name, latency: none });
        assert!(config.created_timestamps);
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
            ("--alert.webhook.template={{ message }}", "alert.webhook.template requires alert.webhook.url"),
            ("--alert.webhook.username=me", "alert.webhook.username"),
            ("--alert.alertmanager.labels=cluster=prod", "alert.alertmanager.labels requires alert.alertmanager.url"),
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
        assert_eq!(old.needs_restart(&new), ["capacity.cgroups"]);
    }
}
