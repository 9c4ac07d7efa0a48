//! A command is recorded to its last call, with all of its processes, and runs as it would without the recorder.

mod arguments;
mod caller;
mod calls;
mod file;
mod phases;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use syscallmon::profile::{CommandRecording, RecordedCall};

use crate::harness::{HostClaim, KnownCalls, cgroup2, claim_host, syscallmon};

/// Calls that the start of a program does not make.
const GETPPID: i64 = libc::SYS_getppid;
const KCMP: i64 = libc::SYS_kcmp;
const MBIND: i64 = libc::SYS_mbind;

/// A directory for recordings.
struct Recordings {
    directory: tempfile::TempDir,
    _host: HostClaim,
}

/// A finished recorder.
struct Finished {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    recording: Option<CommandRecording>,
}

impl Recordings {
    /// Returns `None` on a host without cgroup2, where no command can be recorded.
    fn new() -> Option<Self> {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1] {
            // nohup and shells in the background ignore some of them, and a recorded command would ignore them, too.
            // SAFETY: this replaces no handler.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        has_cgroup2().then(|| Self { directory: tempfile::tempdir().expect("a directory"), _host: claim_host() })
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("a.json")
    }

    /// A recorder of this command.
    fn recorder(&self, flags: &[&str], command: &[&dyn AsRef<OsStr>]) -> Command {
        let mut recorder = syscallmon();
        recorder
            .args(["record", "--output"])
            .arg(self.file())
            .args(flags)
            .arg("--")
            .args(command.iter().map(AsRef::as_ref));
        recorder.stdin(Stdio::null());
        recorder
    }

    /// Runs it to its end, and reads the recording if there is one.
    fn finish(&self, recorder: &mut Command) -> Finished {
        let output = recorder.output().expect("run the recorder");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let recording = fs::read(self.file()).ok().map(|text| CommandRecording::from_json(&text).expect("a recording"));
        assert!(cgroups_of_recorders(self.directory.path()).is_empty(), "{stderr}");
        Finished { code: output.status.code(), stdout, stderr, recording }
    }

    fn run(&self, flags: &[&str], command: &[&dyn AsRef<OsStr>]) -> Finished {
        self.finish(&mut self.recorder(flags, command))
    }

    /// Runs a shell script; `$0` is the program with known calls, `$cgroup` is the directory of the own cgroup, and
    /// `$root` that of the root.
    fn run_script(&self, flags: &[&str], script: &str) -> Finished {
        let script =
            format!("root={}; cgroup=$root$(sed -n s/^0:://p /proc/self/cgroup); {script}", cgroup2().display());
        self.run(flags, &[&"sh", &"-c", &script, &KnownCalls::binary()])
    }

    /// Names of files.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).expect("our own directory").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

/// Whether cgroup2 is mounted.
fn has_cgroup2() -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(2) == Some("cgroup2"))
}

/// Returns cgroups of recorders that have this directory in their arguments, or that have ended.
fn cgroups_of_recorders(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cgroup2()).expect("cgroup2").flatten();
    let cgroups = entries.filter_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let recorder = name.strip_prefix("syscallmon-record-")?.to_owned();
        let arguments = fs::read_to_string(format!("/proc/{recorder}/cmdline")).unwrap_or_default();
        let is_other = !arguments.is_empty() && !arguments.contains(directory.to_str().expect("UTF-8"));
        (!is_other).then(|| entry.path())
    });
    cgroups.collect()
}

impl Finished {
    fn recording(&self) -> &CommandRecording {
        self.recording.as_ref().unwrap_or_else(|| panic!("no recording: {}", self.stderr))
    }

    fn call(&self, name: &str) -> RecordedCall {
        let name = format!("{}/{name}", self.recording().architecture);
        self.recording().calls.get(&name).cloned().unwrap_or_default()
    }

    /// How often a call was made after the start-up phase, in a recording without losses.
    fn serving(&self, name: &str) -> u64 {
        assert_eq!(self.recording().lost, 0, "{}", self.stderr);
        self.call(name).serving
    }
}
