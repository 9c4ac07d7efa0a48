//! Paths that documents name.

use std::{collections::HashSet, path::Path, process::Command};

/// Folders that a path in a document may begin at, besides the root of the repository. CONTRIBUTING.md and
/// ARCHITECTURE.md state them.
const BASES: [&str; 1] = ["syscallmon/src/"];

/// The parts of a text that are code, not in blocks of code: fences are three backticks.
pub(crate) fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether code in a text is the path of a source file or of a folder, such as `alert/throttle.rs` or `kernel/`.
pub(crate) fn is_path(span: &str) -> bool {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    let has_end = span.strip_suffix(".rs").or_else(|| span.strip_suffix('/')).is_some_and(|path| !path.is_empty());
    // `/proc/` is on the host, and `target/` is not committed.
    has_end && span.chars().all(is_of_path) && !span.starts_with(['/', '.']) && !span.starts_with("target/")
}

/// Files and folders of the repository; folders end in a slash.
pub(crate) struct Tree(pub(crate) HashSet<String>);

impl Tree {
    pub(crate) fn read(root: &Path) -> Self {
        let output = Command::new("git").current_dir(root).args(["ls-files"]).output().unwrap();
        Self::of(String::from_utf8(output.stdout).unwrap().lines())
    }

    /// Returns the tree of these files.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a str>) -> Self {
        let parts = |file: &'a str| {
            let folders = file.match_indices('/').map(move |(end, _)| file[..=end].to_owned());
            folders.chain([file.to_owned()])
        };
        Self(files.into_iter().flat_map(parts).collect())
    }

    /// Returns why a path is wrong: it begins neither at the root nor at a base, or at several.
    pub(crate) fn problem(&self, path: &str) -> Option<String> {
        let places = [""].iter().chain(&BASES).map(|base| format!("{base}{path}"));
        let found: Vec<String> = places.filter(|place| self.0.contains(place)).collect();
        match &found[..] {
            [_] => None,
            [] => Some(format!("there is no {path}, nor a {path} in {}", BASES.join(", "))),
            _ => Some(format!("{path} can be any of {}", found.join(", "))),
        }
    }
}
