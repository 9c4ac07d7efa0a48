//! Updates this node's pods in the cache, from the Kubernetes API.

use std::{path::PathBuf, sync::Arc};

use tokio::time::sleep;

use super::{Context, Provider, ProviderName, ProviderSettings, Report, kubernetes::Kubernetes};
use crate::retry::Backoff;
use crate::workload::MetadataCache;

/// A watch of the pods of a node.
pub(super) struct Pods {
    kubeconfig: Option<PathBuf>,
    node: String,
    cache: MetadataCache,
}

impl Provider for Pods {
    const NAME: ProviderName = ProviderName::Kubernetes;

    fn configured(context: &Context<'_>) -> Option<Self> {
        let Context { sources, cache, node } = *context;
        let pods = || Self { kubeconfig: sources.kubeconfig.clone(), node: node.to_owned(), cache: cache.clone() };
        sources.asks_kubernetes().then(pods)
    }

    fn is_awaited(sources: &ProviderSettings) -> bool {
        sources.asks_kubernetes()
    }

    async fn run(self) {
        let Self { kubeconfig, node, cache } = self;
        let report = Arc::new(Report::new(Self::NAME, cache.clone()));
        let answered = {
            let report = Arc::clone(&report);
            move || report.answered()
        };
        let mut backoff = Backoff::default();
        let kubernetes = loop {
            match Kubernetes::connect(kubeconfig.as_deref(), &node, answered.clone()).await {
                Ok(kubernetes) => break kubernetes,
                Err(error) => report.failed(&error),
            }
            sleep(backoff.failed(None)).await;
        };
        kubernetes.watch(|change| cache.pod_changed(change), |error| report.failed(&error)).await;
    }
}
