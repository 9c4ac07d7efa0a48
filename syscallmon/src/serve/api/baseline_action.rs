//! Actions on baselines, for the API and for the forms of the explorer.

use std::{sync::Arc, time::SystemTime};

use exporter_web::Caller;

use super::audit::Origin;
use crate::{
    detect::{Baseline, BaselineKey},
    view::Requester,
};

/// An action on a baseline.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) enum BaselineAction {
    Approve,
    Forget,
    Relearn,
}

impl BaselineAction {
    pub(in crate::serve) fn named(name: &str) -> Option<Self> {
        match name {
            "approve" => Some(Self::Approve),
            "forget" => Some(Self::Forget),
            "relearn" => Some(Self::Relearn),
            _ => None,
        }
    }

    /// Applies the action. Returns the baseline as it is afterwards, and the forgotten one for `forget`; `None` if the
    /// kind has none. The log names `through` as the way of the request.
    pub(in crate::serve) async fn apply(
        self,
        owner: &Requester,
        key: &BaselineKey,
        caller: &Caller,
        through: &str,
    ) -> Option<Arc<Baseline>> {
        let (of, now) = (key.clone(), SystemTime::now());
        let changed = owner.baselines(move |baselines| {
            let before = baselines.get(&of).cloned()?;
            match self {
                Self::Approve => baselines.approve(&of, now),
                Self::Forget => baselines.forget(&of),
                Self::Relearn => baselines.relearn(&of, now),
            };
            Some(baselines.get(&of).cloned().unwrap_or(before))
        });
        let baseline = changed.await??;
        let Origin { by, user, uid, address } = Origin::of(caller).await;
        tracing::info!(kind = %key, action = ?self, by, user, uid, address, "baseline changed through {through}");
        Some(baseline)
    }
}
