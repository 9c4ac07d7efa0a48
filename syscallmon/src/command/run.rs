//! `syscallmon run`: the daemon. Brings everything up in the order that fails cleanly, and down again.

use std::{
    io,
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;
use clap::Args;
use syscallmon_common::ROOT_CGROUP_ID;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{ConfigFile, output::print};
use crate::{
    alert::Alerts,
    blocking::{self, FILE_TIMEOUT, Work},
    cgroup::{Hierarchies, Tree},
    detector::Detector,
    export::{
        Site,
        web::{Limits, Server},
    },
    kernel::{self, Events, Kernel, Options, Probe, V1Hierarchy},
    model::Model,
    policy::Policies,
    policy_watch::PolicyWatch,
    privileges,
    sampler::{Sampler, Tunables},
    settings::{self, Config, ListenAddress, LoadedPolicies, LogHandle, PolicySources, Settings, Watched},
    state::{Shared, State},
    store::Store,
    syscalls::CallTable,
    workload::{Directory, Naming},
};

/// Count system calls and export them until SIGTERM or SIGINT.
///
/// Needs CAP_BPF and CAP_PERFMON (or root), and drops every capability once it has attached. Nothing stays in the
/// kernel when it ends, however it ends.
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

/// What is up before the first thread is started.
struct Attached {
    kernel: Kernel,
    events: Events,
    tree: Tree,
    naming: Naming,
    detector: Detector,
    policy_files: Watched,
    /// Whether what runtimes call to set containers up is told apart.
    tells_setup: bool,
    shared: Shared,
}

impl Run {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        // Before everything that takes long: a signal meanwhile is not lost, and ends the daemon as it does later.
        let mut stop = StopSignals::new()?;
        let config = self.resolve()?;
        let log = settings::start_log(config.log_level, config.log_format).context("cannot start logging")?;
        let listeners = if self.once { Vec::new() } else { bind(&config.listen_addresses)? };
        let limits = Limits::with_connections(config.max_connections);
        let server = Server::new(config.web_config_file.clone(), limits)?;
        let attached = attach(&config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the async runtime")?;
        let outcome = runtime.block_on(async {
            if self.once {
                once(attached, &config, &mut stop).await
            } else {
                self.serve(attached, config, server, (listeners, &mut stop), log).await
            }
        });
        // All tasks have ended. A thread that still waits for a resolver or a disk ends with the process.
        runtime.shutdown_background();
        outcome.map(|()| ExitCode::SUCCESS)
    }

    fn resolve(&self) -> anyhow::Result<Config> {
        Ok(Config::resolve(self.settings.clone(), self.config.config_file.as_deref())?)
    }

    /// The same, where other tasks must go on while the file is read.
    async fn resolve_again(&self) -> anyhow::Result<Config> {
        let (settings, file) = (self.settings.clone(), self.config.config_file.clone());
        let resolve = move || Config::resolve(settings, file.as_deref());
        let config = blocking::run(Work::Config, "config.file", FILE_TIMEOUT, resolve).await;
        Ok(config.context("cannot read the configuration file")??)
    }

    async fn serve(
        &self,
        attached: Attached,
        config: Config,
        server: Server,
        (listeners, stop): (Vec<TcpListener>, &mut StopSignals),
        log: LogHandle,
    ) -> anyhow::Result<()> {
        let (tunables, watched) = watch::channel(config.tunables);
        let shared = attached.shared.clone();
        let events = attached.events.watch()?;
        let naming = (attached.tree, attached.naming, attached.detector);
        let (sampler, refresher) = Sampler::new(attached.kernel, events, naming, shared.clone(), watched.clone());
        let site = Site::new(shared.clone(), refresher, &config.telemetry_path, watched)?;
        // What was learned before is known before the first call is judged.
        shared.lock().baselines.retention = config.baseline_retention;
        let store = Store::new(&config.state_directory, shared.clone());
        store.synchronize().await;
        let listeners = listeners.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<_>>()?;

        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        config.sources.start(&shared.lock().directory, &config.node, &shutdown, &mut tasks);
        shared.lock().alerts = Alerts::start(&config.alert, &config.node, &shutdown, &mut tasks);
        tasks.spawn(sampler.run(shutdown.clone()));
        tasks.spawn(store.run(shutdown.clone()));
        let tells_setup = attached.tells_setup;
        let (policies, sources) = watch::channel(usable(&config.policies, tells_setup));
        tasks.spawn(PolicyWatch::new(sources, attached.policy_files, shared.clone()).run(shutdown.clone()));
        tasks.spawn(server.run(listeners, site.router(), shutdown.clone()));
        let set_policies = |sources: &PolicySources| drop(policies.send_replace(usable(sources, tells_setup)));
        let reload = async |config: &mut Config| self.reload(config, &tunables, &set_policies, &log, &shared).await;
        until_stopped(config, reload, (&mut tasks, stop), &shutdown).await?;
        tracing::info!("stopped");
        Ok(())
    }

    /// Puts a changed configuration in force as far as that goes; a bad one changes nothing.
    async fn reload(
        &self,
        config: &mut Config,
        tunables: &watch::Sender<Tunables>,
        set_policies: impl Fn(&PolicySources),
        log: &LogHandle,
        shared: &Shared,
    ) {
        let new = match self.resolve_again().await {
            Ok(new) => new,
            Err(error) => {
                tracing::error!("the new configuration is not in force, the old one stays: {error:#}");
                shared.lock().config_reload.0 = false;
                return;
            }
        };
        for setting in config.needs_restart(&new) {
            tracing::warn!(setting, "changed in the configuration: takes effect at the next start");
        }
        log.set_level(new.log_level);
        tunables.send_replace(new.tunables);
        config.log_level = new.log_level;
        config.tunables = new.tunables;
        // Read again even if the configuration says the same: who asks may not want to wait.
        set_policies(&new.policies);
        config.policies = new.policies;
        shared.lock().config_reload = (true, SystemTime::now());
        tracing::info!("configuration reloaded");
    }
}

/// Waits for SIGTERM or SIGINT, reloads on SIGHUP; then stops the tasks and waits for them. A second signal does not wait.
async fn until_stopped(
    mut config: Config,
    reload: impl AsyncFn(&mut Config),
    (tasks, stop): (&mut JoinSet<()>, &mut StopSignals),
    shutdown: &CancellationToken,
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
                anyhow::bail!("a task ended that should not");
            }
        }
    }
    shutdown.cancel();
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => ended.context("a task failed")?,
                None => return Ok(()),
            },
            _ = stop.received() => anyhow::bail!("stopped by a second signal"),
        }
    }
}

/// The signals that end the daemon.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Handles them from now on, whether a runtime is there or not: what arrives waits for one.
    fn new() -> io::Result<Self> {
        // Only registers them; starts no thread.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _guard = runtime.enter();
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one of them; its name.
    async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Binds every address, before anything is attached and while privileges for low ports are there.
fn bind(addresses: &[ListenAddress]) -> anyhow::Result<Vec<TcpListener>> {
    let bind = |address: &ListenAddress| {
        let listener = address
            .listen()
            .with_context(|| format!("cannot listen on {address}: choose another address with --web.listen-address"))?;
        tracing::info!(address = %listener.local_addr()?, "listening");
        Ok(listener)
    };
    addresses.iter().map(bind).collect()
}

/// What follows from a mount that is not whole, and what to do.
pub(super) const PART_OF_HIERARCHY: &str = "cgroups outside it that exist already have no name; in a container, \
    mount the host's /sys/fs/cgroup and name it with --path.cgroupfs";

/// Loads and attaches, then drops privileges. Single-threaded: capabilities belong to threads.
fn attach(config: &Config) -> anyhow::Result<Attached> {
    let hierarchies = Hierarchies::find(&config.procfs, config.cgroupfs.as_deref(), config.hierarchy)?;
    tracing::info!(counted_by = %hierarchies.set(), mounted = %hierarchies, "found cgroups");
    if !hierarchies.are_whole() {
        tracing::warn!("only a part of the cgroup hierarchy is mounted here: {PART_OF_HIERARCHY}");
    }
    if config.policies.strict {
        config.policies.load(&Policies::default()).all().context("cannot use the policies")?;
    }
    let calls = CallTable::native();
    let (kernel, events) = Kernel::load(&options(config, &hierarchies), &calls.positions(&config.latency.calls))?;
    for status in kernel.probes() {
        let (probe, implementation) = (status.probe.name(), status.implementation.unwrap_or("none"));
        match &status.problem {
            None => tracing::info!(probe, implementation, "attached"),
            Some(problem) => tracing::warn!(probe, implementation, "{problem}"),
        }
    }
    let tells_setup = kernel.probes().iter().any(|status| status.probe == Probe::Setup && status.is_up());
    if !tells_setup && config.policies.built_in {
        tracing::warn!(
            "the policy runtime-default is not in force: what runtimes call to set containers up would look like the containers' own calls"
        );
    }
    let loaded = usable(&config.policies, tells_setup).load(&Policies::default());
    let LoadedPolicies { policies, problems, files: policy_files } = loaded;
    for problem in &problems {
        tracing::error!("a policy is not in force: {problem}");
    }
    tracing::info!(policies = policies.iter().len(), problems = problems.len(), "policies in force");
    let kept = privileges::drop_all(|| kernel.is_accessible()).context("cannot drop privileges")?;
    tracing::info!(kept = ?kept, "dropped privileges");
    let hierarchy = hierarchies.set().to_string();
    let bounds = config.latency.bounds.clone();
    let (memory, directory) = (kernel.memory_bytes(), Directory::default());
    config.sources.expect(&directory);
    let known = (Model::new(config.max_series), directory.clone());
    let mut state = State::new(calls, kernel.probes().to_vec(), config.capacity, memory, hierarchy, bounds, known);
    state.policies = Arc::new(policies);
    state.policy_problems = problems.len();
    if !problems.is_empty() {
        state.policy_reload = (false, SystemTime::UNIX_EPOCH);
    }
    let detector = Detector::new(Arc::clone(&state.policies), config.procfs.clone(), config.alert.command_line);
    let naming = Naming::new(directory, config.rules.clone(), config.node.as_str().into());
    let (tree, shared) = (Tree::new(hierarchies.mounts()), Shared::new(state));
    Ok(Attached { kernel, events, tree, naming, detector, policy_files, tells_setup, shared })
}

/// The policies that can be in force on this kernel: the built-in one, and critical calls of policies that learn, would alarm at every start
/// of a container where that is not told apart.
fn usable(sources: &PolicySources, tells_setup: bool) -> PolicySources {
    PolicySources { built_in: sources.built_in && tells_setup, mixes_setup: !tells_setup, ..sources.clone() }
}

/// What the kernel side is told.
pub(super) fn options(config: &Config, hierarchies: &Hierarchies) -> Options {
    let mounted_as_root = |path: &Path| path.metadata().map_or(ROOT_CGROUP_ID, |directory| directory.ino());
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
        signals: config.signals,
        hierarchies: kernel::Hierarchies { cgroup2: hierarchies.cgroup2().is_some(), cgroup2_root, v1 },
    }
}

/// Counts for one poll interval and prints what it saw.
async fn once(attached: Attached, config: &Config, stop: &mut StopSignals) -> anyhow::Result<()> {
    let (_tunables, watched) = watch::channel(config.tunables);
    let shared = attached.shared.clone();
    let events = attached.events.watch()?;
    let directory = attached.naming.directory().clone();
    let naming = (attached.tree, attached.naming, attached.detector);
    let (sampler, refresher) = Sampler::new(attached.kernel, events, naming, shared.clone(), watched.clone());
    let site = Site::new(shared.clone(), refresher, &config.telemetry_path, watched)?;
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    config.sources.start(&directory, &config.node, &shutdown, &mut tasks);
    let sampling = tokio::spawn(sampler.run(shutdown.clone()));
    tokio::select! {
        () = tokio::time::sleep(config.tunables.poll_interval) => {}
        _ = stop.received() => {}
    }
    // There is no later: what has no name now goes by its path.
    shared.lock().model.release(Instant::now(), Duration::ZERO);
    let exposition = site.exposition().await?;
    shutdown.cancel();
    sampling.await.context("the sampler failed")?;
    print(&exposition.plain)
}
