//! The format of `docker save`. `docker load`, `podman load` and `ctr images import` read it.

use anyhow::Result;
use serde_json::json;

use super::{
    content::{Image, bytes},
    layer,
};
use crate::hash::sha256;

/// Returns an image with this name.
///
/// # Errors
///
/// If the tar cannot be made.
pub fn archive(image: &Image, name: &str) -> Result<Vec<u8>> {
    let configuration = image.configuration()?;
    let config_name = format!("{}.json", sha256(&configuration));
    let layer_name = format!("{}/layer.tar", sha256(&image.layer));
    let manifest = json!([{"Config": config_name, "RepoTags": [name], "Layers": [layer_name]}]);
    layer::tar(&[
        (config_name, configuration),
        (layer_name, image.layer.clone()),
        ("manifest.json".to_owned(), bytes(&manifest)?),
    ])
}
