//! The archive: one directory with the binary and files for packagers and administrators.
//!
//! Its bytes depend only on its contents. It has no times and no owners, and names are in order.

use std::{collections::BTreeMap, fs, io::Write, path::Path};

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};

/// Files that the archive has under their own names.
const FILES: [&str; 7] = [
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "METRICS.md",
    "README.md",
    "deploy/syscallmon.yaml",
    "deploy/systemd/syscallmon.service",
];
/// Directories that the archive contains completely.
const DIRS: [&str; 2] = ["deploy/completions", "deploy/man"];

/// The file with the licences of what the binary contains.
const NOTICES: &str = "THIRD-PARTY-LICENSES";

/// Contents and mode, by name.
pub(crate) type Entries = BTreeMap<String, (Vec<u8>, u32)>;

/// Packs the binary and the documents of the checkout, as a gzipped tar.
pub(super) fn pack(root: &Path, directory: &str, binary: &[u8], notices: &str) -> Result<Vec<u8>> {
    let mut entries = documents(root)?;
    entries.insert(NOTICES.to_owned(), (notices.into(), 0o644));
    entries.insert("syscallmon".to_owned(), (binary.to_vec(), 0o755));
    pack_entries(directory, &entries)
}

/// Packs these files, as a gzipped tar.
pub(crate) fn pack_entries(directory: &str, entries: &Entries) -> Result<Vec<u8>> {
    gzip(&tar(directory, entries).context("cannot make the archive")?).context("cannot compress the archive")
}

fn documents(root: &Path) -> Result<Entries> {
    let mut entries = Entries::new();
    let mut add = |path: &Path, name: &str| -> Result<()> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        entries.insert(name.to_owned(), (bytes, 0o644));
        Ok(())
    };
    for file in FILES {
        add(&root.join(file), last_part(file))?;
    }
    for dir in DIRS {
        let path = root.join(dir);
        let found = fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))?;
        for file in found {
            let file = file.with_context(|| format!("cannot list {}", path.display()))?;
            add(&file.path(), &format!("{}/{}", last_part(dir), file.file_name().to_string_lossy()))?;
        }
    }
    ensure!(entries.len() > FILES.len(), "no man pages, no completions: run `cargo xtask docs`");
    Ok(entries)
}

fn last_part(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, last)| last)
}

fn tar(directory: &str, entries: &Entries) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut append = |kind, name: &str, bytes: &[u8], mode| -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_username("root")?;
        header.set_groupname("root")?;
        Ok(tar.append_data(&mut header, format!("{directory}/{name}"), bytes)?)
    };
    append(EntryType::Directory, "", &[], 0o755)?;
    let mut parent = "";
    for (name, (bytes, mode)) in entries {
        if let Some((dir, _)) = name.rsplit_once('/').filter(|&(dir, _)| dir != parent) {
            append(EntryType::Directory, &format!("{dir}/"), &[], 0o755)?;
            parent = dir;
        }
        append(EntryType::Regular, name, bytes, *mode)?;
    }
    Ok(tar.into_inner()?)
}

/// Compresses without the optional name and time of gzip.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    fn listing(archive: &[u8]) -> Vec<String> {
        let mut tar = tar::Archive::new(GzDecoder::new(archive));
        let entries = tar.entries().unwrap().map(Result::unwrap);
        let line = |entry: &tar::Entry<'_, GzDecoder<&[u8]>>| {
            let header = entry.header();
            let owner = (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
            assert_eq!(owner, (0, 0, 0));
            format!("{:o} {}", header.mode().unwrap(), entry.path().unwrap().display())
        };
        entries.map(|entry| line(&entry)).collect()
    }

    #[test]
    fn archive_has_one_directory_with_names_in_order() {
        let root = xtask_support::workspace::root();
        let archive = pack(&root, "syscallmon-1", b"binary", "notices").unwrap();
        let names = listing(&archive);
        assert_eq!(
            names[..3],
            ["755 syscallmon-1/", "644 syscallmon-1/CHANGELOG.md", "644 syscallmon-1/LICENSE-APACHE"]
        );
        for expected in [
            "755 syscallmon-1/completions/",
            "644 syscallmon-1/THIRD-PARTY-LICENSES",
            "644 syscallmon-1/completions/_syscallmon",
            "644 syscallmon-1/man/syscallmon-run.1",
            "755 syscallmon-1/syscallmon",
            "644 syscallmon-1/syscallmon.service",
            "644 syscallmon-1/syscallmon.yaml",
        ] {
            assert!(names.iter().any(|name| name == expected), "{expected}: {names:?}");
        }
        assert_eq!(archive, pack(&root, "syscallmon-1", b"binary", "notices").unwrap());
    }

    #[test]
    fn binary_comes_out_as_it_went_in() {
        let archive = pack(&xtask_support::workspace::root(), "d", b"binary", "notices").unwrap();
        let mut tar = tar::Archive::new(GzDecoder::new(archive.as_slice()));
        let mut entry =
            tar.entries().unwrap().map(Result::unwrap).find(|e| e.path().unwrap().ends_with("syscallmon")).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"binary", "notices");
    }
}
