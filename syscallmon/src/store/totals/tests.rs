use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    document::{read, write},
    *,
};
use crate::{
    error_report::chain,
    model::Model,
    snapshot::{Counts, Durations, ErrorKey, SlotCounts, Snapshot},
    syscalls::{CallId, Errno},
    workload::{Label, Labels, ResolvedWorkload, Workload},
};

const BOOT: &str = "boot";

fn id(syscall: &str) -> CallId {
    CallTable::x86_64().id("x86_64", syscall).unwrap()
}

/// Counts of some calls of each kind.
fn counts(number: u64) -> Arc<Counts> {
    let (call, timed) = (id("read"), Durations { sum_ns: 700, ..Durations::default() });
    let calls = [(call, number), (id("openat"), 2 * number)];
    Arc::new(Counts {
        calls: calls.into_iter().collect(),
        errors: [(ErrorKey::Of(call, Errno::new(2)), number)].into_iter().collect(),
        durations: [(call, timed)].into_iter().collect(),
        ..Counts::default()
    })
}

fn named(path: &str) -> ResolvedWorkload {
    let metadata = Labels::new([(Label::Cgroup, path.into()), (Label::Image, "shop:1".into())]);
    ResolvedWorkload { workload: Workload::cgroup(path.into()), metadata }
}

/// A model with two slots, of which one has ended, and a remainder.
fn model() -> Model {
    let (mut model, now) = (Model::new(usize::MAX), Instant::now());
    let slot = |slot: u32, number| SlotCounts { slot, cgroup_id: slot.into(), counts: counts(number) };
    let remainder = Counts::clone(&counts(3));
    let snapshot = Snapshot { slots: vec![slot(1, 5), slot(2, 7)], remainder, ..Snapshot::default() };
    model.born(1, now);
    model.apply(&snapshot, now, |id| Some(named(&format!("/{id}"))));
    model.forget_slots(&[2], now);
    model
}

fn saved(model: &Model) -> SavedTotals {
    let freed = SlotCounts { slot: 2, cgroup_id: 2, counts: counts(7) };
    let model = model.to_save(Instant::now());
    SavedTotals { generation: 3, first_calls_from: 4, absorbed: vec![(1, 0), (2, 8)], freed: vec![freed], model }
}

fn text(totals: &SavedTotals, clock: BootClock) -> String {
    let mut text = Vec::new();
    write(&mut text, totals, &CallTable::x86_64(), (BOOT, clock)).unwrap();
    String::from_utf8(text).unwrap()
}

fn read_text(text: &str) -> Result<SavedTotals, TotalsFileError> {
    read(text.as_bytes(), &CallTable::x86_64(), (BOOT, BootClock::read()))
}

fn error(text: &str) -> String {
    chain(&read_text(text).unwrap_err())
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let totals = saved(&model());
    let clock = BootClock::read();
    let file = text(&totals, clock);
    let again = read(file.as_bytes(), &CallTable::x86_64(), (BOOT, clock)).unwrap();
    assert_eq!(text(&again, clock), file);
    assert_eq!(again.first_calls_from, 4);
    assert_eq!((again.generation, &again.absorbed, &again.freed), (3, &totals.absorbed, &totals.freed));
    let model = Model::restored(again.model, 1000, usize::MAX, Arc::default());
    let counts_of = |path: &str| model.view().get(&named(path).workload).map(|totals| totals.counts.clone());
    assert_eq!((counts_of("/1").as_ref(), counts_of("/2").as_ref()), (Some(&*counts(5)), Some(&*counts(7))));
    assert_eq!((model.named(1), model.named(2)), (Some(&named("/1")), None));
    assert!(model.is_whole(1) && !model.is_whole(2));
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let file = text(&saved(&model()), BootClock::read());
    let names_end = file.match_indices('\n').nth(1).unwrap().0;
    for length in (0..file.len()).filter(|length| length % 97 == 0 || *length > names_end) {
        if length < file.len() {
            let error = read_text(&file[..length]).unwrap_err();
            assert!(matches!(error, TotalsFileError::Incomplete(_)), "{length} of {}: {error:?}", file.len());
        }
    }
    let mut lines: Vec<&str> = file.lines().collect();
    assert_eq!(error(&file[..file.len() - 1]), format!("it is incomplete: it ends after line {}", lines.len() - 1));
    lines.remove(4);
    assert_eq!(error(&(lines.join("\n") + "\n")), format!("it is incomplete: it ends after line {}", lines.len()));
}

#[test]
fn an_error_says_what_is_wrong_and_where() {
    let file = text(&saved(&model()), BootClock::read());
    let with = |from: &str, to: &str| {
        assert!(file.contains(from), "{from}: {file}");
        error(&file.replacen(from, to, 1))
    };
    let twice = |line: usize| {
        let mut lines: Vec<&str> = file.lines().collect();
        lines.insert(line, lines[line - 1]);
        error(&(lines.join("\n") + "\n"))
    };
    for (error, expected) in [
        (
            with(r#""version":1"#, r#""version":2"#),
            "version 2 is not supported: this version of syscallmon reads version 1",
        ),
        (with(r#""boot":"boot""#, r#""boot":"another""#), "it is from another boot of the host"),
        (with(r#""secs":"#, r#""secs":9"#), "it is from the future"),
        (error("{\"end\":{\"lines\":0}}\n"), "line 1 is not valid: expected a header"),
        (twice(2), "line 3 is not valid: expected a model"),
        (with(r#"{"model":"#, r#"{"slot":"#), "line 3 is not valid: unknown field"),
        (
            with(r#""remainder":{"calls":[["#, r#""remainder":{"calls":[[9999,1],["#),
            "line 3 is not valid: call 9999 has no name in this file",
        ),
        (with(",700,[]]", ",700,[[99,1]]]"), "line 3 is not valid: no histogram has a bucket 99"),
        (twice(3), "line 4 is not valid: expected a part of the model"),
        (with(r#""seen":[["#, r#""seen":[[0,0],["#), "line 4 is not valid: 2 calls have 3 times"),
        (with(r#""created_ns":"#, r#""created_ns":9"#), "line 4 is not valid: the time 9"),
        (with(r#""stops":0"#, r#""stops":9999999999999999999"#), "line 4 is not valid: the counts are too large"),
        (twice(5), "line 6 is not valid: the workload /2 occurs twice"),
        (
            with(r#""workload":0"#, r#""workload":9"#),
            "line 7 is not valid: the slot 1 counts for workload 9, and there are 3",
        ),
        (twice(7), "line 8 is not valid: the slot 1 occurs twice"),
    ] {
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn calls_of_another_version_keep_their_counts() {
    let file = text(&saved(&model()), BootClock::read());
    let file = file.replacen(r#""x86_64","read"]"#, r#""x86_64","frobnicate"]"#, 1);
    let model = Model::restored(read_text(&file).unwrap().model, 1000, usize::MAX, Arc::default());
    let totals = model.view().get(&named("/1").workload).unwrap();
    assert_eq!((totals.counts.calls.get(id("unknown")), totals.counts.calls.get(id("read"))), (Some(&5), None));
}

/// A file below a state directory, and a `/proc` with an id of the boot.
fn totals_file(directory: &Path) -> TotalsFile {
    let kernel = directory.join("proc/sys/kernel/random");
    fs::create_dir_all(&kernel).unwrap();
    fs::write(kernel.join("boot_id"), "boot\n").unwrap();
    TotalsFile::new(&directory.join("state"), &directory.join("proc"))
}

#[test]
fn a_file_is_written_when_totals_changed_or_the_file_is_gone() {
    let (directory, calls, mut model) = (tempfile::tempdir().unwrap(), CallTable::x86_64(), model());
    let mut file = totals_file(directory.path());
    assert!(file.read(&calls).unwrap().is_none());
    let mut is_written = |totals: &SavedTotals| file.write(totals, &calls).unwrap();
    assert!(is_written(&saved(&model)) && !is_written(&saved(&model)));
    assert!(is_written(&SavedTotals { generation: 4, ..saved(&model) }));
    assert!(is_written(&SavedTotals { freed: Vec::new(), ..saved(&model) }));
    model.born(9, Instant::now());
    assert!(is_written(&saved(&model)) && !is_written(&saved(&model)));
    let path = directory.path().join("state/totals/state.jsonl");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    fs::remove_file(&path).unwrap();
    assert!(is_written(&saved(&model)));
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert!(is_written(&saved(&model)));
    drop(file);
    assert_eq!(totals_file(directory.path()).read(&calls).unwrap().unwrap().generation, 3);
}

#[test]
fn a_directory_belongs_to_one_daemon() {
    let (directory, calls) = (tempfile::tempdir().unwrap(), CallTable::x86_64());
    let (mut first, totals) = (totals_file(directory.path()), saved(&model()));
    first.write(&totals, &calls).unwrap();
    let mut second = totals_file(directory.path());
    let is_locked = |error: TotalsError| matches!(error, TotalsError::Store(StoreError::Locked { .. }));
    assert!(is_locked(second.read(&calls).unwrap_err()) && is_locked(second.write(&totals, &calls).unwrap_err()));
    drop(first);
    assert!(second.read(&calls).unwrap().is_some());
}

#[test]
fn a_daemon_that_finds_no_totals_keeps_others_from_writing_some() {
    let (directory, calls) = (tempfile::tempdir().unwrap(), CallTable::x86_64());
    let (mut first, mut second) = (totals_file(directory.path()), totals_file(directory.path()));
    assert!(first.read(&calls).unwrap().is_none());
    assert!(second.write(&saved(&model()), &calls).is_err(), "the first one has read that there is nothing");
    assert!(first.write(&saved(&model()), &calls).unwrap());
}

#[test]
fn totals_that_are_too_large_leave_the_old_file() {
    let (directory, calls) = (tempfile::tempdir().unwrap(), CallTable::x86_64());
    let (mut file, mut large) = (totals_file(directory.path()), model());
    file.write(&saved(&large), &calls).unwrap();
    let slot = SlotCounts { slot: 9, cgroup_id: 9, counts: counts(1) };
    let snapshot = Snapshot { slots: vec![slot], ..Snapshot::default() };
    large.apply(&snapshot, Instant::now(), |_| Some(named(&format!("/{}", "a".repeat(5 << 20)))));
    let error = file.write(&saved(&large), &calls).unwrap_err();
    assert!(chain(&error).ends_with("totals exceed 67108864 bytes"), "{}", chain(&error));
    assert!(error.is_too_large() && !TotalsError::Boot.is_too_large());
    assert!(file.read(&calls).unwrap().is_some());
    let names: Vec<_> = fs::read_dir(directory.path().join("state/totals")).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn files_of_others_are_refused() {
    let (directory, calls) = (tempfile::tempdir().unwrap(), CallTable::x86_64());
    let totals = directory.path().join("state/totals");
    let path = totals.join("state.jsonl");
    let error = |file: &mut TotalsFile| chain(&file.read(&calls).unwrap_err());
    fs::create_dir_all(&totals).unwrap();
    fs::File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
    let mut file = totals_file(directory.path());
    assert!(error(&mut file).ends_with("state.jsonl: it exceeds 67108864 bytes"));
    fs::remove_file(&path).unwrap();
    symlink("/etc/hostname", &path).unwrap();
    assert!(error(&mut file).contains("state.jsonl: cannot read the file: "));
    file.write(&saved(&model()), &calls).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_file(), "a rename replaces the link");
    drop(file);
    fs::remove_dir_all(&totals).unwrap();
    fs::write(&totals, "").unwrap();
    let mut file = totals_file(directory.path());
    assert!(error(&mut file).starts_with("cannot read the directory"), "{}", error(&mut file));
    assert!(file.write(&saved(&model()), &calls).is_err());
    let mut without_boot = TotalsFile::new(&directory.path().join("other"), directory.path());
    assert_eq!(chain(&without_boot.write(&saved(&model()), &calls).unwrap_err()), "cannot read the id of the boot");
}

#[test]
#[ignore = "measures: run it alone, with --release and --nocapture"]
fn a_large_file_is_written_and_read_fast() {
    const WORKLOADS: u32 = 1000;
    let (mut model, now, calls) = (Model::new(usize::MAX), Instant::now(), CallTable::x86_64());
    let ids: Vec<CallId> = calls.iter().map(|(id, _)| id).skip(4).step_by(3).take(100).collect();
    let counts = |slot: u64, more| Counts {
        calls: ids.iter().zip(1..).map(|(&id, number)| (id, slot * 97 * number * number + more)).collect(),
        ..Counts::default()
    };
    let names: HashMap<u64, ResolvedWorkload> = (1..=WORKLOADS.into())
        .map(|id: u64| {
            let labels = [Label::Namespace, Label::Pod, Label::Container]
                .map(|label| (label, format!("shop-web-6d8c-{id}").into()));
            let workload = Workload::Resolved(Labels::new(labels.clone()));
            let more = [Label::Image, Label::ContainerId, Label::Cgroup, Label::Node]
                .map(|label| (label, format!("{id:064x}").into()));
            (id, ResolvedWorkload { workload, metadata: Labels::new(labels.into_iter().chain(more)) })
        })
        .collect();
    for more in 0..2 {
        // Every second slot has counts of its own, as after a restart.
        let slot = |slot: u32| SlotCounts { slot, cgroup_id: slot.into(), counts: counts(slot.into(), more).into() };
        let slots = (1..=WORKLOADS).map(slot).collect();
        model.apply(&Snapshot { slots, ..Snapshot::default() }, now + Duration::from_secs(5 * more), |id| {
            names.get(&id).cloned()
        });
        if more == 0 {
            let even: Vec<u32> = (2..=WORKLOADS).step_by(2).collect();
            model.hand_over(&even, now);
        }
    }
    let begin = Instant::now();
    let of_model = model.to_save(begin);
    let save = begin.elapsed();
    let totals = SavedTotals { model: of_model, ..saved(&model) };
    let (mut text, begin) = (Vec::new(), Instant::now());
    write(&mut text, &totals, &calls, (BOOT, BootClock::read())).unwrap();
    let written = begin.elapsed();
    let begin = Instant::now();
    read(&text[..], &calls, (BOOT, BootClock::read())).unwrap();
    println!("{} bytes; saved in {save:?}, written in {written:?}, read in {:?}", text.len(), begin.elapsed());
}
