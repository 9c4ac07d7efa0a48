//! Calls that policies allow and nobody makes.

use super::{anew::Scene, *};

const POLICY: &str = "[{name: shop, match: [{namespace: shop}], allow: [read, write, 'ia32:read', 'io_uring:readv']}]";

/// The rows of a policy: ABI, number of allowed calls, unused calls.
fn rows(detector: &Detector, policy: &str) -> Vec<(&'static str, usize, Vec<&'static str>)> {
    let of_policy = detector.usage().iter().filter(|usage| &*usage.policy == policy);
    of_policy.map(|usage| (usage.abi, usage.allowed, usage.unused.clone())).collect()
}

#[test]
fn an_allowed_call_is_unused_until_a_workload_of_the_policy_makes_it() {
    let mut scene = Scene::new(POLICY);
    scene.tick();
    let foreign = [("ia32", 1, vec!["read"]), ("io_uring", 1, vec!["readv"])];
    let expected = |unused: &[&'static str]| [&foreign[..], &[("x86_64", 2, unused.to_vec())]].concat();
    assert_eq!(rows(&scene.detector, "shop"), expected(&["read", "write"]));
    scene.make(&named(None), &[("read", 1), ("mount", 1)]);
    assert_eq!(rows(&scene.detector, "shop"), expected(&["write"]));
    let event = first(&scene.detector, "write");
    scene.detector.judge_first(&named(None), event);
    scene.tick();
    assert_eq!(rows(&scene.detector, "shop"), expected(&[]));
}

#[test]
fn calls_from_before_a_policy_was_loaded_are_in_use() {
    let mut scene = Scene::new("[]");
    scene.make(&named(None), &[("read", 1)]);
    scene.detector.set_policies(Arc::new(parsed(POLICY, true)));
    scene.tick();
    assert_eq!(rows(&scene.detector, "shop").last(), Some(&("x86_64", 2, vec!["write"])));
    // The policy of the same name keeps what is known, and a removed one has no row.
    scene.detector.set_policies(Arc::new(parsed(&POLICY.replace("write", "mount"), false)));
    scene.tick();
    assert_eq!(rows(&scene.detector, "shop").last(), Some(&("x86_64", 2, vec!["mount"])));
    assert_eq!(rows(&scene.detector, "runtime-default"), []);
}
