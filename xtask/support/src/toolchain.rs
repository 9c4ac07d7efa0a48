//! The eBPF toolchain: Debian's compiler, bpf-linker, and their versions. `setup` installs the toolchain.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{shell, workspace};

/// The compiler with a prebuilt `core` for bpfel-unknown-none. rustup's compiler has none.
pub const RUSTC: &str = "/usr/bin/rustc";
/// The supported bpf-linker versions, by the start of their version.
pub const LINKER_SERIES: &str = "0.13.";
/// The bpf-linker version that `setup` builds.
pub const LINKER_VERSION: &str = "0.13.0";

const SETUP: &str = "run `cargo xtask setup --for ebpf`";

/// The tools to build the eBPF objects.
#[derive(Debug)]
pub struct Toolchain {
    /// bpf-linker.
    pub linker: PathBuf,
    /// Directory of LLVM's programs.
    pub llvm_bin: PathBuf,
    /// The compiler's release, such as `1.96.0`.
    pub rustc_release: String,
    /// Versions on which a build's bytes depend.
    pub versions: Versions,
}

/// Versions of all tools on which a build's bytes depend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    /// First line of `rustc -vV`, with release and commit.
    pub rustc: String,
    /// The LLVM in the compiler.
    pub rustc_llvm: String,
    /// The LLVM of bpf-linker, which also rewrites the object.
    pub llvm: String,
    /// bpf-linker's version.
    pub bpf_linker: String,
    /// First line of `cargo -vV`.
    pub cargo: String,
}

impl Toolchain {
    /// Finds the toolchain.
    ///
    /// # Errors
    ///
    /// If a part is missing. The message ends with what to do.
    pub fn find(root: &Path) -> Result<Self> {
        let about = rustc_about()?;
        let rustc_llvm = about_field(&about, "LLVM version")?;
        let llvm_major = major(&rustc_llvm)?;
        let (linker, bpf_linker) = find_linker(root, llvm_major)
            .with_context(|| format!("no bpf-linker {LINKER_SERIES}x with LLVM {llvm_major}: {SETUP}"))?;
        let llvm_bin = PathBuf::from(format!("/usr/lib/llvm-{llvm_major}/bin"));
        let llvm = shell::query(Command::new(llvm_bin.join("llvm-config")).arg("--version"), SETUP)?;
        let cargo = shell::query(Command::new(workspace::cargo()).arg("--version"), "install Rust")?;
        let versions = Versions {
            rustc: first_line(&about),
            rustc_llvm,
            llvm: first_line(&llvm),
            bpf_linker,
            cargo: first_line(&cargo),
        };
        Ok(Self { linker, llvm_bin, rustc_release: about_field(&about, "release")?, versions })
    }
}

/// Returns the major version of the compiler's LLVM. bpf-linker's LLVM must have the same version.
///
/// # Errors
///
/// If there is no compiler.
pub fn llvm_major() -> Result<u32> {
    major(&about_field(&rustc_about()?, "LLVM version")?)
}

/// Returns a bpf-linker of the right series and LLVM, and its version.
#[must_use]
pub fn find_linker(root: &Path, llvm_major: u32) -> Option<(PathBuf, String)> {
    workspace::programs(root, "bpf-linker").find_map(|path| {
        let version = shell::query(Command::new(&path).arg("--version"), SETUP).ok()?;
        let version = version.trim().strip_prefix("bpf-linker ")?.to_owned();
        (version.starts_with(LINKER_SERIES) && has_llvm(&path, llvm_major)).then_some((path, version))
    })
}

/// Whether a program is linked with this LLVM version. bpf-linker does not report its LLVM, but the binary contains the
/// name of the library.
fn has_llvm(program: &Path, llvm_major: u32) -> bool {
    let names = [format!("libLLVM.so.{llvm_major}."), format!("libLLVM-{llvm_major}.so")];
    fs::read(program)
        .is_ok_and(|bytes| names.iter().any(|name| bytes.windows(name.len()).any(|window| window == name.as_bytes())))
}

fn rustc_about() -> Result<String> {
    shell::query(Command::new(RUSTC).arg("-vV"), SETUP)
}

fn about_field(about: &str, key: &str) -> Result<String> {
    let value = about.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    value.map(str::to_owned).with_context(|| format!("{RUSTC} -vV tells no {key}: {SETUP}"))
}

fn major(version: &str) -> Result<u32> {
    let digits = version.split('.').next().unwrap_or_default();
    digits.parse().with_context(|| format!("{version:?} is no LLVM version: {SETUP}"))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: &str = "rustc 1.96.0 (ac68faa20 2026-05-25)\nbinary: rustc\nrelease: 1.96.0\nLLVM version: 22.1.8\n";

    #[test]
    fn llvm_is_read_from_the_compilers_own_words() {
        assert_eq!(major(&about_field(ABOUT, "LLVM version").unwrap()).unwrap(), 22);
        assert_eq!(first_line(ABOUT), "rustc 1.96.0 (ac68faa20 2026-05-25)");
        let error = about_field("rustc 1\n", "release").unwrap_err();
        assert!(error.to_string().ends_with(SETUP));
    }

    #[test]
    fn linker_is_known_by_the_library_it_names() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"\x7fELF\0libLLVM.so.22.1\0").unwrap();
        assert!(has_llvm(file.path(), 22));
        assert!(!has_llvm(file.path(), 2));
        assert!(!has_llvm(file.path(), 21));
    }
}
