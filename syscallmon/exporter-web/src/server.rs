//! The server as an exporter sees it: made from a file and limits, run over listeners until shutdown.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::{
    accept::Acceptor,
    connection::Connection,
    error::Error,
    limits::Limits,
    reload::{FileCheck, WatchedConfig},
    service::Service,
};

/// A web server that is configured but not yet running.
pub struct Server {
    source: WatchedConfig,
    limits: Limits,
}

impl Server {
    /// Loads the configuration file; without one the server is plain HTTP, open to all.
    ///
    /// # Errors
    ///
    /// The file or one that it names cannot be used: see [`super::WebConfig::load`]. Only here; once running, a bad
    /// file is a warning.
    pub fn new(config_path: Option<PathBuf>, limits: Limits) -> Result<Self, Error> {
        Ok(Self { source: WatchedConfig::new(config_path)?, limits })
    }

    /// Runs each check of the configuration's files by `run`, for exporters that bound or count file access. By default
    /// each check has a thread. The next check starts after the future of the last one is ready.
    #[must_use]
    pub fn check_files_with<F>(mut self, run: impl Fn(FileCheck) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.source.check_with(run);
        self
    }

    /// Serves `router` on all listeners until `shutdown` is cancelled, then lets requests in flight finish for
    /// [`Limits::shutdown_timeout`].
    pub async fn run(self, listeners: Vec<TcpListener>, router: Router, shutdown: CancellationToken) {
        let acceptor = Acceptor::new(listeners, &self.limits);
        let shutdown_timeout = self.limits.shutdown_timeout;
        let connection = Arc::new(self.connection(router, shutdown));
        let (tasks, abort) = (TaskTracker::new(), CancellationToken::new());
        // Dropping the acceptor closes the listeners, so clients learn at once that no server is there.
        connection.shutdown.run_until_cancelled(serve_all(acceptor, &connection, &tasks, &abort)).await;
        tasks.close();
        if timeout(shutdown_timeout, tasks.wait()).await.is_err() {
            warn!(connections = tasks.len(), "dropped web requests that did not finish in time");
            abort.cancel();
            tasks.wait().await;
        }
    }

    fn connection(self, router: Router, shutdown: CancellationToken) -> Connection {
        let source = Arc::new(self.source);
        let service = Service::new(Arc::clone(&source), router, &self.limits);
        Connection { source, service: Arc::new(service), limits: self.limits, shutdown }
    }
}

async fn serve_all(
    mut acceptor: Acceptor,
    connection: &Arc<Connection>,
    tasks: &TaskTracker,
    abort: &CancellationToken,
) {
    loop {
        let (stream, permit) = acceptor.accept().await;
        let (connection, abort) = (Arc::clone(connection), abort.clone());
        tasks.spawn(async move {
            let serve = permit.close.run_until_cancelled(connection.serve(stream, &permit));
            abort.run_until_cancelled(serve).await;
        });
    }
}
