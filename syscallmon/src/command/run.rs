//! `syscallmon run`: the daemon. Starts everything in an order that fails cleanly, and stops it.

use std::{
    io,
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::Context;
use clap::Args;
use exporter_web::{Limits, Server};
use syscallmon_common::ROOT_CGROUP_ID;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    ConfigFile,
    continuation::{Continuation, lock_pins},
    output::print,
    stop::StopSignals,
};
use crate::{
    alert::Alerts,
    blocking::{self, FILE_TIMEOUT, START_TIMEOUT, Work},
    cgroup::{Hierarchies, Tree},
    detect::{Baselines, Detector},
    engine::{Beginning, Lasting, SamplerEnd, SamplerThread, Tunables},
    kernel::{self, EventRings, Kernel, NUMBERS_ONLY, Options, Probe, ProbeStatus, V1Hierarchy},
    logging::{self, LogHandle},
    model::{Model, SeriesLayout},
    privileges,
    recording::SampleSender,
    serve::{Site, web_server},
    settings::{Config, ListenAddress, LoadedPolicies, PolicyFileStamps, PolicySources, Settings, log_problems},
    store::{AlertStore, Earlier, PolicyWatch, Store, TotalsSaver},
    syscalls::{ArgumentClasses, CallTable},
    view::{FixedFacts, Reload, Requester, View, Views},
    workload::{MetadataCache, WorkloadResolver},
};

/// Count system calls and export them until SIGTERM or SIGINT.
///
/// Requires CAP_BPF and CAP_PERFMON (or root), and drops all capabilities after attaching. Leaves nothing in the kernel
/// when it ends.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    config: ConfigFile,

    /// Attach, wait one poll interval, print the metrics to stdout and exit.
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    settings: Settings,
}

const CANNOT_READ: &str = "cannot read the configuration file";

/// Reads the configuration for a command that has not started anything yet.
pub(super) fn resolve(settings: &Settings, file: &ConfigFile) -> anyhow::Result<Config> {
    let (settings, file) = (settings.clone(), file.config_file.clone());
    let resolve = move || Config::resolve(settings, file.as_deref());
    Ok(blocking::run_and_wait(Work::Config, "config.file", START_TIMEOUT, resolve).context(CANNOT_READ)??)
}

fn server(web_config: Option<PathBuf>, limits: Limits) -> anyhow::Result<Server> {
    let read = move || web_server(web_config, limits);
    let server = blocking::run_and_wait(Work::WebConfig, "web.config.file", START_TIMEOUT, read);
    Ok(server.context("cannot read the web configuration")??)
}

/// Everything that is set up before the first thread starts.
pub(super) struct Attached {
    kernel: Kernel,
    events: EventRings,
    tree: Tree,
    pub(super) resolver: WorkloadResolver,
    model: Model,
    detector: Detector,
    policy_files: PolicyFileStamps,
    /// Whether calls of container init are distinguished.
    knows_container_init: bool,
    /// What lets the next daemon continue, and what saves it; `None` without pinned mode.
    lasting: Option<(Lasting, TotalsSaver)>,
    pub(super) first: View,
}

/// The sampler, the handle for requests to it, and its views.
pub(super) struct Sampling {
    pub(super) sampler: SamplerThread,
    pub(super) owner: Requester,
    pub(super) views: Views,
    policy_files: PolicyFileStamps,
}

impl Attached {
    pub(super) fn into_sampling(
        self,
        alerts: Alerts,
        tunables: watch::Receiver<Tunables>,
        recording: Option<SampleSender>,
    ) -> anyhow::Result<Sampling> {
        let Self { kernel, events, tree, resolver, model, detector, policy_files, lasting, first, .. } = self;
        let lasting = lasting.map(|(lasting, _)| lasting);
        let (publish, views) = Views::new(first);
        let beginning =
            |events| Beginning { kernel, events, tree, resolver, model, detector, alerts, recording, lasting };
        let (sampler, owner) = SamplerThread::new(events, beginning, publish, tunables)?;
        Ok(Sampling { sampler, owner, views, policy_files })
    }
}

impl Run {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        // Before everything that takes long: an early signal is not lost, and ends the daemon in the usual way.
        let mut stop = StopSignals::new()?;
        let config = self.resolve()?;
        let log = logging::start(config.log_level, config.log_format).context("cannot start logging")?;
        let listeners = if self.once { Vec::new() } else { bind(&config.listen_addresses)? };
        let limits = Limits::with_connections(config.max_connections);
        let server = server(config.web_config_file.clone(), limits)?;
        // Until the end: the next daemon must not start before this one has saved its state.
        let pins = if self.once { None } else { lock_pins(&config)? };
        // Before calls are counted, because a slow disk must not delay the first reading.
        let alerts = (!self.once).then(|| AlertStore::open(&config.state_directory, &config.procfs, &config.node));
        let continuation = if self.once { None } else { Continuation::read(&config, pins.clone())? };
        let attached = attach(&config, continuation)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the async runtime")?;
        let outcome = runtime.block_on(async {
            match alerts {
                Some(alerts) => {
                    Box::pin(self.serve(attached, alerts, (config, server), (listeners, &mut stop), log)).await
                }
                None => once(attached, &config, &mut stop).await,
            }
        });
        // All tasks have ended. A thread that still waits for a resolver or a disk ends with the process.
        runtime.shutdown_background();
        drop(pins);
        outcome.map(|()| ExitCode::SUCCESS)
    }

    fn resolve(&self) -> anyhow::Result<Config> {
        resolve(&self.settings, &self.config)
    }

    /// Does the same without blocking other tasks while the file is read.
    async fn resolve_again(&self) -> anyhow::Result<Config> {
        let (settings, file) = (self.settings.clone(), self.config.config_file.clone());
        let resolve = move || Config::resolve(settings, file.as_deref());
        let config = blocking::run(Work::Config, "config.file", FILE_TIMEOUT, resolve).await;
        Ok(config.context(CANNOT_READ)??)
    }

    async fn serve(
        &self,
        mut attached: Attached,
        (alert_store, earlier): (AlertStore, Earlier),
        (config, server): (Config, Server),
        (listeners, stop): (Vec<TcpListener>, &mut StopSignals),
        log: LogHandle,
    ) -> anyhow::Result<()> {
        let (tunables, watched) = watch::channel(config.tunables);
        let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
        // Before the sinks start, and before the first call is judged.
        attached.detector.take_over(earlier.detection, earlier.saved.into_std());
        let alerts = Alerts::start(&config.alert, &config.node, earlier.delivery, &shutdown, &mut tasks);
        let (calls, knows_container_init) = (Arc::clone(&attached.first.facts.calls), attached.knows_container_init);
        let mut totals = attached.lasting.as_ref().map(|(_, saver)| saver.clone());
        let (policies, cache) = (Arc::clone(&attached.first.policies), attached.resolver.cache().clone());
        let Sampling { sampler, owner, views, policy_files } =
            attached.into_sampling(alerts.clone(), watched.clone(), None)?;
        let site = Site::new(views, owner.clone(), &config.telemetry_path, watched)?;
        let (begin, end) = (CancellationToken::new(), CancellationToken::new());
        let sampling = sampler.start(begin.clone(), shutdown.clone(), end.clone())?;
        // Baselines are loaded before the first call is judged.
        let store = Store::new(&config.state_directory, owner.clone(), calls);
        store.synchronize().await;
        begin.cancel();
        let listeners = listeners.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<_>>()?;

        config.sources.start(&cache, &config.node, &shutdown, &mut tasks);
        if let Some(totals) = &totals {
            tasks.spawn(totals.clone().run(owner.clone(), shutdown.clone()));
        }
        tasks.spawn(store.run(shutdown.clone()));
        tasks.spawn(alert_store.clone().run(owner.clone(), alerts.clone(), shutdown.clone()));
        let (sources, changed) = watch::channel(usable(&config.policies, knows_container_init));
        tasks.spawn(PolicyWatch::new(changed, (policies, policy_files), owner.clone()).run(shutdown.clone()));
        tasks.spawn(server.run(listeners, site.router(), shutdown.clone()));
        let set_policies =
            |policies: &PolicySources| drop(sources.send_replace(usable(policies, knows_container_init)));
        let reload = async |config: &mut Config| self.reload(config, &tunables, &set_policies, &log, &owner).await;
        let save = alert_store.save(&owner, &alerts);
        until_stopped(config, reload, (&mut tasks, stop), (sampling, save), (&shutdown, &end)).await?;
        if let Some(totals) = &mut totals {
            totals.write().await;
        }
        tracing::info!("stopped");
        Ok(())
    }

    /// Applies the settings of a changed configuration that can change. A bad one changes nothing.
    async fn reload(
        &self,
        config: &mut Config,
        tunables: &watch::Sender<Tunables>,
        set_policies: impl Fn(&PolicySources),
        log: &LogHandle,
        owner: &Requester,
    ) {
        let new = match self.resolve_again().await {
            Ok(new) => new,
            Err(error) => {
                tracing::error!("cannot load the new configuration; the old one stays in force: {error:#}");
                owner.configuration_was_read(1).await;
                return;
            }
        };
        for setting in config.needs_restart(&new) {
            tracing::warn!(setting, "the changed setting takes effect after a restart");
        }
        log.set_level(new.log_level);
        tunables.send_replace(new.tunables);
        config.log_level = new.log_level;
        config.tunables = new.tunables;
        // Reads policies even if the setting is the same, because SIGHUP requests it.
        set_policies(&new.policies);
        config.policies = new.policies;
        owner.configuration_was_read(0).await;
        tracing::info!("configuration reloaded");
    }
}

/// Waits for SIGTERM or SIGINT, and reloads on SIGHUP. Then stops the tasks, saves what outlasts the daemon, and stops
/// the sampler last, because tasks may send it requests until they end. A second signal ends the daemon at once.
async fn until_stopped(
    mut config: Config,
    reload: impl AsyncFn(&mut Config),
    (tasks, stop): (&mut JoinSet<()>, &mut StopSignals),
    (mut sampling, save): (SamplerEnd, impl Future<Output = ()>),
    (shutdown, end): (&CancellationToken, &CancellationToken),
) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = hangup.recv() => reload(&mut config).await,
            name = stop.received() => {
                tracing::info!(signal = name, "stopping");
                break;
            }
            Some(ended) = tasks.join_next() => {
                ended.context("a task failed")?;
                anyhow::bail!("a task ended unexpectedly");
            }
            ended = &mut sampling => {
                ended.context("the sampler failed")?;
                anyhow::bail!("the sampler ended unexpectedly");
            }
        }
    }
    shutdown.cancel();
    let ended = async {
        while let Some(ended) = tasks.join_next().await {
            ended.context("a task failed")?;
        }
        save.await;
        end.cancel();
        sampling.await.context("the sampler failed")
    };
    tokio::select! {
        ended = ended => ended,
        _ = stop.received() => anyhow::bail!("stopped by a second signal"),
    }
}

/// Binds every address, before anything is attached and while privileges for low ports are there.
pub(super) fn bind(addresses: &[ListenAddress]) -> anyhow::Result<Vec<TcpListener>> {
    let bind = |address: &ListenAddress| {
        let listener = address
            .listen()
            .with_context(|| format!("cannot listen on {address}: choose another address with --web.listen-address"))?;
        tracing::info!(address = %listener.local_addr()?, "listening");
        Ok(listener)
    };
    addresses.iter().map(bind).collect()
}

/// The effect of a partial mount, and the remedy.
pub(super) const PART_OF_HIERARCHY: &str = "existing cgroups outside this part have no name; in a container, \
    mount the host's /sys/fs/cgroup and set --path.cgroupfs to it";

/// Loads and attaches the programs, pinned if there is a continuation, and then drops privileges. Single-threaded,
/// because capabilities belong to threads.
pub(super) fn attach(config: &Config, continuation: Option<Continuation>) -> anyhow::Result<Attached> {
    let hierarchies = Hierarchies::find(&config.procfs, config.cgroupfs.as_deref(), config.hierarchy)?;
    tracing::info!(counted_by = %hierarchies.set(), mounted = %hierarchies, "found cgroups");
    if !hierarchies.are_whole() {
        tracing::warn!("only part of the cgroup hierarchy is mounted: {PART_OF_HIERARCHY}");
    }
    if config.policies.strict {
        config.policies.load_at_start().all().context("cannot use the policies")?;
    }
    let calls = CallTable::native();
    // No call is counted before.
    let started = (Instant::now(), SystemTime::now());
    let pin = continuation.as_ref().and_then(|continuation| continuation.pin_options(config));
    let (kernel, events) = Kernel::load(
        &Options { pin, ..options(config, &hierarchies) },
        &calls.kernel_tables(&config.latency.calls, config.features.arguments),
    )?;
    log_probes(&kernel, config);
    let knows_container_init = knows_container_init(&kernel, config);
    let loaded = usable(&config.policies, knows_container_init).load_at_start();
    let LoadedPolicies { policies, problems, files: policy_files } = loaded;
    log_problems(&problems);
    tracing::info!(policies = policies.iter().len(), problems = problems.len(), "policies in force");
    let kept = privileges::drop_all(|| kernel.is_accessible()).context("cannot drop privileges")?;
    tracing::info!(kept = ?kept, "dropped privileges");
    let layout = Arc::new(SeriesLayout::new(config.granularities, &calls));
    let (calls, policies, cache) = (Arc::new(calls), Arc::new(policies), MetadataCache::default());
    config.sources.expect(&cache);
    let facts = FixedFacts {
        calls: Arc::clone(&calls),
        hierarchy: hierarchies.set().to_string(),
        probes: kernel.probes().to_vec(),
        capacity: config.capacity,
        duration_bounds: config.latency.bounds.clone(),
        layout: Arc::clone(&layout),
        created_timestamps: config.created_timestamps,
        kernel_memory_bytes: kernel.memory_bytes(),
        started,
        is_replay: false,
        knows_arguments: kernel.counts_arguments(),
    };
    let mut first = View { policies: Arc::clone(&policies), ..View::empty(Arc::new(facts)) };
    if !problems.is_empty() {
        first.policy_reload = Reload { is_ok: false, last_success: SystemTime::UNIX_EPOCH, problems: problems.len() };
    }
    let (mut baselines, processes) = (Baselines::default(), (config.procfs.clone(), config.alert.command_line));
    baselines.retention = config.baseline_retention;
    let mut detector =
        Detector::new((policies, baselines), calls, cache.clone(), processes).with_incidents(config.alert.incidents);
    detector.knows_arguments(kernel.counts_arguments());
    detector.lacks_policies(!problems.is_empty());
    let resolver = WorkloadResolver::new(cache, config.rules.clone(), config.node.as_str().into());
    let tree = Tree::new(hierarchies.mounts());
    let (model, lasting) = Continuation::begin(continuation, &kernel, config.max_series, layout);
    Ok(Attached { kernel, events, tree, resolver, model, detector, policy_files, knows_container_init, lasting, first })
}

/// Whether calls of container init are distinguished. Warns if the built-in policy needs that.
fn knows_container_init(kernel: &Kernel, config: &Config) -> bool {
    let is_container_init = |status: &ProbeStatus| status.probe == Probe::ContainerInit && status.is_up();
    let is_known = kernel.probes().iter().any(is_container_init);
    if !is_known && config.policies.built_in {
        tracing::warn!(
            "the policy runtime-default is not in force, because calls of container init cannot be separated from calls of the container's program"
        );
    }
    is_known
}

fn log_probes(kernel: &Kernel, config: &Config) {
    if config.features.arguments == ArgumentClasses::None {
        tracing::info!("{NUMBERS_ONLY} (probe.arguments=none)");
    }
    for status in kernel.probes() {
        let (probe, implementation) = (status.probe.name(), status.implementation.unwrap_or("none"));
        match &status.problem {
            None => tracing::info!(probe, implementation, "attached"),
            Some(problem) => tracing::warn!(probe, implementation, "{problem}"),
        }
    }
}

/// Returns the policies that this kernel supports. If calls of container init are not distinguished, the built-in
/// policy and critical calls of learning policies would alert at every start of a container.
fn usable(sources: &PolicySources, knows_container_init: bool) -> PolicySources {
    PolicySources {
        built_in: sources.built_in && knows_container_init,
        mixes_container_init: !knows_container_init,
        ..sources.clone()
    }
}

/// Returns the options of the kernel side.
pub(super) fn options(config: &Config, hierarchies: &Hierarchies) -> Options {
    let mounted_as_root = |path: &Path| path.metadata().map_or(ROOT_CGROUP_ID, |cache| cache.ino());
    let v1 = hierarchies.v1().map(|v1| V1Hierarchy {
        number: v1.number,
        controller: v1.controller,
        root: mounted_as_root(&v1.mount.path),
    });
    let cgroup2_root = hierarchies.cgroup2().map_or(ROOT_CGROUP_ID, |mount| mounted_as_root(&mount.path));
    Options {
        capacity: config.capacity,
        sysfs: config.sysfs.clone(),
        sys_enter: config.sys_enter,
        features: config.features,
        hierarchies: kernel::CountedHierarchies { cgroup2: hierarchies.cgroup2().is_some(), cgroup2_root, v1 },
        pin: None,
    }
}

/// Counts for one poll interval, and prints the metrics.
async fn once(attached: Attached, config: &Config, stop: &mut StopSignals) -> anyhow::Result<()> {
    let (_tunables, watched) = watch::channel(config.tunables);
    let cache = attached.resolver.cache().clone();
    let Sampling { sampler, owner, views, .. } = attached.into_sampling(Alerts::default(), watched.clone(), None)?;
    let site = Site::new(views, owner.clone(), &config.telemetry_path, watched)?;
    let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
    config.sources.start(&cache, &config.node, &shutdown, &mut tasks);
    let begin = CancellationToken::new();
    begin.cancel();
    let sampling = sampler.start(begin, shutdown.clone(), shutdown.clone())?;
    tokio::select! {
        () = tokio::time::sleep(config.tunables.poll_interval) => {}
        _ = stop.received() => {}
    }
    // Names are not awaited any longer: containers without one are exported by path.
    owner.release().await;
    let exposition = site.exposition().await?;
    shutdown.cancel();
    sampling.await.context("the sampler failed")?;
    print(&exposition)
}
