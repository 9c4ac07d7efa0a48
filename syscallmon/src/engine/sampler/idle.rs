//! Serves requests before the first sample and after the last one.

use crate::{
    alert::Alerts,
    detect::Detector,
    view::{LastingState, Request, Requests},
};

/// Serves the requests that need no kernel, until `end`.
pub(super) async fn serve_idle(
    requests: &mut Requests,
    detector: &mut Detector,
    alerts: &Alerts,
    end: impl Future<Output = ()>,
) {
    let serve = async {
        while let Some(request) = requests.recv().await {
            match request {
                Request::Baselines(work) => work(detector.baselines_mut()),
                Request::Policies(policies, _) => {
                    if let Some(policies) = policies {
                        detector.set_policies(policies);
                    }
                }
                Request::Lasting(known, answer) => {
                    let _ = answer.send(LastingState::of(detector, alerts, known));
                }
                // Dropping the request answers it.
                Request::Refresh(_) | Request::Release(_) | Request::Configuration(_) | Request::Saved(..) => {}
            }
        }
    };
    tokio::select! { () = end => {}, () = serve => {} }
}
