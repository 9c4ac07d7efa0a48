//! Incidents: violations of one workload and one process tree within a short time, which are one alert.

mod collection;
mod message;
mod record;

pub use self::{
    collection::{IncidentTimes, Incidents, LastingIncident, SavedLastingIncident},
    message::{call_text, message},
    record::{Incident, IncidentNotice, IncidentState, MAX_CALLS, NewCall},
};
