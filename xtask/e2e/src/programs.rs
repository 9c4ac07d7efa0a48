//! Programs of one file each that run in environments. They are linked statically, so they require only a kernel.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use xtask_support::{hash::sha256, shell, workspace};

/// Returns the first process of every pod and every environment, which only waits.
pub(crate) fn pause() -> Result<PathBuf> {
    compiled("pause", "c", include_str!("programs/pause.c"), |source, output| {
        command("cc", &["-static", "-Os", "-s", "-o"], output, source)
    })
}

/// Returns a program that ends at once, and makes one call.
pub(crate) fn exit() -> Result<PathBuf> {
    without_libc("exit", include_str!("programs/exit.c"))
}

/// Returns a program that waits, and makes one call.
pub(crate) fn wait() -> Result<PathBuf> {
    without_libc("wait", include_str!("programs/wait.c"))
}

fn without_libc(name: &str, source: &str) -> Result<PathBuf> {
    compiled(name, "c", source, |source, output| {
        command("cc", &["-static", "-nostdlib", "-Os", "-s", "-o"], output, source)
    })
}

/// Returns a web server in Rust with threads.
///
/// # Errors
///
/// When it cannot be compiled.
pub fn web_server() -> Result<PathBuf> {
    rust("web_server", include_str!("programs/web_server.rs"))
}

/// Returns a program that makes unexpected calls.
pub(crate) fn offender() -> Result<PathBuf> {
    rust("offender", include_str!("programs/offender.rs"))
}

fn rust(name: &str, source: &str) -> Result<PathBuf> {
    compiled(name, "rs", source, |source, output| {
        let args = ["--edition=2024", "-Copt-level=2", "-Cstrip=symbols", "-Ctarget-feature=+crt-static", "-o"];
        command("rustc", &args, output, source)
    })
}

fn command(program: &str, args: &[&str], output: &Path, source: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(args).args([output, source].map(AsRef::<OsStr>::as_ref));
    command
}

/// Returns the program. Compiles it unless it is in the user's cache.
fn compiled(name: &str, language: &str, text: &str, compile: impl FnOnce(&Path, &Path) -> Command) -> Result<PathBuf> {
    let directories =
        workspace::cache_dir()?.join("programs").join(format!("{name}-{}", &sha256(text.as_bytes())[..16]));
    if !directories.exists() {
        let work = workspace::cache_work_dir()?;
        let prepared = work.path().join("program");
        fs::create_dir(&prepared).with_context(|| format!("cannot create {}", prepared.display()))?;
        let source = prepared.join(name).with_extension(language);
        fs::write(&source, text).with_context(|| format!("cannot write {}", source.display()))?;
        shell::query(&mut compile(&source, &prepared.join(name)), "run `cargo xtask setup --for e2e`")?;
        workspace::move_into_cache(&prepared, &directories)?;
    }
    Ok(directories.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_support::elf::Elf;

    #[test]
    fn programs_are_linked_statically() {
        for program in [pause(), exit(), wait(), web_server(), offender()].map(Result::unwrap) {
            let program = Elf::parse(&fs::read(&program).unwrap()).unwrap();
            assert!(!program.has_interpreter);
        }
    }
}
