//! Each protection is necessary: without it, the checker finds what goes wrong.

use crate::{
    LEASE, LEFT, PROTECTED, Scenario, breaks,
    invariants::{LOST, ONE_DAEMON, TWICE, UNSAID},
    state::Left,
};

#[test]
fn without_locks_two_daemons_take_over_at_once() {
    let unlocked = Scenario { locks_pins: false, ends_if_locked: false, makes_directory: false, ..PROTECTED };
    breaks("no locks", Scenario { processes: 2, ..unlocked }, &[ONE_DAEMON]);
}

/// A daemon starts while another one ends in order.
const OVERLAP: Scenario = Scenario { processes: 2, left: Left { stops: 1, ..LEFT }, ..PROTECTED };

#[test]
fn a_daemon_that_goes_on_without_locked_totals_loses_calls() {
    breaks("no end if totals are locked", Scenario { ends_if_locked: false, ..OVERLAP }, &[LOST]);
}

#[test]
fn a_daemon_that_reads_no_totals_must_lock_them_too() {
    breaks("no lock without a file", Scenario { makes_directory: false, ..OVERLAP }, &[LOST]);
}

#[test]
fn without_the_description_before_the_programs_calls_are_lost() {
    breaks("the description after the programs", Scenario { describes_first: false, ..PROTECTED }, &[LOST]);
}

#[test]
fn without_a_grace_period_calls_are_lost() {
    breaks("no grace period", Scenario { waits_for_programs: false, ..PROTECTED }, &[LOST]);
}

#[test]
fn without_a_save_before_tables_are_removed_calls_are_lost() {
    breaks("removal before a save", Scenario { saves_before_removal: false, ..PROTECTED }, &[LOST]);
}

#[test]
fn without_a_save_before_slots_are_freed_calls_are_lost() {
    breaks("free before a save", Scenario { frees_after_save: false, ..PROTECTED }, &[LOST]);
}

#[test]
fn without_numbers_of_states_a_slot_is_freed_too_early() {
    breaks("no numbers", Scenario { compares_numbers: false, ..PROTECTED }, &[LOST]);
}

#[test]
fn without_the_order_of_generations_calls_count_twice() {
    breaks("earlier tables", Scenario { skips_earlier: false, ..PROTECTED }, &[TWICE]);
}

#[test]
fn without_freed_slots_calls_count_twice() {
    breaks("no freed", Scenario { knows_freed: false, ..PROTECTED }, &[TWICE]);
}

#[test]
fn slots_that_are_half_freed_count_twice_unless_they_have_no_owner() {
    breaks("the owner last", Scenario { clears_holder_first: false, probes: 2, ..PROTECTED }, &[TWICE]);
}

#[test]
fn without_a_generation_calls_are_lost() {
    let left = Left { calls: 3, starts: 3, crashes: 2, ..LEFT };
    breaks("no generation", Scenario { knows_generation: false, left, ..PROTECTED }, &[LOST]);
}

#[test]
fn after_a_failed_save_live_cgroups_lose_calls_unless_cgroups_are_compared() {
    let left = Left { failures: 1, ..LEFT };
    breaks("no comparison of cgroups", Scenario { compares_cgroup: false, left, ..PROTECTED }, &[LOST]);
}

#[test]
fn without_a_rename_a_crash_loses_totals() {
    breaks("no rename", Scenario { renames: false, ..PROTECTED }, &[LOST]);
}

#[test]
fn without_the_lease_s_flag_a_gap_is_not_said() {
    breaks("no flag", Scenario { reports_gap: false, ..LEASE }, &[UNSAID]);
}

#[test]
fn a_lease_that_ends_under_a_daemon_is_not_said_unless_it_looks() {
    breaks("renewal without a look", Scenario { looks_before_renewal: false, ..LEASE }, &[UNSAID]);
}

#[test]
fn without_a_mark_a_daemon_that_crashes_hides_a_gap() {
    breaks("no mark", Scenario { marks_gap: false, ..LEASE }, &[UNSAID]);
}

#[test]
fn births_of_the_time_before_a_gap_hide_it_unless_they_are_forgotten() {
    breaks("births after a gap", Scenario { forgets_after_events: false, ..LEASE }, &[UNSAID]);
}
