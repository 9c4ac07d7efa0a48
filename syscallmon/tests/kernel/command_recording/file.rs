//! The file, and flags.

use std::fs;

use syscallmon::profile::CommandRecording;

use super::Recordings;
use crate::harness::syscallmon;

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
