//! Others judge profiles. libseccomp's filters decide as syscallmon predicts, about every number of every ABI, and what
//! reads the written formats accepts them.
//!
//! runc, crun, Docker, Podman, containerd and CRI-O compile profiles with libseccomp.

mod arguments;
mod bpf;
mod classes;
mod formats;
mod judge;
mod profiles;

use std::thread;

use serde_json::{Value, json};
use syscallmon::{
    profile::Plan,
    seccomp::{Decision, Profile},
};

const NATIVE: [&str; 2] = ["x86_64", "aarch64"];

/// Compares profiles on these architectures, two at a time.
fn compare_all(natives: &[&'static str], profiles: &[Value]) {
    let compare = |profile: &Value| natives.iter().map(|native| judge::compare(native, profile)).sum::<u64>();
    let compared: u64 = thread::scope(|scope| {
        let halves = profiles.chunks(profiles.len().div_ceil(2));
        let threads: Vec<_> = halves.map(|half| scope.spawn(move || half.iter().map(compare).sum::<u64>())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{compared} decisions of {} profiles compared", profiles.len());
}

#[test]
fn libseccomp_decides_about_generated_profiles_as_predicted() {
    compare_all(&NATIVE, &profiles::generated());
}

#[test]
fn libseccomp_decides_about_own_and_default_profiles_as_predicted() {
    compare_all(&NATIVE, &[profiles::own(), profiles::runtime_default()]);
}

#[test]
fn libseccomp_decides_about_comparisons_of_arguments_as_predicted() {
    compare_all(&NATIVE, &profiles::with_comparisons());
}

#[test]
fn libseccomp_decides_about_every_action_as_predicted() {
    compare_all(&NATIVE, &profiles::with_actions());
}

#[test]
fn libseccomp_decides_about_random_profiles_as_predicted() {
    let profiles = profiles::random();
    for document in &profiles {
        let profile = Profile::from_value(document.clone()).unwrap();
        assert!(
            profile.fragile_comparisons().is_empty(),
            "not one that libseccomp 2.5 can compile wrongly: {document}"
        );
    }
    compare_all(&["x86_64"], &profiles);
}

#[test]
fn libseccomp_decides_about_random_arguments_of_the_default_profile_as_predicted() {
    let document = profiles::runtime_default();
    let compared: u64 = NATIVE.iter().map(|native| judge::compare_random(native, &document, 10_000)).sum();
    assert_eq!(compared, 20_000);
}

#[test]
fn libseccomp_allows_the_classes_of_arguments_of_a_plan_and_no_others() {
    let plans = classes::plans();
    let compare = |plan: &Plan| NATIVE.iter().map(|native| classes::compare(native, plan)).sum::<u64>();
    let compared: u64 = thread::scope(|scope| {
        let threads =
            plans.chunks(plans.len().div_ceil(2)).map(|half| scope.spawn(|| half.iter().map(compare).sum::<u64>()));
        threads.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{compared} decisions of {} plans compared", plans.len());
}

#[test]
fn number_minus_one_gets_the_default_action() {
    let document = json!({"defaultAction": "SCMP_ACT_ERRNO"});
    let ours = Profile::from_value(document.clone()).unwrap().decide("x86_64", "x86_64", "unknown", &[0; 6]);
    assert_eq!(judge::decision_about("x86_64", &document, u32::MAX), ours);
    assert_eq!(judge::decision_about("x86_64", &document, 0x4000_0000), Decision::KillThread);
}
