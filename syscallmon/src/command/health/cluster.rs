//! The daemons of a cluster: the state of their `DaemonSet`, and the addresses of their Service, from the API server.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use http::Request;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    error_report::chain,
    workload::{is_object_name, providers::connect_kubernetes},
};

/// Deadline of an answer.
const API_TIMEOUT: Duration = Duration::from_secs(10);
/// Name of the port in the Service.
const PORT: &str = "metrics";

/// A namespace and the name of an object in it.
#[derive(Clone, Debug)]
pub(super) struct ObjectName {
    namespace: String,
    name: String,
}

impl FromStr for ObjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').filter(|(namespace, name)| is_object_name(namespace) && is_object_name(name));
        let (namespace, name) = parts.ok_or_else(|| format!("{text:?} is not NAMESPACE/NAME"))?;
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The state of a `DaemonSet`, by its controller.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RolloutState {
    /// Nodes that run its pod, or must run it.
    pub(super) desired: u64,
    /// Nodes with a ready pod.
    ready: u64,
    /// Nodes with a pod of the newest version; `None` where only the user replaces pods.
    updated: Option<u64>,
    max_unavailable: u64,
    /// Whether the controller has seen the newest version.
    is_observed: bool,
}

impl RolloutState {
    fn of(set: &Value) -> Self {
        let number = |pointer: &str| set.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let desired = number("/status/desiredNumberScheduled");
        let is_rolling = set.pointer("/spec/updateStrategy/type").and_then(Value::as_str) == Some("RollingUpdate");
        let max_unavailable = set.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable");
        Self {
            desired,
            ready: number("/status/numberReady"),
            updated: is_rolling.then(|| number("/status/updatedNumberScheduled")),
            max_unavailable: max_unavailable.map_or(1, |value| scaled(value, desired)),
            is_observed: number("/status/observedGeneration") >= number("/metadata/generation"),
        }
    }

    /// Returns a sentence about it, if enough pods are ready.
    ///
    /// helm 3 expects all but `maxUnavailable` pods: on a single node, none. So at least one is required here, and
    /// that the newest version has begun, since pods of an older version may be ready.
    pub(super) fn judge(&self, every_pod: bool) -> Result<String> {
        let Self { desired, ready, updated, is_observed, .. } = *self;
        let max_unavailable = if every_pod { 0 } else { self.max_unavailable };
        ensure!(is_observed, "its controller has not seen the newest version yet");
        let text = format!("{ready} of {desired} pods are ready");
        ensure!(updated != Some(0) || desired == 0, "{text}, and no pod has the newest version");
        let least = desired.saturating_sub(max_unavailable).max(desired.min(1));
        ensure!(ready >= least, "{text}, {least} are required");
        Ok(text)
    }
}

/// Returns a number, or a percentage of `desired`, rounded up as by Kubernetes.
fn scaled(value: &Value, desired: u64) -> u64 {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<u64>().ok());
    percent.map_or_else(|| value.as_u64().unwrap_or(1), |percent| desired.saturating_mul(percent).div_ceil(100))
}

/// Returns the state of a `DaemonSet`.
pub(super) async fn state(daemonset: &ObjectName) -> Result<RolloutState> {
    let ObjectName { namespace, name } = daemonset;
    let set = get(&format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}")).await;
    Ok(RolloutState::of(&set.with_context(|| format!("DaemonSet {daemonset}"))?))
}

#[derive(Deserialize)]
struct Endpoints {
    #[serde(default)]
    subsets: Vec<Subset>,
}

#[derive(Deserialize)]
struct Subset {
    #[serde(default)]
    addresses: Vec<Address>,
    #[serde(default)]
    ports: Vec<Port>,
}

#[derive(Deserialize)]
struct Address {
    ip: String,
}

#[derive(Deserialize)]
struct Port {
    #[serde(default)]
    name: String,
    port: u16,
}

/// Returns the addresses of the ready pods of a Service.
pub(super) async fn addresses(service: &ObjectName) -> Result<Vec<SocketAddr>> {
    let ObjectName { namespace, name } = service;
    let endpoints = get(&format!("/api/v1/namespaces/{namespace}/endpoints/{name}")).await;
    endpoints.and_then(ready_addresses).with_context(|| format!("Service {service}"))
}

fn ready_addresses(endpoints: Value) -> Result<Vec<SocketAddr>> {
    let Endpoints { subsets } = serde_json::from_value(endpoints).context("cannot understand its Endpoints")?;
    let mut found = Vec::new();
    for Subset { addresses, ports } in subsets {
        for port in ports.iter().filter(|port| port.name == PORT) {
            for Address { ip } in &addresses {
                found.push(SocketAddr::new(ip.parse().with_context(|| format!("{ip:?} is no address"))?, port.port));
            }
        }
    }
    Ok(found)
}

/// Returns an object from the API server.
async fn get(path: &str) -> Result<Value> {
    let client = match connect_kubernetes(None).await {
        Ok(client) => client,
        Err(error) => bail!("cannot connect to the API server: {}", chain(&error)),
    };
    let request = Request::get(path).body(Vec::new())?;
    let answer = timeout(API_TIMEOUT, client.request::<Value>(request)).await.context("no answer of the API server")?;
    answer.map_err(|error| anyhow::anyhow!(chain(&error)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(desired: u64, [updated, ready]: [u64; 2], strategy: &Value) -> Value {
        json!({
            "metadata": {"generation": 2},
            "spec": {"updateStrategy": strategy},
            "status": {
                "observedGeneration": 2, "desiredNumberScheduled": desired, "updatedNumberScheduled": updated,
                "numberReady": ready,
            },
        })
    }

    fn rolling(max_unavailable: &Value) -> Value {
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": max_unavailable}})
    }

    #[test]
    fn a_set_needs_a_ready_pod_of_the_newest_version() {
        for (desired, counts, strategy, is_good) in [
            (1, [1, 1], rolling(&json!(1)), true),
            // For helm 3, no pod is enough.
            (1, [1, 0], rolling(&json!(1)), false),
            (1, [0, 1], rolling(&json!(1)), false),
            (3, [3, 2], rolling(&json!(1)), true),
            (3, [1, 1], rolling(&json!(1)), false),
            (3, [3, 1], rolling(&json!("50%")), true),
            (3, [3, 2], rolling(&json!("0%")), false),
            (3, [0, 1], json!({"type": "OnDelete"}), false),
            (3, [0, 2], json!({"type": "OnDelete"}), true),
            (0, [0, 0], rolling(&json!(1)), true),
        ] {
            let state = RolloutState::of(&set(desired, counts, &strategy));
            assert_eq!(
                state.judge(false).is_ok(),
                is_good,
                "{desired} {counts:?} {strategy}: {:?}",
                state.judge(false)
            );
            assert_eq!(state.judge(true).is_ok(), is_good && counts[1] == desired, "{desired} {counts:?} {strategy}");
        }
        let mut unseen = set(1, [1, 1], &rolling(&json!(1)));
        unseen["status"]["observedGeneration"] = 1.into();
        assert!(RolloutState::of(&unseen).judge(false).is_err());
    }

    #[test]
    fn addresses_are_those_of_ready_pods() {
        let endpoints = json!({"subsets": [
            {
                "addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                "notReadyAddresses": [{"ip": "10.0.0.9"}],
                "ports": [{"name": "other", "port": 1}, {"name": "metrics", "port": 9778}],
            },
            {"notReadyAddresses": [{"ip": "10.0.0.8"}], "ports": [{"name": "metrics", "port": 9778}]},
        ]});
        let addresses = ready_addresses(endpoints).unwrap();
        assert_eq!(addresses, ["10.0.0.1:9778".parse().unwrap(), "[fd00::1]:9778".parse().unwrap()]);
        assert_eq!(ready_addresses(json!({})).unwrap(), []);
    }
}
