//! Container images without a tool. They are made from scratch, and their bytes depend only on their contents.

mod content;
pub mod docker;
mod layer;
pub mod oci;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

pub use self::{content::Image, layer::Layer};
use crate::{arch::Arch, static_build};

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The search path for programs, as in most images.
pub const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Writes an image for this machine to a file, which environments can load. Its binary is that of the VMs, because it
/// builds quickly.
///
/// # Errors
///
/// If the binary cannot be built, or the file cannot be written.
pub fn for_this_machine(root: &Path, file: &Path) -> Result<()> {
    let daemon = static_build::build(root, Arch::native(), None)?.daemon;
    let binary = fs::read(&daemon).with_context(|| format!("cannot read {}", daemon.display()))?;
    let image = docker::archive(&of_binary(Arch::native(), &binary, &labels(root)?)?, &default_name())?;
    fs::write(file, image).with_context(|| format!("cannot write {}", file.display()))
}

/// Returns the default name of the image.
#[must_use]
pub fn default_name() -> String {
    format!("localhost/syscallmon:{VERSION}")
}

/// Returns the image of syscallmon, with this binary.
///
/// # Errors
///
/// If the binary is too large for a tar.
pub fn of_binary(arch: Arch, binary: &[u8], labels: &BTreeMap<String, String>) -> Result<Image> {
    Ok(Image {
        arch,
        layer: Layer::new().file("syscallmon", binary, 0o755)?.finish()?,
        entrypoint: vec!["/syscallmon".to_owned()],
        command: vec!["run".to_owned()],
        environment: vec![PATH.to_owned()],
        labels: labels.clone(),
    })
}

/// Returns labels that registries and scanners show.
///
/// # Errors
///
/// If the manifest of syscallmon cannot be parsed.
pub fn labels(root: &Path) -> Result<BTreeMap<String, String>> {
    let manifest =
        fs::read_to_string(root.join("syscallmon/Cargo.toml")).context("cannot read syscallmon/Cargo.toml")?;
    let manifest: toml::Table = manifest.parse().context("cannot understand syscallmon/Cargo.toml")?;
    let description =
        manifest["package"]["description"].as_str().context("syscallmon/Cargo.toml has no description")?;
    let labels = [
        ("title", "syscallmon"),
        ("description", description),
        ("version", VERSION),
        ("licenses", env!("CARGO_PKG_LICENSE")),
        ("source", env!("CARGO_PKG_REPOSITORY")),
    ];
    Ok(labels.map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.to_owned())).into())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use serde_json::Value;

    use super::*;
    use crate::{hash::sha256, workspace};

    fn image(arch: Arch) -> Image {
        of_binary(arch, format!("binary for {arch}").as_bytes(), &labels(&workspace::root()).unwrap()).unwrap()
    }

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut tar = tar::Archive::new(archive);
        let entries = tar.entries().unwrap().map(Result::unwrap);
        let file = |mut entry: tar::Entry<'_, &[u8]>| {
            assert_eq!(entry.header().mtime().unwrap(), 0);
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        };
        entries.map(file).collect()
    }

    fn parse(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    /// Returns the blob of a descriptor, after comparing its digest and size with the descriptor.
    fn blob<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let bytes = &files[&format!("blobs/sha256/{digest}")];
        assert_eq!(sha256(bytes), digest);
        assert_eq!(descriptor["size"].as_u64().unwrap(), bytes.len() as u64);
        bytes
    }

    #[test]
    fn what_docker_loads_fits_together() {
        let archive = docker::archive(&image(Arch::Amd64), "localhost/syscallmon:1").unwrap();
        let files = files(&archive);
        let manifest = &parse(&files["manifest.json"])[0];
        assert_eq!(manifest["RepoTags"][0], "localhost/syscallmon:1");
        let config = &files[manifest["Config"].as_str().unwrap()];
        assert_eq!(format!("{}.json", sha256(config)), manifest["Config"].as_str().unwrap());
        let layer = &files[manifest["Layers"][0].as_str().unwrap()];
        let config = parse(config);
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(layer)));
        assert_eq!(config["config"]["Entrypoint"][0], "/syscallmon");
        assert_eq!(config["config"]["Cmd"][0], "run");
        assert_eq!(config["config"]["Labels"]["org.opencontainers.image.licenses"], "Apache-2.0 OR MIT");
        assert_eq!(self::files(layer)["syscallmon"], b"binary for amd64");
    }

    #[test]
    fn index_leads_to_the_binaries_of_both_architectures() {
        let archive = oci::archive(&Arch::ALL.map(image), "localhost/syscallmon:1").unwrap();
        let files = files(&archive);
        let top = &parse(&files["index.json"])["manifests"][0];
        assert_eq!(top["annotations"]["org.opencontainers.image.ref.name"], "1");
        let index = parse(blob(&files, top));
        for (descriptor, arch) in index["manifests"].as_array().unwrap().iter().zip(Arch::ALL) {
            assert_eq!(descriptor["platform"]["architecture"], arch.debian());
            let manifest = parse(blob(&files, descriptor));
            let config = parse(blob(&files, &manifest["config"]));
            let mut layer = Vec::new();
            flate2::read::GzDecoder::new(blob(&files, &manifest["layers"][0])).read_to_end(&mut layer).unwrap();
            assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&layer)));
            assert_eq!(config["architecture"], arch.debian());
            assert_eq!(self::files(&layer)["syscallmon"], format!("binary for {arch}").as_bytes());
        }
        assert_eq!(files.keys().filter(|name| name.starts_with("blobs/")).count(), 7);
        assert_eq!(files["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
    }

    #[test]
    fn same_binary_makes_the_same_image() {
        let make = || oci::archive(&Arch::ALL.map(image), "a:1").unwrap();
        assert!(make() == make());
    }
}
