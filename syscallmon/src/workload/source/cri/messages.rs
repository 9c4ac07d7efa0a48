//! Messages of the CRI with the fields that are used, out of `k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`.
//!
//! `runtime.v1alpha2` has the same fields under the same tags. Fields that are not named here are skipped when decoding.
//! Requests without a filter have no fields, so they are `()`.

use std::collections::HashMap;

/// `VersionResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Version {
    /// `containerd`, `cri-o`.
    #[prost(string, tag = "2")]
    pub(super) runtime_name: String,
}

/// `ListContainersResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Containers {
    /// In every state.
    #[prost(message, repeated, tag = "1")]
    pub(super) containers: Vec<Container>,
}

/// `Container`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Container {
    /// 64 hexadecimal digits.
    #[prost(string, tag = "1")]
    pub(super) id: String,
    /// Which sandbox it is in.
    #[prost(string, tag = "2")]
    pub(super) pod_sandbox_id: String,
    /// As whoever made it named it.
    #[prost(message, optional, tag = "3")]
    pub(super) metadata: Option<ContainerMetadata>,
    /// What it was made from.
    #[prost(message, optional, tag = "4")]
    pub(super) image: Option<ImageSpec>,
    /// kubelet's, and those of the pod's author.
    #[prost(map = "string, string", tag = "8")]
    pub(super) labels: HashMap<String, String>,
}

/// `ContainerMetadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ContainerMetadata {
    /// Its name in the pod's specification.
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `ImageSpec`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ImageSpec {
    /// What the runtime was asked for: the image's id, when kubelet asks.
    #[prost(string, tag = "1")]
    pub(super) image: String,
    /// As the pod's specification has it; since Kubernetes 1.29.
    #[prost(string, tag = "18")]
    pub(super) user_specified_image: String,
}

/// `ListPodSandboxResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Sandboxes {
    /// In every state.
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<Sandbox>,
}

/// `PodSandbox`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Sandbox {
    /// Also the id of its pause container.
    #[prost(string, tag = "1")]
    pub(super) id: String,
    /// As whoever made it named it.
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<SandboxMetadata>,
    /// kubelet's, and those of the pod's author.
    #[prost(map = "string, string", tag = "5")]
    pub(super) labels: HashMap<String, String>,
}

/// `PodSandboxMetadata`: the pod's `ObjectMeta`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SandboxMetadata {
    /// The pod's name.
    #[prost(string, tag = "1")]
    pub(super) name: String,
    /// The pod's UID.
    #[prost(string, tag = "2")]
    pub(super) uid: String,
    /// The pod's namespace.
    #[prost(string, tag = "3")]
    pub(super) namespace: String,
}

/// `ListImagesResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Images {
    /// Every image on the node.
    #[prost(message, repeated, tag = "1")]
    pub(super) images: Vec<Image>,
}

/// `Image`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Image {
    /// `sha256:` and 64 hexadecimal digits; CRI-O leaves the prefix away.
    #[prost(string, tag = "1")]
    pub(super) id: String,
    /// Its names, such as `docker.io/library/nginx:1.27`.
    #[prost(string, repeated, tag = "2")]
    pub(super) repo_tags: Vec<String>,
    /// Its names by digest, such as `docker.io/library/nginx@sha256:...`: the only ones of an image that was pulled by digest.
    #[prost(string, repeated, tag = "3")]
    pub(super) repo_digests: Vec<String>,
}
