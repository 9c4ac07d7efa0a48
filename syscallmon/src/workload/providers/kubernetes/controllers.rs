//! Asks the API server for the metadata of `ReplicaSet`s and Jobs that are controllers of this node's pods, one at a
//! time.
//!
//! It needs `get` of `replicasets.apps` and `jobs.batch`. A watch would need the same rights, and would transfer all
//! objects of the cluster to each node.

use std::{path::Path, time::Duration};

use http_body_util::LengthLimitError;
use kube::{
    Client, Config,
    core::{Request, params::GetParams},
};
use serde::Deserialize;
use tokio::time::timeout;

use super::{
    RequestLimits, client, configuration,
    failure::{cause, description},
    owner_reference::{OwnerReference, controller},
    pod::text,
};
use crate::workload::{
    owner::{ControllerAnswer, Reference},
    providers::ProviderError,
};

/// Deadline of an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks about controllers.
pub(in crate::workload::providers) struct Controllers {
    client: Client,
    timeout: Duration,
}

/// The used part of `PartialObjectMetadata`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Object {
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    uid: String,
    owner_references: Option<Vec<OwnerReference>>,
}

impl Controllers {
    /// Prepares requests with the service account of the pod or a kubeconfig.
    ///
    /// # Errors
    ///
    /// When the service account or the kubeconfig is not readable or not usable.
    pub(in crate::workload::providers) async fn connect(kubeconfig: Option<&Path>) -> Result<Self, ProviderError> {
        Self::with_limits(configuration(kubeconfig).await?, RequestLimits::CONTROLLERS, TIMEOUT).await
    }

    async fn with_limits(config: Config, limits: RequestLimits, timeout: Duration) -> Result<Self, ProviderError> {
        let client = client(config, limits, || {}).await?;
        Ok(Self { client, timeout })
    }

    /// Returns the API server's answer about a controller, with the problem if there is no answer. An answer from its
    /// cache may be some seconds old, and is cheap.
    pub(in crate::workload::providers) async fn ask(
        &self,
        reference: &Reference,
        from_cache: bool,
    ) -> (ControllerAnswer, Option<ProviderError>) {
        let Ok(answer) = timeout(self.timeout, self.get(reference, from_cache)).await else {
            return (ControllerAnswer::Failed, Some(ProviderError::Timeout(self.timeout)));
        };
        let error = match answer {
            Ok(text) => match serde_json::from_str::<Object>(&text) {
                Ok(object) => return (object.metadata.into(), None),
                Err(error) => {
                    return (
                        ControllerAnswer::Failed,
                        Some(ProviderError::answer("cannot understand a controller", &error)),
                    );
                }
            },
            Err(error) => error,
        };
        let answer = match &error {
            kube::Error::Api(status) if status.code == 404 => return (ControllerAnswer::Missing, None),
            kube::Error::Api(status) if status.code == 403 => ControllerAnswer::Forbidden,
            // The object is too long. The owner of its pods cannot be verified, and must not be waited for.
            error if cause::<LengthLimitError>(error).is_some() => ControllerAnswer::Missing,
            _ => ControllerAnswer::Failed,
        };
        (answer, Some(ProviderError::Answer(description(&error))))
    }

    async fn get(&self, reference: &Reference, from_cache: bool) -> kube::Result<String> {
        let resource = Request::new(reference.level.path(&reference.namespace));
        let parameters = if from_cache { GetParams::any() } else { GetParams::default() };
        let request = resource.get_metadata(&reference.name, &parameters).map_err(kube::Error::BuildRequest)?;
        self.client.request_text(request).await
    }
}

/// Interface for fuzz targets: the texts that are kept of an answer.
#[cfg(fuzzing)]
pub fn controller_texts(json: &str) -> Option<Vec<std::sync::Arc<str>>> {
    let object = serde_json::from_str::<Object>(json).ok()?;
    let ControllerAnswer::Found { uid, controller } = object.metadata.into() else { return None };
    let texts = controller.map(|controller| [controller.group, controller.kind, controller.name, controller.uid]);
    Some(texts.into_iter().flatten().chain([uid]).collect())
}

impl From<Metadata> for ControllerAnswer {
    fn from(metadata: Metadata) -> Self {
        let controller = metadata.owner_references.as_deref().and_then(controller);
        Self::Found { uid: text(&metadata.uid), controller }
    }
}
