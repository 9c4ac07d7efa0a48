//! A recording of this host is replayed without privileges, with exactly the recorded counts.

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use flate2::read::GzDecoder;
use syscallmon_testkit::Guarded;

use crate::{
    harness::{Daemon, KnownCalls, TestCgroup, finished, number, syscallmon, wait_for},
    privileges::{Binary, binary_for_everybody},
};

const CALLS: u64 = 12_345;

/// A recorder. Dropping it kills it.
pub(crate) struct Recorder(Guarded);

impl Recorder {
    /// Starts one, and waits until it counts.
    pub(crate) fn start(file: &Path, flags: &[&str]) -> Self {
        let mut command = syscallmon();
        command.args(["record", "--host", "--poll.interval=200ms", "--output"]).arg(file).args(flags);
        let recorder = Self(Guarded::spawn(&mut command).expect("start the recorder"));
        wait_for("a sample", Duration::from_secs(90), || (samples(file) > 0).then_some(()));
        recorder
    }

    /// Stops it. Returns its exit status.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.0.signal(libc::SIGINT).expect("a running recorder");
        self.0.wait(Duration::from_secs(90)).expect("the recorder ends").code()
    }
}

/// Returns all data that can be decompressed from a file.
fn text(file: &Path) -> String {
    let (mut bytes, file) = (Vec::new(), fs::File::open(file));
    // A file that is being written ends without a checksum.
    let _ = file.map(|file| GzDecoder::new(file).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn samples(file: &Path) -> usize {
    text(file).lines().filter(|line| line.starts_with(r#"{"frame""#)).count()
}

/// A replay by the user nobody, with only the file.
fn replay(binary: &Binary, file: &Path, flags: &[&str]) -> Command {
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).expect("our own file");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"])
        .arg(binary.path())
        .arg("replay")
        .args(flags)
        .arg(file)
        .stdin(Stdio::null());
    command
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("our own directory");
    directory
}

#[test]
fn what_was_recorded_beside_a_daemon_is_replayed_exactly_and_without_privileges() {
    let (daemon, cgroup, directory) = (Daemon::start(&[]), TestCgroup::new("recorded"), directory());
    let file = directory.path().join("host.recording");
    let recorder = Recorder::start(&file, &[]);
    KnownCalls::run(&[&"threads", &cgroup.path(), &"2", &number(libc::SYS_getppid), &CALLS.to_string()]);
    KnownCalls::run(&[&"short-lived", &cgroup.path(), &"s", &"50", &number(libc::SYS_getppid), &"3"]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(recorder.stop(), Some(0));
    let live = daemon.settled_scrape();

    let binary = binary_for_everybody();
    let flags = ["--speed=max", "--web.listen-address=127.0.0.1:0"];
    let replayed = Daemon::start_command(&mut replay(&binary, &file, &flags));
    wait_for("the end of the recording", Duration::from_mins(1), || {
        replayed.log_line("reached the end of the recording")
    });
    let scrape = replayed.scrape();
    assert_eq!(scrape.calls(&cgroup.label(), "getppid"), 2 * CALLS);
    assert_eq!(live.calls(&cgroup.label(), "getppid"), 2 * CALLS);
    assert_eq!(scrape.sum_below(&format!("{}/s", cgroup.label()), "getppid"), 150);
    assert_eq!(scrape.implementation("sys_enter"), live.implementation("sys_enter"));
    assert_eq!((replayed.get("/healthz").0, replayed.get("/readyz").0), (200, 200));
    let (status, workloads) = replayed.get(&format!("/api/v1/workloads?prefix={}", cgroup.label()));
    assert!(status == 200 && workloads.contains(&(2 * CALLS).to_string()), "{workloads}");
    let (status, page) = replayed.get("/");
    assert!(status == 200 && page.contains("replay of a recording"), "{page}");
    assert_eq!(replayed.get("/api/v1/violations").0, 200);
}

#[test]
fn a_recorder_that_is_killed_and_a_file_that_is_cut_leave_what_was_before() {
    let (_daemon, cgroup, directory) = (Daemon::start(&[]), TestCgroup::new("killed"), directory());
    let file = directory.path().join("host.recording");
    let recorder = Recorder::start(&file, &[]);
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_getppid), &"77"]);
    let before = samples(&file);
    wait_for("two more samples", Duration::from_mins(1), || (samples(&file) > before + 1).then_some(()));
    drop(recorder);
    let output = finished(["replay".as_ref(), "--once".as_ref(), file.as_os_str()]);
    let series = format!(r#"syscallmon_syscalls_total{{cgroup="{}",syscall="getppid""#, cgroup.label());
    let line = output.stdout.lines().find(|line| line.starts_with(&series)).map(str::to_owned);
    assert!(line.is_some_and(|line| line.ends_with(" 77")), "{}", output.stderr);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("the recorder was killed, or the file was truncated"), "{}", output.stderr);
    let other = finished(["replay", "--once", "/etc/passwd"]);
    assert!(other.code == Some(1) && other.stderr.contains("is not a recording"), "{}", other.stderr);
}

#[test]
fn a_masked_recording_has_the_counts_and_no_names() {
    let (_daemon, cgroup, directory) = (Daemon::start(&[]), TestCgroup::new("masked"), directory());
    let file = directory.path().join("host.recording");
    let recorder = Recorder::start(&file, &["--mask", "--duration=1h", "--max-size=8"]);
    KnownCalls::run(&[&"calls", &cgroup.path(), &number(libc::SYS_getppid), &"424242"]);
    assert_eq!(recorder.stop(), Some(0));
    let text = text(&file);
    for name in ["syscallmon-test", "known_calls"] {
        assert!(!text.contains(name), "{name}");
    }
    let output = finished(["replay".as_ref(), "--once".as_ref(), file.as_os_str()]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let is_it = |line: &&str| line.contains(r#"syscall="getppid""#) && line.ends_with(" 424242");
    assert_eq!(output.stdout.lines().filter(is_it).count(), 1);
}

#[test]
fn a_recording_ends_by_itself_and_overwrites_nothing() {
    let (_daemon, directory) = (Daemon::start(&[]), directory());
    let file = directory.path().join("host.recording");
    let flags = ["record", "--host", "--duration=300ms", "--poll.interval=100ms", "--output"];
    let record = || finished(flags.iter().map(AsRef::as_ref).chain([file.as_os_str()]));
    let first = record();
    assert!(first.code == Some(0) && first.stderr.contains("--duration"), "{}", first.stderr);
    let size = fs::metadata(&file).unwrap().len();
    let second = record();
    assert!(second.code == Some(1) && second.stderr.contains("cannot create"), "{}", second.stderr);
    assert_eq!(fs::metadata(&file).unwrap().len(), size);
}
