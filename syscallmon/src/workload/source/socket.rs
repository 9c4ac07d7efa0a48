//! Asks a runtime over its socket for the containers that somebody wants to know.

use std::{path::PathBuf, time::Duration};

use tokio::{
    net::UnixStream,
    time::{Instant, sleep, sleep_until},
};

use super::{FIRST_PAUSE, LAST_PAUSE, Report, SocketChoice, SourceError, SourceName, cri::Cri, engine::Engine};
use crate::workload::{ContainerFacts, ContainerId, Directory, runtimes::Api};

/// Most containers in one question.
const MOST: usize = 256;

/// Least time between two questions: what comes meanwhile is asked for together.
const PAUSE: Duration = Duration::from_millis(50);

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
            match self.choice.socket(self.api) {
                Some(socket) => self.ask_over(&socket).await,
                // Not installed, which is no problem.
                None => self.directory.remove_status(SourceName::of(self.api)),
            }
            sleep(RESCAN).await;
        }
    }

    /// Asks over this socket for as long as it is the one.
    async fn ask_over(&self, socket: &PathBuf) {
        let (source, mut wanted) = (SourceName::of(self.api), self.directory.wanted());
        let mut client = Client::new(self.api, socket.clone());
        let mut pause = FIRST_PAUSE;
        // Podman's is started by whoever connects.
        let mut is_known_to_be_there = self.api == Api::Podman;
        while self.choice.socket(self.api).as_ref() == Some(socket) {
            let answer = match self.directory.due(self.api, MOST) {
                Ok(ids) => client.look_up(&ids).await.map(|answer| self.directory.answered(source, &ids, answer)),
                Err(_) if !is_known_to_be_there => connect(socket).await,
                Err(next) => {
                    let next = next.map_or_else(|| Instant::now() + RESCAN, Instant::from_std);
                    tokio::select! {
                        () = wanted.changed() => {}
                        () = sleep_until(next) => {}
                    }
                    continue;
                }
            };
            is_known_to_be_there = answer.is_ok();
            match answer {
                Ok(()) => {
                    self.report.answered();
                    pause = FIRST_PAUSE;
                    sleep(PAUSE).await;
                }
                Err(error) => {
                    self.report.failed(&error);
                    sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }
}

/// Whether somebody listens.
async fn connect(socket: &PathBuf) -> Result<(), SourceError> {
    UnixStream::connect(socket).await.map(|_| ()).map_err(SourceError::Connect)
}

impl Client {
    fn new(api: Api, socket: PathBuf) -> Self {
        match api {
            Api::Cri => Self::Cri(Cri::new(socket)),
            Api::Docker => Self::Engine(Engine::docker(socket)),
            Api::Podman => Self::Engine(Engine::podman(socket)),
        }
    }

    async fn look_up(&mut self, ids: &[ContainerId]) -> Result<Vec<ContainerFacts>, SourceError> {
        match self {
            Self::Cri(cri) => cri.look_up(ids).await,
            Self::Engine(engine) => engine.look_up(ids).await,
        }
    }
}
