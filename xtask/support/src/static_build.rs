//! Builds programs for VMs and clusters: the daemon as in `dist`, the tests, and the programs with known calls that the
//! tests run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{arch::Arch, cross, shell};

/// The profile of the released binary, but with faster builds.
const PROFILE: &str = "vm";
const REMEDY: &str = "the compiler's message is above; `cargo xtask setup --for vm` installs what is missing";

/// The programs for one architecture.
#[derive(Debug, PartialEq, Eq)]
pub struct Built {
    /// syscallmon.
    pub daemon: PathBuf,
    /// The tests on the real kernel.
    pub tests: PathBuf,
    /// The program that makes known numbers of calls.
    pub known_calls: PathBuf,
    /// The program that starts containers like a runtime.
    pub known_runtime: PathBuf,
}

/// Builds the programs with this eBPF object, or with the committed one.
///
/// # Errors
///
/// If a program cannot be built.
pub fn build(root: &Path, arch: Arch, bpf_object: Option<&Path>) -> Result<Built> {
    let mut command = cross::cargo(&cross::build_dirs(root))?;
    command.args(["build", "--quiet", "--locked", "--package", "syscallmon", "--profile", PROFILE]);
    command.args(["--bin", "syscallmon", "--test", "kernel", "--example", "known_calls", "--example", "known_runtime"]);
    command.args(["--message-format", "json-render-diagnostics", "--target", &arch.target()]);
    command.envs(bpf_object.iter().map(|object| ("SYSCALLMON_BPF_OBJECT", object)));
    programs(&shell::output(&mut command, REMEDY)?)
}

/// One of cargo's messages, with only the used fields.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Finds the programs in cargo's messages.
fn programs(messages: &str) -> Result<Built> {
    let messages: Vec<Message> = messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let find = |kind: &str, name: &str| {
        let is_it = |target: &Target| target.name == name && target.kind.iter().any(|k| k == kind);
        let found =
            messages.iter().find(|message| message.executable.is_some() && message.target.as_ref().is_some_and(is_it));
        found.and_then(|message| message.executable.clone()).with_context(|| format!("cargo built no {kind} {name}"))
    };
    Ok(Built {
        daemon: find("bin", "syscallmon")?,
        tests: find("test", "kernel")?,
        known_calls: find("example", "known_calls")?,
        known_runtime: find("example", "known_runtime")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_kind_and_name() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"syscallmon"},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"syscallmon"},"executable":"/t/syscallmon"}
{"reason":"compiler-artifact","target":{"kind":["example"],"name":"known_calls"},"executable":"/t/examples/known_calls"}
{"reason":"compiler-artifact","target":{"kind":["example"],"name":"known_runtime"},"executable":"/t/examples/known_runtime"}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"kernel"},"executable":"/t/deps/kernel-1"}
{"reason":"build-finished","success":true}
"#;
        let expected = Built {
            daemon: "/t/syscallmon".into(),
            tests: "/t/deps/kernel-1".into(),
            known_calls: "/t/examples/known_calls".into(),
            known_runtime: "/t/examples/known_runtime".into(),
        };
        assert_eq!(programs(messages).unwrap(), expected);
        let error = programs("{\"reason\":\"build-finished\"}\n").unwrap_err();
        assert_eq!(error.to_string(), "cargo built no bin syscallmon");
    }
}
