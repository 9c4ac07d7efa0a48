//! What is learned, when it guards, and for what there is room.

use std::time::Duration;

use super::*;
use crate::{
    detect::policy::essential,
    syscalls::{Call, HARMLESS},
};

/// At least 10 min, until 1 h is quiet.
const LEARN: Learn = Learn {
    quiet_for: Duration::from_hours(1),
    at_least: Duration::from_mins(10),
    at_most: Duration::from_hours(7 * 24),
};

/// A clock, and a policy that learns like that.
struct Learning {
    baselines: Baselines,
    table: CallTable,
    start: Instant,
    seconds: u64,
}

fn key(name: &str) -> BaselineKey {
    format!("docker:{name}").parse().unwrap()
}

impl Learning {
    fn new() -> Self {
        let mut learning =
            Self { baselines: Baselines::default(), table: CallTable::x86_64(), start: Instant::now(), seconds: 0 };
        learning.baselines.tick(learning.start, learning.now());
        learning
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + self.seconds)
    }

    fn see(&mut self, name: &str, is_partial: bool) -> bool {
        let now = self.now();
        self.baselines.begin_or_get(&key(name), (&"p".into(), LEARN), now, is_partial).is_some()
    }

    fn call(&mut self, name: &str, syscall: &str) -> bool {
        let call = self.table.id("x86_64", syscall).unwrap();
        let now = self.now();
        self.baselines.learn(&key(name), call, &self.table, now, Some("sh"))
    }

    /// Passes so many minutes, in which a workload of each of these kinds is there; how many are frozen meanwhile.
    fn minutes(&mut self, minutes: u64, alive: &[&str]) -> usize {
        let tick = |learning: &mut Self| {
            for name in alive {
                assert!(learning.see(name, false));
            }
            learning.seconds += 60;
            let at = learning.start + Duration::from_secs(learning.seconds);
            learning.baselines.tick(at, learning.now()).len()
        };
        (0..minutes).map(|_| tick(self)).sum()
    }

    fn is_guarding(&self, name: &str) -> bool {
        self.baselines.is_guarding(&key(name))
    }
}

#[test]
fn a_baseline_is_frozen_when_nothing_new_came_for_long_enough() {
    let mut learning = Learning::new();
    learning.see("a", false);
    assert!(learning.call("a", "read") && !learning.call("a", "read"));
    assert_eq!(learning.minutes(59, &["a"]), 0);
    assert!(learning.call("a", "write"), "it begins anew");
    assert_eq!(learning.minutes(59, &["a"]), 0);
    assert_eq!(learning.minutes(1, &["a"]), 1);
    assert!(learning.is_guarding("a") && !learning.call("a", "open"));
    assert_eq!(learning.baselines.calls(&key("a")).unwrap().len(), 2);
}

#[test]
fn time_passes_only_while_a_workload_of_the_kind_is_there() {
    let mut learning = Learning::new();
    for name in ["a", "b"] {
        learning.see(name, false);
        learning.call(name, "read");
    }
    assert_eq!(learning.minutes(59, &["a", "b"]), 0);
    assert_eq!(learning.minutes(600, &["b"]), 1);
    assert!(!learning.is_guarding("a"));
    assert_eq!(learning.minutes(1, &["a"]), 1, "what has passed before counts");
}

#[test]
fn what_made_no_call_is_not_frozen() {
    let mut learning = Learning::new();
    assert_eq!(learning.minutes(600, &["a"]), 0);
}

#[test]
fn a_short_silence_is_not_enough_before_the_least_time() {
    let mut learning = Learning::new();
    let learn = Learn { quiet_for: Duration::from_mins(1), ..LEARN };
    let mut frozen = 0;
    for minute in 0..10 {
        assert_eq!(frozen, 0, "{minute}");
        let now = learning.now();
        learning.baselines.begin_or_get(&key("a"), (&"p".into(), learn), now, false);
        learning.call("a", "read");
        frozen = learning.minutes(0, &[]);
        learning.seconds += 60;
        let at = learning.start + Duration::from_secs(learning.seconds);
        frozen += learning.baselines.tick(at, learning.now()).len();
    }
    assert_eq!(frozen, 1);
}

#[test]
fn a_new_call_now_and_then_does_not_keep_a_baseline_from_guarding() {
    let mut learning = Learning::new();
    learning.see("a", false);
    let table = learning.table.clone();
    let is_new =
        |call: &Call| call.abi == "x86_64" && !essential::is_essential(*call) && !HARMLESS.contains(&call.syscall);
    let mut calls = table.iter().map(|(_, call)| call).filter(is_new);
    let days = 7 * 24 * 60;
    let new_ones = (0..days / 59).map(|_| {
        assert!(!learning.is_guarding("a"));
        let is_expected = |call: &Call| {
            let expected = learning.baselines.get(&key("a")).unwrap().expected();
            expected.contains(&table.id(call.abi, call.syscall).unwrap())
        };
        let call = calls.find(|call| !is_expected(call)).expect("there are enough");
        learning.call("a", call.syscall);
        learning.minutes(59, &["a"])
    });
    assert_eq!(new_ones.sum::<usize>(), 0, "there is always a new one");
    assert!(learning.call("a", calls.next().expect("there are enough").syscall), "and one more");
    learning.minutes(days % 59, &["a"]);
    assert!(learning.is_guarding("a"), "it has learned for as long as it may");
}

#[test]
fn what_every_program_calls_is_no_news() {
    let mut learning = Learning::new();
    learning.see("a", false);
    learning.call("a", "read");
    assert_eq!(learning.minutes(59, &["a"]), 0);
    assert!(learning.call("a", "exit_group") && learning.call("a", "rt_sigreturn"));
    assert_eq!(learning.minutes(1, &["a"]), 1);
}

#[test]
fn a_baseline_is_partial_until_a_start_was_seen() {
    let mut learning = Learning::new();
    let is_partial = |learning: &Learning| learning.baselines.get(&key("a")).unwrap().partial;
    learning.see("a", true);
    assert!(is_partial(&learning));
    learning.see("a", false);
    assert!(!is_partial(&learning));
    learning.see("a", true);
    assert!(!is_partial(&learning), "it has seen one");
}

#[test]
fn approved_is_frozen_at_once_and_relearned_keeps_its_calls() {
    let mut learning = Learning::new();
    learning.see("a", false);
    learning.call("a", "read");
    let now = learning.now();
    assert!(learning.baselines.approve(&key("a"), now) && learning.is_guarding("a"));
    assert!(learning.baselines.relearn(&key("a"), now) && !learning.is_guarding("a"));
    assert!(learning.call("a", "write"));
    assert_eq!(learning.baselines.calls(&key("a")).unwrap().len(), 2);
    assert!(!learning.baselines.approve(&key("b"), now) && !learning.baselines.relearn(&key("b"), now));
}

#[test]
fn each_change_is_given_to_the_store_once() {
    let mut learning = Learning::new();
    learning.see("a", false);
    let changes = |learning: &mut Learning| learning.baselines.take_changes();
    assert!(matches!(&changes(&mut learning)[..], [BaselineChange::Write(baseline)] if baseline.size() == 0));
    learning.minutes(1, &["a"]);
    assert_eq!(changes(&mut learning), []);
    learning.call("a", "read");
    assert!(matches!(&changes(&mut learning)[..], [BaselineChange::Write(baseline)] if baseline.size() == 1));
    assert!(learning.baselines.forget(&key("a")) && !learning.baselines.forget(&key("a")));
    assert_eq!(changes(&mut learning), [BaselineChange::Remove(key("a"))]);
}

#[test]
fn what_was_forgotten_and_comes_again_is_written_and_not_removed() {
    let mut learning = Learning::new();
    learning.see("a", false);
    learning.baselines.forget(&key("a"));
    learning.see("a", true);
    assert!(matches!(&learning.baselines.take_changes()[..], [BaselineChange::Write(baseline)] if baseline.partial));
}

#[test]
fn an_edit_replaces_what_was_learned_and_is_not_written_again() {
    let mut learning = Learning::new();
    learning.see("a", false);
    learning.call("a", "read");
    let mut edited = Baseline::clone(learning.baselines.get(&key("a")).unwrap());
    edited.approve(learning.now());
    learning.call("a", "write");
    assert!(learning.baselines.adopt(edited));
    assert_eq!(learning.baselines.calls(&key("a")).unwrap().len(), 1);
    assert!(learning.is_guarding("a") && learning.baselines.take_changes().is_empty());
}

/// A tick after so many seconds, with no more workloads than were seen.
fn tick(learning: &mut Learning, seconds: u64) {
    learning.seconds += seconds;
    let at = learning.start + Duration::from_secs(learning.seconds);
    learning.baselines.tick(at, learning.now());
}

/// Whether a kind has room, under a policy of this name.
fn begins(learning: &mut Learning, key: &str, policy: &str) -> bool {
    let (key, now) = (key.parse().unwrap(), learning.now());
    learning.baselines.begin_or_get(&key, (&policy.into(), Learn::default()), now, false).is_some()
}

#[test]
fn many_kinds_that_live_for_a_moment_leave_room_for_what_stays() {
    let mut learning = Learning::new();
    for number in 0..MAX_BASELINES + 200 {
        assert!(learning.see("stays", false) && learning.call("stays", "read") == (number == 0));
        assert!(learning.see(&number.to_string(), false), "{number}");
        if number % 10 == 0 {
            tick(&mut learning, 1);
        }
    }
    assert_eq!(learning.baselines.iter().count(), MAX_BASELINES);
    assert_eq!(learning.baselines.get(&key("stays")).unwrap().size(), 1, "nothing was lost");
    assert!(learning.baselines.removed.displaced > 0);
    assert!(learning.see("new", false));
    let removals = learning.baselines.take_changes();
    assert!(removals.iter().any(|change| matches!(change, BaselineChange::Remove(_))), "their files go, too");
}

#[test]
fn a_file_may_have_the_longest_times() {
    let mut learning = Learning::new();
    let mut baseline = Baseline::new(key("web"), "p".into(), learning.now(), false);
    (baseline.learned_for, baseline.quiet_for, baseline.unseen_for) = (Duration::MAX, Duration::MAX, Duration::MAX);
    assert!(learning.baselines.adopt(baseline) && learning.call("web", "mount"));
    assert_eq!(learning.minutes(2, &["web"]), 1, "it has learned long enough");
    assert!(learning.baselines.is_guarding(&key("web")));
}

#[test]
fn kinds_that_stay_take_nobody_s_share() {
    let mut learning = Learning::new();
    for number in 0..MAX_BASELINES + 5 {
        begins(&mut learning, &format!("flood/Job/{number}/a"), "p");
    }
    let alive: Vec<BaselineKey> = learning.baselines.iter().map(|baseline| baseline.kind.clone()).collect();
    tick(&mut learning, 1);
    for key in &alive {
        begins(&mut learning, key.as_str(), "p");
    }
    tick(&mut learning, 1);
    assert!(begins(&mut learning, "shop/Deployment/web/httpd", "p"), "another namespace has its share");
    assert!(begins(&mut learning, "flood/Job/again/a", "q"), "and so has another policy");
    let alive: Vec<BaselineKey> = learning.baselines.iter().map(|baseline| baseline.kind.clone()).collect();
    for key in &alive {
        learning.baselines.all.get_mut(key).unwrap().is_alive = true;
    }
    tick(&mut learning, 1);
    assert!(!begins(&mut learning, "flood/Job/again/b", "p"), "and the large one does not get it back");
    assert!(begins(&mut learning, "shop/Deployment/web/httpd", "p"));
}

#[test]
fn what_guards_a_workload_or_was_approved_is_not_pushed_out() {
    let mut learning = Learning::new();
    for number in 0..MAX_BASELINES {
        learning.see(&number.to_string(), false);
        learning.call(&number.to_string(), "read");
    }
    let now = learning.now();
    for number in 0..MAX_BASELINES {
        learning.baselines.approve(&key(&number.to_string()), now);
    }
    tick(&mut learning, 1);
    tick(&mut learning, 1);
    assert!(!begins(&mut learning, "shop/Deployment/web/httpd", "p"));
    assert_eq!((learning.baselines.iter().count(), learning.baselines.refused()), (MAX_BASELINES, 1));
    assert_eq!(learning.baselines.removed, Removed::default());
    learning.baselines.forget(&key("7"));
    assert!(begins(&mut learning, "shop/Deployment/web/httpd", "p"));
}

#[test]
fn kinds_that_found_no_room_are_counted_while_they_are_there() {
    let mut learning = Learning::new();
    let began = (0..MAX_BASELINES + 5).filter(|number| learning.see(&number.to_string(), false)).count();
    assert_eq!(began, MAX_BASELINES + 5, "the oldest made room, as no tick has seen them");
    let names: Vec<String> = learning.baselines.iter().map(|baseline| baseline.kind.to_string()).collect();
    tick(&mut learning, 1);
    for name in &names {
        begins(&mut learning, name, "p");
    }
    tick(&mut learning, 1);
    assert!(!learning.see("more", false));
    assert_eq!(learning.baselines.refused(), 1);
    tick(&mut learning, 1);
    assert_eq!(learning.baselines.refused(), 1, "it was there lately");
    tick(&mut learning, 1);
    assert_eq!(learning.baselines.refused(), 0, "it is gone");
}

#[test]
fn what_no_workload_has_for_too_long_is_removed_unless_somebody_approved_it() {
    let mut learning = Learning::new();
    for name in ["gone", "approved", "there"] {
        learning.see(name, false);
        learning.call(name, "read");
    }
    let now = learning.now();
    learning.baselines.approve(&key("approved"), now);
    let (days, day) = (RETENTION.as_secs() / (24 * 3600), 24 * 3600);
    for passed in 0..days {
        assert!(learning.baselines.get(&key("gone")).is_some(), "{passed}");
        learning.see("there", false);
        tick(&mut learning, day);
    }
    // As a daemon that starts again reads it.
    let saved = Baseline::clone(learning.baselines.get(&key("gone")).unwrap());
    assert_eq!(saved.unseen_for, Duration::from_secs((days - 1) * day));
    assert!(learning.baselines.adopt(saved));
    learning.see("there", false);
    tick(&mut learning, day);
    let left: Vec<&str> = learning.baselines.iter().map(|baseline| baseline.kind.as_str()).collect();
    assert_eq!((left, learning.baselines.removed.expired), (vec!["docker:approved", "docker:there"], 1));
    assert!(learning.baselines.take_changes().contains(&BaselineChange::Remove(key("gone"))));
}

#[test]
fn what_comes_back_is_kept_as_long_as_if_it_had_never_been_away() {
    let mut learning = Learning::new();
    learning.see("a", false);
    tick(&mut learning, 1);
    tick(&mut learning, RETENTION.as_secs() - 1);
    assert!(!learning.baselines.get(&key("a")).unwrap().unseen_for.is_zero());
    learning.see("a", false);
    tick(&mut learning, 1);
    assert!(learning.baselines.get(&key("a")).unwrap().unseen_for.is_zero());
    tick(&mut learning, RETENTION.as_secs() - 1);
    assert!(learning.baselines.get(&key("a")).is_some());
}

#[test]
fn of_two_policies_that_share_a_kind_the_first_keeps_its_baseline() {
    let mut learning = Learning::new();
    let owner = |learning: &Learning| learning.baselines.get(&key("a")).unwrap().policy.to_string();
    for policy in ["p", "q", "p", "q"] {
        let policy: Arc<str> = policy.into();
        learning.baselines.hand_over(&key("a"), &policy, |name| ["p", "q"].contains(&name));
        begins(&mut learning, "docker:a", &policy);
        assert_eq!(owner(&learning), "p");
    }
    learning.baselines.take_changes();
    learning.baselines.hand_over(&key("a"), &"q".into(), |name| ["p", "q"].contains(&name));
    begins(&mut learning, "docker:a", "q");
    assert_eq!(learning.baselines.take_changes(), [], "its file does not change");
    learning.baselines.hand_over(&key("a"), &"q".into(), |name| name == "q");
    assert_eq!(owner(&learning), "q", "p does not learn any more");
}
