//! The start-up phase, and the output that ends it.

use std::{io::Read, os::unix::process::ExitStatusExt, process::Stdio};

use super::{KCMP, Recordings};

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
