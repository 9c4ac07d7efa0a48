//! Interface for fuzz targets: an owner of baselines without a kernel.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::{Request, Requester};
use crate::{detect::Baselines, view::View};

/// Returns a requester, and an owner that serves requests at once, and publishes. The owner ends when there are no more
/// requesters.
pub fn owner(
    baselines: Arc<Mutex<Baselines>>,
    first: View,
    publish: watch::Sender<Arc<View>>,
) -> (Requester, impl Future<Output = ()> + Send + 'static) {
    let (owner, mut requests) = Requester::new();
    let serve = async move {
        while let Some(request) = requests.recv().await {
            let mut baselines = baselines.lock().unwrap_or_else(PoisonError::into_inner);
            publish.send_replace(Arc::new(View { baselines: baselines.view(), ..first.clone() }));
            // The other requests end when they are dropped.
            if let Request::Baselines(work) = request {
                work(&mut baselines);
                publish.send_replace(Arc::new(View { baselines: baselines.view(), ..first.clone() }));
            }
        }
    };
    (owner, serve)
}
