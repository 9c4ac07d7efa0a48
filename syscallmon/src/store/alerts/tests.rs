use std::fs;

use tokio::task::JoinSet;

use super::{
    document::{FileError, Header, Line, read, write},
    *,
};
use crate::{
    alert::{
        LastingDelivery, RateLimit,
        tests::{notice, nowhere, violation},
    },
    detect::{IncidentTimes, Incidents, Severity, Violation, Violations},
    syscalls::{Call, CallTable},
};

const NODE: &str = "node-1";

/// A state with a violation, an incident with a call that was not noticed, an alert that was sent, one that waits, and
/// a summary.
fn state() -> LastingState {
    let at = Instant::now();
    let (mut violations, mut incidents) = (Violations::default(), Incidents::new(IncidentTimes::default()));
    for call in ["mount", "socket(AF_ALG)"] {
        let violation = violation("web", call);
        violations.first(violation.clone(), at.into_std());
        incidents.join(violation, true, at.into_std());
    }
    let mut tasks = JoinSet::new();
    let alertmanager =
        crate::alert::Alertmanagers { urls: vec!["http://192.0.2.1:9/".parse().unwrap()], ..nowhere().alertmanager };
    let rate_limit = RateLimit { count: 1, period: Duration::from_mins(10) };
    let config = crate::alert::AlertConfig { rate_limit, alertmanager, ..nowhere() };
    let alerts = Alerts::start(&config, NODE, LastingDelivery::default(), &CancellationToken::new(), &mut tasks);
    for call in ["mount", "bpf", "setns"] {
        alerts.notify(notice(Violation { severity: Severity::Warning, ..violation("web", call) }, true));
    }
    let detection = LastingDetection {
        violations: violations.lasting(at.into_std()).collect(),
        incidents: incidents.lasting(at.into_std()).collect(),
    };
    LastingState { at, changes: 1, detection, delivery: alerts.lasting() }
}

fn written(state: &LastingState, boot: &str) -> Vec<u8> {
    let mut file = Vec::new();
    write(&mut file, state, boot).unwrap();
    file
}

fn read_back(file: &[u8], boot: &str) -> Result<Earlier, FileError> {
    read(file, boot, &NODE.into())
}

#[tokio::test]
async fn a_file_is_read_as_it_was_written() {
    let state = state();
    let file = written(&state, "boot");
    let Earlier { saved, detection, delivery } = read_back(&file, "boot").unwrap();
    let again = LastingState { at: saved, changes: 1, detection, delivery };
    let lines = |file: &[u8]| -> Vec<String> {
        let text = String::from_utf8(file.to_vec()).unwrap();
        // The header has the time.
        text.lines().skip(1).map(str::to_owned).collect()
    };
    assert_eq!(lines(&written(&again, "boot")), lines(&file));
    let kinds: Vec<&str> = ["\"violation\"", "\"incident\"", "\"waiting\"", "\"sent\"", "\"suppressed\""]
        .into_iter()
        .filter(|kind| lines(&file).iter().any(|line| line.contains(kind)))
        .collect();
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

#[tokio::test]
async fn a_file_that_is_cut_anywhere_or_changed_is_refused() {
    let file = written(&state(), "boot");
    for length in 0..file.len() - 1 {
        assert!(read_back(&file[..length], "boot").is_err(), "{length} of {}", file.len());
    }
    let text = String::from_utf8(file).unwrap();
    let error = |text: &str| chain(&read_back(text.as_bytes(), "boot").unwrap_err());
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    assert_eq!(error(&newer), "version 2 is not supported: this version of syscallmon reads version 1");
    assert_eq!(error("[]\n"), "it does not begin with a header");
    assert_eq!(error(""), "it is incomplete");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.remove(1);
    assert_eq!(error(&lines.join("\n")), "it is incomplete");
}

#[tokio::test]
async fn a_record_that_is_not_known_is_skipped_and_the_others_are_used() {
    let text = String::from_utf8(written(&state(), "boot")).unwrap();
    let all = read_back(text.as_bytes(), "boot").unwrap().detection.violations.len();
    for other in ["\"mourn\"", "5"] {
        let changed = text.replacen("\"mount\"", other, 1);
        assert_eq!(read_back(changed.as_bytes(), "boot").unwrap().detection.violations.len(), all - 1, "{other}");
    }
}

#[tokio::test]
async fn records_that_are_too_long_are_left_out_and_the_others_are_written() {
    let mut full = state();
    let [first, ..] = &mut full.detection.violations[..] else { panic!("violations") };
    let process = Arc::make_mut(&mut first.violation).process.as_mut().unwrap();
    process.command_line = Some(vec!["\u{1}".repeat(1 << 20)]);
    let Earlier { detection, .. } = read_back(&written(&full, "boot"), "boot").unwrap();
    assert_eq!(detection.violations.len(), full.detection.violations.len() - 1);
}

#[tokio::test]
async fn what_is_read_shares_memory_as_before() {
    let Earlier { mut detection, mut delivery, .. } = read_back(&written(&state(), "boot"), "boot").unwrap();
    let known: Vec<_> = detection.violations.iter().map(|lasting| Arc::as_ptr(&lasting.violation)).collect();
    let calls: Vec<_> = detection.incidents[0].incident_mut().calls.iter().map(Arc::as_ptr).collect();
    assert!(calls.iter().all(|call| known.contains(call)));
    let records: Vec<_> = delivery.incidents_mut().map(|incident| (incident.id, Arc::as_ptr(incident))).collect();
    assert!(!records.is_empty());
    for (id, incident) in &records {
        assert!(records.iter().all(|(other, same)| other != id || same == incident));
    }
}

#[tokio::test]
async fn its_age_within_a_boot_does_not_depend_on_the_wall_clock() {
    let file = String::from_utf8(written(&state(), "boot")).unwrap();
    let header: Line = serde_json::from_str(file.lines().next().unwrap()).unwrap();
    let Line::State(header) = header else { panic!("{header:?}") };
    let rest = file.split_once('\n').unwrap().1;
    let age_with = |header: Header, boot| {
        let file = format!("{}\n{rest}", serde_json::to_string(&Line::State(header)).unwrap());
        read_back(file.as_bytes(), boot).unwrap().saved.elapsed()
    };
    let (hour, minute) = (Duration::from_hours(1), Duration::from_mins(1));
    let at = |time| Header { time, boot: "boot".to_owned(), ..header };
    assert!(age_with(at(header.time - hour), "boot") < minute, "the clock was set forward");
    assert!(age_with(at(header.time + hour), "boot") < minute, "the clock was set back");
    assert!(age_with(at(header.time - hour), "another boot") >= hour);
    assert!(age_with(at(header.time + hour), "another boot") < minute, "an age is not negative");
}

#[test]
fn every_call_is_known_by_its_names() {
    for (_, call) in CallTable::native().all() {
        let saved = crate::detect::saved::SavedCall::from(call);
        assert_eq!(Call::try_from(saved), Ok(call));
    }
}

fn disk(directory: &Path) -> Disk {
    Disk {
        directory: Directory::new(directory.join("state/alerts")),
        node: NODE.into(),
        boot: "boot".to_owned(),
        has_problem: false,
        has_file: false,
        is_known: false,
    }
}

/// What is there at the start.
fn earlier(disk: &mut Disk) -> Option<Earlier> {
    disk.read_at_start().ok().flatten()
}

#[tokio::test]
async fn a_directory_is_made_for_the_first_violation_and_belongs_to_one_daemon() {
    let (directory, full) = (tempfile::tempdir().unwrap(), state());
    let empty =
        LastingState { detection: LastingDetection::default(), delivery: LastingDelivery::default(), ..full.clone() };
    let mut first = disk(directory.path());
    assert!(earlier(&mut first).is_none());
    first.save(&empty);
    assert!(!directory.path().join("state").exists());
    first.save(&full);
    let mut second = disk(directory.path());
    assert!(earlier(&mut second).is_none() && second.has_problem, "the first one has it");
    second.save(&empty);
    drop(first);
    let mut third = disk(directory.path());
    assert_eq!(earlier(&mut third).unwrap().detection.violations.len(), 2);
    // What is over is removed from the file, too.
    third.save(&empty);
    drop(third);
    assert!(earlier(&mut disk(directory.path())).unwrap().detection.violations.is_empty());
}

#[tokio::test]
async fn a_directory_that_fails_is_used_when_it_works_again() {
    let (directory, full) = (tempfile::tempdir().unwrap(), state());
    fs::write(directory.path().join("state"), "a file").unwrap();
    let mut disk_ = disk(directory.path());
    disk_.save(&full);
    assert!(disk_.has_problem);
    fs::remove_file(directory.path().join("state")).unwrap();
    disk_.save(&full);
    assert!(!disk_.has_problem);
    fs::remove_dir_all(directory.path().join("state/alerts")).unwrap();
    disk_.save(&full);
    drop(disk_);
    assert!(earlier(&mut disk(directory.path())).is_some(), "also after it was removed");
    // A file with a mistake is replaced.
    fs::write(directory.path().join("state/alerts/state.jsonl"), "{}").unwrap();
    let mut again = disk(directory.path());
    assert!(earlier(&mut again).is_none());
    again.save(&full);
    drop(again);
    assert!(earlier(&mut disk(directory.path())).is_some());
}

#[tokio::test]
async fn a_daemon_that_gets_the_directory_later_finds_what_the_other_one_left() {
    let (directory, full) = (tempfile::tempdir().unwrap(), state());
    let mut old = disk(directory.path());
    assert!(matches!(old.save(&full), Saved::Written));
    let mut new = disk(directory.path());
    assert!(new.read_at_start().is_err());
    assert!(matches!(new.save(&full), Saved::Failed), "the old one has it");
    drop(old);
    let Saved::FoundOther(other) = new.save(&full) else { panic!("it is read before it is replaced") };
    assert!(!other.delivery.is_empty());
    assert!(matches!(new.save(&full), Saved::Written));
}
