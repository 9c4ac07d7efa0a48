//! The command runs as it would without the recorder: setup, exit status, signals.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use syscallmon::profile::CommandEnd;
use syscallmon_testkit::Guarded;

use super::{Finished, Recordings, cgroups_of_recorders};
use crate::harness::{KnownCalls, TestCgroup, binary, number, wait_for};

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
    let line: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.to_str().expect("UTF-8")))
        .collect();
    let stderr = recordings.directory.path().join("stderr");
    // A shell that waits for the recorder would die of Ctrl-C.
    let line = format!("exec {} 2>'{}'", line.join(" "), stderr.display());
    let stderr = || fs::read_to_string(&stderr).unwrap_or_default();
    // `script` makes a terminal, whose Ctrl-C goes to the recorder and to the command. An echo of Ctrl-C could come
    // before the next line of the command or after it.
    command = Command::new("script");
    command.env("SHELL", "/bin/sh");
    command.args(["-E", "never", "-qefc", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = Guarded::spawn(&mut command).expect("start script");
    let (mut stdin, stdout) = (child.take_stdin().expect("piped"), child.take_stdout().expect("piped"));
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok).map(|line| line.trim().to_owned());
    assert_eq!(lines.next().as_deref(), Some("ready"), "{}", stderr());
    std::io::Write::write_all(&mut stdin, b"\x03").unwrap();
    assert_eq!(lines.next().as_deref(), Some("2"), "{}", stderr());
    // The recorder would have passed it on before this one.
    let recorder = wait_for("the recorder", Duration::from_secs(10), || {
        let cgroup = cgroups_of_recorders(recordings.directory.path()).pop()?;
        cgroup.file_name()?.to_str()?.strip_prefix("syscallmon-record-")?.parse::<i32>().ok()
    });
    rustix::process::kill_process(rustix::process::Pid::from_raw(recorder).unwrap(), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(lines.next().as_deref(), Some("15"), "{}", stderr());
    let status = child.wait(Duration::from_mins(1)).unwrap();
    assert!(status.success(), "{status}: {}", stderr());
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
