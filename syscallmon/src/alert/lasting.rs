//! Delivery that outlasts the daemon: what was sent, and what is still to be sent.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    RateLimit,
    record::{Content, Record, Suppressed, Worst},
    sink::{Alert, AlertState},
    throttle::LastAlert,
};
use crate::{
    detect::{
        Incident, IncidentState, NewCall, Severity,
        saved::{SavedCall, SavedIncident, SavedNewCall, SavedProcess, UnknownCall, age, moment},
    },
    fair_share::{Priority, Tenant},
    stable_id::StableId,
    workload::SavedWorkload,
};

/// Delivery at one moment.
#[derive(Clone, Debug, Default)]
pub struct LastingDelivery {
    /// The last alert of each incident.
    pub(super) sent: Vec<LastingAlert>,
    /// What each sink still has to deliver.
    pub(super) sinks: Vec<LastingSink>,
}

/// The last alert of an incident.
#[derive(Clone, Debug)]
pub(super) struct LastingAlert {
    pub(super) id: StableId,
    pub(super) tenant: Tenant,
    pub(super) priority: Priority,
    pub(super) last: LastAlert,
}

/// What a sink still has to deliver.
#[derive(Clone, Debug, Default)]
pub(super) struct LastingSink {
    pub(super) sink: String,
    pub(super) records: Vec<Record>,
    pub(super) alerts: Vec<Alert>,
}

impl LastingSink {
    fn saved(&self, now: Instant) -> impl Iterator<Item = SavedDelivery> {
        let waiting = self
            .records
            .iter()
            .map(|record| SavedDelivery::Waiting(SavedWaiting { sink: self.sink.clone(), record: record.into() }));
        let active = self.alerts.iter().map(move |alert| {
            SavedDelivery::Active(SavedAlert {
                sink: self.sink.clone(),
                record: (&alert.record).into(),
                starts_at: alert.starts_at,
                noticed: age(now.into_std(), alert.noticed.into_std()),
                state: alert.state,
                is_superseded: alert.is_superseded,
            })
        });
        waiting.chain(active)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.alerts.is_empty()
    }
}

/// A part of a [`LastingDelivery`], for serde.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case", deny_unknown_fields)]
pub enum SavedDelivery {
    /// The last alert of an incident.
    Sent(Box<SavedLastAlert>),
    /// A record that a sink has not delivered.
    Waiting(SavedWaiting),
    /// An alert that an Alertmanager has, or is to have.
    Active(SavedAlert),
}

/// The last alert of an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedLastAlert {
    id: StableId,
    tenant: (String, String),
    priority: Priority,
    sent: Duration,
    noticed: Duration,
    unsent: Option<SavedNewCall>,
    is_resolved: bool,
}

/// A record that a sink has not delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedWaiting {
    sink: String,
    record: SavedRecord,
}

/// An alert that an Alertmanager has, or is to have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedAlert {
    sink: String,
    record: SavedRecord,
    starts_at: SystemTime,
    noticed: Duration,
    state: AlertState,
    is_superseded: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedRecord {
    Incident(Box<SavedIncident>),
    Suppressed(Box<SavedSuppressed>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedSuppressed {
    state: IncidentState,
    last_seen: SystemTime,
    workload: SavedWorkload,
    policy: String,
    severity: Severity,
    count: u64,
    limit: (u32, Duration),
    worst: SavedWorst,
    tenant: (String, String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedWorst {
    policy: String,
    call: SavedCall,
    number: Option<u64>,
    denied: bool,
    process: Option<SavedProcess>,
}

impl LastingDelivery {
    /// Returns its parts. `now` is when it was taken.
    pub fn saved(&self, now: Instant) -> impl Iterator<Item = SavedDelivery> {
        let sent = self.sent.iter().map(move |alert| {
            let LastAlert { sent, noticed, unsent, is_resolved } = &alert.last;
            SavedDelivery::Sent(Box::new(SavedLastAlert {
                id: alert.id,
                tenant: names(&alert.tenant),
                priority: alert.priority,
                sent: age(now.into_std(), sent.into_std()),
                noticed: age(now.into_std(), noticed.into_std()),
                unsent: unsent.as_ref().map(SavedNewCall::from),
                is_resolved: *is_resolved,
            }))
        });
        sent.chain(self.sinks.iter().flat_map(move |sink| sink.saved(now)))
    }

    /// Adds a part. `node` is the name of this host, and `saved` is when the part was saved.
    ///
    /// # Errors
    ///
    /// When this version does not know a call.
    pub fn add(&mut self, part: SavedDelivery, node: &Arc<str>, saved: Instant) -> Result<(), UnknownCall> {
        let at = |age| Instant::from_std(moment(saved.into_std(), age));
        match part {
            SavedDelivery::Sent(saved) => {
                let SavedLastAlert { id, tenant, priority, sent, noticed, unsent, is_resolved } = *saved;
                let unsent = unsent.map(NewCall::try_from).transpose()?;
                let last = LastAlert { sent: at(sent), noticed: at(noticed), unsent, is_resolved };
                self.sent.push(LastingAlert { id, tenant: named(tenant), priority, last });
            }
            SavedDelivery::Waiting(SavedWaiting { sink, record }) => {
                let record = record.record(node)?;
                self.sink(sink).records.push(record);
            }
            SavedDelivery::Active(SavedAlert { sink, record, starts_at, noticed, state, is_superseded }) => {
                let record = record.record(node)?;
                let (noticed, next) = (at(noticed), saved);
                let alert = Alert { record, starts_at, noticed, next, state, is_superseded, sending: None };
                self.sink(sink).alerts.push(alert);
            }
        }
        Ok(())
    }

    /// Returns the incidents of all records, for sharing their parts.
    pub fn incidents_mut(&mut self) -> impl Iterator<Item = &mut Arc<Incident>> {
        let records = self.sinks.iter_mut().flat_map(|sink| {
            let active = sink.alerts.iter_mut().map(|alert| &mut alert.record);
            sink.records.iter_mut().chain(active)
        });
        records.filter_map(|record| match &mut record.content {
            Content::Incident(incident) => Some(incident),
            Content::Suppressed(_) => None,
        })
    }

    fn sink(&mut self, name: String) -> &mut LastingSink {
        let at = self.sinks.iter().position(|sink| sink.sink == name).unwrap_or_else(|| {
            self.sinks.push(LastingSink { sink: name, ..LastingSink::default() });
            self.sinks.len() - 1
        });
        &mut self.sinks[at]
    }

    /// Whether nothing was sent, and nothing is to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.sinks.iter().all(LastingSink::is_empty)
    }
}

fn names(tenant: &Tenant) -> (String, String) {
    (tenant.group().to_string(), tenant.member().to_string())
}

fn named((group, member): (String, String)) -> Tenant {
    Tenant::new(group.into(), member.into())
}

impl From<&Record> for SavedRecord {
    fn from(record: &Record) -> Self {
        match &record.content {
            Content::Incident(incident) => Self::Incident(Box::new((&**incident).into())),
            Content::Suppressed(suppressed) => {
                let Suppressed { state, last_seen, severity, count, limit, .. } = **suppressed;
                let Worst { policy, call, number, denied, process } = &suppressed.worst;
                Self::Suppressed(Box::new(SavedSuppressed {
                    state,
                    last_seen,
                    workload: (&suppressed.workload).into(),
                    policy: suppressed.policy.to_string(),
                    severity,
                    count,
                    limit: (limit.count, limit.period),
                    worst: SavedWorst {
                        policy: policy.to_string(),
                        call: (*call).into(),
                        number: *number,
                        denied: *denied,
                        process: process.as_ref().map(SavedProcess::from),
                    },
                    tenant: names(&suppressed.tenant),
                }))
            }
        }
    }
}

impl SavedRecord {
    fn record(self, node: &Arc<str>) -> Result<Record, UnknownCall> {
        let content = match self {
            Self::Incident(incident) => Content::Incident(Arc::new((*incident).try_into()?)),
            Self::Suppressed(saved) => {
                let SavedSuppressed { state, last_seen, workload, policy, severity, count, limit, worst, tenant } =
                    *saved;
                let SavedWorst { policy: worst_policy, call, number, denied, process } = worst;
                let worst = Worst {
                    policy: worst_policy.into(),
                    call: call.try_into()?,
                    number,
                    denied,
                    process: process.map(Into::into),
                };
                Content::Suppressed(Arc::new(Suppressed {
                    state,
                    last_seen,
                    workload: workload.into(),
                    policy: policy.into(),
                    severity,
                    count,
                    limit: RateLimit { count: limit.0, period: limit.1 },
                    worst,
                    tenant: named(tenant),
                }))
            }
        };
        Ok(Record { node: Arc::clone(node), content })
    }
}
