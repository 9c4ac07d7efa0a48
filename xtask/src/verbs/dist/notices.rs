//! The licences of the code that the static binary contains beside syscallmon's own. Most of them must go with it.
//!
//! cargo-about does the same for crates only, and takes minutes to build.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use xtask_support::{arch::Arch, shell, workspace};

/// The beginnings of names of files with licences, in capitals.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];
/// What is linked, and is no crate.
const HEAD: &str = "\
The binary of syscallmon is linked with the C library of Debian (glibc, LGPL-2.1 or later) and Rust's standard library
(Apache-2.0 or MIT). The sources of glibc are in Debian's source package of that name. `cargo xtask dist` links the binary
anew, with any version of glibc.

It contains these crates, with their licences:

";

/// What `cargo metadata` prints, with only the used fields.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

/// `None` is the kind of dependencies that are linked.
#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Package {
    fn is_macro(&self) -> bool {
        self.targets.iter().any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }

    /// Returns the files with its licences. Of several that it can be used under, that of MIT is enough.
    fn licences(&self) -> Result<Vec<PathBuf>> {
        let dir = self.manifest_path.parent().context("a manifest is in a directory")?;
        let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
        let mut files: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        files.retain(|path| NAMES.iter().any(|beginning| name(path).starts_with(beginning)));
        files.sort_unstable();
        let has_choice = self.license.as_ref().is_some_and(|licence| licence.contains(" OR ") || licence.contains('/'));
        let mit: Vec<PathBuf> = files.iter().filter(|path| name(path).ends_with("MIT")).cloned().collect();
        Ok(if has_choice && !mit.is_empty() { mit } else { files })
    }
}

/// Returns the text for the binary of an architecture.
pub(crate) fn text(root: &Path, arch: Arch) -> Result<String> {
    let mut command = Command::new(workspace::cargo());
    command.current_dir(root).args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        &arch.target(),
    ]);
    let metadata = shell::query(&mut command, "cargo must be able to download all crates")?;
    render(&linked(&serde_json::from_str(&metadata).context("cannot understand cargo metadata")?)?)
}

/// Returns the crates of others that are linked, in order.
fn linked(metadata: &Metadata) -> Result<Vec<&Package>> {
    let packages: HashMap<&str, &Package> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let nodes: HashMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let own = metadata.packages.iter().find(|package| package.name == "syscallmon" && package.source.is_none());
    let mut todo = vec![own.context("the workspace has no syscallmon")?.id.as_str()];
    let mut seen = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if packages[id].is_macro() || !seen.insert(id) {
            continue;
        }
        let is_linked = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
        todo.extend(nodes[id].deps.iter().filter(is_linked).map(|dependency| dependency.pkg.as_str()));
    }
    let mut linked: Vec<&Package> = seen.iter().map(|id| packages[id]).filter(|p| p.source.is_some()).collect();
    linked.sort_unstable_by_key(|package| (&package.name, &package.version));
    Ok(linked)
}

/// Returns the list of the crates, and each text once, after the crates that have it.
fn render(packages: &[&Package]) -> Result<String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut text = HEAD.to_owned();
    for package in packages {
        let title = format!("{} {}", package.name, package.version);
        let licence = package.license.as_deref().with_context(|| format!("{title} names no licence"))?;
        writeln!(text, "    {title}: {licence}")?;
        for file in package.licences()? {
            let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            texts.entry(String::from_utf8_lossy(&bytes).trim().to_owned()).or_default().push(title.clone());
        }
    }
    ensure!(!texts.is_empty(), "no crate has a file with its licence");
    let mut texts: Vec<(Vec<String>, String)> = texts.into_iter().map(|(text, titles)| (titles, text)).collect();
    texts.sort_unstable();
    for (titles, licence) in texts {
        writeln!(text, "\n{}\n{}:\n\n{licence}", "-".repeat(80), titles.join(", "))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_in_the_binary_are_named_with_their_licences() {
        let text = text(&workspace::root(), Arch::native()).unwrap();
        for linked in ["    tokio 1.", "    ring 0.", "    aya 0."] {
            assert!(text.contains(linked), "{linked}");
        }
        // The first only tests use, the second is a macro, and the third is part of this project.
        for absent in ["    proptest ", "    serde_derive ", "    syscallmon-common "] {
            assert!(!text.contains(absent), "{absent}");
        }
        assert!(text.contains("Permission is hereby granted, free of charge"), "no text of MIT's licence");
        let home = workspace::cargo_home().unwrap();
        assert!(!text.contains(&*home.to_string_lossy()), "a path of this machine");
    }
}
