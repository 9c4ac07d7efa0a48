//! Decides whether an incident is sent, by what was sent before. Pure: the caller passes the time.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    RateLimit,
    lasting::LastingAlert,
    quota::Quota,
    record::{Content, Record, Suppressed},
};
use crate::{
    detect::{CallClass, Incident, IncidentNotice, IncidentState, NewCall, Severity, Violation},
    fair_share::{Capacity, FairShare},
    stable_id::StableId,
    workload::Workload,
};

/// Maximum incidents that are remembered.
const MAX_INCIDENTS: Capacity = Capacity::of_entries(16_384);
/// Maximum quotas.
const MAX_QUOTAS: Capacity = Capacity::of_entries(8192);
/// Interval of removing old state.
const SWEEP: Duration = Duration::from_mins(1);

/// Key of a quota. Severities have separate quotas, so a flood of harmless violations does not hide a critical one.
type QuotaKey = (Workload, Arc<str>, Severity);

#[derive(Debug)]
pub(super) struct AlertThrottle {
    node: Arc<str>,
    rate: RateLimit,
    repeat_interval: Duration,
    /// How long an incident without a notice is remembered.
    remember: Duration,
    /// The last alert of each incident.
    sent: FairShare<StableId, LastAlert>,
    quotas: FairShare<QuotaKey, Quota>,
    /// Shared by all workloads without room for a quota.
    overflow: Quota,
    suppressed: u64,
    swept: Instant,
}

/// Decision about a notice.
#[derive(Debug)]
pub(super) struct ThrottleDecision {
    pub(super) record: Record,
    /// Whether every sink gets it; otherwise only sinks with updates.
    pub(super) send: bool,
}

/// The last alert of an incident.
#[derive(Clone, Debug)]
pub(super) struct LastAlert {
    pub(super) sent: Instant,
    pub(super) noticed: Instant,
    /// The worst of its calls that were not sent because of the rate.
    pub(super) unsent: Option<NewCall>,
    pub(super) is_resolved: bool,
}

impl AlertThrottle {
    /// Incidents resolve after `resolve_after`.
    pub(super) fn new(
        node: Arc<str>,
        rate: RateLimit,
        (repeat_interval, resolve_after): (Duration, Duration),
        now: Instant,
    ) -> Self {
        let remember = repeat_interval.max(resolve_after.saturating_mul(2));
        let (sent, quotas) = (FairShare::new(MAX_INCIDENTS), FairShare::new(MAX_QUOTAS));
        let overflow = Quota::new(rate, repeat_interval);
        Self { node, rate, repeat_interval, remember, sent, quotas, overflow, suppressed: 0, swept: now }
    }

    /// Returns what outlasts the daemon. Quotas do not: after a restart, each is full.
    pub(super) fn lasting(&self) -> Vec<LastingAlert> {
        let sent = self.sent.entries().map(|(tenant, priority, &id, last)| LastingAlert {
            id,
            tenant: tenant.clone(),
            priority,
            last: last.clone(),
        });
        sent.collect()
    }

    /// Takes over what an earlier daemon sent.
    pub(super) fn take_over(&mut self, sent: Vec<LastingAlert>) {
        for LastingAlert { id, tenant, priority, last } in sent {
            self.sent.put(tenant, priority, id, last, 1);
        }
    }

    /// Number of suppressed new violations.
    pub(super) fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Decides about a notice. A summary for each quota stands for what is not sent.
    pub(super) fn note(&mut self, notice: IncidentNotice, now: Instant) -> Vec<ThrottleDecision> {
        self.sweep(now);
        let IncidentNotice { incident, news } = notice;
        match self.sent.get_mut(&incident.id) {
            Some(known) if incident.state == IncidentState::Resolved => {
                let send = !std::mem::replace(&mut known.is_resolved, true);
                if send { vec![self.decision(incident, IncidentState::Resolved, true)] } else { Vec::new() }
            }
            None if incident.state == IncidentState::Resolved => Vec::new(),
            Some(known) => {
                known.noticed = now;
                let is_growth = news.iter().any(|new| new.is_new);
                let calls = news.into_iter().filter(|_| is_growth).chain(known.unsent.take()).collect();
                self.note_known(incident, calls, now)
            }
            None => self.note_unknown(incident, news, now),
        }
    }

    /// Decides about an incident that was sent before; `calls` were not sent.
    fn note_known(&mut self, incident: Arc<Incident>, calls: Vec<NewCall>, now: Instant) -> Vec<ThrottleDecision> {
        let (id, has_grown) = (incident.id, !calls.is_empty());
        let is_due = self.sent.get(&id).is_some_and(|known| now.duration_since(known.sent) >= self.repeat_interval);
        let send = is_due || self.take(&calls, now);
        let mut decisions = if send { Vec::new() } else { self.suppress(&incident, &calls, now) };
        if let Some(known) = self.sent.get_mut(&id) {
            if send {
                (known.sent, known.is_resolved) = (now, false);
            } else {
                let worst = calls
                    .into_iter()
                    .max_by_key(|NewCall { violation, .. }| (violation.severity, violation.class().rank()));
                known.unsent = worst.map(|call| NewCall { is_new: false, ..call });
            }
        }
        let state = if has_grown { IncidentState::Grown } else { IncidentState::Repeated };
        decisions.push(self.decision(incident, state, send));
        decisions
    }

    /// Decides about an incident that was not sent so far.
    fn note_unknown(
        &mut self,
        incident: Arc<Incident>,
        mut calls: Vec<NewCall>,
        now: Instant,
    ) -> Vec<ThrottleDecision> {
        if calls.is_empty() {
            // It was suppressed, and continues.
            calls.extend(incident.calls.first().map(|call| NewCall { violation: Arc::clone(call), is_new: false }));
        }
        if !self.take(&calls, now) {
            return self.suppress(&incident, &calls, now);
        }
        // An incident that was evicted may be sent again.
        let sent = LastAlert { sent: now, noticed: now, unsent: None, is_resolved: false };
        self.sent.put(incident.tenant(), incident.severity.into(), incident.id, sent, 1);
        vec![self.decision(incident, IncidentState::New, true)]
    }

    fn decision(&self, mut incident: Arc<Incident>, state: IncidentState, send: bool) -> ThrottleDecision {
        if incident.state != state {
            Arc::make_mut(&mut incident).state = state;
        }
        ThrottleDecision { record: Record { node: Arc::clone(&self.node), content: Content::Incident(incident) }, send }
    }

    /// Takes the room for one alert about these calls, the worst first. Any of them suffices, because the alert has all
    /// of them.
    fn take(&mut self, calls: &[NewCall], now: Instant) -> bool {
        let mut asked: Vec<(QuotaKey, CallClass)> = Vec::new();
        calls.iter().any(|NewCall { violation, .. }| {
            let source = (quota_key(violation), violation.class());
            let is_first = !asked.contains(&source);
            is_first && {
                asked.push(source);
                self.quota(violation).take(violation.class(), now)
            }
        })
    }

    /// Counts calls that are not sent. Returns their summaries.
    fn suppress(&mut self, incident: &Incident, calls: &[NewCall], now: Instant) -> Vec<ThrottleDecision> {
        let mut sources: Vec<&Arc<Violation>> = Vec::new();
        for NewCall { violation, is_new } in calls {
            self.quota(violation).suppress(violation, *is_new);
            self.suppressed += u64::from(*is_new);
            if sources.iter().all(|known| quota_key(known) != quota_key(violation)) {
                sources.push(violation);
            }
        }
        let summary = |violation: &Arc<Violation>| {
            let summary = self.quota(violation).summary(now)?;
            let (workload, policy, severity) = quota_key(violation);
            let content = Suppressed {
                state: if summary.first { IncidentState::New } else { IncidentState::Repeated },
                last_seen: violation.last_seen,
                workload,
                policy,
                severity,
                count: summary.count,
                limit: self.rate,
                worst: summary.worst,
                tenant: incident.tenant(),
            };
            let content = Content::Suppressed(Arc::new(content));
            Some(ThrottleDecision { record: Record { node: Arc::clone(&self.node), content }, send: summary.send })
        };
        sources.into_iter().filter_map(summary).collect()
    }

    /// Returns the quota of a violation.
    fn quota(&mut self, violation: &Violation) -> &mut Quota {
        let source = quota_key(violation);
        if !self.quotas.contains(&source) {
            let quota = Quota::new(self.rate, self.repeat_interval);
            self.quotas.put(violation.tenant(), violation.severity.into(), source.clone(), quota, 1);
        }
        self.quotas.get_mut(&source).unwrap_or(&mut self.overflow)
    }

    fn sweep(&mut self, now: Instant) {
        if now.duration_since(self.swept) >= SWEEP {
            self.swept = now;
            self.sent.retain(|_, sent| now.duration_since(sent.noticed) < self.remember);
            self.quotas.retain(|_, quota| !quota.is_full(now));
        }
    }
}

fn quota_key(violation: &Violation) -> QuotaKey {
    (violation.workload.clone(), Arc::clone(&violation.policy), violation.severity)
}
