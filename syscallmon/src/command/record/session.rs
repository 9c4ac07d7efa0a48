//! Watches a running command until its last process has ended.

use std::{
    future::pending,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    process::{Child, ExitStatus},
    time::Duration,
};

use anyhow::Context;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpgid, getpgrp, kill_process, pidfd_open, pidfd_send_signal,
    waitid,
};
use tokio::{
    io::unix::AsyncFd,
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until},
};

use super::{
    cgroup::CommandCgroup,
    copy::OutputCopy,
    counter::Counter,
    left::LeftProcesses,
    signals::{Received, SignalStream},
};
use crate::{kernel::EventStreams, profile::CommandEnd};

/// Length of a time window.
pub(super) const WINDOW: Duration = Duration::from_secs(1);

/// How often the cgroup is checked after the end of the command.
const END_CHECK: Duration = Duration::from_millis(50);

/// Time between SIGTERM and SIGKILL after --duration.
const KILL_AFTER: Duration = Duration::from_secs(10);

/// How the start-up phase ends.
pub(super) enum Startup {
    /// There is none.
    None,
    /// After this time.
    After(Duration),
    /// By a line of output.
    Line(OutputCopy),
}

/// What a session watches.
pub(super) struct Session<'a> {
    pub(super) cgroup: &'a CommandCgroup,
    pub(super) counter: &'a mut Counter,
    pub(super) left: &'a mut LeftProcesses,
    pub(super) events: EventStreams,
    pub(super) signals: SignalStream,
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
    end: Option<ExitStatus>,
    /// Whether all processes were asked to end. The next signal kills them.
    is_ending: bool,
}

impl<'a> Session<'a> {
    /// Must be called inside a tokio runtime.
    pub(super) fn new(
        (cgroup, child): (&'a CommandCgroup, Child),
        (counter, left): (&'a mut Counter, &'a mut LeftProcesses),
        (events, signals): (EventStreams, SignalStream),
    ) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pidfd = pidfd_open(pid.ok_or(io::ErrorKind::InvalidInput)?, PidfdFlags::NONBLOCK)?;
        // SAFETY: a descriptor that is owned stays the same as long as it lives.
        let pidfd = unsafe { AsyncFd::register(pidfd) }.map_err(|error| error.into_parts().1)?;
        Ok(Self { cgroup, counter, left, events, signals, child, pidfd, end: None, is_ending: false })
    }

    /// Returns when the command and all of its processes have ended.
    pub(super) async fn run(&mut self, startup: &Startup, duration: Option<Duration>) -> anyhow::Result<CommandEnd> {
        let begin = Instant::now();
        let mut in_startup = !matches!(startup, Startup::None);
        let mut window = interval(WINDOW);
        let mut end_check = interval(END_CHECK);
        let (mut stop, mut kill) = (duration.map(|duration| begin + duration), None);
        loop {
            if let Some(end) = self.end
                && !self.cgroup.is_populated().context("cannot read the state of the cgroup")?
            {
                self.counter.note(self.events.take());
                return Ok(end
                    .signal()
                    .map_or_else(|| CommandEnd::Status(end.code().unwrap_or(0)), CommandEnd::Signal));
            }
            tokio::select! {
                ready = self.events.ready() => {
                    ready?;
                    self.counter.note(self.events.take());
                }
                received = self.signals.next() => self.pass_on(received?)?,
                ended = has_ended(&self.pidfd), if self.end.is_none() => {
                    ended?;
                    self.note_end()?;
                    // The first check is now, in case that it was the last process.
                    end_check.reset();
                }
                () = startup_ended(startup, begin), if in_startup => {
                    self.counter.end_startup();
                    in_startup = false;
                    window.reset();
                }
                _ = window.tick() => {
                    self.left.check(&self.cgroup.processes());
                    if in_startup { self.counter.reclaim() } else { self.counter.end_window() }
                }
                _ = end_check.tick(), if self.end.is_some() => {}
                () = at(stop), if stop.is_some() => {
                    self.ask_all_to_end(Signal::TERM);
                    (stop, kill) = (None, Some(Instant::now() + KILL_AFTER));
                }
                () = at(kill), if kill.is_some() => {
                    self.cgroup.kill();
                    // Processes that are born meanwhile, before Linux 5.14.
                    kill = Some(Instant::now() + END_CHECK);
                }
            }
        }
    }

    /// Notes the exit status of the command.
    fn note_end(&mut self) -> io::Result<()> {
        // As long as nobody waits for it, `/proc` has the cgroup in which it ended.
        self.left.check_one(i32::try_from(self.child.id()).unwrap_or(0));
        self.end = Some(self.child.wait()?);
        Ok(())
    }

    /// Passes a signal on, as if it had been sent to the command.
    fn pass_on(&mut self, Received { signal, is_from_process }: Received) -> io::Result<()> {
        // A command that has ended takes every signal, until its end is noted. Then the signal is for its daemons.
        let noted = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if self.end.is_none() && waitid(WaitId::PidFd(self.pidfd.get_ref().as_fd()), noted)?.is_some() {
            self.note_end()?;
        }
        let ends = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT].contains(&signal);
        if self.is_ending && ends {
            self.cgroup.kill();
        } else if self.end.is_some() && ends {
            if is_from_process {
                self.ask_all_to_end(signal);
            } else {
                self.signal_background(signal);
            }
        } else if self.end.is_none() && is_from_process {
            match pidfd_send_signal(&self.pidfd, signal) {
                // It has just ended.
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn ask_all_to_end(&mut self, signal: Signal) {
        self.cgroup.signal(signal);
        self.is_ending = true;
    }

    /// Passes a signal of the terminal on to processes that did not get it: those of other process groups.
    fn signal_background(&mut self, signal: Signal) {
        let own = getpgrp();
        for process in self.cgroup.processes().into_iter().filter_map(Pid::from_raw) {
            if getpgid(Some(process)).is_ok_and(|group| group != own) {
                let _ = kill_process(process, signal);
            }
        }
        self.is_ending = true;
    }
}

/// Waits until the process of a pidfd has ended.
async fn has_ended(pidfd: &AsyncFd<impl AsFd + std::os::fd::AsRawFd>) -> io::Result<()> {
    // It stays readable.
    pidfd.readable().await.map(drop)
}

async fn startup_ended(startup: &Startup, begin: Instant) {
    match startup {
        Startup::None => pending().await,
        Startup::After(time) => sleep_until(begin + *time).await,
        Startup::Line(copy) => copy.matched().await,
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// Returns an interval that begins now.
fn interval(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
