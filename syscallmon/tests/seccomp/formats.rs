//! What reads the written formats accepts them: schemas of OCI and of the security-profiles-operator, systemd, skopeo.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;
use syscallmon::{profile::Format, syscalls::names};

use crate::{
    classes,
    profiles::{small, written},
};

/// The unit that gets the drop-in, and what every service depends on.
const UNITS: [(&str, &str); 4] = [
    ("web.service", "[Service]\nExecStart=/bin/true\nSystemCallFilter=@system-service\n"),
    ("basic.target", "[Unit]\nDescription=Not the real one\n"),
    ("shutdown.target", "[Unit]\nDescription=Not the real one\n"),
    ("sysinit.target", "[Unit]\nDescription=Not the real one\n"),
];

/// The message of systemd about a name that it does not know.
const UNKNOWN_NAME: &str = "Failed to parse system call, ignoring: ";

fn assert_valid(schema: &str, document: &Value) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

fn every_call() -> BTreeSet<&'static str> {
    names::system_calls().clone()
}

#[test]
fn objects_of_the_operator_have_the_fields_that_the_api_server_accepts() {
    for format in [Format::Spo, Format::SpoV1beta1] {
        for calls in [small(), every_call()] {
            let text = String::from_utf8(written(format, &calls).remove(0).content).unwrap();
            assert_valid(include_str!("seccompprofile.schema.json"), &serde_saphyr::from_str(&text).unwrap());
        }
        for plan in classes::plans() {
            let text = String::from_utf8(classes::written(format, &plan)).unwrap();
            assert_valid(include_str!("seccompprofile.schema.json"), &serde_saphyr::from_str(&text).unwrap());
        }
    }
}

#[test]
fn profiles_are_plain_oci() {
    for calls in [small(), every_call()] {
        let document = serde_json::from_slice(&written(Format::Oci, &calls)[0].content).unwrap();
        assert_valid(include_str!("oci.schema.json"), &document);
    }
    for plan in classes::plans() {
        let document = serde_json::from_slice(&classes::written(Format::Oci, &plan)).unwrap();
        assert_valid(include_str!("oci.schema.json"), &document);
    }
}

/// Returns what systemd says about a drop-in.
fn verify(drop_in: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    for (unit, text) in UNITS {
        fs::write(directory.path().join(unit), text).unwrap();
    }
    let drop_ins = directory.path().join("web.service.d");
    fs::create_dir(&drop_ins).unwrap();
    fs::write(drop_ins.join("50-syscalls.conf"), drop_in).unwrap();
    let mut command = Command::new("systemd-analyze");
    command.env("SYSTEMD_UNIT_PATH", directory.path()).args(["verify", "--man=no"]);
    let output = command.arg(directory.path().join("web.service")).output();
    let output = output.expect("systemd-analyze: run `cargo xtask setup --for test`");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn systemd_accepts_a_drop_in_without_a_warning() {
    let drop_in = String::from_utf8(written(Format::Systemd, &small()).remove(0).content).unwrap();
    assert_eq!(verify(drop_in.as_bytes()), "");
    // The drop-in's comment describes this trial.
    let trial = drop_in.replace("\nSystemCallFilter=", "\nSystemCallLog=~");
    assert_eq!(verify(trial.as_bytes()), "");
}

#[test]
fn systemd_warns_only_of_calls_that_are_newer_than_itself() {
    let list = Command::new("systemd-analyze").args(["--no-pager", "syscall-filter", "@known"]).output();
    let list = String::from_utf8(list.expect("systemd-analyze").stdout).unwrap();
    let known: BTreeSet<&str> = list.lines().map(str::trim).collect();
    let said = verify(&written(Format::Systemd, &every_call()).remove(0).content);
    for line in said.lines() {
        let (_, name) = line.split_once(UNKNOWN_NAME).expect(line);
        assert!(!known.contains(name) && name != "uprobe" && name != "uretprobe", "{line}");
    }
}

#[test]
fn skopeo_copies_the_artifact_whole() {
    let directory = tempfile::tempdir().unwrap();
    let layout = directory.path().join("layout");
    let files = written(Format::Artifact, &small());
    for file in &files {
        let path = layout.join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &file.content).unwrap();
    }
    let copy = directory.path().join("copy");
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["--insecure-policy", "copy", "--quiet"]);
    skopeo.arg(format!("oci:{}:latest", layout.display())).arg(format!("oci:{}:latest", copy.display()));
    let output = skopeo.output().expect("skopeo: run `cargo xtask setup --for test`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in files.iter().filter(|file| file.path.starts_with(Path::new("blobs"))) {
        assert_eq!(fs::read(copy.join(&file.path)).unwrap(), file.content, "{}", file.path.display());
    }
}
