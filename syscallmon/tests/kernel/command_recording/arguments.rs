//! The recording of a command has classes of arguments, and its profile allows these only.

use std::{fs, process::Command};

use syscallmon::seccomp::Profile;

use super::Recordings;
use crate::harness::{KnownCalls, syscallmon};

/// Debian's python3-seccomp belongs to Debian's Python.
const PYTHON: &str = "/usr/bin/python3";
const ENFORCE: &str = include_str!("enforce.py");

#[test]
fn a_profile_of_a_recording_allows_the_recorded_arguments_and_refuses_others() {
    let Some(recordings) = Recordings::new() else { return };
    // Five sockets, and two child processes.
    let script = format!(
        "'{known}' arguments - native {}:5:1,1,0,0 && '{known}' forks - 2 {} 3",
        libc::SYS_socket,
        libc::SYS_getppid,
        known = KnownCalls::binary().display()
    );
    let done = recordings.run(&[], &[&"/bin/sh", &"-c", &script]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!((done.serving("socket"), done.serving("socket(AF_UNIX)")), (5, 5));
    let class = done.call("socket(AF_UNIX)");
    assert_eq!((class.windows, class.thread.as_deref()), (1, Some("known_calls")));
    assert!(class.first_seconds.is_some() && done.serving("clone(other)") >= 2, "{:?}", done.recording());

    let profile = recordings.directory.path().join("profile.json");
    let made = syscallmon().args(["profile", "generate", "--output"]).args([&profile, &recordings.file()]).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = fs::read_to_string(&profile).unwrap();
    let native = done.recording().architecture.clone();
    let native = if native == "aarch64" { "aarch64" } else { "x86_64" };
    let decided = Profile::parse(&text).unwrap().decide(native, native, "clone3", &[0; 6]);
    assert!(decided.is_nonexistent(), "{text}");

    fs::remove_file(recordings.file()).unwrap();
    let again = recordings.run(&[], &[&PYTHON, &"-c", &ENFORCE, &profile, &"/bin/sh", &"-c", &script]);
    assert_eq!((again.code, again.serving("socket(AF_UNIX)")), (Some(0), 5), "{}", again.stderr);
    let denied = again.recording().calls.iter().filter(|(_, call)| call.denied > 0);
    assert_eq!(denied.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), [""; 0]);

    let status = |family: &str| {
        let mut python = Command::new(PYTHON);
        python.args(["-c", ENFORCE]).arg(&profile).arg(family).status().unwrap().code()
    };
    // The type of a UNIX socket is SOCK_SEQPACKET, which AF_ALG needs.
    assert_eq!([libc::AF_UNIX, libc::AF_ALG].map(|family| status(&family.to_string())), [Some(0), Some(libc::EPERM)]);
}

#[test]
fn a_recording_without_arguments_has_calls_only_and_restricts_nothing() {
    let Some(recordings) = Recordings::new() else { return };
    let socket = format!("{}:5:1,1,0,0", libc::SYS_socket);
    let flags = ["--probe.arguments", "none"];
    let done = recordings.run(&flags, &[&KnownCalls::binary(), &"arguments", &"-", &"native", &socket]);
    assert_eq!(done.serving("socket"), 5);
    assert!(done.recording().calls.keys().all(|name| !name.contains('(')), "{:?}", done.recording());
    let made = syscallmon().args(["profile", "generate"]).arg(recordings.file()).output().unwrap();
    assert!(made.status.success() && !String::from_utf8_lossy(&made.stdout).contains("args"), "{made:?}");
}
