//! A command is recorded to its last call, with all of its processes, and runs as it would without the recorder.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use syscallmon::profile::{CommandEnd, CommandRecording, RecordedCall};
use syscallmon_testkit::Guarded;

use crate::harness::{
    Daemon, HostClaim, KnownCalls, TestCgroup, binary, cgroup2, claim_host, number, syscallmon, wait_for,
};

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

#[test]
fn a_thousand_processes_of_a_millisecond_are_recorded_exactly() {
    let Some(recordings) = Recordings::new() else { return };
    let known = KnownCalls::binary();
    let done = recordings.run(&[], &[&known, &"forks", &"-", &"1000", &number(GETPPID), &"7", &number(KCMP), &"1"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!((done.serving("getppid"), done.serving("kcmp")), (7000, 1000));
    // Each process ends by one exit_group, and was started by one clone.
    assert_eq!((done.serving("exit_group"), done.serving("execve")), (1001, 1));
    assert_eq!(done.serving("wait4"), 1000);
    assert_eq!(done.call("kcmp").errors.values().sum::<u64>(), 1000);
    // The recorder's own calls are not there.
    assert_eq!(done.serving("tee"), 0);
}

#[test]
fn every_call_of_a_small_program_is_there_and_the_first_is_execve() {
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run(&[], &[&KnownCalls::binary(), &"calls", &"-", &number(GETPPID), &"3"]);
    let recording = done.recording();
    let first = |name: &String| recording.calls[name].first_seconds.expect("each first call is reported");
    let names: Vec<&String> = recording.calls.keys().collect();
    assert!(names.iter().all(|name| first(name) <= recording.seconds), "{recording:?}");
    let earliest = names.iter().min_by(|a, b| first(a).total_cmp(&first(b))).unwrap();
    assert!(earliest.ends_with("/execve"), "{earliest}");
    assert_eq!(done.call("getppid").thread.as_deref(), Some("known_calls"));
    assert_eq!((recording.end, recording.windows, recording.startup_seconds), (CommandEnd::Status(0), 1, None));
    assert!(recording.calls.values().all(|call| call.windows == 1 && call.startup == 0), "{recording:?}");
    assert_eq!(recording.command[1..], ["calls", "-", &number(GETPPID), "3"]);
    let line = format!("recorded {} system calls of known_calls in ", recording.calls.len());
    assert!(done.stderr.contains(&line) && done.stderr.lines().count() == 1, "{}", done.stderr);
    assert_eq!((done.stdout.as_str(), recordings.names().len()), ("", 1));
    assert_eq!(fs::metadata(recordings.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_daemon_is_recorded_after_the_command_has_ended() {
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run(&[], &[&KnownCalls::binary(), &"daemonize", &"-", &number(KCMP), &"4321"]);
    assert_eq!((done.code, done.serving("kcmp")), (Some(0), 4321), "{}", done.stderr);
}

#[test]
fn calls_in_nested_cgroups_of_the_command_are_its_own() {
    let Some(recordings) = Recordings::new() else { return };
    let script = format!(
        r#"mkdir -p $cgroup/a/b && echo $$ > $cgroup/a/b/cgroup.procs && "$0" calls - {MBIND} 1234 || exit 9
        for each in 1 2 3 4 5 6 7 8 9; do mkdir $cgroup/n$each; done
        for each in 1 2 3 4 5 6 7 8 9; do "$0" calls $cgroup/n$each {KCMP} 11 || exit 9; rmdir $cgroup/n$each; done"#
    );
    let done = recordings.run_script(&[], &script);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!((done.serving("mbind"), done.serving("kcmp")), (1234, 99));
}

#[test]
fn a_command_that_leaves_its_cgroup_is_reported_and_its_recording_is_not_complete() {
    let Some(recordings) = Recordings::new() else { return };
    let known = KnownCalls::binary();
    let done = recordings.run(&[], &[&known, &"calls", &cgroup2(), &number(KCMP), &"5"]);
    assert_eq!((done.code, done.recording().lost), (Some(0), 1), "{}", done.stderr);
    assert!(done.stderr.contains("1 processes left the cgroup of the command (known_calls)"), "{}", done.stderr);
    assert_eq!(done.call("kcmp").serving, 0);
}

#[test]
fn a_command_that_is_killed_leaves_its_recording_and_the_status_of_a_shell() {
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run_script(&[], &format!(r#""$0" calls - {KCMP} 77; kill -KILL $$"#));
    assert_eq!((done.code, done.serving("kcmp")), (Some(137), 77), "{}", done.stderr);
    assert_eq!(done.recording().end, CommandEnd::Signal(9));
}

#[test]
fn the_exit_status_is_that_of_the_command() {
    for status in [0, 3, 255] {
        let Some(recordings) = Recordings::new() else { return };
        let done = recordings.run(&[], &[&"sh", &"-c", &format!("exit {status}")]);
        assert_eq!((done.code, done.recording().end), (Some(status), CommandEnd::Status(status)), "{}", done.stderr);
    }
}

#[test]
fn a_command_that_cannot_be_executed_has_the_status_of_a_shell_and_no_recording() {
    let Some(recordings) = Recordings::new() else { return };
    let text = recordings.directory.path().join("text");
    fs::write(&text, "text").unwrap();
    // Only the kernel notices that its interpreter does not exist.
    let script = recordings.directory.path().join("script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    for (program, status, reason) in [
        (Path::new("no-such-program"), 127, "cannot run no-such-program: "),
        (Path::new("/no/such/program"), 127, "cannot run /no/such/program: "),
        (&text, 126, "ermission denied"),
        (Path::new("/tmp"), 126, "ermission denied"),
        (&script, 127, "cannot run"),
    ] {
        let done = recordings.run(&[], &[&program]);
        assert_eq!(done.code, Some(status), "{}: {}", program.display(), done.stderr);
        assert!(done.stderr.contains(reason) && done.recording.is_none(), "{}", done.stderr);
        assert_eq!(recordings.names().len(), 2, "{:?}", recordings.names());
    }
}

#[test]
fn the_command_runs_as_it_would_without_the_recorder() {
    // Everything that a process can see of its setup, but for its ids and its cgroup. The shell clears its mask.
    let fields = "^(Sig(P|B|I|C)|ShdPnd|Cap|NoNewPrivs|Seccomp:|Groups|Uid|Gid|Umask|Cpus)";
    let script = "ls /proc/self/fd; ulimit -a; pwd; env | sort; readlink /proc/self/ns/*; cat; exit 4";
    let status: [&dyn AsRef<OsStr>; 4] = [&"grep", &"-E", &fields, &"/proc/self/status"];
    let view: [&dyn AsRef<OsStr>; 3] = [&"sh", &"-c", &script];
    for (command, code, least) in [(&status[..], 0, 15), (&view[..], 4, 30)] {
        let Some(recordings) = Recordings::new() else { return };
        let direct = unusual(command.iter().map(AsRef::as_ref)).output().expect("run it");
        let recorder = recordings.recorder(&[], command);
        let words = std::iter::once(recorder.get_program()).chain(recorder.get_args());
        let through = unusual(words).output().expect("run the recorder");
        let text = |bytes: &[u8]| without_libc_signals(&String::from_utf8_lossy(bytes));
        assert_eq!(text(&through.stdout), text(&direct.stdout));
        assert!(text(&direct.stdout).lines().count() >= least, "{}", text(&direct.stdout));
        assert_eq!((through.status.code(), direct.status.code()), (Some(code), Some(code)));
    }
}

/// A command with ignored and blocked signals, and with an environment, a directory and an input of its own.
fn unusual<'a>(words: impl Iterator<Item = &'a OsStr>) -> Command {
    let mut command = Command::new(KnownCalls::binary());
    command.arg("with-unusual-signals").args(words).current_dir("/usr").env("OF_CALLER", "x y");
    command.stdin(fs::File::open("/proc/sys/kernel/ostype").expect("a file"));
    command
}

/// Clears the signals 32 and 33, which the C library uses itself.
fn without_libc_signals(text: &str) -> String {
    let line = |line: &str| match line.split_once(":\t").filter(|(name, _)| name.starts_with("Sig")) {
        Some((name, mask)) => {
            let mask = u64::from_str_radix(mask, 16).expect("a mask") & !(0b11 << 31);
            format!("{name}: {mask:016x}\n")
        }
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn signals_of_processes_are_passed_on_once() {
    let Some(recordings) = Recordings::new() else { return };
    let signals = [libc::SIGHUP, libc::SIGUSR1, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
    let numbers = signals.map(|signal| number(signal.into()));
    let mut recorder = recordings.recorder(&[], &[&KnownCalls::binary(), &"counts-signals"]);
    let mut child = Guarded::spawn(recorder.args(&numbers).stdout(Stdio::piped())).expect("start the recorder");
    let mut lines = BufReader::new(child.take_stdout().expect("piped")).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    for (signal, number) in signals.into_iter().zip(&numbers) {
        child.signal(signal).unwrap();
        assert_eq!(lines.next().as_ref(), Some(number));
    }
    assert_eq!(lines.next(), None);
    assert_eq!(child.wait(Duration::from_mins(1)).unwrap().code(), Some(0));
    assert!(recordings.file().exists());
}

#[test]
fn a_signal_of_the_terminal_is_not_doubled() {
    let Some(recordings) = Recordings::new() else { return };
    let mut command = recordings.recorder(&[], &[&KnownCalls::binary(), &"counts-signals", &"2", &"15"]);
    // `script` makes a terminal, whose Ctrl-C goes to the recorder and to the command.
    let line: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().expect("UTF-8")))
        .collect();
    command = Command::new("script");
    command.args(["-qefc", &line.join(" "), "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Guarded::spawn(&mut command).expect("start script");
    let (mut stdin, stdout) = (child.take_stdin().expect("piped"), child.take_stdout().expect("piped"));
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok).map(|line| line.trim().to_owned());
    assert_eq!(lines.next().as_deref(), Some("ready"));
    std::io::Write::write_all(&mut stdin, b"\x03").unwrap();
    assert!(lines.by_ref().any(|line| line.trim_start_matches("^C") == "2"));
    // The recorder would have passed it on before this one.
    let recorder = wait_for("the recorder", Duration::from_secs(10), || {
        let cgroup = cgroups_of_recorders(recordings.directory.path()).pop()?;
        cgroup.file_name()?.to_str()?.strip_prefix("syscallmon-record-")?.parse::<i32>().ok()
    });
    rustix::process::kill_process(rustix::process::Pid::from_raw(recorder).unwrap(), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(lines.next().as_deref(), Some("15"));
    assert!(child.wait(Duration::from_mins(1)).unwrap().success());
}

#[test]
fn signals_end_daemons_and_the_second_one_kills_them() {
    let Some(recordings) = Recordings::new() else { return };
    // The first daemon ends at SIGTERM, the second one does not.
    let script = "setsid sleep 1000 & trap '' TERM; setsid sh -c 'while :; do sleep 1; done' & echo started";
    let mut recorder = recordings.recorder(&[], &[&"sh", &"-c", &script]);
    let mut child = Guarded::spawn(recorder.stdout(Stdio::null())).expect("start the recorder");
    let cgroup =
        wait_for("the cgroup", Duration::from_mins(1), || cgroups_of_recorders(recordings.directory.path()).pop());
    let names = || {
        let processes = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
        let name = |id: &str| fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default().replace('\0', " ");
        processes.lines().map(name).collect::<Vec<_>>()
    };
    let is_first = |name: &String| name.starts_with("sleep 1000");
    wait_for("daemons alone", Duration::from_mins(1), || {
        let names = names();
        let is_command = |name: &String| name.contains("setsid") || name.contains("syscallmon");
        (names.iter().any(is_first) && names.iter().any(|name| name.contains("while")) && !names.iter().any(is_command))
            .then_some(())
    });
    child.signal(libc::SIGTERM).unwrap();
    wait_for("the end of the first daemon", Duration::from_mins(1), || (!names().iter().any(is_first)).then_some(()));
    assert!(names().iter().any(|name| name.contains("while")));
    child.signal(libc::SIGTERM).unwrap();
    assert_eq!(child.wait(Duration::from_mins(1)).unwrap().code(), Some(0));
    assert!(recordings.file().exists() && !cgroup.exists());
}

#[test]
fn a_recording_with_a_duration_ends_all_processes() {
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run(&["--duration", "300ms"], &[&"sh", &"-c", &"setsid sleep 1000 & exec sleep 1000"]);
    assert_eq!((done.code, done.recording().end), (Some(143), CommandEnd::Signal(15)), "{}", done.stderr);
}

#[test]
fn the_start_up_phase_ends_after_a_time() {
    let Some(recordings) = Recordings::new() else { return };
    let script = format!(r#""$0" calls - {KCMP} 5; sleep 3; "$0" calls - {KCMP} 7"#);
    let done = recordings.run_script(&["--startup", "1500ms"], &script);
    let (call, recording) = (done.call("kcmp"), done.recording());
    assert_eq!((call.startup, call.serving, call.windows), (5, 7, 1), "{}", done.stderr);
    assert!(recording.startup_seconds.is_some_and(|seconds| (1.5..2.9).contains(&seconds)), "{recording:?}");
    assert!((2..=4).contains(&recording.windows), "{recording:?}");
    let Some(other) = Recordings::new() else { return };
    let done = other.run_script(&["--startup", "1h"], &script);
    let (call, recording) = (done.call("kcmp"), done.recording());
    assert_eq!((call.startup, call.serving, call.windows), (12, 0, 0));
    assert_eq!((recording.startup_seconds, recording.windows), (None, 0));
}

#[test]
fn the_start_up_phase_ends_with_a_line_of_either_output() {
    for to in ["1", "2"] {
        let Some(recordings) = Recordings::new() else { return };
        let script = format!(
            r#"printf 'not ready\n'; "$0" calls - {KCMP} 5; printf 'ready on ' >&{to}; printf 'port 80\n' >&{to}; sleep 2
            "$0" calls - {KCMP} 7; printf 'no newline'"#
        );
        let done = recordings.run_script(&["--startup-until", "^ready on port [0-9]+$"], &script);
        let call = done.call("kcmp");
        assert_eq!((done.code, call.startup, call.serving), (Some(0), 5, 7), "{}", done.stderr);
        assert!(done.recording().startup_seconds.is_some());
        let expected = if to == "1" { "not ready\nready on port 80\nno newline" } else { "not ready\nno newline" };
        assert_eq!(done.stdout, expected);
        assert_eq!(done.stderr.contains("ready on port 80\n"), to == "2");
    }
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run_script(&["--startup-until", "never"], &format!(r#""$0" calls - {KCMP} 5"#));
    assert_eq!((done.call("kcmp").startup, done.recording().startup_seconds), (5, None));
    assert!(done.stderr.contains("no line of output matched --startup-until"), "{}", done.stderr);
}

#[test]
fn much_output_is_copied_and_a_closed_pipe_reaches_the_command() {
    let Some(recordings) = Recordings::new() else { return };
    let flags = ["--startup-until", "never"];
    let done = recordings.run(&flags, &[&"sh", &"-c", &"seq 1 300000"]);
    let lines = done.stdout.lines().enumerate();
    assert!(
        lines.filter(|(index, line)| line.parse() == Ok(index + 1)).count() == 300_000,
        "{} bytes",
        done.stdout.len()
    );
    // `head` ends, and so does the command, by SIGPIPE.
    let Some(recordings) = Recordings::new() else { return };
    let mut child = recordings.recorder(&flags, &[&"yes"]).stdout(Stdio::piped()).spawn().expect("start the recorder");
    let mut some = [0; 100];
    child.stdout.take().expect("piped").read_exact(&mut some).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(128 + libc::SIGPIPE), None));
}

#[test]
fn denied_calls_and_errors_are_recorded_by_call() {
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run(&[], &[&KnownCalls::binary(), &"refused", &"-", &"errno", &"37"]);
    let call = done.call("mkdirat");
    assert_eq!((call.denied, call.serving, call.startup), (37, 0, 0), "{}", done.stderr);
    assert!(call.first_seconds.is_some());
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run(&[], &[&KnownCalls::binary(), &"failing", &"-", &"3", &"4", &"5"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let errors: u64 = done.recording().calls.values().flat_map(|call| call.errors.values()).sum();
    assert!(errors >= 12, "{:?}", done.recording());
}

#[test]
fn an_existing_file_is_never_overwritten_and_the_command_does_not_run() {
    let Some(recordings) = Recordings::new() else { return };
    let touched = recordings.directory.path().join("touched");
    fs::write(recordings.file(), "precious").unwrap();
    let output = recordings.recorder(&[], &[&"touch", &touched]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("a.json exists: remove it, or choose another file with --output"), "{stderr}");
    assert_eq!((fs::read_to_string(recordings.file()).unwrap().as_str(), touched.exists()), ("precious", false));
    // One that appears while the command runs.
    let Some(other) = Recordings::new() else { return };
    let script = format!("echo precious > {}", other.file().display());
    let output = other.recorder(&[], &[&"sh", &"-c", &script]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && stderr.contains("the recording is in"), "{stderr}");
    assert_eq!((fs::read_to_string(other.file()).unwrap().as_str(), other.names().len()), ("precious\n", 2));
}

#[test]
fn the_file_has_the_name_of_the_program_by_default_and_no_secrets() {
    let Some(recordings) = Recordings::new() else { return };
    let mut recorder = syscallmon();
    recorder.args(["record", "--", "/bin/echo", "--password=hunter2"]).current_dir(recordings.directory.path());
    let done = recordings.finish(&mut recorder);
    assert_eq!((done.code, recordings.names()), (Some(0), vec!["echo.recording.json".to_owned()]), "{}", done.stderr);
    let text = fs::read(recordings.directory.path().join("echo.recording.json")).unwrap();
    let command = CommandRecording::from_json(&text).unwrap().command;
    assert_eq!(command, ["/bin/echo", "--password=[redacted]"]);
}

#[test]
fn flags_of_the_other_form_are_refused() {
    let refused = |args: &[&str], reason: &str| {
        let output = syscallmon().arg("record").args(args).output().expect("run the recorder");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && stderr.contains(reason), "{args:?}: {stderr}");
    };
    refused(&[], "required");
    refused(&["--host"], "--output <FILE>");
    refused(&["--host", "--output", "/nowhere/a", "--", "true"], "cannot be used with");
    refused(&["--host", "--output", "/nowhere/a", "--startup", "1s"], "cannot be used with");
    refused(&["--host", "--output", "/nowhere/a", "--startup-until", "a"], "cannot be used with");
    refused(&["--mask", "--", "true"], "cannot be used with");
    refused(&["--max-size", "1", "--", "true"], "cannot be used with");
    refused(&["--startup", "1s", "--startup-until", "a", "--", "true"], "cannot be used with");
    refused(&["--startup-until", "(", "--", "true"], "unclosed group");
    refused(&["--startup", "soon", "--", "true"], "--startup");
}

#[test]
fn beside_a_daemon_both_count_the_same() {
    let daemon = Daemon::start(&[]);
    let Some(recordings) = Recordings::new() else { return };
    let done = recordings.run(&[], &[&KnownCalls::binary(), &"forks", &"-", &"50", &number(KCMP), &"100"]);
    assert_eq!((done.code, done.serving("kcmp")), (Some(0), 5000), "{}", done.stderr);
    assert!(daemon.settled_scrape().sum_below("/syscallmon-record-", "kcmp") >= 5000);
}

#[test]
fn full_tables_are_an_error_or_a_loss_and_never_silent() {
    let Some(recordings) = Recordings::new() else { return };
    let flags = ["--capacity.series=40"];
    let done = recordings.run(&flags, &[&KnownCalls::binary(), &"calls", &"-", &number(KCMP), &"9"]);
    match &done.recording {
        Some(recording) => assert!(recording.lost > 0 && done.code == Some(0), "{}", done.stderr),
        None => assert!(done.code == Some(1) && done.stderr.contains("--capacity.series"), "{}", done.stderr),
    }
    assert!(cgroups_of_recorders(recordings.directory.path()).is_empty());
}

#[test]
fn the_limits_of_the_caller_s_cgroup_stay_in_force_where_it_can_have_nested_ones() {
    let Some(recordings) = Recordings::new() else { return };
    let cgroup = TestCgroup::new("caller");
    let inner = cgroup.child("inner");
    let run = |name: &str| {
        let script = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", inner.display());
        let output = recordings.directory.path().join(name);
        let mut recorder = Command::new("sh");
        recorder.args(["-c", &script, "sh"]).arg(binary()).args(["record", "-o"]).arg(output);
        recordings.finish(recorder.args(["--", "cat", "/proc/self/cgroup"]))
    };
    let below = |done: &Finished, directory: &str| {
        done.stdout.lines().any(|line| line.starts_with(&format!("0::{directory}/syscallmon-record-")))
    };
    let done = run("a");
    assert!(below(&done, &cgroup.label_of(&inner)), "{}{}", done.stdout, done.stderr);
    let is_directory = |entry: fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    assert!(!fs::read_dir(&inner).expect("our own cgroup").flatten().any(is_directory), "{}", done.stderr);
    // A threaded cgroup cannot.
    if fs::write(inner.join("cgroup.type"), "threaded").is_ok() {
        let done = run("b");
        assert!(below(&done, ""), "{}{}", done.stdout, done.stderr);
    }
}

#[test]
fn without_cgroup2_nothing_is_started_and_the_error_has_the_remedy() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, touched) = (directory.path().join("a.json"), directory.path().join("touched"));
    let mut recorder = syscallmon();
    recorder.args(["record", "--path.cgroupfs=/nowhere", "--output"]).arg(&file).args(["--", "touch"]).arg(&touched);
    let output = recorder.output().expect("run the recorder");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && stderr.contains("no cgroup2 hierarchy is mounted below /nowhere"),
        "{stderr}"
    );
    assert_eq!(fs::read_dir(directory.path()).expect("our own directory").count(), 0);
}
