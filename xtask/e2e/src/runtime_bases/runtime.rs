//! One version of a container runtime: starts containers and processes in them, and tells whether their program began.

use std::{
    fs::{self, File, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use syscallmon_testkit::{Guarded, interrupt};
use xtask_support::shell;

use super::{
    inside::Inside,
    roots::Root,
    spec::{self, EXIT, PAUSE, Profile, Settings},
};
use crate::{directories::Directories, programs};

/// Maximum time of a start. One without the calls that it needs may wait for ever.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time from `start` to the program's first instruction. `start` itself may return earlier.
const TIME_TO_EXECVE: Duration = Duration::from_secs(3);
const PAUSE_BETWEEN_LOOKS: Duration = Duration::from_millis(2);
/// The time between `create` and `start`, in which other threads of the runtime make calls, too.
const TIME_BEFORE_START: Duration = Duration::from_millis(15);
/// Where a runtime keeps its files.
const STATE: &str = "/run/runtime";

/// A program that implements the OCI runtime specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Runc,
    Crun,
}

impl Program {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }
}

/// An installed runtime.
pub(super) struct Runtime {
    inside: Inside,
    program: Program,
    version: String,
    log: PathBuf,
    next: AtomicU32,
}

/// A container with a program that waits, for processes that are started in it.
pub(super) struct Waiting {
    id: String,
    settings: Settings,
}

impl Runtime {
    /// Enters the root, and prepares the file system of the containers.
    pub(super) fn start(root: &Root, program: Program, directories: &Directories) -> Result<Self> {
        let inside = Inside::start(&root.path)?;
        for dir in ["dev", "home", "proc"] {
            let dir = inside.file(&format!("/tmp/rootfs/{dir}"));
            fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        for (name, file) in [(EXIT, programs::exit()?), (PAUSE, programs::wait()?)] {
            let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let to = format!("/tmp/rootfs{name}");
            inside.write(&to, content)?;
            fs::set_permissions(inside.file(&to), Permissions::from_mode(0o755)).context("cannot set permissions")?;
        }
        let mut command = inside.command(program.name());
        let output = shell::query(command.arg("--version").stdout(Stdio::piped()), "the package must be complete")?;
        let version = version(&output).with_context(|| format!("{} printed {output:?}", program.name()))?;
        let log = directories.logs.join(format!("{}-{version}.log", program.name()));
        Ok(Self { inside, program, version, log, next: AtomicU32::new(0) })
    }

    pub(super) fn program(&self) -> Program {
        self.program
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Returns the file with the runtime's messages.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// Runs a container with a program that ends at once. Returns whether it did.
    pub(super) fn run(&self, host: &str, settings: Settings, profile: &Profile) -> Result<bool> {
        let id = self.prepare(host, settings, EXIT, profile)?;
        let is_ok = self.call_in(settings.has_terminal, &["run", "--bundle", &bundle(&id), &id])?;
        if !is_ok {
            self.delete(&id)?;
        }
        self.forget(&id)?;
        Ok(is_ok)
    }

    /// Creates a container and starts it later, as containerd does. Returns whether its program began.
    pub(super) fn create_and_start(&self, host: &str, settings: Settings, profile: &Profile) -> Result<bool> {
        let id = self.prepare(host, settings, PAUSE, profile)?;
        let began = self.created(&id)? && {
            thread::sleep(TIME_BEFORE_START);
            self.call(&["start", &id])? && self.began(&id)?
        };
        self.delete(&id)?;
        self.forget(&id)?;
        Ok(began)
    }

    /// Runs a container with a program that waits.
    pub(super) fn wait(&self, host: &str, settings: Settings) -> Result<Waiting> {
        let id = self.prepare(host, settings, PAUSE, &Profile::without(None))?;
        let is_ok = self.created(&id)? && self.call(&["start", &id])? && self.began(&id)?;
        ensure!(is_ok, "a container that waits does not start");
        for settings in [settings, settings.with_terminal()] {
            let process = spec::process(settings, EXIT).to_string();
            self.inside.write(&process_file(&id, settings.has_terminal), process)?;
        }
        Ok(Waiting { id, settings })
    }

    /// Gives a running container another host name.
    pub(super) fn rename(&self, waiting: &Waiting, host: &str) -> Result<()> {
        let pid = self.pid(&waiting.id)?;
        let mut command = self.inside.command("/busybox");
        shell::query(command.args(["nsenter", "-t", &pid, "-u", "/busybox", "hostname", host]), "see the log")?;
        Ok(())
    }

    /// Starts another program in the container, which ends at once. Returns whether it did.
    pub(super) fn exec(&self, waiting: &Waiting) -> Result<bool> {
        self.call(&["exec", "--process", &process_file(&waiting.id, false), &waiting.id])
    }

    /// Does the same with a terminal.
    pub(super) fn exec_with_terminal(&self, waiting: &Waiting) -> Result<bool> {
        self.call_in(true, &["exec", "--process", &process_file(&waiting.id, true), &waiting.id])
    }

    /// Changes the profile that the runtime uses for programs that it starts in the container. The first program keeps
    /// its own, so the profile need not allow what a start requires.
    pub(super) fn set_profile(&self, waiting: &Waiting, profile: &Profile) -> Result<()> {
        match self.program {
            Program::Runc => {
                let file = format!("{STATE}/{}/state.json", waiting.id);
                let mut state = serde_json::from_slice(&self.inside.read(&file)?).context("runc's state is no JSON")?;
                change(&mut state, profile).context("runc's state has no seccomp profile")?;
                self.inside.write(&file, state.to_string())
            }
            Program::Crun => {
                // crun compiles a profile when it creates a container. With `no_new_privs`, it loads the filter in
                // `start` only, so `create` succeeds with any profile.
                let settings = Settings { no_new_privileges: true, ..waiting.settings };
                let id = self.prepare("donor", settings, EXIT, profile)?;
                ensure!(self.created(&id)?, "crun does not create a container");
                let file = |id: &str| format!("{STATE}/{id}/seccomp.bpf");
                let filter = self.inside.read(&file(&id))?;
                self.delete(&id)?;
                self.forget(&id)?;
                self.inside.write(&file(&waiting.id), filter)
            }
        }
    }

    /// Ends the container.
    pub(super) fn end(&self, waiting: &Waiting) -> Result<()> {
        self.delete(&waiting.id)?;
        self.forget(&waiting.id)
    }

    /// Writes a bundle. Returns the container's id.
    fn prepare(&self, host: &str, settings: Settings, program: &str, profile: &Profile) -> Result<String> {
        let id = format!("c{}", self.next.fetch_add(1, Ordering::Relaxed));
        let spec = spec::container(&id, host, settings, program, profile);
        self.inside.write(&format!("{}/config.json", bundle(&id)), spec.to_string())?;
        Ok(id)
    }

    fn created(&self, id: &str) -> Result<bool> {
        self.call(&["create", "--bundle", &bundle(id), "--pid-file", &pid_file(id), id])
    }

    fn pid(&self, id: &str) -> Result<String> {
        let pid = self.inside.read(&pid_file(id))?;
        Ok(String::from_utf8(pid).context("a process id is text")?.trim().to_owned())
    }

    /// Whether the program of a container replaces the runtime's.
    fn began(&self, id: &str) -> Result<bool> {
        let begin = Instant::now();
        let comm = self.inside.file(&format!("/proc/{}/comm", self.pid(id)?));
        while begin.elapsed() < TIME_TO_EXECVE {
            match fs::read_to_string(&comm) {
                Ok(name) if name.trim() == PAUSE.trim_start_matches('/') => return Ok(true),
                Ok(_) => thread::sleep(PAUSE_BETWEEN_LOOKS),
                // It has ended.
                Err(_) => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Ends a container, if it exists.
    fn delete(&self, id: &str) -> Result<()> {
        self.call(&["delete", "--force", id])?;
        Ok(())
    }

    fn forget(&self, id: &str) -> Result<()> {
        let dir = self.inside.file(&bundle(id));
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))
    }

    fn call(&self, args: &[&str]) -> Result<bool> {
        self.call_in(false, args)
    }

    /// Calls the runtime. Returns whether it succeeds in time. If not in time, no process inside remains.
    fn call_in(&self, has_terminal: bool, args: &[&str]) -> Result<bool> {
        interrupt::check()?;
        let cannot = || format!("cannot write {}", self.log.display());
        let log = File::options().create(true).append(true).open(&self.log).with_context(cannot)?;
        let mut command: Command = self.inside.command(self.program.name());
        command.args(["--root", STATE]).args(args);
        if has_terminal {
            command = in_terminal(&command);
        }
        command.stderr(log);
        let mut child = Guarded::spawn(&mut command)?;
        let Ok(status) = child.wait(TIMEOUT) else {
            interrupt::check()?;
            self.inside.kill_all()?;
            return Ok(false);
        };
        Ok(status.success())
    }
}

fn bundle(id: &str) -> String {
    format!("/tmp/bundles/{id}")
}

fn pid_file(id: &str) -> String {
    format!("{}/pid", bundle(id))
}

fn process_file(id: &str, has_terminal: bool) -> String {
    format!("{}/process-{has_terminal}.json", bundle(id))
}

/// Returns a command that runs the other one in a new terminal. Its words have no characters with a meaning for a
/// shell.
fn in_terminal(command: &Command) -> Command {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let line: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
    script.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
    script
}

/// Returns the version in `runc version 1.1.5+ds1`, without what Debian adds.
fn version(output: &str) -> Option<String> {
    let version = output.lines().next()?.split_once(" version ")?.1;
    Some(version.split(['+', '~', '-']).next()?.trim().to_owned())
}

/// Changes the profile in runc's own format.
fn change(state: &mut Value, profile: &Profile) -> Option<()> {
    let seccomp = state.get_mut("config")?.get_mut("seccomp")?;
    let syscalls = seccomp.get("syscalls")?.as_array()?;
    let example = syscalls.first()?.clone();
    let entries = profile.allowed.iter().map(|&name| {
        let mut entry = example.clone();
        entry["name"] = name.into();
        entry
    });
    let entries = entries.collect();
    seccomp["syscalls"] = Value::Array(entries);
    seccomp["default_action"] = profile.denial.number_of_runc().into();
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::spec::Denial, *};

    #[test]
    fn version_is_without_debians_addition() {
        assert_eq!(version("runc version 1.1.15+ds1\ncommit: x\n").as_deref(), Some("1.1.15"));
        assert_eq!(version("crun version 1.8.1\n").as_deref(), Some("1.8.1"));
        assert_eq!(version("crun\n"), None);
    }

    #[test]
    fn profile_of_a_container_is_replaced() {
        let of = |action: u64, name: &str| {
            let entries = [json!({"name": name, "action": 4, "args": []})];
            json!({"id": "c", "config": {"seccomp": {"default_action": action, "syscalls": entries}}})
        };
        let mut state = of(2, "read");
        change(&mut state, &Profile { allowed: ["close"].into(), denial: Denial::Kill }).unwrap();
        assert_eq!(state, of(9, "close"));
        assert_eq!(change(&mut json!({}), &Profile::without(None)), None);
    }
}
