//! A Kubernetes Event on the pod for each incident. Growth and repeats change the same Event.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use http::{Method, Request, StatusCode, header::CONTENT_TYPE};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;

use super::{DeliverOne, Sink, deliver_one_by_one};
use crate::{
    alert::{
        AlertConfig,
        description::description,
        http::{DeliveryError, beginning, judge},
        outbox::Outbox,
        record::{Content, Record},
    },
    detect::{Incident, IncidentState},
    error_report::chain,
    workload::{Label, is_object_name, providers::connect_kubernetes},
};

/// Deadline of a request.
const WHOLE: Duration = Duration::from_secs(10);
/// Limits of the API server for a message, and for a name.
const MESSAGE_BYTES: usize = 1024;
const POD_BYTES: usize = 200;

pub(super) struct KubernetesEvents {
    kubeconfig: Option<PathBuf>,
    client: Option<Client>,
}

impl KubernetesEvents {
    fn new(kubeconfig: Option<PathBuf>) -> Self {
        Self { kubeconfig, client: None }
    }

    async fn client(&mut self) -> Result<Client, DeliveryError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = connect_kubernetes(self.kubeconfig.as_deref()).await;
        Ok(self.client.insert(client.map_err(|error| DeliveryError::retry(chain(&error)))?).clone())
    }

    /// Creates the Event, or raises the count of the existing one.
    async fn send(&mut self, incident: &Incident, pod: &InvolvedPod<'_>, record: &Record) -> Result<(), DeliveryError> {
        let client = self.client().await?;
        let name = name(incident, pod);
        let path = format!("/api/v1/namespaces/{}/events", pod.namespace);
        let whole = event(&name, incident, pod, record);
        let created = request(&client, Method::POST, &path, "application/json", &whole).await?;
        if created != StatusCode::CONFLICT {
            return Ok(());
        }
        let keys = ["count", "lastTimestamp", "message"];
        let change: Value = keys.into_iter().map(|key| (key.to_owned(), whole[key].clone())).collect();
        let path = format!("{path}/{name}");
        request(&client, Method::PATCH, &path, "application/merge-patch+json", &change).await.map(drop)
    }
}

impl Sink for KubernetesEvents {
    const NAME: &'static str = "kubernetes_events";

    fn configured(config: &AlertConfig) -> Vec<Self> {
        if config.kubernetes_events { vec![Self::new(config.kubeconfig.clone())] } else { Vec::new() }
    }

    async fn run(self, outbox: Arc<Outbox>, shutdown: CancellationToken) {
        deliver_one_by_one(outbox, self, shutdown).await;
    }
}

impl DeliverOne for KubernetesEvents {
    async fn deliver(&mut self, record: &Record) -> Result<(), DeliveryError> {
        let Content::Incident(incident) = &record.content else { return Ok(()) };
        // Only incidents of pods have an Event. The end of an incident changes nothing in it.
        let Some(pod) = InvolvedPod::of(incident).filter(|_| incident.state != IncidentState::Resolved) else {
            return Ok(());
        };
        let sent = timeout(WHOLE, self.send(incident, &pod, record)).await;
        let sent =
            sent.unwrap_or_else(|_| Err(DeliveryError::retry(format!("no answer within {} s", WHOLE.as_secs()))));
        if sent.is_err() {
            // A new client reads the certificates again.
            self.client = None;
        }
        sent
    }
}

/// The pod of an Event.
struct InvolvedPod<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: Option<&'a str>,
    container: Option<&'a str>,
}

impl<'a> InvolvedPod<'a> {
    fn of(incident: &'a Incident) -> Option<Self> {
        let label = |label| incident.metadata.get(label).map(AsRef::as_ref);
        let (namespace, name) = (label(Label::Namespace)?, label(Label::Pod)?);
        // They become part of a path. Names in Kubernetes have no other characters.
        let (uid, container) = (label(Label::PodUid), label(Label::Container));
        (is_object_name(namespace) && is_object_name(name)).then_some(Self { namespace, name, uid, container })
    }
}

/// Returns the same name for the same incident.
fn name(incident: &Incident, pod: &InvolvedPod<'_>) -> String {
    let name = &pod.name[..pod.name.len().min(POD_BYTES)];
    format!("{}.{}", name.trim_end_matches(['-', '.']), incident.id)
}

fn event(name: &str, incident: &Incident, pod: &InvolvedPod<'_>, record: &Record) -> Value {
    let time = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
    let mut message = record.message();
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES - 1));
    message.push('\n');
    let room = MESSAGE_BYTES - message.len();
    message.push_str(&description(record, room));
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": pod.namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": pod.namespace,
            "name": pod.name,
            "uid": pod.uid,
            "fieldPath": pod.container.map(|container| format!("spec.containers{{{container}}}")),
        },
        "type": "Warning",
        "reason": "UnexpectedSyscall",
        "message": message,
        "count": i32::try_from(incident.count).unwrap_or(i32::MAX),
        "firstTimestamp": time(incident.started),
        "lastTimestamp": time(incident.last_seen.max(incident.started)),
        "source": {"component": "syscallmon", "host": &*record.node},
    })
}

/// Sends a request. A conflict is an answer as well.
async fn request(
    client: &Client,
    method: Method,
    path: &str,
    content_type: &str,
    body: &Value,
) -> Result<StatusCode, DeliveryError> {
    let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, content_type);
    let request = request.body(body.to_string().into_bytes().into());
    let request = request.map_err(|error| DeliveryError::Refused(error.to_string()))?;
    let response = client.send(request).await.map_err(|error| DeliveryError::retry(chain(&error)))?;
    let (parts, body) = response.into_parts();
    let said = beginning(body).await;
    if parts.status != StatusCode::CONFLICT {
        judge(parts.status, &parts.headers, &said)?;
    }
    Ok(parts.status)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::{
        alert::tests::{Answer, Received, Server, incident, record, record_of, violation},
        detect::Violation,
        syscalls::Call,
    };

    fn kubeconfig(server: &Server) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let uri = server.uri("");
        write!(file, "{{current-context: c, contexts: [{{name: c, context: {{cluster: k, user: u}}}}], ").unwrap();
        write!(file, "clusters: [{{name: k, cluster: {{server: '{uri}'}}}}], users: []}}").unwrap();
        file
    }

    #[tokio::test]
    async fn an_event_is_made_once_and_counts_what_comes_again() {
        let server =
            Server::start([Answer::Status(201, "{}"), Answer::Status(409, "{}"), Answer::Status(200, "{}")]).await;
        let kubeconfig = kubeconfig(&server);
        let mut events = KubernetesEvents::new(Some(kubeconfig.path().into()));
        events.deliver(&record(violation("web", "mount"))).await.unwrap();
        events.deliver(&record(Violation { count: 7, ..violation("web", "mount") })).await.unwrap();
        let requests = server.requests();
        let body = |index: usize| serde_json::from_str::<Value>(&requests[index].body).unwrap();
        let name = body(0)["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(name.starts_with("web-1."), "{name}");
        let lines: Vec<&str> = requests.iter().map(Received::line).collect();
        let path = "/api/v1/namespaces/shop/events";
        assert_eq!(lines, [format!("POST {path}"), format!("POST {path}"), format!("PATCH {path}/{name}")]);
        let involved = &body(0)["involvedObject"];
        assert_eq!(involved["uid"], "11111111-2222-3333-4444-555555555555");
        assert_eq!(involved["fieldPath"], "spec.containers{web}");
        assert_eq!((&body(0)["type"], &body(0)["reason"]), (&"Warning".into(), &"UnexpectedSyscall".into()));
        assert_eq!(body(2)["count"], 7);
        assert_eq!(body(2).as_object().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn what_the_api_server_forbids_is_refused_and_the_rest_is_tried_again() {
        for (status, is_refused) in [(403, true), (404, true), (429, false), (500, false)] {
            let server = Server::start([Answer::Status(status, "{}")]).await;
            let kubeconfig = kubeconfig(&server);
            let failure =
                KubernetesEvents::new(Some(kubeconfig.path().into())).deliver(&record(violation("web", "mount"))).await;
            assert_eq!(matches!(failure, Err(DeliveryError::Refused(_))), is_refused, "{status}: {failure:?}");
            assert!(failure.is_err());
        }
    }

    #[tokio::test]
    async fn what_is_in_no_pod_makes_no_event() {
        let mut events = KubernetesEvents::new(Some("/nonexistent".into()));
        let metadata = crate::workload::Labels::default();
        assert_eq!(events.deliver(&record(Violation { metadata, ..violation("web", "mount") })).await, Ok(()));
    }

    #[test]
    fn a_long_event_fits() {
        let mut long = violation("web", "mount");
        if let Some(process) = &mut long.process {
            process.command_line = Some(vec!["\u{e9}".repeat(4000)]);
        }
        let calls = ["mount", "unshare", "ptrace", "bpf", "setns", "reboot", "keyctl", "swapon", "swapoff", "umount2"];
        let calls = calls.map(|syscall| Call { abi: "x86_64", syscall });
        let long = incident(calls.map(|call| Violation { call, ..long.clone() }));
        let namespace = "n".repeat(63);
        let name_of_pod = "p".repeat(253);
        let pod = InvolvedPod { namespace: &namespace, name: &name_of_pod, uid: None, container: None };
        let name = name(&long, &pod);
        assert!(name.len() <= 253, "{name}");
        let event = event(&name, &long, &pod, &record_of(long.clone()));
        let message = event["message"].as_str().unwrap();
        assert!(message.len() <= 1024, "{}", message.len());
        assert!(message.starts_with("shop/web-1/web: sh (child of nginx) made 10 unexpected calls: mount, unshare, "));
        assert!(message.contains("more calls, none of them worse"), "{message}");
    }
}
