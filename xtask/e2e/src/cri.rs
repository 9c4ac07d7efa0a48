//! A client of the Container Runtime Interface (v1): runs pods as a kubelet would.
//!
//! Debian has no package of `crictl`, and the tests use only nine unary calls. The messages have only the used fields,
//! with the numbers of `cri-api/pkg/apis/runtime/v1/api.proto`.

use std::{collections::HashMap, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::{net::UnixStream, runtime::Runtime};
use xtask_support::hash::sha256;

/// The node's network (`NamespaceMode`).
const NODE: i32 = 2;
/// Length of the prefix of each gRPC message: a flag and the length.
const PREFIX: usize = 5;

/// A client. Each call opens a connection.
pub(crate) struct Cri {
    socket: PathBuf,
    runtime: Runtime,
}

/// The definition of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    /// Parent of its cgroups, such as `/kubepods/burstable/poduid`. If empty, the runtime's own directories.
    pub(crate) cgroup_parent: String,
    /// Labels besides those with the pod's names.
    pub(crate) labels: Vec<(String, String)>,
}

/// The definition of a container in a pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Container<'a> {
    pub(crate) name: &'a str,
    pub(crate) image: &'a str,
    pub(crate) command: &'a [&'a str],
    pub(crate) seccomp: Seccomp,
    /// Directories of the environment, and their paths in the container.
    pub(crate) mounts: &'a [(&'a str, &'a str)],
}

/// The seccomp profile of a container (`SecurityProfile.ProfileType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seccomp {
    /// The runtime's profile.
    RuntimeDefault = 0,
    /// No profile: the default of Kubernetes.
    Unconfined = 1,
}

impl Cri {
    /// Returns a client of the runtime that listens on this socket.
    pub(crate) fn new(socket: PathBuf) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        Ok(Self { socket, runtime: runtime.context("cannot start a runtime for gRPC")? })
    }

    /// Returns the runtime's name and version.
    pub(crate) fn version(&self) -> Result<String> {
        let version: VersionResponse = self.call("RuntimeService", "Version", &Empty {})?;
        Ok(format!("{} {}", version.runtime_name, version.runtime_version))
    }

    /// Starts a pod without containers. Returns its id.
    pub(crate) fn run_pod(&self, pod: &Pod) -> Result<String> {
        self.run_pod_with("", pod)
    }

    /// Does the same with this OCI runtime of the configuration.
    pub(crate) fn run_pod_with(&self, oci_runtime: &str, pod: &Pod) -> Result<String> {
        let request = RunPodSandboxRequest { config: Some(pod.config()), runtime_handler: oci_runtime.to_owned() };
        let response: RunPodSandboxResponse = self.call("RuntimeService", "RunPodSandbox", &request)?;
        Ok(response.pod_sandbox_id)
    }

    /// Starts a container in a pod with the defaults of Kubernetes. Returns its id.
    pub(crate) fn run_container(
        &self,
        pod: &Pod,
        pod_id: &str,
        name: &str,
        image: &str,
        command: &[&str],
    ) -> Result<String> {
        self.run(pod, pod_id, &Container { name, image, command, seccomp: Seccomp::Unconfined, mounts: &[] })
    }

    /// Starts a container in a pod. Returns its id.
    pub(crate) fn run(&self, pod: &Pod, pod_id: &str, container: &Container<'_>) -> Result<String> {
        let mut labels = pod.labels();
        labels.insert("io.kubernetes.container.name".to_owned(), container.name.to_owned());
        let seccomp = SecurityProfile { profile_type: container.seccomp as i32 };
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: container.name.to_owned() }),
            image: Some(ImageSpec { image: container.image.to_owned() }),
            command: container.command.iter().map(ToString::to_string).collect(),
            mounts: container.mounts.iter().map(Mount::new).collect(),
            labels,
            linux: Some(LinuxContainerConfig { security_context: Some(ContainerSecurity { seccomp: Some(seccomp) }) }),
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: pod_id.to_owned(),
            config: Some(config),
            sandbox_config: Some(pod.config()),
        };
        let created: CreateContainerResponse = self.call("RuntimeService", "CreateContainer", &request)?;
        let id = created.container_id;
        let _: Empty = self.call("RuntimeService", "StartContainer", &Id { id: id.clone() })?;
        Ok(id)
    }

    /// Runs a command in a container, and returns what it printed.
    pub(crate) fn exec(&self, container_id: &str, command: &[&str]) -> Result<String> {
        let command: Vec<String> = command.iter().map(ToString::to_string).collect();
        let request = ExecSyncRequest { container_id: container_id.to_owned(), command, timeout: 30 };
        let done: ExecSyncResponse = self.call("RuntimeService", "ExecSync", &request)?;
        let errors = String::from_utf8_lossy(&done.stderr);
        ensure!(done.exit_code == 0, "the command ended with {} in the container: {errors}", done.exit_code);
        String::from_utf8(done.stdout).context("the command printed something other than UTF-8")
    }

    /// Asks a container to end. The runtime kills it after this time.
    pub(crate) fn stop_container(&self, id: &str, seconds: u32) -> Result<()> {
        let request = StopContainerRequest { container_id: id.to_owned(), timeout: i64::from(seconds) };
        let _: Empty = self.call("RuntimeService", "StopContainer", &request)?;
        Ok(())
    }

    /// Removes a container, and ends it before if it runs.
    pub(crate) fn remove_container(&self, id: &str) -> Result<()> {
        let _: Empty = self.call("RuntimeService", "RemoveContainer", &Id { id: id.to_owned() })?;
        Ok(())
    }

    /// Stops a pod with its containers, and removes them.
    pub(crate) fn remove_pod(&self, id: &str) -> Result<()> {
        let id = Id { id: id.to_owned() };
        let _: Empty = self.call("RuntimeService", "StopPodSandbox", &id)?;
        let _: Empty = self.call("RuntimeService", "RemovePodSandbox", &id)?;
        Ok(())
    }

    fn call<A: Message + Default>(&self, service: &str, method: &str, request: &impl Message) -> Result<A> {
        let path = format!("runtime.v1.{service}/{method}");
        let answer = self.runtime.block_on(self.unary(&path, request));
        let answer = answer.with_context(|| format!("{path} at {} failed", self.socket.display()))?;
        A::decode(answer).with_context(|| format!("cannot understand the answer of {path}"))
    }

    async fn unary(&self, path: &str, request: &impl Message) -> Result<Bytes> {
        let stream = UnixStream::connect(&self.socket).await.context("cannot connect: does the runtime run?")?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        tokio::select! {
            ended = connection => bail!("the connection ended: {ended:?}"),
            answer = exchange(sender, path, request) => answer,
        }
    }
}

/// Sends a request and reads the answer, according to gRPC.
async fn exchange(sender: h2::client::SendRequest<Bytes>, path: &str, message: &impl Message) -> Result<Bytes> {
    let request = Request::post(format!("http://localhost/{path}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers").body(())?;
    let (response, mut body) = sender.ready().await?.send_request(request, false)?;
    body.send_data(frame(message), true)?;
    let (head, mut body) = response.await?.into_parts();
    let mut answer = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        answer.put(part);
    }
    let trailers = body.trailers().await?;
    check_status(trailers.as_ref().unwrap_or(&head.headers))?;
    ensure!(answer.len() >= PREFIX, "the answer has {} bytes", answer.len());
    answer.advance(PREFIX);
    Ok(answer.freeze())
}

fn frame(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX + message.encoded_len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).expect("requests are small"));
    message.encode(&mut frame).expect("the buffer grows");
    frame.freeze()
}

fn check_status(headers: &HeaderMap) -> Result<()> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text("grpc-status") {
        "0" => Ok(()),
        status => bail!("status {status:?}: {}", text("grpc-message")),
    }
}

impl Pod {
    /// Returns a pod with a UID made from its names.
    pub(crate) fn named(namespace: &str, name: &str) -> Self {
        let hash = sha256(format!("{namespace}/{name}").as_bytes());
        Self::burstable(namespace, name, &format!("{}-0000-4000-8000-{}", &hash[..8], &hash[8..20]))
    }

    /// Returns a pod with these names, and with the cgroups of a burstable pod of the kubelet.
    pub(crate) fn burstable(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            uid: uid.to_owned(),
            cgroup_parent: format!("/kubepods/burstable/pod{uid}"),
            labels: Vec::new(),
        }
    }

    fn labels(&self) -> HashMap<String, String> {
        let names = [("name", &self.name), ("namespace", &self.namespace), ("uid", &self.uid)];
        let names = names.map(|(key, value)| (format!("io.kubernetes.pod.{key}"), value.clone()));
        names.into_iter().chain(self.labels.iter().cloned()).collect()
    }

    fn config(&self) -> PodSandboxConfig {
        let security = SandboxSecurity { namespace_options: Some(NamespaceOption { network: NODE }) };
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: self.name.clone(),
                uid: self.uid.clone(),
                namespace: self.namespace.clone(),
            }),
            labels: self.labels(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: self.cgroup_parent.clone(),
                security_context: Some(security),
            }),
        }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Empty {}

/// The id of a pod or a container. It is the first field of all requests that have one.
#[derive(Clone, PartialEq, Message)]
struct Id {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct VersionResponse {
    #[prost(string, tag = "2")]
    runtime_name: String,
    #[prost(string, tag = "3")]
    runtime_version: String,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct NamespaceOption {
    #[prost(int32, tag = "1")]
    network: i32,
}

#[derive(Clone, PartialEq, Message)]
struct SandboxSecurity {
    #[prost(message, optional, tag = "1")]
    namespace_options: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxPodSandboxConfig {
    #[prost(string, tag = "1")]
    cgroup_parent: String,
    #[prost(message, optional, tag = "2")]
    security_context: Option<SandboxSecurity>,
}

#[derive(Clone, PartialEq, Message)]
struct PodSandboxConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PodSandboxMetadata>,
    #[prost(map = "string, string", tag = "6")]
    labels: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    linux: Option<LinuxPodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    config: Option<PodSandboxConfig>,
    /// Name of the OCI runtime. If empty, the default one.
    #[prost(string, tag = "2")]
    runtime_handler: String,
}

#[derive(Clone, PartialEq, Message)]
struct RunPodSandboxResponse {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMetadata {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ImageSpec {
    #[prost(string, tag = "1")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerSecurity {
    #[prost(message, optional, tag = "15")]
    seccomp: Option<SecurityProfile>,
}

#[derive(Clone, PartialEq, Message)]
struct SecurityProfile {
    #[prost(int32, tag = "1")]
    profile_type: i32,
}

#[derive(Clone, PartialEq, Message)]
struct LinuxContainerConfig {
    #[prost(message, optional, tag = "2")]
    security_context: Option<ContainerSecurity>,
}

#[derive(Clone, PartialEq, Message)]
struct Mount {
    #[prost(string, tag = "1")]
    container_path: String,
    #[prost(string, tag = "2")]
    host_path: String,
}

impl Mount {
    fn new((host, container): &(&str, &str)) -> Self {
        Self { container_path: (*container).to_owned(), host_path: (*host).to_owned() }
    }
}

#[derive(Clone, PartialEq, Message)]
struct ContainerConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "2")]
    image: Option<ImageSpec>,
    #[prost(string, repeated, tag = "3")]
    command: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    mounts: Vec<Mount>,
    #[prost(map = "string, string", tag = "9")]
    labels: HashMap<String, String>,
    #[prost(message, optional, tag = "15")]
    linux: Option<LinuxContainerConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainerRequest {
    #[prost(string, tag = "1")]
    pod_sandbox_id: String,
    #[prost(message, optional, tag = "2")]
    config: Option<ContainerConfig>,
    #[prost(message, optional, tag = "3")]
    sandbox_config: Option<PodSandboxConfig>,
}

#[derive(Clone, PartialEq, Message)]
struct CreateContainerResponse {
    #[prost(string, tag = "1")]
    container_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct StopContainerRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(int64, tag = "2")]
    timeout: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ExecSyncRequest {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, repeated, tag = "2")]
    command: Vec<String>,
    #[prost(int64, tag = "3")]
    timeout: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ExecSyncResponse {
    #[prost(bytes = "vec", tag = "1")]
    stdout: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    stderr: Vec<u8>,
    #[prost(int32, tag = "3")]
    exit_code: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_framed_by_its_length() {
        assert_eq!(frame(&Id { id: "ab".to_owned() }).as_ref(), [0, 0, 0, 0, 4, 10, 2, b'a', b'b']);
    }

    #[test]
    fn failure_has_the_runtimes_message() {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", "5".parse().unwrap());
        headers.insert("grpc-message", "no such pod".parse().unwrap());
        assert_eq!(check_status(&headers).unwrap_err().to_string(), "status \"5\": no such pod");
        headers.insert("grpc-status", "0".parse().unwrap());
        check_status(&headers).unwrap();
    }

    #[test]
    fn pod_is_named_by_its_labels() {
        let mut pod = Pod::burstable("shop", "web", "u1");
        pod.labels.push(("app".to_owned(), "web".to_owned()));
        let config = pod.config();
        assert_eq!(config.labels["io.kubernetes.pod.namespace"], "shop");
        assert_eq!(config.labels["app"], "web");
        assert_eq!(config.linux.unwrap().cgroup_parent, "/kubepods/burstable/podu1");
    }
}
