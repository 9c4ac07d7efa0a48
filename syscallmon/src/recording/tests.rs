//! A reader returns what was written, and fails on no file.

use std::{
    io::{Cursor, Read},
    sync::{Arc, mpsc},
    time::{Duration, SystemTime},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use proptest::prelude::*;

use super::{
    encoder::Encoder,
    frame::FrameOrEnd,
    mask::Mask,
    writer::{ChecksummedLines, write},
    *,
};
use crate::{
    process::{Ancestor, Process},
    snapshot::{ArgumentKey, Counts, DeniedKey, ErrorKey, SlotCounts, Snapshot},
    syscalls::{CallId, CallTable, Errno},
    view::{FixedFacts, RecordedFirstCall},
    workload::{CgroupIdentity, Label, Labels, ResolvedWorkload, Workload},
};

mod hostile;

/// An event of a slot before the next snapshot.
#[derive(Clone, Debug)]
enum Event {
    /// Its cgroup makes calls.
    Call { slot: u32, call: u16, count: u64 },
    /// It is freed.
    Free { slot: u32 },
    /// Its counts fall: the cgroup got the slot anew.
    Anew { slot: u32 },
    /// Its cgroup gets another name.
    Name { slot: u32, name: String },
}

fn event() -> impl Strategy<Value = Event> {
    let slot = 1..6_u32;
    prop_oneof![
        (slot.clone(), 0..1000_u16, 1..1_000_000_u64).prop_map(|(slot, call, count)| Event::Call { slot, call, count }),
        slot.clone().prop_map(|slot| Event::Free { slot }),
        slot.clone().prop_map(|slot| Event::Anew { slot }),
        (slot, "\\PC{1,20}").prop_map(|(slot, name)| Event::Name { slot, name }),
    ]
}

fn named(name: &str) -> ResolvedWorkload {
    let metadata = Labels::new([(Label::Cgroup, format!("/{name}").into()), (Label::Node, "node".into())]);
    ResolvedWorkload { workload: Workload::Resolved(metadata.only(&[Label::Cgroup])), metadata }
}

fn counts(call: u16, count: u64) -> Counts {
    let call = CallId(call);
    Counts {
        calls: [(call, count)].into_iter().collect(),
        container_init: [(call, count / 2)].into_iter().collect(),
        errors: [(ErrorKey::Of(call, Errno::new(2)), count / 3), (ErrorKey::Other, 1)].into_iter().collect(),
        denied: [(DeniedKey::Of(call), count / 5), (DeniedKey::Unsupported(call), 1)].into_iter().collect(),
        arguments: [
            (ArgumentKey::Of(CallId(call.0 % 500 + 1400)), count),
            (ArgumentKey::Denied(CallId(call.0 % 500 + 1400)), count / 7),
            (ArgumentKey::Other, 2),
        ]
        .into_iter()
        .collect(),
        ..Counts::default()
    }
}

fn first_call(name: &str) -> (Labels, RecordedFirstCall) {
    let ResolvedWorkload { workload, metadata } = named(name);
    let parents = vec![Ancestor { pid: 1, comm: "forebear".to_owned(), exe: Some("/sbin/forebear".to_owned()) }];
    let process = Process {
        pid: 7,
        tid: 8,
        uid: 1000,
        comm: name.chars().take(15).collect(),
        exe: Some(format!("/usr/bin/{name}")),
        command_line: Some(vec![name.to_owned(), "--flag".to_owned()]),
        parents,
        tree: crate::process::ProcessTree::default(),
    };
    let (abi, syscall) = ("x86_64", "openat");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    (metadata, RecordedFirstCall { time, workload, abi, syscall, argument: "", number: 257, denied: false, process })
}

/// Samples as the sampler makes them: one after each list of events.
fn samples(steps: &[Vec<Event>]) -> Vec<Sample> {
    let (mut samples, mut slots, mut names) = (Vec::new(), std::collections::BTreeMap::new(), Vec::new());
    let mut freed = Vec::new();
    for (step, events) in (1_u64..).zip(steps) {
        let mut sample = Sample { freed: std::mem::take(&mut freed), ..Sample::default() };
        for event in events {
            match event {
                Event::Call { slot, call, count } => {
                    let new =
                        || SlotCounts { slot: *slot, cgroup_id: step * 10 + u64::from(*slot), counts: Arc::default() };
                    let slot: &mut SlotCounts = slots.entry(*slot).or_insert_with(new);
                    Arc::make_mut(&mut slot.counts).add(&counts(*call, *count));
                    sample.births.push((slot.cgroup_id, Duration::from_secs(step)));
                    sample.snapshot.remainder.add(&counts(*call, 1));
                }
                Event::Free { slot } => {
                    slots.remove(slot);
                    freed.push(*slot);
                }
                Event::Anew { slot } => {
                    if let Some(slot) = slots.get_mut(slot) {
                        slot.counts = Arc::new(counts(3, 1));
                    }
                }
                Event::Name { slot, name } => {
                    names.retain(|(known, _)| known != slot);
                    names.push((*slot, named(name)));
                    sample.first_calls.push(first_call(name));
                    let identity = Arc::new(CgroupIdentity::of(&format!("/docker/{}", "a".repeat(64)).into()));
                    sample.renames.push((Workload::Unresolved(identity), named(name)));
                    sample.kept.push(named(name).metadata);
                }
            }
        }
        let name = |slot: &SlotCounts| Some((slot.cgroup_id, names.iter().find(|(of, _)| *of == slot.slot)?.1.clone()));
        sample.names = slots.values().filter_map(name).collect();
        sample.snapshot.slots = slots.values().cloned().collect();
        (sample.taken, sample.took) = (Duration::from_secs(step), Duration::from_millis(3));
        sample.time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_123 + step);
        (sample.name_timeout, sample.expire_after) = (Duration::from_secs(10), Duration::from_mins(5));
        (sample.snapshot.series, sample.missed) = (17, step / 3);
        sample.dead = vec![step];
        samples.push(sample);
    }
    accumulate(&mut samples);
    samples
}

/// The remainder is a running total.
fn accumulate(samples: &mut [Sample]) {
    let mut remainder = Counts::default();
    for sample in samples {
        remainder.add(&sample.snapshot.remainder);
        sample.snapshot.remainder = remainder.clone();
    }
}

fn written(samples: &[Sample], is_masked: bool) -> Vec<u8> {
    let (sender, receiver) = mpsc::sync_channel(samples.len());
    for sample in samples {
        sender.send(sample.clone()).unwrap();
    }
    drop(sender);
    let mut file = Vec::new();
    let header = Header::new(&FixedFacts::minimal(), 1000, is_masked);
    let outcome = write(&mut file, &header, is_masked.then(|| Mask::new().unwrap()), &receiver, u64::MAX).unwrap();
    assert_eq!((outcome.bytes, outcome.end.samples), (file.len() as u64, samples.len() as u64));
    file
}

/// Returns the samples of a file, and its end.
fn read(file: &[u8]) -> (Vec<Sample>, Result<Option<End>, ReadError>) {
    let mut reader = match Reader::open(file, Limits::default()) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Err(error)),
    };
    let mut samples = Vec::new();
    while let Some(record) = reader.next_record() {
        match record {
            Ok(SampleOrEnd::Sample(sample)) => samples.push(*sample),
            Ok(SampleOrEnd::End(end)) => return (samples, Ok(Some(end))),
            Err(error) => return (samples, Err(error)),
        }
    }
    (samples, Ok(None))
}

fn text(file: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

fn some() -> Vec<Sample> {
    let call = |slot, call| Event::Call { slot, call, count: 1000 };
    let name = |slot, name: &str| Event::Name { slot, name: name.to_owned() };
    samples(&[
        vec![call(1, 5), name(1, "shop")],
        vec![call(1, 5), call(2, 6)],
        vec![Event::Free { slot: 1 }],
        vec![call(1, 9), name(2, "bank")],
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_read_is_what_was_written(steps in prop::collection::vec(prop::collection::vec(event(), 0..6), 0..12)) {
        let samples = samples(&steps);
        let (read, end) = read(&written(&samples, false));
        prop_assert_eq!(&read, &samples);
        let missed = samples.last().map_or(0, |sample| sample.missed);
        prop_assert_eq!(end.unwrap(), Some(End { samples: samples.len() as u64, missed }));
    }

    #[test]
    fn what_is_cut_has_what_is_before_the_cut(at in any::<prop::sample::Index>()) {
        let (samples, file) = (some(), written(&some(), false));
        let (read, end) = read(&file[..at.index(file.len())]);
        prop_assert_eq!(&read[..], &samples[..read.len()]);
        // The checksum of gzip is not needed.
        prop_assert!(end.is_err() || read.len() == samples.len());
    }

    #[test]
    fn what_is_damaged_has_what_is_before_the_damage(
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (samples, mut file) = (some(), written(&some(), false));
        for (at, byte) in damages {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let (read, _) = read(&file);
        prop_assert_eq!(&read[..], &samples[..read.len()]);
    }
}

#[test]
fn a_recorder_that_was_killed_leaves_all_that_it_had_flushed() {
    let (samples, header) = (some(), Header::new(&FixedFacts::minimal(), 1000, false));
    let mut file = Vec::new();
    let mut lines = ChecksummedLines::new(&mut file);
    let mut encoder = Encoder::new(CallTable::x86_64(), None);
    lines.write(&header).unwrap();
    for sample in samples.clone() {
        for frame in encoder.frames(sample) {
            lines.write(&FrameOrEnd::Frame(Box::new(frame))).unwrap();
        }
        lines.flush().unwrap();
    }
    // Without its end.
    std::mem::forget(lines);
    let (read, end) = read(&file);
    assert_eq!(read, samples);
    assert!(end.unwrap_err().to_string().contains("after sample 4"));
}

#[test]
fn large_samples_are_split_and_put_together_again() {
    let slot = |slot: u32| {
        let calls = (0..1000).map(|call| (CallId(call), u64::from(call) + u64::from(slot))).collect();
        SlotCounts { slot, cgroup_id: slot.into(), counts: Arc::new(Counts { calls, ..Counts::default() }) }
    };
    let sample = Sample {
        snapshot: Snapshot { slots: (1..=100).map(slot).collect(), ..Snapshot::default() },
        names: (1..=100).map(|id| (id, named(&id.to_string()))).collect(),
        births: (0..50_000).map(|id| (id, Duration::from_secs(1))).collect(),
        ..Sample::default()
    };
    let file = written(&[sample.clone(), sample.clone()], false);
    let longest = text(&file).lines().map(str::len).max().unwrap();
    assert!((longest as u64) < MAX_LINE / 4, "{longest}");
    assert_eq!(read(&file).0, [sample.clone(), sample]);
}

#[test]
fn only_what_changed_is_written() {
    let all = some();
    let same =
        [all[1].clone(), Sample { births: Vec::new(), freed: Vec::new(), first_calls: Vec::new(), ..all[1].clone() }];
    let last = text(&written(&same, false)).lines().rev().nth(3).unwrap().to_owned();
    assert!(last.contains("\"frame\"") && !last.contains("slots") && !last.contains("names"), "{last}");
}

#[test]
fn names_are_not_in_a_masked_file() {
    let identity = Arc::new(CgroupIdentity::of(&"/hiddenslice.slice/docker-0123456789abcdef.scope/hiddenpath".into()));
    let metadata = Label::ALL.iter().map(|&label| (label, format!("hidden{}", label.name()).into()));
    let hidden = ResolvedWorkload { workload: Workload::Unresolved(identity), metadata: Labels::new(metadata) };
    let mut samples = some();
    let slot = samples[0].snapshot.slots[0].cgroup_id;
    samples[0].names = vec![(slot, hidden.clone())];
    samples[0].renames = vec![(hidden.workload.clone(), named("hiddenrename"))];
    let (labels, call) = first_call("hiddencall");
    samples[0].first_calls = vec![(labels, RecordedFirstCall { workload: hidden.workload.clone(), ..call })];
    samples[0].kept = vec![hidden.metadata.clone()];
    let plain = text(&written(&samples, false));
    assert!(plain.matches("hidden").count() > 20, "{plain}");
    let masked = text(&written(&samples, true));
    for name in ["hidden", "shop", "bank", "0123456789abcdef", "forebear", "--flag"] {
        assert!(plain.contains(name), "{name}");
        let found = masked.find(name).map(|at| &masked[at.saturating_sub(60)..at + 20]);
        assert_eq!(found, None);
    }
    let (of_masked, end) = read(&written(&samples, true));
    assert!(end.unwrap().is_some());
    let counts = |samples: &[Sample]| samples.iter().map(|sample| sample.snapshot.clone()).collect::<Vec<_>>();
    assert_eq!(counts(&of_masked), counts(&samples));
}

#[test]
fn another_architecture_s_calls_have_its_names() {
    let arm = FixedFacts { calls: Arc::new(CallTable::aarch64()), ..FixedFacts::minimal() };
    let read = Header::new(&arm, 1, false).facts(std::time::Instant::now());
    assert_eq!(read.calls.call(arm.calls.id("aarch64", "openat").unwrap()).abi, "aarch64");
    assert_eq!(read.calls.native_abi(), "aarch64");
}

#[test]
fn a_sample_that_is_left_out_leaves_its_events() {
    let left = Sample {
        births: vec![(1, Duration::ZERO), (2, Duration::ZERO)],
        freed_before: vec![7],
        freed: vec![3],
        dead: vec![2],
        missed: 4,
        ..some().remove(0)
    };
    let next = left.clone().left_out();
    assert_eq!((next.births, next.missed, next.freed_before), (vec![(1, Duration::ZERO)], 5, vec![3, 7]));
    assert_eq!((next.first_calls, next.renames), (left.first_calls, left.renames));
    assert!(next.snapshot.slots.is_empty() && next.freed.is_empty() && next.renamed_cgroups.contains(&2));
}

#[test]
fn a_recording_ends_when_it_is_large_enough() {
    let (sender, receiver) = mpsc::sync_channel(100);
    for _ in 0..100 {
        sender.send(some().remove(0)).unwrap();
    }
    let mut file = Vec::new();
    let outcome = write(&mut file, &Header::new(&FixedFacts::minimal(), 1, false), None, &receiver, 1).unwrap();
    assert!(outcome.is_full);
    assert_eq!((read(&file).0.len(), outcome.end.samples), (1, 1));
}
