//! An OCI image layout on disk with the profile as an artifact, as KEP-6061 of Kubernetes reads it.
//!
//! One layer has the plain JSON of the OCI runtime specification. The manifest's config and `artifactType` have the
//! media type of seccomp profiles. Push it with `oras cp --from-oci-layout DIRECTORY:TAG ...` or `skopeo copy`.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::json;

use super::{FormatError, ProfileFile, oci};
use crate::profile::{Plan, Provenance};

/// The media type of the artifact (KEP-6061).
const MEDIA_TYPE: &str = "application/vnd.cncf.seccomp-profile.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The tag of the only manifest.
const TAG: &str = "latest";

/// A descriptor (`descriptor.md` of the OCI image specification).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    digest: String,
    size: usize,
}

pub(super) fn write(plan: &Plan, provenance: &Provenance) -> Result<Vec<ProfileFile>, FormatError> {
    let mut files = Vec::new();
    let config = blob(&mut files, MEDIA_TYPE, b"{}".to_vec());
    let layer = blob(&mut files, MEDIA_TYPE, oci::write(plan, None)?.into_bytes());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": MEDIA_TYPE,
        "config": config,
        "layers": [layer],
        "annotations": {
            "org.opencontainers.image.created": provenance.generated,
            "syscallmon/provenance": serde_json::to_string(provenance)?,
        },
    });
    let manifest = blob(&mut files, MANIFEST, serde_json::to_vec_pretty(&manifest)?);
    let mut manifest = serde_json::to_value(manifest)?;
    manifest["artifactType"] = MEDIA_TYPE.into();
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": TAG});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]});
    files.push(ProfileFile { path: "index.json".into(), content: serde_json::to_vec_pretty(&index)? });
    files.push(ProfileFile { path: "oci-layout".into(), content: br#"{"imageLayoutVersion": "1.0.0"}"#.to_vec() });
    Ok(files)
}

/// Adds a blob. Returns its descriptor.
fn blob(files: &mut Vec<ProfileFile>, media_type: &'static str, content: Vec<u8>) -> Descriptor {
    let hash = digest(&SHA256, &content);
    let hash = hash.as_ref().iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"));
    let descriptor = Descriptor { media_type, digest: format!("sha256:{hash}"), size: content.len() };
    let path: PathBuf = Path::new("blobs/sha256").join(hash);
    files.push(ProfileFile { path, content });
    descriptor
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Format,
            tests::{evidence, write},
        },
        *,
    };
    use crate::seccomp::Profile;

    #[test]
    fn every_digest_and_size_is_that_of_its_blob() {
        let files = write(Format::Artifact, &evidence("web"));
        let content = |path: &str| &files.iter().find(|file| file.path == Path::new(path)).unwrap().content;
        let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        let blob = |descriptor: &serde_json::Value| {
            let hash = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = content(&format!("blobs/sha256/{hash}")).clone();
            assert_eq!(descriptor["size"], bytes.len());
            bytes
        };
        let index = json(content("index.json"));
        let manifest = json(&blob(&index["manifests"][0]));
        assert_eq!(manifest["config"]["mediaType"], MEDIA_TYPE);
        assert_eq!(blob(&manifest["config"]), b"{}");
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
        let layer = String::from_utf8(blob(&manifest["layers"][0])).unwrap();
        assert!(Profile::parse(&layer).is_ok() && !layer.contains("x-syscallmon"));
    }
}
