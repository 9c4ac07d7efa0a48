//! The OCI's image layout in a tar: the format for registries, with several architectures under one name.
//!
//! `skopeo copy oci-archive:FILE docker://...` pushes it. `podman load` and `ctr images import` read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use super::{
    content::{Image, bytes, digest},
    layer,
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Returns images of one program for several architectures, under this name.
///
/// # Errors
///
/// If the tar cannot be made.
pub fn archive(images: &[Image], name: &str) -> Result<Vec<u8>> {
    let mut blobs = Blobs::default();
    let mut manifests = Vec::new();
    for image in images {
        let mut manifest = add_image(&mut blobs, image)?;
        manifest["platform"] = json!({"architecture": image.arch.debian(), "os": "linux"});
        manifests.push(manifest);
    }
    let labels = images.first().map(|image| &image.labels);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, "annotations": labels});
    let mut top = blobs.add(INDEX, bytes(&index)?);
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    top["annotations"] = json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag});
    let top = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]});
    let mut files = blobs.files;
    files.push(("index.json".to_owned(), bytes(&top)?));
    files.push(("oci-layout".to_owned(), bytes(&json!({"imageLayoutVersion": "1.0.0"}))?));
    layer::tar(&files)
}

/// Adds an image. Returns its entry for an index.
fn add_image(blobs: &mut Blobs, image: &Image) -> Result<Value> {
    let config = blobs.add(CONFIG, image.configuration()?);
    let layer = blobs.add(LAYER, gzip(&image.layer).context("cannot compress a layer")?);
    let annotations: &BTreeMap<String, String> = &image.labels;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer], "annotations": annotations,
    });
    Ok(blobs.add(MANIFEST, bytes(&manifest)?))
}

/// Files with names made from their contents.
#[derive(Default)]
struct Blobs {
    files: Vec<(String, Vec<u8>)>,
    names: BTreeSet<String>,
}

impl Blobs {
    /// Adds a file. Returns its descriptor, with which other files refer to it.
    fn add(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let (digest, size) = (digest(&content), content.len());
        let name = format!("blobs/{}", digest.replace(':', "/"));
        if self.names.insert(name.clone()) {
            self.files.push((name, content));
        }
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }
}

/// Compresses without the optional name and time of gzip.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}
