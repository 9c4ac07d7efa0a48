//! Where `top` gets its samples: the API of a running daemon, or the same API inside this process, without a socket.

use anyhow::{Context, Result, bail};
use axum::{Router, body::Body};
use http::{Method, Request};
use http_body_util::BodyExt;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tower::ServiceExt;

use super::sample::{IncidentEntry, NewCallEntry, OpenWorkload, Sample, WorkloadsPage};
use crate::command::daemon::Daemon;

/// Maximum new calls and incidents that are shown.
pub(super) const MAX_ENTRIES: usize = 500;

/// What answers.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A running daemon.
    Daemon(Box<Daemon>),
    /// The pages of this process.
    Own(Router),
}

/// What a sample needs besides the workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) new_calls: bool,
    /// Whether new calls of starts are wanted, too.
    pub(super) starts: bool,
    /// The id of the workload that is open.
    pub(super) open: Option<String>,
}

#[derive(Deserialize)]
struct Envelope {
    data: Option<Value>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct CallsPage {
    calls: Vec<NewCallEntry>,
}

#[derive(Deserialize)]
struct IncidentsPage {
    incidents: Vec<IncidentEntry>,
}

impl Source {
    /// Asks for a sample.
    ///
    /// # Errors
    ///
    /// When the daemon does not answer, or answers what is not its API.
    pub(super) async fn sample(&self, wanted: &Wanted) -> Result<Sample> {
        let mut sample = Sample::default();
        let (mut cursor, mut first_calls) = (String::new(), Vec::new());
        loop {
            let path = format!("/api/v1/workloads?detail=rates&limit=2000{cursor}");
            let page: WorkloadsPage = self.get(&path).await?;
            (sample.time, sample.problems) = (page.snapshot_time, page.problems());
            sample.counting_since = page.counting_since;
            first_calls.extend(page.first_calls);
            sample.workloads.extend(page.workloads);
            match page.next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        if wanted.new_calls {
            let others = if wanted.starts { "" } else { "&during_start=false" };
            let page: CallsPage = self.get(&format!("/api/v1/calls?limit={MAX_ENTRIES}{others}")).await?;
            sample.new_calls = Some(NewCallEntry::completed(page.calls, &first_calls));
        }
        let page: IncidentsPage = self.get(&format!("/api/v1/incidents?limit={MAX_ENTRIES}")).await?;
        sample.incidents = page.incidents;
        if let Some(id) = wanted.open.as_ref().filter(|id| sample.workloads.iter().any(|entry| entry.id == **id)) {
            sample.open = Some(self.get::<OpenWorkload>(&format!("/api/v1/workloads/{id}")).await?);
        }
        Ok(sample)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let data = match self {
            Self::Daemon(daemon) => daemon.ask(Method::GET, path).await?,
            Self::Own(router) => own(router, path).await?,
        };
        serde_json::from_value(data)
            .with_context(|| format!("unexpected answer to {path}: is the daemon as new as this command?"))
    }
}

/// Returns the answer of the pages in this process.
async fn own(router: &Router, path: &str) -> Result<Value> {
    let request = Request::builder().uri(path).body(Body::empty())?;
    let response = router.clone().oneshot(request).await?;
    let body = response.into_body().collect().await?.to_bytes();
    match serde_json::from_slice(&body)? {
        Envelope { data: Some(data), error: None } => Ok(data),
        Envelope { error, .. } => bail!(error.unwrap_or_else(|| "the answer has no data".to_owned())),
    }
}
