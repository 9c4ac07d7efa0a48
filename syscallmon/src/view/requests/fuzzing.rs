//! What `fuzz/` needs and nobody else: an owner of baselines without a kernel.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::{Request, Requester};
use crate::{detect::Baselines, view::View};

/// A way to ask, and the owner that does at once what is asked for, and publishes. The owner ends when nobody can
/// ask any more.
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
