//! Keeps in the directory the pods of this node, as the Kubernetes API has them.

use std::{path::PathBuf, sync::Arc};

use tokio::time::sleep;

use super::{Context, FIRST_PAUSE, LAST_PAUSE, Provider, Report, SourceName, Sources, kubernetes::Kubernetes};
use crate::workload::Directory;

/// A watch of the pods of a node.
pub(super) struct Pods {
    kubeconfig: Option<PathBuf>,
    node: String,
    directory: Directory,
}

impl Provider for Pods {
    const NAME: SourceName = SourceName::Kubernetes;

    fn configured(context: &Context<'_>) -> Option<Self> {
        let Context { sources, directory, node } = *context;
        let pods =
            || Self { kubeconfig: sources.kubeconfig.clone(), node: node.to_owned(), directory: directory.clone() };
        sources.asks_kubernetes().then(pods)
    }

    fn is_awaited(sources: &Sources) -> bool {
        sources.asks_kubernetes()
    }

    async fn run(self) {
        let Self { kubeconfig, node, directory } = self;
        let report = Arc::new(Report::new(Self::NAME, directory.clone()));
        let answered = {
            let report = Arc::clone(&report);
            move || report.answered()
        };
        let mut pause = FIRST_PAUSE;
        let kubernetes = loop {
            match Kubernetes::connect(kubeconfig.as_deref(), &node, answered.clone()).await {
                Ok(kubernetes) => break kubernetes,
                Err(error) => report.failed(&error),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        };
        kubernetes.watch(|change| directory.pod_changed(change), |error| report.failed(&error)).await;
    }
}
