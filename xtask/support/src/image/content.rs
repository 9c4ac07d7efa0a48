//! The content of an image, independent of its format: a file system, and the program to run.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::{arch::Arch, hash::sha256};

/// The creation time. Images have no real one, so that their bytes do not depend on the time.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// An image for one architecture.
pub struct Image {
    /// The architecture of the program.
    pub arch: Arch,
    /// The tar of its only layer.
    pub layer: Vec<u8>,
    /// The program, and arguments that are always set.
    pub entrypoint: Vec<String>,
    /// Default arguments.
    pub command: Vec<String>,
    /// Variables, as `NAME=VALUE`.
    pub environment: Vec<String>,
    /// Labels that registries and scanners show.
    pub labels: BTreeMap<String, String>,
}

impl Image {
    /// Returns the configuration, which is the same in both formats.
    pub(super) fn configuration(&self) -> Result<Vec<u8>> {
        let mut config = Map::new();
        for (key, list) in [("Env", &self.environment), ("Entrypoint", &self.entrypoint), ("Cmd", &self.command)] {
            if !list.is_empty() {
                config.insert(key.to_owned(), json!(list));
            }
        }
        config.insert("WorkingDir".to_owned(), json!("/"));
        if !self.labels.is_empty() {
            config.insert("Labels".to_owned(), json!(self.labels));
        }
        bytes(&json!({
            "architecture": self.arch.debian(),
            "os": "linux",
            "created": CREATED,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [digest(&self.layer)]},
            "history": [{"created": CREATED, "created_by": "cargo xtask image"}],
        }))
    }
}

/// Returns a digest in the format of registries.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

pub(super) fn bytes(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).context("cannot write JSON")
}
