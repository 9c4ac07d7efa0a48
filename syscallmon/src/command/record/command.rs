//! `syscallmon record -- COMMAND`: the order in which everything is set up, and the file at the end.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Child, ExitCode},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use rustix::system::uname;

use super::{
    Record,
    cgroup::CommandCgroup,
    child::{ExecError, Output, Waiting, find},
    copy::OutputCopy,
    counter::{Counted, Counter},
    file::{NewFile, default_name},
    left::LeftProcesses,
    session::{Session, Startup, WINDOW},
    signals::Signals,
};
use crate::{
    cgroup::{Hierarchies, HierarchyChoice, HierarchySet},
    command::run::options,
    kernel::{EventRings, Features, Options},
    logging,
    process::CommandLines,
    profile::{CommandEnd, CommandRecording},
    settings::{Config, PolicySources},
    syscalls::{CallTable, split_argument},
};

/// Minimum capacity for errors and denied calls of the command, which are limited for each cgroup.
const MIN_ERRORS: u32 = 4096;
const MIN_DENIED: u32 = 2048;

/// A command that was executed, with everything that counts it.
struct Running {
    began: SystemTime,
    child: Child,
    counter: Counter,
    rings: EventRings,
    signals: Signals,
}

impl Record {
    pub(super) fn record_command(&self) -> anyhow::Result<ExitCode> {
        // Before any thread starts: threads inherit the mask.
        let signals = Signals::block().context("cannot receive signals")?;
        let mut config = Config::resolve(self.settings.clone(), self.config.config_file.as_deref())?;
        config.policies = PolicySources::none();
        logging::start(config.log_level, config.log_format).context("cannot start logging")?;
        let program = match find(&self.command[0]) {
            Ok(program) => program,
            Err(error) => return Ok(not_executed(&error)),
        };
        let output = self.output.clone().unwrap_or_else(|| default_name(&self.command[0]));
        let file = NewFile::create(&output)?;
        let cgroup2 = HierarchyChoice::Exactly(HierarchySet::Cgroup2);
        let hierarchies = Hierarchies::find(&config.procfs, config.cgroupfs.as_deref(), cgroup2)
            .context("a command is recorded in a cgroup of its own")?;
        let mount = hierarchies.cgroup2().context("no cgroup2 is mounted")?;
        let cgroup = CommandCgroup::make(mount, &config.procfs)?;
        let mut left = LeftProcesses::new(&config.procfs, &cgroup);
        let running = match self.start(&program, &cgroup, &command_options(&config, &hierarchies), signals)? {
            Ok(running) => running,
            Err(error) => return Ok(not_executed(&error)),
        };
        let began = running.began;
        let watched = self.watch(running, &cgroup, &mut left);
        if watched.is_err() {
            // Nobody watches it any longer.
            cgroup.kill();
        }
        let (end, counted, elapsed) = watched?;
        drop(cgroup);
        let recording = self.recording((began, elapsed), end, counted, left.report());
        file.write(recording.to_json()?.as_bytes())?;
        self.report(&recording, &output);
        Ok(status(end))
    }

    /// Starts the command. All of its calls are counted from its `execve` on.
    fn start(
        &self,
        program: &Path,
        cgroup: &CommandCgroup,
        options: &Options,
        signals: Signals,
    ) -> anyhow::Result<Result<Running, ExecError>> {
        let id = cgroup.id().context("cannot read the id of the cgroup")?;
        let (mut counter, rings) = Counter::load(options, id)?;
        let entrance = cgroup.entrance().context("cannot open the cgroup of the command")?;
        let output = if self.startup_until.is_some() { Output::Piped } else { Output::Inherited };
        let waiting = Waiting::start((program, &self.command), output, entrance, &signals);
        let waiting = waiting.context("cannot start a process")?;
        if let Err(error) = counter.wait_for(&waiting) {
            let failed = waiting.has_failed();
            let cause = waiting.cancel();
            return Err(if failed { error.context(cause) } else { error });
        }
        let began = SystemTime::now();
        counter.begin();
        Ok(match waiting.release() {
            Ok(child) => Ok(Running { began, child, counter, rings, signals }),
            Err(error) => Err(ExecError::new(&self.command[0], error)),
        })
    }

    /// Watches the command until its last process has ended.
    fn watch(
        &self,
        running: Running,
        cgroup: &CommandCgroup,
        left: &mut LeftProcesses,
    ) -> anyhow::Result<(CommandEnd, Counted, Duration)> {
        let Running { mut child, mut counter, rings, signals, .. } = running;
        let startup = match (&self.startup_until, self.startup) {
            (Some(regex), _) => {
                Startup::Line(OutputCopy::start(&mut child, regex).context("cannot copy the output of the command")?)
            }
            (None, Some(time)) => Startup::After(time),
            (None, None) => Startup::None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start the async runtime")?;
        let end = runtime.block_on(async {
            let sources = (rings.watch()?, signals.watch()?);
            let mut session = Session::new((cgroup, child), (&mut counter, left), sources)?;
            session.run(&startup, self.duration).await
        });
        let (end, elapsed) = (end?, counter.elapsed());
        let counted = counter.finish(!matches!(startup, Startup::None));
        if let Startup::Line(copy) = startup {
            copy.finish();
            if counted.startup.is_none() {
                tracing::warn!("no line of output matched --startup-until: all calls belong to the start-up phase");
            }
        }
        Ok((end, counted, elapsed))
    }

    fn recording(
        &self,
        (began, elapsed): (SystemTime, Duration),
        end: CommandEnd,
        counted: Counted,
        left: u64,
    ) -> CommandRecording {
        let arguments: Vec<&[u8]> = self.command.iter().map(|argument| argument.as_bytes()).collect();
        CommandRecording {
            version: CommandRecording::VERSION,
            syscallmon: env!("CARGO_PKG_VERSION").to_owned(),
            command: CommandLines::Redacted.parse(&arguments.join(&0)).unwrap_or_default(),
            kernel: uname().release().to_string_lossy().into_owned(),
            architecture: CallTable::native().native_abi().to_owned(),
            began,
            seconds: rounded(elapsed),
            startup_seconds: counted.startup.map(rounded),
            end,
            // At least one call of each process that left is missing.
            lost: counted.lost.saturating_add(left),
            window_seconds: WINDOW.as_secs_f64(),
            windows: counted.windows,
            calls: counted.calls,
        }
    }

    /// Reports the result.
    fn report(&self, recording: &CommandRecording, output: &Path) {
        if recording.lost > 0 {
            tracing::warn!(
                lost = recording.lost,
                "calls may be missing: a table was full, an update was lost, or a process left the cgroup"
            );
        }
        let program = PathBuf::from(&self.command[0]);
        let calls = recording.calls.keys().filter(|name| split_argument(name).1.is_empty());
        tracing::info!(
            "recorded {} system calls of {} in {:.1} s: {}",
            calls.count(),
            program.file_name().unwrap_or(program.as_os_str()).to_string_lossy(),
            recording.seconds,
            output.display()
        );
    }
}

fn command_options(config: &Config, hierarchies: &Hierarchies) -> Options {
    let mut options = options(config, hierarchies);
    let arguments = config.features.arguments;
    options.features = Features { errors: true, denied: true, latency: false, io_uring: true, arguments };
    options.capacity.errors = options.capacity.errors.max(MIN_ERRORS);
    options.capacity.denied = options.capacity.denied.max(MIN_DENIED);
    options
}

/// Reports why the command cannot be executed. Returns the exit status that a shell has for it.
fn not_executed(error: &ExecError) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::from(error.status())
}

/// Returns the exit status that a shell has for the end of a command.
fn status(end: CommandEnd) -> ExitCode {
    let status = match end {
        CommandEnd::Status(status) => status,
        CommandEnd::Signal(signal) => 128 + signal,
    };
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}

/// Returns seconds, to the millisecond.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}
