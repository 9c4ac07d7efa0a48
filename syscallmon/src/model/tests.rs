//! What becomes of totals when snapshots, names and time go on.

mod saved;

use super::{
    series::{Granularities, Granularity},
    *,
};
use crate::{
    snapshot::{DeniedKey, ErrorKey},
    syscalls::{CallId, CallTable, Errno},
    workload::Label,
};

const A: CallId = CallId(10);
const B: CallId = CallId(20);

fn counts(calls: &[(CallId, u64)]) -> Counts {
    Counts { calls: calls.iter().copied().collect(), ..Counts::default() }
}

/// A snapshot of cgroups that have the slots of their own numbers.
fn snapshot(cgroups: &[(u32, &[(CallId, u64)])]) -> Snapshot {
    let slot = |&(slot, calls): &(u32, _)| SlotCounts { slot, cgroup_id: slot.into(), counts: counts(calls).into() };
    Snapshot { slots: cgroups.iter().map(slot).collect(), ..Snapshot::default() }
}

/// Nothing that is gone was made again, and there is room for all of it.
fn expire(model: &mut Model, now: Instant, keep: Duration) {
    model.expire(now, keep, usize::MAX, |_| false);
}

fn model() -> Model {
    Model::new(usize::MAX)
}

fn named(path: &Arc<str>) -> ResolvedWorkload {
    let workload = Workload::cgroup(Arc::clone(path));
    let Workload::Resolved(metadata) = workload.clone() else { unreachable!() };
    ResolvedWorkload { workload, metadata }
}

/// Names: id -> path.
struct Names(HashMap<u64, Arc<str>>);

impl Names {
    fn new(names: &[(u64, &str)]) -> Self {
        Self(names.iter().map(|&(id, path)| (id, path.into())).collect())
    }

    fn apply(&self, model: &mut Model, snapshot: &Snapshot) {
        model.apply(snapshot, Instant::now(), |id| self.0.get(&id).map(named));
    }
}

fn calls(model: &Model, cgroup: &str, call: CallId) -> Option<u64> {
    let (_, totals) = model.view().workloads().find(|(workload, _)| workload.label("cgroup") == cgroup)?;
    Some(totals.counts.calls.get(call).copied().unwrap_or(0))
}

#[test]
fn totals_follow_the_kernel_s_running_counts() {
    let (mut model, names) = (model(), Names::new(&[(1, "/a")]));
    names.apply(&mut model, &snapshot(&[(1, &[(B, 5)])]));
    names.apply(&mut model, &snapshot(&[(1, &[(A, 1), (B, 7)])]));
    names.apply(&mut model, &snapshot(&[(1, &[(A, 1), (B, 7)])]));
    assert_eq!((calls(&model, "/a", A), calls(&model, "/a", B)), (Some(1), Some(7)));
}

#[test]
fn a_path_that_is_made_again_goes_on_in_its_totals() {
    let (mut model, names, now) = (model(), Names::new(&[(1, "/a"), (2, "/a")]), Instant::now());
    names.apply(&mut model, &snapshot(&[(1, &[(A, 5)])]));
    model.forget_slots(&[1], now);
    names.apply(&mut model, &snapshot(&[(2, &[(A, 3)])]));
    expire(&mut model, now + Duration::from_mins(15), Duration::from_mins(5));
    assert_eq!(calls(&model, "/a", A), Some(8));
}

#[test]
fn the_dead_are_exported_until_their_time_is_over() {
    let (mut model, names, now) = (model(), Names::new(&[(1, "/a"), (2, "/b")]), Instant::now());
    names.apply(&mut model, &snapshot(&[(1, &[(A, 5)]), (2, &[(A, 1)])]));
    model.forget_slots(&[1], now);
    let keep = Duration::from_mins(5);
    expire(&mut model, now + Duration::from_secs(299), keep);
    assert_eq!(calls(&model, "/a", A), Some(5));
    expire(&mut model, now + keep, keep);
    assert_eq!((calls(&model, "/a", A), calls(&model, "/b", A)), (None, Some(1)));
}

#[test]
fn a_slot_that_another_cgroup_gets_starts_from_zero() {
    let mut model = model();
    Names::new(&[(1, "/a")]).apply(&mut model, &snapshot(&[(1, &[(A, 500)])]));
    model.forget_slots(&[1], Instant::now());
    Names::new(&[(1, "/b")]).apply(&mut model, &snapshot(&[(1, &[(A, 3)])]));
    assert_eq!((calls(&model, "/a", A), calls(&model, "/b", A)), (Some(500), Some(3)));
}

#[test]
fn a_name_that_comes_later_gets_the_later_calls_and_nothing_twice() {
    let mut model = model();
    Names::new(&[]).apply(&mut model, &snapshot(&[(1, &[(A, 5)])]));
    Names::new(&[(1, "/a")]).apply(&mut model, &snapshot(&[(1, &[(A, 9)])]));
    assert_eq!((calls(&model, "(unknown)", A), calls(&model, "/a", A)), (Some(5), Some(4)));
    expire(&mut model, Instant::now() + Duration::from_secs(9999), Duration::ZERO);
    assert_eq!(calls(&model, "(unknown)", A), Some(5), "the unknown never falls");
}

#[test]
fn the_remainder_is_a_workload_of_its_own() {
    let mut model = model();
    for remainder in [3, 3, 10] {
        let snapshot = Snapshot { remainder: counts(&[(A, remainder)]), ..Snapshot::default() };
        Names::new(&[]).apply(&mut model, &snapshot);
    }
    assert_eq!(calls(&model, "(remainder)", A), Some(10));
}

#[test]
fn two_slots_of_one_cgroup_add_up() {
    let (mut model, names) = (model(), Names::new(&[(1, "/a")]));
    let slot = |slot, calls| SlotCounts { slot, cgroup_id: 1, counts: counts(&[(A, calls)]).into() };
    for (old, new) in [(10, 1), (10, 5)] {
        names.apply(&mut model, &Snapshot { slots: vec![slot(3, old), slot(4, new)], ..Snapshot::default() });
    }
    model.forget_slots(&[3], Instant::now());
    names.apply(&mut model, &Snapshot { slots: vec![slot(4, 6)], ..Snapshot::default() });
    assert_eq!(calls(&model, "/a", A), Some(16));
    assert!(model.view().workloads().all(|(_, totals)| !totals.is_gone()));
}

#[test]
fn a_path_that_was_made_again_is_kept_even_if_it_makes_no_call() {
    let (mut model, names, now) = (model(), Names::new(&[(1, "/a"), (2, "/b")]), Instant::now());
    names.apply(&mut model, &snapshot(&[(1, &[(A, 5)]), (2, &[(A, 5)])]));
    model.forget_slots(&[1, 2], now);
    let later = now + Duration::from_mins(9);
    model.expire(later, Duration::from_mins(5), usize::MAX, |totals| {
        totals.metadata.get(Label::Cgroup).is_some_and(|path| path.as_ref() == "/a")
    });
    assert_eq!((calls(&model, "/a", A), calls(&model, "/b", A)), (Some(5), None));
}

#[test]
fn a_tenant_that_ends_many_workloads_folds_no_other_tenant_s() {
    let (mut model, begin) = (model(), Instant::now());
    let names: Vec<String> =
        ["/victim/a".to_owned()].into_iter().chain((1..20).map(|n| format!("/evil/{n}"))).collect();
    let names = Names((1..).zip(names.iter().map(|name| name.as_str().into())).collect());
    let slots: Vec<u32> = (1..=20).collect();
    let calls_of = |&slot: &u32| (slot, &[(A, 1), (B, 2)][..]);
    names.apply(&mut model, &snapshot(&slots.iter().map(calls_of).collect::<Vec<_>>()));
    for (after, &slot) in (0..).zip(&slots) {
        model.forget_slots(&[slot], begin + Duration::from_millis(after));
    }
    model.expire(begin + Duration::from_secs(1), Duration::from_mins(5), 10, |_| false);
    assert_eq!((calls(&model, "/victim/a", A), model.view().folded()), (Some(1), 15), "though it is the oldest");
    assert_eq!(calls(&model, "(gone)", B), Some(30));
}

#[test]
fn many_tiny_tenants_fold_no_workload_that_has_just_ended() {
    let (mut model, begin) = (model(), Instant::now());
    let names: Vec<String> = (1..=600).map(|n| format!("/tiny-{n}/a")).chain(["/usual/a".to_owned()]).collect();
    let names = Names((1..).zip(names.iter().map(|name| name.as_str().into())).collect());
    let slots: Vec<u32> = (1..=601).collect();
    let calls_of = |&slot: &u32| (slot, if slot == 601 { &[(A, 1), (B, 2)][..] } else { &[(A, 1)][..] });
    names.apply(&mut model, &snapshot(&slots.iter().map(calls_of).collect::<Vec<_>>()));
    for (after, &slot) in (0..).zip(&slots) {
        model.forget_slots(&[slot], begin + Duration::from_millis(after));
    }
    model.expire(begin + Duration::from_secs(1), Duration::from_mins(5), 512, |_| false);
    assert_eq!((calls(&model, "/usual/a", A), calls(&model, "/usual/a", B)), (Some(1), Some(2)), "the newest");
    assert_eq!((calls(&model, "/tiny-90/a", A), calls(&model, "/tiny-91/a", A)), (None, Some(1)), "the oldest");
}

#[test]
fn the_oldest_of_too_many_gone_are_folded_together() {
    let mut model = model();
    let now = Instant::now();
    for slot in 1..=10 {
        let path = format!("/{slot}");
        Names::new(&[(slot.into(), &path)]).apply(&mut model, &snapshot(&[(slot, &[(A, 1), (B, 2)])]));
        model.forget_slots(&[slot], now + Duration::from_secs(slot.into()));
    }
    model.expire(now, Duration::from_mins(5), 7, |_| false);
    assert_eq!((calls(&model, "(gone)", A), calls(&model, "(gone)", B)), (Some(7), Some(14)));
    assert_eq!((calls(&model, "/7", A), calls(&model, "/8", A), model.view().folded()), (None, Some(1), 7));
    model.expire(now + Duration::from_mins(99), Duration::from_mins(5), 7, |_| false);
    assert_eq!(calls(&model, "(gone)", A), Some(7), "what was folded never falls");
}

#[test]
fn every_kind_of_count_follows_the_kernel_s() {
    let (mut model, names) = (model(), Names::new(&[(1, "/a")]));
    let enoent = ErrorKey::Of(A, Errno::new(2));
    for times in [2, 5, 5] {
        let denied = [(DeniedKey::Of(B), times)].into_iter().collect();
        let counts = Counts { errors: [(enoent, times)].into_iter().collect(), denied, ..Counts::default() };
        let slot = SlotCounts { slot: 1, cgroup_id: 1, counts: counts.into() };
        names.apply(&mut model, &Snapshot { slots: vec![slot], ..Snapshot::default() });
    }
    let (_, totals) = model.view().workloads().next().unwrap();
    assert_eq!((totals.counts.errors.get(enoent), totals.counts.denied.get(DeniedKey::Of(B))), (Some(&5), Some(&5)));
    assert_eq!(totals.counts.series(), 2);
}

#[test]
fn a_cgroup_that_made_no_call_is_no_workload() {
    let (mut model, names) = (model(), Names::new(&[(1, "/a")]));
    names.apply(&mut model, &snapshot(&[(1, &[])]));
    assert_eq!(model.view().workloads().count(), 0);
}

const HOLD: Duration = Duration::from_secs(10);

/// A container that has no name yet.
fn unresolved() -> ResolvedWorkload {
    let identity = CgroupIdentity::of(&format!("/docker/{}", "a".repeat(64)).into());
    ResolvedWorkload { workload: Workload::Unresolved(identity.into()), metadata: Labels::default() }
}

/// The container `web` with this image.
fn metadata(image: &str) -> ResolvedWorkload {
    let metadata = Labels::new([(Label::Container, "web".into()), (Label::Image, image.into())]);
    ResolvedWorkload { metadata, ..web() }
}

fn web() -> ResolvedWorkload {
    let labels = Labels::new([(Label::Container, "web".into())]);
    ResolvedWorkload { workload: Workload::Resolved(labels.clone()), metadata: labels }
}

#[test]
fn a_container_waits_for_its_name_and_takes_all_its_calls_there() {
    let (mut model, now) = (model(), Instant::now());
    model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(unresolved()));
    model.release(now, HOLD);
    assert_eq!((model.view().workloads().count(), model.view().held(), model.unresolved().count()), (0, 1, 1));
    model.rename(&HashMap::from([(unresolved().workload, web())]), now);
    model.apply(&snapshot(&[(1, &[(A, 7)])]), now, |_| Some(web()));
    let (workload, totals) = model.view().workloads().next().unwrap();
    assert_eq!((workload, totals.counts.calls.get(A)), (&web().workload, Some(&7)));
    assert_eq!((model.view().held(), model.view().series()), (0, 1));
}

#[test]
fn a_container_that_nobody_knows_is_exported_by_its_path_in_the_end() {
    let (mut model, now) = (model(), Instant::now());
    model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(unresolved()));
    model.release(now + HOLD, HOLD);
    let path = format!("/docker/{}", "a".repeat(64));
    assert_eq!(calls(&model, &path, A), Some(5));
    model.rename(&HashMap::from([(unresolved().workload, web())]), now);
    assert_eq!((calls(&model, &path, A), calls(&model, "", A)), (None, Some(5)), "not twice");
}

#[test]
fn a_name_that_comes_after_the_end_still_comes_and_starts_no_new_life() {
    let (mut model, now) = (model(), Instant::now());
    model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(unresolved()));
    model.forget_slots(&[1], now);
    model.rename(&HashMap::from([(unresolved().workload, web())]), now);
    assert_eq!(model.view().workloads().map(|(_, totals)| totals.is_gone()).collect::<Vec<_>>(), [true]);
    // The next instance goes on where it ended.
    model.apply(&snapshot(&[(2, &[(A, 2)])]), now, |_| Some(web()));
    let (_, totals) = model.view().workloads().next().unwrap();
    assert_eq!((totals.is_gone(), totals.counts.calls.get(A)), (false, Some(&7)));
    expire(&mut model, now + 99 * HOLD, HOLD);
    assert_eq!(model.view().workloads().count(), 1);
}

#[test]
fn a_workload_whose_cgroup_gets_another_name_leaves() {
    let (mut model, now) = (model(), Instant::now());
    model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(named(&"/a".into())));
    model.apply(&snapshot(&[(1, &[(A, 7)])]), now, |_| Some(web()));
    assert_eq!((calls(&model, "/a", A), calls(&model, "", A)), (Some(5), Some(2)));
    expire(&mut model, now + HOLD, HOLD);
    assert_eq!((calls(&model, "/a", A), calls(&model, "", A), model.view().series()), (None, Some(2), 1));
}

/// A container under this name, in a cgroup that is there.
fn called(name: &str) -> ResolvedWorkload {
    let metadata = [(Label::Container, name.into()), (Label::Cgroup, "/a".into())];
    ResolvedWorkload {
        workload: Workload::Resolved(Labels::new([(Label::Container, name.into())])),
        metadata: Labels::new(metadata),
    }
}

#[test]
fn counts_stay_under_the_name_that_they_were_made_under_and_no_counter_falls() {
    let (mut model, now) = (model(), Instant::now());
    let calls = |model: &Model, name: &str| {
        let (_, totals) = model.view().workloads().find(|(workload, _)| workload.label("container") == name)?;
        totals.counts.calls.get(A).copied()
    };
    model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(called("web")));
    // It is renamed, and another one gets its name.
    let names = |id| Some(called(if id == 1 { "web_old" } else { "web" }));
    let deltas = model.apply(&snapshot(&[(1, &[(A, 7)]), (2, &[(A, 1)])]), now, names);
    assert_eq!((calls(&model, "web"), calls(&model, "web_old")), (Some(6), Some(2)));
    assert!(
        deltas.iter().any(|delta| delta.named == called("web_old") && delta.calls.get(A) == Some(&2)),
        "{deltas:?}"
    );
}

#[test]
fn a_name_that_nobody_has_any_more_is_gone_though_its_cgroup_is_there() {
    let (mut model, now) = (model(), Instant::now());
    let has = |model: &Model, name: &str| model.has(&called(name).workload);
    model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(called("web")));
    model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(called("shop")));
    model.expire(now + Duration::from_secs(1), Duration::ZERO, usize::MAX, |_| true);
    assert!(!has(&model, "web") && has(&model, "shop"));
    // It may get its name back.
    model.apply(&snapshot(&[(1, &[(A, 6)])]), now, |_| Some(called("web")));
    model.forget_slots(&[1], now);
    model.expire(now + Duration::from_secs(1), Duration::ZERO, usize::MAX, |_| true);
    assert!(has(&model, "web") && !has(&model, "shop"));
}

#[test]
fn what_stands_for_many_is_never_gone() {
    let (mut model, now) = (model(), Instant::now());
    let pause = ResolvedWorkload { workload: Workload::Pause, metadata: Labels::default() };
    model.apply(&snapshot(&[(1, &[(A, 5)])]), now, |_| Some(unresolved()));
    model.forget_slots(&[1], now);
    model.rename(&HashMap::from([(unresolved().workload, pause)]), now);
    expire(&mut model, now + HOLD, HOLD);
    assert_eq!(calls(&model, "(pause)", A), Some(5));
}

#[test]
fn what_is_known_is_known_of_the_newest_even_if_it_makes_no_call() {
    let (mut model, now) = (model(), Instant::now());
    let (one, both) = (snapshot(&[(2, &[(A, 5)])]), snapshot(&[(1, &[(A, 5)]), (2, &[(A, 5)])]));
    model.apply(&one, now, |_| Some(metadata("old")));
    model.apply(&both, now, |id| Some(metadata(if id == 1 { "new" } else { "old" })));
    model.apply(&both, now, |id| Some(metadata(if id == 1 { "newer" } else { "old" })));
    let (_, totals) = model.view().workloads().next().unwrap();
    assert_eq!(totals.metadata.get(Label::Image).map(AsRef::as_ref), Some("newer"));
}

#[test]
fn series_beyond_the_limit_are_counted_in_the_remainder() {
    let (mut model, names) = (Model::new(2), Names::new(&[(1, "/a"), (2, "/b")]));
    names.apply(&mut model, &snapshot(&[(1, &[(A, 1)]), (2, &[(A, 2)])]));
    names.apply(&mut model, &snapshot(&[(1, &[(A, 5), (B, 7)]), (2, &[(A, 3)])]));
    assert_eq!((calls(&model, "/a", A), calls(&model, "/a", B), calls(&model, "/b", A)), (Some(5), Some(0), Some(3)));
    assert_eq!((calls(&model, "(remainder)", B), model.view().capped()), (Some(7), 7));
    let losses: Vec<_> = model.view().losses().into_iter().map(|(reason, count)| (reason.name, count)).collect();
    assert_eq!(losses, [("workloads_folded", Some(0)), ("max_series", Some(7))]);
    // Room that others leave is for what comes then.
    model.forget_slots(&[2], Instant::now());
    expire(&mut model, Instant::now() + HOLD, HOLD);
    names.apply(&mut model, &snapshot(&[(1, &[(A, 5), (B, 8)])]));
    assert_eq!((calls(&model, "/a", B), calls(&model, "(remainder)", B)), (Some(1), Some(7)));
}

#[test]
fn calls_of_a_series_that_is_there_need_no_room() {
    let table = CallTable::x86_64();
    let id = |syscall| table.id("x86_64", syscall).unwrap();
    let granularities = Granularities { syscalls: Granularity::Set, ..Granularities::default() };
    let mut model = Model::new(1).with_layout(SeriesLayout::new(granularities, &table).into());
    let names = Names::new(&[(1, "/a")]);
    names.apply(&mut model, &snapshot(&[(1, &[(id("read"), 1)])]));
    names.apply(&mut model, &snapshot(&[(1, &[(id("read"), 1), (id("write"), 2), (id("openat"), 4)])]));
    assert_eq!((calls(&model, "/a", id("write")), calls(&model, "/a", id("openat"))), (Some(2), Some(0)));
    assert_eq!((calls(&model, "(remainder)", id("openat")), model.view().series()), (Some(4), 1));
}

#[test]
fn calls_of_a_workload_are_in_one_delta_once_it_has_its_name() {
    let (mut model, now, unresolved) = (model(), Instant::now(), unresolved());
    let held = model.apply(&snapshot(&[(1, &[(A, 3)])]), now, |_| Some(unresolved.clone()));
    assert_eq!(held, []);
    let deltas = model.rename(&HashMap::from([(unresolved.workload, web())]), now);
    assert_eq!((deltas.len(), deltas[0].before.clone(), deltas[0].calls.sum(), deltas[0].cgroup_id), (1, None, 3, 1));
    let more = model.apply(&snapshot(&[(1, &[(A, 4)])]), now, |_| Some(web()));
    assert_eq!((more.len(), more[0].calls.sum()), (1, 1));
}

#[test]
fn calls_under_a_path_are_repeated_with_the_name_and_the_path() {
    let (mut model, now, unresolved) = (model(), Instant::now(), unresolved());
    model.apply(&snapshot(&[(1, &[(A, 3)])]), now, |_| Some(unresolved.clone()));
    assert_eq!(model.release(now, Duration::ZERO).len(), 1);
    let deltas = model.rename(&HashMap::from([(unresolved.workload.clone(), web())]), now);
    assert_eq!((deltas[0].before.clone(), deltas[0].calls.sum()), (Some(unresolved.workload), 3));
}

#[test]
fn what_set_a_container_up_is_no_news_of_it() {
    let (mut model, now) = (model(), Instant::now());
    let mut snapshot = snapshot(&[(1, &[(A, 3), (B, 2)])]);
    Arc::make_mut(&mut snapshot.slots[0].counts).container_init = [(A, 3), (B, 1)].into_iter().collect();
    let deltas = model.apply(&snapshot, now, |_| Some(web()));
    assert_eq!(deltas[0].calls.iter().map(|(call, &count)| (call, count)).collect::<Vec<_>>(), [(B, 1)]);
}

#[test]
fn each_call_has_the_times_of_its_first_and_its_last_count() {
    let (mut model, start) = (model(), Instant::now());
    let at = |second| start + Duration::from_secs(second);
    let mut apply = |second, calls: &[(CallId, u64)], named: ResolvedWorkload| {
        model.apply(&snapshot(&[(1, calls)]), at(second), |_| Some(named.clone()));
        let view = model.view().clone();
        let totals = Arc::clone(view.all().next().unwrap().1);
        [A, B].map(|call| view.seen(&totals, call))
    };
    let a = named(&"/a".into());
    assert_eq!(apply(0, &[(A, 1)], a.clone()), [Some((at(0), at(0))), None]);
    assert_eq!(apply(60, &[(A, 1), (B, 1)], a.clone()), [Some((at(0), at(0))), Some((at(60), at(60)))]);
    assert_eq!(apply(90, &[(A, 2), (B, 1)], a), [Some((at(0), at(90))), Some((at(60), at(60)))]);
}

#[test]
fn the_times_of_calls_follow_a_workload_to_its_name() {
    let (mut model, start) = (model(), Instant::now());
    let later = start + Duration::from_mins(1);
    model.apply(&snapshot(&[(1, &[(A, 5)])]), start, |_| Some(unresolved()));
    model.rename(&HashMap::from([(unresolved().workload, web())]), later);
    model.apply(&snapshot(&[(1, &[(A, 6)])]), later, |_| Some(web()));
    let view = model.view();
    let totals = view.get(&web().workload).unwrap();
    assert_eq!(view.seen(totals, A), Some((start, later)));
}
