//! Asks a runtime over its socket for the containers that somebody wants to know.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    net::UnixStream,
    time::{Instant, sleep, sleep_until},
};

use super::{FIRST_PAUSE, LAST_PAUSE, Report, SocketChoice, SourceError, SourceName, cri::Cri, engine::Engine};
use crate::{
    blocking::{self, FILE_TIMEOUT, Work},
    workload::{ContainerFacts, ContainerId, Directory, runtimes::Api},
};

/// Most containers in one question. Docker and Podman are asked for one at a time: those that take long keep others waiting.
const MOST: usize = 256;
const MOST_OF_ENGINES: usize = 16;

/// Least time between two questions: what comes meanwhile is asked for together.
const PAUSE: Duration = Duration::from_millis(50);

/// A container that is known is asked for again, since it may have been renamed: not earlier than after this.
const RECHECK: Duration = Duration::from_secs(30);

/// How often to look whether a runtime that is not installed has come.
const RESCAN: Duration = Duration::from_secs(10);

/// A runtime that is asked.
pub(super) struct Socket {
    api: Api,
    choice: SocketChoice,
    directory: Directory,
    report: Report,
}

/// How a runtime is spoken to.
enum Client {
    Cri(Cri),
    Engine(Engine),
}

impl Socket {
    pub(super) fn new(api: Api, choice: SocketChoice, directory: Directory) -> Self {
        Self { api, choice, report: Report::new(SourceName::of(api), directory.clone()), directory }
    }

    /// Asks for ever.
    pub(super) async fn run(self) {
        loop {
            if let Some(socket) = self.find_socket().await {
                self.ask_over(&socket).await;
            }
            // Not installed, or another's socket: no problem.
            self.directory.remove_status(SourceName::of(self.api));
            sleep(RESCAN).await;
        }
    }

    /// The socket to connect to, if there is any now.
    async fn find_socket(&self) -> Option<PathBuf> {
        let (choice, api) = (self.choice.clone(), self.api);
        let key = SourceName::of(api).name();
        blocking::run(Work::Socket, key, FILE_TIMEOUT, move || choice.socket(api)).await.unwrap_or_default()
    }

    /// Asks for containers, which are then asked for again later, whatever the answer.
    async fn look_up(&self, client: &mut Client, ids: &[ContainerId]) -> Result<(), SourceError> {
        let answer = client.look_up(ids).await;
        let (facts, result) = match answer {
            Ok(facts) => (facts, Ok(())),
            // Others may come first the next time.
            Err(error @ SourceError::Timeout(_)) => (Vec::new(), Err(error)),
            Err(error) => return Err(error),
        };
        self.directory.answered(SourceName::of(self.api), ids, facts);
        result
    }

    /// How many containers that are known are asked for at once, and how long it is before more are. Podman is asked rarely: its
    /// service ends when nobody asks, and it works longer on an answer. The CRI has no way to rename a container.
    fn rechecks(&self) -> Option<(usize, Duration)> {
        match self.api {
            Api::Cri => None,
            Api::Docker => Some((4, Duration::from_secs(1))),
            Api::Podman => Some((16, Duration::from_mins(1))),
        }
    }

    /// Known containers to be asked for now. `next` is when there may be more.
    fn stale(&self, next: &mut Instant) -> Vec<ContainerId> {
        let Some((most, pause)) = self.rechecks() else { return Vec::new() };
        if *next > Instant::now() {
            return Vec::new();
        }
        *next = Instant::now() + pause;
        self.directory.stale(self.api, RECHECK, most)
    }

    /// Asks over this socket for as long as it is the one.
    async fn ask_over(&self, socket: &PathBuf) {
        let mut wanted = self.directory.wanted();
        let mut client = Client::new(self.api, socket.clone());
        let mut pause = FIRST_PAUSE;
        // Podman's is started by whoever connects.
        let mut is_known_to_be_there = self.api == Api::Podman;
        let most = if self.api == Api::Cri { MOST } else { MOST_OF_ENGINES };
        let mut next_recheck = Instant::now();
        while self.find_socket().await.as_ref() == Some(socket) {
            let answer = match self.directory.due(self.api, most) {
                Ok(ids) => self.look_up(&mut client, &ids).await,
                Err(_) if !is_known_to_be_there => client.check(socket).await,
                Err(next) => {
                    let stale = self.stale(&mut next_recheck);
                    if stale.is_empty() {
                        let next = next.map_or_else(|| Instant::now() + RESCAN, Instant::from_std);
                        let next = if self.rechecks().is_some() { next.min(next_recheck) } else { next };
                        tokio::select! {
                            () = wanted.changed() => {}
                            () = sleep_until(next) => {}
                        }
                        continue;
                    }
                    self.look_up(&mut client, &stale).await
                }
            };
            is_known_to_be_there = answer.is_ok();
            match answer {
                Ok(()) => {
                    self.report.answered();
                    pause = FIRST_PAUSE;
                    sleep(PAUSE).await;
                }
                // Such as containerd as Docker has it.
                Err(SourceError::Absent(_)) if self.choice == SocketChoice::Auto => return,
                Err(error) => {
                    self.report.failed(&error);
                    sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }
}

/// Connects; a path can be on a file system that hangs.
pub(super) async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let path = socket.to_owned();
    let connect = move || std::os::unix::net::UnixStream::connect(path);
    let stream = blocking::file(Work::Socket, &socket.to_string_lossy(), connect).await?;
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

impl Client {
    fn new(api: Api, socket: PathBuf) -> Self {
        match api {
            Api::Cri => Self::Cri(Cri::new(socket)),
            Api::Docker => Self::Engine(Engine::docker(socket)),
            Api::Podman => Self::Engine(Engine::podman(socket)),
        }
    }

    /// Whether it is there.
    async fn check(&mut self, socket: &Path) -> Result<(), SourceError> {
        match self {
            Self::Cri(cri) => cri.check().await,
            Self::Engine(_) => connect(socket).await.map(drop).map_err(SourceError::Connect),
        }
    }

    async fn look_up(&mut self, ids: &[ContainerId]) -> Result<Vec<ContainerFacts>, SourceError> {
        match self {
            Self::Cri(cri) => cri.look_up(ids).await,
            Self::Engine(engine) => engine.look_up(ids).await,
        }
    }
}
