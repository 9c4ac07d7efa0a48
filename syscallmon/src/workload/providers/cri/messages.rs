//! Messages of the CRI, reduced to used fields, from `k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`.
//!
//! `runtime.v1alpha2` has the same fields under the same tags. Decoding skips other fields. Requests without a filter
//! have no fields, so they are `()`.

use std::collections::HashMap;

use prost::Message;
use tonic::Status;

/// Maximum fields of an answer: one for each entry of its list, and one for each field of an entry. An empty entry
/// takes two bytes in an answer and some hundred in memory, so a limit on length alone does not limit memory. A
/// container of kubelet has about 20 fields, and a node has some thousand containers at most.
const MAX_FIELDS: usize = 1 << 18;

/// Decodes an answer with at most so many fields.
///
/// # Errors
///
/// When it has more, or is not such a message.
pub(super) fn decode<M: Message + Default>(answer: &[u8]) -> Result<M, Status> {
    if fields(answer, true) > MAX_FIELDS {
        return Err(Status::resource_exhausted(format!("an answer with more than {MAX_FIELDS} fields")));
    }
    M::decode(answer).map_err(|error| Status::internal(error.to_string()))
}

/// Counts the fields of a message and of its list, which is the first field of every answer. Stops at the limit, or
/// where decoding would fail.
fn fields(mut message: &[u8], is_answer: bool) -> usize {
    let mut count = 0;
    while count <= MAX_FIELDS
        && let Some((tag, content)) = next_field(&mut message)
    {
        count += 1;
        if is_answer && tag == 1 {
            count += fields(content, false);
        }
    }
    count
}

/// Splits a field off the beginning of a message: its tag, and its content if that has a length.
/// <https://protobuf.dev/programming-guides/encoding/>
fn next_field<'a>(message: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let key = varint(message)?;
    let length = match key & 7 {
        0 => varint(message).map(|_| 0)?,
        1 => 8,
        2 => usize::try_from(varint(message)?).ok()?,
        // A group has a start and an end; its fields are in between.
        3 | 4 => 0,
        5 => 4,
        _ => return None,
    };
    let (content, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some((key >> 3, content))
}

/// Splits a number off the beginning of a message.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let length = message.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let (bytes, rest) = message.split_at(length);
    *message = rest;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f)))
}

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
    /// Containers in every state.
    #[prost(message, repeated, tag = "1")]
    pub(super) containers: Vec<Container>,
}

/// `Container`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Container {
    /// 64 hexadecimal digits.
    #[prost(string, tag = "1")]
    pub(super) id: String,
    /// Its sandbox.
    #[prost(string, tag = "2")]
    pub(super) pod_sandbox_id: String,
    /// Name from its creator.
    #[prost(message, optional, tag = "3")]
    pub(super) metadata: Option<ContainerMetadata>,
    /// Its image.
    #[prost(message, optional, tag = "4")]
    pub(super) image: Option<ImageSpec>,
    /// Labels from kubelet and from the pod's author.
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
    /// Image in the request to the runtime: the image's id if kubelet asked.
    #[prost(string, tag = "1")]
    pub(super) image: String,
    /// Image in the pod's specification; since Kubernetes 1.29.
    #[prost(string, tag = "18")]
    pub(super) user_specified_image: String,
}

/// `ListPodSandboxResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Sandboxes {
    /// Sandboxes in every state.
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<Sandbox>,
}

/// `PodSandbox`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Sandbox {
    /// Also the id of its pause container.
    #[prost(string, tag = "1")]
    pub(super) id: String,
    /// Name from its creator.
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<SandboxMetadata>,
    /// Labels from kubelet and from the pod's author.
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
    /// `sha256:` and 64 hexadecimal digits. CRI-O omits the prefix.
    #[prost(string, tag = "1")]
    pub(super) id: String,
    /// Its names, such as `docker.io/library/nginx:1.27`.
    #[prost(string, repeated, tag = "2")]
    pub(super) repo_tags: Vec<String>,
    /// Its names by digest, such as `docker.io/library/nginx@sha256:...`: the only names of an image that was pulled by
    /// digest.
    #[prost(string, repeated, tag = "3")]
    pub(super) repo_digests: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::{super::connection::MAX_ANSWER_BYTES, *};

    /// Returns as many entries as fit into an answer, each with this content.
    fn full_of(entry: &[u8]) -> Vec<u8> {
        let entry = [&[0x0a, u8::try_from(entry.len()).unwrap()], entry].concat();
        entry.repeat(MAX_ANSWER_BYTES / entry.len())
    }

    fn refusal<M: Message + Default>(answer: &[u8]) -> String {
        decode::<M>(answer).err().unwrap().message().to_owned()
    }

    #[test]
    fn answers_that_would_take_much_memory_are_refused() {
        let one_tag_again_and_again = {
            let tags = [0x12, 0].repeat(MAX_ANSWER_BYTES / 2 - 10);
            let mut answer = vec![0x0a];
            prost::encode_length_delimiter(tags.len(), &mut answer).unwrap();
            [answer, tags].concat()
        };
        for answer in [full_of(&[]), full_of(&[0x12, 0]), full_of(&[0x42, 0, 0x42, 0]), one_tag_again_and_again] {
            assert!(refusal::<Containers>(&answer).contains("fields"));
            assert!(refusal::<Sandboxes>(&answer).contains("fields"));
            assert!(refusal::<Images>(&answer).contains("fields"));
        }
    }

    #[test]
    fn the_most_that_is_taken_takes_little_memory() {
        let answer = &full_of(&[])[..2 * MAX_FIELDS];
        let Containers { containers } = decode(answer).unwrap();
        assert_eq!(containers.len(), MAX_FIELDS);
        assert!(size_of_val(&*containers) <= 64 << 20, "{}", size_of_val(&*containers));
        assert!(decode::<Containers>(&full_of(&[])[..2 * MAX_FIELDS + 2]).is_err());
    }

    #[test]
    fn nothing_hides_behind_fields_that_nobody_knows() {
        let number = [0x10, 0xff, 0x01];
        let fixed = [&[0x11][..], &[0xff; 8], &[0x15], &[0xff; 4]].concat();
        let group = [0x13, 0x10, 0x01, 0x1a, 0x01, 0xff, 0x14];
        let long_key = [0x92, 0x80, 0x80, 0x00, 0x00];
        for (before, count) in [(&number[..], 1), (&fixed, 2), (&group, 4), (&long_key, 1)] {
            let answer = [before, &[0x0a, 0]].concat();
            assert_eq!(decode::<Containers>(&answer).unwrap().containers.len(), 1);
            assert_eq!(fields(&answer, true), count + 1);
            assert!(refusal::<Containers>(&[before, &full_of(&[])].concat()).contains("fields"));
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_refused_as_that() {
        for answer in
            [&b"\x0a"[..], b"\x0a\x02\xff\xff", b"\x0a\x01", b"\x0f", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
        {
            assert!(!refusal::<Containers>(answer).contains("fields"), "{answer:?}");
        }
    }
}
