//! What becomes of samples, and that a replay answers as a daemon does.

use std::time::SystemTime;

use super::*;
use crate::{
    recording::{Reader, SampleOrEnd},
    snapshot::{Counts, SlotCounts, Snapshot},
    syscalls::CallId,
    view::Views,
    workload::Label,
};

/// The lines of a recording of one container: what `fuzz/` begins with.
const SHOP: &[u8] = include_bytes!("../../../../fuzz/seeds/recording/shop");

fn shop() -> (Header, Vec<Sample>) {
    let limits = Limits { has_checksums: false, ..Limits::default() };
    let mut reader = Reader::of_lines(SHOP, limits).unwrap();
    let mut samples = Vec::new();
    loop {
        match reader.next_record().unwrap().unwrap() {
            SampleOrEnd::Sample(sample) => samples.push(*sample),
            SampleOrEnd::End(_) => return (reader.header().clone(), samples),
        }
    }
}

#[test]
fn a_container_gets_its_name_and_is_gone_at_the_end() {
    let (header, samples) = shop();
    let started = Instant::now();
    let (mut player, calls) = (Player::new(&header, started, Limits::default()), header.facts(started).calls);
    let read = calls.id("x86_64", "read").unwrap();
    let label = |player: &Player| {
        let (workload, totals) = player.model().view().all().next().unwrap();
        (workload.to_string(), totals.counts.calls.get(read).copied(), totals.is_gone())
    };
    player.apply(&samples[0]).unwrap();
    assert_eq!(label(&player), ("/docker/0123".to_owned(), Some(5), false));
    assert_eq!(player.model().view().workloads().count(), 0, "it waits for its name");
    player.apply(&samples[1]).unwrap();
    assert_eq!(label(&player), ("web".to_owned(), Some(10), false));
    assert_eq!(player.first_calls.newest()[0].syscall, "openat");
    player.apply(&samples[2]).unwrap();
    assert_eq!(label(&player), ("web".to_owned(), Some(10), true));
    let created = player.model().view().all().next().unwrap().1.created();
    assert_eq!(created, Some(started + Duration::from_nanos(500)));
}

/// Returns a sample with a new cgroup. The cgroup of the previous sample is gone.
fn another(number: u32, name: &str) -> Sample {
    let workload = Workload::cgroup(format!("/{number}{name}").into());
    let Workload::Resolved(metadata) = &workload else { unreachable!() };
    let counts = Counts { calls: [(CallId(9), 1)].into_iter().collect(), ..Counts::default() };
    let slot = SlotCounts { slot: number, cgroup_id: number.into(), counts: Arc::new(counts) };
    Sample {
        names: vec![(number.into(), ResolvedWorkload { workload: workload.clone(), metadata: metadata.clone() })],
        snapshot: Snapshot { slots: vec![slot], ..Snapshot::default() },
        freed: vec![number],
        expire_after: Duration::from_hours(1),
        ..Sample::default()
    }
}

#[test]
fn workloads_without_end_are_ended() {
    let (header, _) = shop();
    let limits = Limits { workloads: 100, label_bytes: 20_000, ..Limits::default() };
    let mut player = Player::new(&header, Instant::now(), limits);
    let outcome = (0..1000).try_for_each(|number| player.apply(&another(number, "")).map(drop));
    assert_eq!(outcome, Err(PlayError::Workloads(100)));

    let mut player = Player::new(&header, Instant::now(), limits);
    let long = "x".repeat(1000);
    let outcome = (0..1000).try_for_each(|number| player.apply(&another(number, &long)).map(drop));
    assert_eq!(outcome, Err(PlayError::LabelBytes(20_000)));
}

#[test]
fn names_that_are_no_more_are_not_counted() {
    let (header, _) = shop();
    let limits = Limits { label_bytes: 20_000, ..Limits::default() };
    let mut player = Player::new(&header, Instant::now(), limits);
    let long = "x".repeat(1000);
    for number in 0..1000 {
        let expire_after = Duration::ZERO;
        player.apply(&Sample { expire_after, ..another(number, &long) }).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_publishes_all_of_it_answers_and_stays() {
    let (header, samples) = shop();
    let started = Instant::now();
    let (publish, views) = Views::new(View::empty(Arc::new(header.facts(started))));
    let player = Player::new(&header, started, Limits::default());
    let (replay, mut controls) = Replay::new(player, Speed::Times(1e6), publish);
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(replay.run(shutdown.clone()));
    let sender = controls.samples.take().unwrap();
    for sample in samples {
        sender.send(sample).await.unwrap();
    }
    drop(sender);
    assert_eq!(controls.over.await, Ok(Ok(())));
    controls.owner.refresh().await;
    let view = views.newest();
    assert_eq!((view.snapshot.number, view.unresolved, view.sources.len()), (3, 1, 1));
    assert_eq!(view.snapshot.time, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_003));
    let labels: Vec<String> =
        view.model.workloads().map(|(workload, _)| workload.label(Label::Container.name()).to_owned()).collect();
    assert_eq!((labels, view.facts.is_replay), (vec!["web".to_owned()], true));
    assert_eq!(controls.owner.baselines(|baselines| baselines.iter().count()).await, Some(0));
    shutdown.cancel();
    running.await.unwrap();
}
