//! Builds with bytes that depend only on the sources and the tools, and not on directories or the environment.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{shell, workspace};

/// Directories of a build. The built bytes do not depend on them.
#[derive(Debug)]
pub struct BuildDirs {
    /// The directory of the sources.
    pub root: PathBuf,
    /// Cargo's output directory.
    pub target_dir: PathBuf,
    /// Directory of cargo's downloads, if known.
    pub cargo_home: Option<PathBuf>,
}

impl BuildDirs {
    /// Returns directories with the `CARGO_HOME` of this process.
    #[must_use]
    pub fn new(root: &Path, target_dir: PathBuf) -> Self {
        Self { root: root.to_path_buf(), target_dir, cargo_home: workspace::cargo_home() }
    }

    /// Returns a cargo command without environment variables that could change the build. The caller adds the required
    /// ones.
    #[must_use]
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(workspace::cargo());
        for (key, _) in env::vars_os().filter(|(key, _)| is_disturbing(key)) {
            command.env_remove(key);
        }
        command.current_dir(&self.root).env("CARGO_INCREMENTAL", "0").env("CARGO_TARGET_DIR", &self.target_dir);
        command.envs(self.cargo_home.iter().map(|home| ("CARGO_HOME", home)));
        command
    }

    /// Returns flags for rustc that replace these directories by names that are the same everywhere.
    #[must_use]
    pub fn rustc_flags(&self) -> Vec<OsString> {
        self.renamings("--remap-path-prefix=")
    }

    /// Returns the same flags for gcc.
    #[must_use]
    pub fn gcc_flags(&self) -> Vec<OsString> {
        self.renamings("-ffile-prefix-map=")
    }

    /// Returns the flags. If several match, compilers use the last one.
    fn renamings(&self, flag: &str) -> Vec<OsString> {
        let registries = self.cargo_home.iter().map(|home| home.join("registry/src"));
        let registries = registries.flat_map(fs::read_dir).flatten().flatten().map(|entry| (entry.path(), "crates"));
        let own = [(self.root.clone(), "."), (self.target_dir.clone(), "target")];
        let word = |(dir, name): (PathBuf, &str)| -> OsString {
            [OsStr::new(flag), dir.as_os_str(), OsStr::new("="), OsStr::new(name)].into_iter().collect()
        };
        registries.chain(own).map(word).collect()
    }
}

fn is_disturbing(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    let names = ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_LOG", "RUSTC_BOOTSTRAP"];
    let prefixes = ["CARGO_ENCODED_", "CARGO_PROFILE_", "CARGO_BUILD_", "CARGO_PKG_", "CARGO_CFG_"];
    names.contains(&name.as_ref()) || prefixes.iter().any(|prefix| name.starts_with(prefix)) || is_for_c_compiler(&name)
}

/// Whether build scripts that compile C read the variable, such as `CC`, `HOST_CFLAGS`, `AR_x86_64_unknown_linux_gnu`.
fn is_for_c_compiler(name: &str) -> bool {
    let name = name.strip_prefix("HOST_").or_else(|| name.strip_prefix("TARGET_")).unwrap_or(name);
    ["CC", "CFLAGS", "CXX", "CXXFLAGS", "AR", "ARFLAGS", "RANLIB", "CRATE_CC_NO_DEFAULTS"]
        .iter()
        .any(|variable| name.strip_prefix(variable).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')))
}

/// Fails if a built file contains a path of this machine.
///
/// # Errors
///
/// If it contains one. The message names the path and the remedy.
pub fn refuse_paths(dirs: &BuildDirs, what: &str, bytes: &[u8]) -> Result<()> {
    let is_telling = |dir: &&PathBuf| dir.components().count() > 1;
    let home = env::var_os("HOME").map(PathBuf::from);
    let dirs = [Some(&dirs.root), Some(&dirs.target_dir), dirs.cargo_home.as_ref(), home.as_ref()];
    for dir in dirs.into_iter().flatten().filter(is_telling) {
        let path = dir.as_os_str().as_encoded_bytes();
        let found = bytes.windows(path.len()).any(|window| window == path);
        ensure!(!found, "{what} holds the path {}: rename it in xtask/support/src/reproducible.rs", dir.display());
    }
    Ok(())
}

/// Returns the time that archives have instead of that of the build, in Unix seconds: `SOURCE_DATE_EPOCH`, or the time
/// of the checked-out commit.
///
/// # Errors
///
/// If the variable is not a number, or the checkout has no commit.
pub fn source_date(root: &Path) -> Result<u64> {
    let date = if let Ok(date) = env::var("SOURCE_DATE_EPOCH") {
        date
    } else {
        let mut log = Command::new("git");
        log.current_dir(root).args(["log", "-1", "--format=%ct"]);
        shell::query(&mut log, "set SOURCE_DATE_EPOCH where there is no git repository")?
    };
    date.trim().parse().with_context(|| format!("{:?} is no time: mend SOURCE_DATE_EPOCH", date.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_cannot_change_the_build() {
        for name in [
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "CARGO_PROFILE_EBPF_LTO",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CC",
            "TARGET_CFLAGS",
            "AR_x86_64_unknown_linux_gnu",
        ] {
            assert!(is_disturbing(OsStr::new(name)), "{name}");
        }
        for name in ["CARGO_HOME", "PATH", "SYSCALLMON_BPF_OBJECT", "CCACHE", "ARCH"] {
            assert!(!is_disturbing(OsStr::new(name)), "{name}");
        }
    }

    fn dirs() -> BuildDirs {
        BuildDirs { root: "/a/checkout".into(), target_dir: "/a/checkout/target/x".into(), cargo_home: None }
    }

    #[test]
    fn path_of_this_machine_is_refused() {
        refuse_paths(&dirs(), "an object", b"./syscallmon-ebpf/src/main.rs").unwrap();
        let error = refuse_paths(&dirs(), "an object", b"\0/a/checkout/syscallmon-ebpf\0").unwrap_err();
        assert!(error.to_string().starts_with("an object holds the path /a/checkout: "), "{error}");
    }

    #[test]
    fn target_directory_in_the_checkout_has_a_name_of_its_own() {
        let expected = ["--remap-path-prefix=/a/checkout=.", "--remap-path-prefix=/a/checkout/target/x=target"];
        assert_eq!(dirs().rustc_flags(), expected);
        assert_eq!(dirs().gcc_flags()[1], "-ffile-prefix-map=/a/checkout/target/x=target");
    }
}
