//! What a model has after a restart.

use super::*;

/// The first number that is no slot of the kernel.
const OFFSET: u32 = 1 << 31;

fn restarted(model: &Model) -> Model {
    Model::restored(model.to_save(Instant::now()), OFFSET, usize::MAX, Arc::default())
}

fn stops(model: &Model) -> u64 {
    model.stops(&named(&"/a".into()).workload)
}

#[test]
fn a_slot_of_new_tables_continues_the_workload_of_an_older_one_without_a_stop() {
    let (mut model, names, now) = (model(), Names::new(&[(1, "/a")]), Instant::now());
    names.apply(&mut model, &snapshot(&[(1, &[(A, 5)])]));
    let mut model = restarted(&model);
    assert_eq!(model.named(1), Some(&named(&"/a".into())));
    assert_eq!((model.names().len(), model.named(2)), (1, None));
    let last = SlotCounts { slot: OFFSET + 1, cgroup_id: 1, counts: counts(&[(A, 7)]).into() };
    names.apply(&mut model, &Snapshot { slots: vec![last], ..Snapshot::default() });
    model.hand_over(&[OFFSET + 1], now);
    names.apply(&mut model, &snapshot(&[(1, &[(A, 1)])]));
    assert_eq!((calls(&model, "/a", A), stops(&model)), (Some(8), 0));
    model.forget_slots(&[1], now);
    assert_eq!(stops(&model), 1);
}

#[test]
fn a_slot_that_another_cgroup_took_after_a_failed_save_has_no_baseline() {
    let (mut model, names) = (model(), Names::new(&[(1, "/a"), (2, "/b")]));
    names.apply(&mut model, &snapshot(&[(1, &[(A, 5)])]));
    let mut model = restarted(&model);
    let last = SlotCounts { slot: OFFSET + 1, cgroup_id: 2, counts: counts(&[(A, 7)]).into() };
    names.apply(&mut model, &Snapshot { slots: vec![last], ..Snapshot::default() });
    assert_eq!((calls(&model, "/a", A), calls(&model, "/b", A)), (Some(5), Some(7)));
}

#[test]
fn a_workload_that_makes_no_more_calls_after_a_handover_expires() {
    let (mut model, names, now) = (model(), Names::new(&[(1, "/a")]), Instant::now());
    names.apply(&mut model, &snapshot(&[(1, &[(A, 5)])]));
    let mut model = restarted(&model);
    model.hand_over(&[OFFSET + 1], now);
    assert_eq!(calls(&model, "/a", A), Some(5));
    expire(&mut model, now + HOLD, HOLD);
    assert_eq!((calls(&model, "/a", A), model.view().series()), (None, 0));
}

#[test]
fn the_remainder_of_new_tables_begins_at_0() {
    let mut model = model();
    let remainder = |calls| Snapshot { remainder: counts(&[(A, calls)]), ..Snapshot::default() };
    Names::new(&[]).apply(&mut model, &remainder(5));
    let mut model = restarted(&model);
    Names::new(&[]).apply(&mut model, &remainder(7));
    model.begin_again();
    Names::new(&[]).apply(&mut model, &remainder(8));
    assert_eq!(calls(&model, "(remainder)", A), Some(15));
}

#[test]
fn slots_that_outlast_two_restarts_are_handed_over() {
    let (mut model, names) = (model(), Names::new(&[(1, "/a"), (2, "/b")]));
    names.apply(&mut model, &snapshot(&[(1, &[(A, 5)])]));
    let mut model = restarted(&model);
    names.apply(&mut model, &snapshot(&[(2, &[(A, 1)])]));
    let mut model = restarted(&model);
    assert_eq!((model.named(1), model.named(2)), (None, Some(&named(&"/b".into()))));
    assert_eq!((calls(&model, "/a", A), stops(&model)), (Some(5), 0));
    names.apply(&mut model, &snapshot(&[(1, &[(A, 2)])]));
    assert_eq!(calls(&model, "/a", A), Some(7));
}

#[test]
fn metadata_after_a_handover_are_those_of_the_next_slot() {
    let (mut model, now) = (model(), Instant::now());
    model.apply(&snapshot(&[(7, &[(A, 5)])]), now, |_| Some(metadata("old")));
    let mut model = restarted(&model);
    model.hand_over(&[OFFSET + 7], now);
    // The same number in the new tables.
    model.apply(&snapshot(&[(7, &[(A, 1)])]), now, |_| Some(metadata("new")));
    model.apply(&snapshot(&[(7, &[(A, 1)])]), now, |_| Some(metadata("newer")));
    assert_eq!(model.metadata(&web().workload).and_then(|labels| labels.get(Label::Image)), Some(&"newer".into()));
}

#[test]
fn a_slot_that_was_given_to_another_cgroup_begins_at_0() {
    let names = Names::new(&[(1, "/a"), (2, "/b"), (3, "/c")]);
    let (mut model, now) = (model(), Instant::now());
    names.apply(&mut model, &snapshot(&[(1, &[(A, 100)]), (2, &[(A, 5)])]));
    let mut model = restarted(&model);
    // Slot 1 was freed, and no state says so.
    let slot = |slot: u32, cgroup_id, count| SlotCounts { slot, cgroup_id, counts: counts(&[(A, count)]).into() };
    let slots = vec![slot(OFFSET + 1, 3, 30), slot(OFFSET + 2, 2, 6)];
    let reused = model.reused(&slots);
    assert_eq!(reused, [OFFSET + 1]);
    model.forget_slots(&reused, now);
    names.apply(&mut model, &Snapshot { slots, ..Snapshot::default() });
    assert_eq!(["/a", "/b", "/c"].map(|path| calls(&model, path, A)), [Some(100), Some(6), Some(30)]);
}

#[test]
fn half_of_what_has_ended_is_folded_and_stays_counted() {
    let names = Names::new(&[(1, "/a"), (2, "/b"), (3, "/c")]);
    let (mut model, now) = (model(), Instant::now());
    names.apply(&mut model, &snapshot(&[(1, &[(A, 1)]), (2, &[(A, 2)]), (3, &[(A, 4)])]));
    model.forget_slots(&[1], now);
    model.forget_slots(&[2], now + HOLD);
    model.fold_half();
    let paths = ["/a", "/b", "/c", "(gone)"];
    assert_eq!(paths.map(|path| calls(&model, path, A)), [None, Some(2), Some(4), Some(1)]);
    model.fold_half();
    assert_eq!(paths.map(|path| calls(&model, path, A)), [None, None, Some(4), Some(3)]);
}

#[test]
fn each_change_makes_another_edition() {
    type Change<'a> = Box<dyn Fn(&mut Model) + 'a>;
    let (names, now) = (&Names::new(&[(1, "/a"), (2, "/b")]), Instant::now());
    let apply = |snapshot: Snapshot| -> Change<'_> { Box::new(move |model| names.apply(model, &snapshot)) };
    let remainder = Snapshot { remainder: counts(&[(A, 1)]), ..Snapshot::default() };
    let changes: [(bool, Change<'_>); 11] = [
        (true, apply(snapshot(&[(1, &[(A, 5)]), (2, &[(B, 1)])]))),
        (true, apply(snapshot(&[(1, &[(A, 6)])]))),
        (true, apply(remainder)),
        (true, Box::new(|model| model.born(2, now))),
        (false, Box::new(|model| model.forget_births(&[3]))),
        (true, Box::new(|model| model.forget_births(&[2]))),
        (true, Box::new(|model| model.forget_slots(&[1], now))),
        (false, Box::new(|model| model.forget_slots(&[1], now))),
        (true, Box::new(|model| model.hand_over(&[2], now))),
        (true, Box::new(|model| expire(model, now + HOLD, HOLD))),
        (true, Box::new(Model::begin_again)),
    ];
    for keeps in [false, true] {
        let mut model = model();
        for (number, (is_change, change)) in changes.iter().enumerate() {
            let saved = model.to_save(now);
            let edition = saved.edition();
            // The thread that writes the file may still have it.
            let kept = keeps.then_some(saved);
            change(&mut model);
            assert_eq!(model.to_save(now).edition() != edition, *is_change, "change {number}");
            drop(kept);
        }
    }
}
