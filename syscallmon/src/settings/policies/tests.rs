//! What becomes of files of policies, good and bad.

use std::{os::unix::fs::symlink, time::SystemTime};

use super::*;
use crate::{
    profile::{Details, Evidence, Format, Observation, Plan, PlanOptions, Provenance, SourceKind},
    workload::{Label, Labels},
};

const PROFILE: &str =
    r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#;

fn policy(name: &str, more: &str) -> String {
    format!("policies:\n- name: {name}\n  match: [{{pod: {name}}}]\n  allow: [read]\n{more}")
}

fn sources(directory: &Path) -> PolicySources {
    let (configured, directory) = (PolicyItems::default(), Some(directory.to_owned()));
    PolicySources { built_in: true, mixes_container_init: false, configured, file: None, directory, strict: false }
}

/// Reads as at a start.
fn load(sources: &PolicySources) -> LoadedPolicies {
    sources.load(&Policies::default())
}

fn names(loaded: &LoadedPolicies) -> Vec<String> {
    loaded.policies.iter().map(|policy| policy.name().to_string()).collect()
}

fn error(loaded: &LoadedPolicies) -> String {
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    problems.join("; ")
}

#[test]
fn the_configurations_come_first_then_the_directorys_by_name_then_the_built_in_one() {
    let directory = tempfile::tempdir().unwrap();
    for (file, text) in [("b.yaml", policy("b", "")), ("a.yml", policy("a", "")), ("empty.yaml", "# none\n".into())] {
        fs::write(directory.path().join(file), text).unwrap();
    }
    for ignored in [".hidden.yaml", "readme.md", "yaml"] {
        fs::write(directory.path().join(ignored), "not: [policies").unwrap();
    }
    let configured = policy_list::read(&policy("z", ""), OtherKeys::Refused);
    let sources = PolicySources { configured, file: Some("main.yaml".into()), ..sources(directory.path()) };
    assert_eq!(names(&load(&sources)), ["z", "a", "b", "runtime-default"]);
    assert_eq!(names(&load(&PolicySources { built_in: false, ..sources })), ["z", "a", "b"]);
}

#[test]
fn a_configmaps_links_are_followed_and_its_update_is_a_change() {
    let volume = tempfile::tempdir().unwrap();
    let at = |name: &str| volume.path().join(name);
    for (version, name) in [("..1", "old"), ("..2", "new")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("p.yaml"), policy(name, "")).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/p.yaml", at("p.yaml")).unwrap();
    let loaded = load(&sources(volume.path()));
    assert_eq!(names(&loaded), ["old", "runtime-default"]);
    assert!(!loaded.files.have_changed());
    symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    assert!(loaded.files.have_changed());
    assert_eq!(names(&load(&sources(volume.path()))), ["new", "runtime-default"]);
}

#[test]
fn profiles_are_found_beside_the_file_that_names_them_and_their_change_is_one() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("profiles")).unwrap();
    let profile = directory.path().join("profiles/a.json");
    fs::write(&profile, PROFILE).unwrap();
    fs::write(directory.path().join("a.yaml"), policy("a", "  seccomp: [profiles/a.json]\n")).unwrap();
    let before = load(&sources(directory.path()));
    let old = before.policies;
    assert_eq!(load(&sources(directory.path())).policies, old);
    fs::write(&profile, PROFILE.replace("read", "bind")).unwrap();
    assert!(before.files.have_changed());
    assert_ne!(load(&sources(directory.path())).policies, old);
}

#[test]
fn a_generated_profile_is_what_a_policy_expects() {
    let table = CallTable::native();
    let native = table.native_abi();
    let mut evidence = Evidence::new(SourceKind::Recording, "web");
    for (syscall, count, denied) in [("openat", 5, 0), ("clone3", 1, 0), ("flock", 0, 3)] {
        evidence.add(native, syscall, &Observation { count, denied, ..Observation::default() });
    }
    let plan = Plan::new(&evidence, &PlanOptions::default());
    let provenance = Provenance::new(&evidence, None, SystemTime::UNIX_EPOCH);
    let written = Format::Oci.write(&plan, &provenance, &Details::default()).unwrap().remove(0);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("web.json"), written.content).unwrap();
    fs::write(directory.path().join("web.yaml"), policy("web", "  seccomp: [web.json]\n")).unwrap();
    let loaded = load(&sources(directory.path()));
    assert!(loaded.problems.is_empty(), "{}", error(&loaded));
    let policy = loaded.policies.iter().next().unwrap();
    let labels = Labels::new([(Label::Pod, "web".into()), (Label::ContainerId, "containerd://1".into())]);
    let is_expected = |syscall: &str| {
        let (call, _) = table.iter().find(|(_, call)| (call.abi, call.syscall) == (native, syscall)).unwrap();
        policy.judge(&labels, call, None).is_none()
    };
    // Observed, a sibling of an observed call, and one that every program needs.
    assert!(["openat", "clone3", "clone", "openat2", "exit_group"].into_iter().all(is_expected));
    assert!(!["flock", "mount", "bpf", "socket"].into_iter().any(is_expected));
}

#[test]
fn files_that_come_and_go_are_changes() {
    let directory = tempfile::tempdir().unwrap();
    let empty = load(&sources(directory.path())).files;
    assert!(!empty.have_changed());
    fs::write(directory.path().join("a.yaml"), policy("a", "")).unwrap();
    assert!(empty.have_changed());
    let one = load(&sources(directory.path())).files;
    fs::remove_file(directory.path().join("a.yaml")).unwrap();
    assert!(one.have_changed());
}

#[test]
fn every_mistake_is_reported_with_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("a.yaml", &policy("a", "  alow: []\n"));
    write("b.yaml", &policy("b", "  seccomp: [nowhere.json, bad.json]\n"));
    write("bad.json", "{\"defaultAction\": 1}");
    write("c.yaml", &policy("c", ""));
    write("d.yaml", &policy("c", ""));
    fs::create_dir(directory.path().join("e.yaml")).unwrap();
    let loaded = load(&sources(directory.path()));
    let error = error(&loaded);
    for expected in [
        "a.yaml:5:3: policy a: unknown key \"alow\" (did you mean allow?)",
        "b.yaml:5:13: cannot read",
        "nowhere.json: No such file",
        "bad.json is not a seccomp profile",
        "d.yaml:2:3: policy c: another policy in",
        "e.yaml is not a file",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert_eq!((loaded.problems.len(), names(&loaded)), (5, vec!["c".to_owned(), "runtime-default".to_owned()]));
    write("nowhere.json", PROFILE);
    assert!(loaded.files.have_changed(), "what was missing is there");
}

#[test]
fn a_mistake_leaves_the_older_policies_of_its_file_in_force_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let named = |name: &str, more: &str| policy(name, more).replace("policies:\n", "");
    write("a.yaml", &(policy("a", "") + &named("b", "")));
    write("c.yaml", &policy("c", ""));
    let sources = sources(directory.path());
    let before = load(&sources).policies;

    // Both files change, one of them to something with a mistake.
    write("a.yaml", &(policy("a", "  alow: []\n") + &named("new", "")));
    write("c.yaml", &policy("d", ""));
    let after = sources.load(&before);
    assert_eq!((names(&after), after.problems.len()), (strings(["a", "b", "d", "runtime-default"]), 1));
    assert_eq!(names(&load(&sources)), strings(["new", "d", "runtime-default"]), "at a start, what is valid");

    // Another file takes the name of a policy that stays.
    write("c.yaml", &(policy("b", "") + &named("d", "")));
    let after = sources.load(&before);
    assert_eq!((names(&after), after.problems.len()), (strings(["a", "b", "c", "runtime-default"]), 2));

    // A file that is gone has no policies, a directory that is gone keeps them.
    fs::remove_file(directory.path().join("a.yaml")).unwrap();
    assert_eq!(names(&sources.load(&before)), strings(["b", "d", "runtime-default"]));
    fs::rename(directory.path(), directory.path().with_extension("away")).unwrap();
    let after = sources.load(&before);
    assert_eq!((names(&after), after.problems.len()), (strings(["a", "b", "c", "runtime-default"]), 1));
    fs::rename(directory.path().with_extension("away"), directory.path()).unwrap();
}

#[test]
fn a_policy_whose_profile_is_bad_is_not_in_force() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.yaml"), policy("a", "  seccomp: [nowhere.json]\n")).unwrap();
    assert_eq!(names(&load(&sources(directory.path()))), ["runtime-default"]);
}

/// A policy in a file of its own that extends another one.
fn extending(name: &str, parent: &str, more: &str) -> String {
    format!("policies:\n- name: {name}\n  extends: {parent}\n  match: [{{pod: {name}}}]\n{more}")
}

#[test]
fn a_policy_extends_one_of_another_file_whatever_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("a.yaml", &extending("child", "base", ""));
    write("b.yaml", &extending("base", "runtime-default", ""));
    let sources = sources(directory.path());
    let loaded = load(&sources);
    assert_eq!((error(&loaded), names(&loaded)), (String::new(), strings(["child", "base", "runtime-default"])));
    let without_built_in = PolicySources { built_in: false, ..sources };
    assert_eq!(names(&load(&without_built_in)), strings(["child", "base"]), "it can be extended where it is off");
}

#[test]
fn what_is_wrong_with_a_parent_is_reported_where_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("a.yaml", &extending("a", "bsae", ""));
    write("b.yaml", &policy("base", "  alow: []\n"));
    write("c.yaml", &extending("c", "base", ""));
    write("d.yaml", &extending("d", "e", ""));
    write("e.yaml", &extending("e", "d", ""));
    write("f.yaml", &extending("f", "d", ""));
    write("g.yaml", &extending("g", "g", ""));
    write("h.yaml", &extending("runtime-default", "runtime-default", ""));
    let loaded = load(&sources(directory.path()));
    let error = error(&loaded);
    for expected in [
        "a.yaml:3:12: policy a extends bsae, which no file has (did you mean base?)",
        "b.yaml:5:3: policy base: unknown key",
        "c.yaml:3:12: policy c extends base, which has a mistake",
        "d.yaml:3:12: policy d extends itself: d -> e -> d",
        "e.yaml:3:12: policy e extends itself: e -> d -> e",
        "f.yaml:3:12: policy f extends d, which has a mistake",
        "g.yaml:3:12: policy g extends itself: g -> g",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert_eq!((loaded.problems.len(), names(&loaded)), (7, strings(["runtime-default"])), "{error}");
    assert_eq!(
        loaded.policies.iter().next().unwrap().origin().as_ref(),
        directory.path().join("h.yaml").to_str().unwrap()
    );
}

#[test]
fn a_chain_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    for n in 1..=100 {
        let text =
            extending(&format!("p-{n}"), &if n == 1 { "runtime-default".into() } else { format!("p-{}", n - 1) }, "");
        fs::write(directory.path().join(format!("{n}.yaml")), text).unwrap();
    }
    let loaded = load(&sources(directory.path()));
    assert_eq!((loaded.policies.iter().len(), loaded.problems.len()), (7 + 1, 93), "the built-in policy is one of 8");
    assert!(error(&loaded).contains("100.yaml:3:12: policy p-100 extends a chain of more than 8 policies"));
}

#[test]
fn a_parent_that_becomes_invalid_or_goes_leaves_older_policies_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("base.yaml", &policy("base", "  deny: [ptrace]\n"));
    write("child.yaml", &extending("child", "base", ""));
    write("other.yaml", &policy("other", ""));
    let sources = sources(directory.path());
    let before = load(&sources);
    assert_eq!(error(&before), "");

    // The older parent stays in force, and children extend it, also new ones.
    write("base.yaml", &policy("base", "  deny: [ptrase]\n"));
    write("child.yaml", &extending("child", "base", "  deny: [mount]\n"));
    let after = sources.load(&before.policies);
    assert_eq!((names(&after), after.problems.len()), (strings(["base", "child", "other", "runtime-default"]), 1));
    let policies = |loaded: &LoadedPolicies| loaded.policies.iter().map(Arc::clone).collect::<Vec<_>>();
    assert_eq!(policies(&after)[0], policies(&before)[0]);
    assert_ne!(policies(&after)[1], policies(&before)[1], "the new child");

    // A parent that is gone: the child's older policy stays, with what it inherited, and so do others of its file.
    fs::remove_file(directory.path().join("base.yaml")).unwrap();
    write("child.yaml", &(extending("child", "base", "") + &policy("new", "").replace("policies:\n", "")));
    let gone = sources.load(&before.policies);
    assert_eq!((names(&gone), gone.problems.len()), (strings(["child", "other", "runtime-default"]), 1));
    assert!(error(&gone).contains("child.yaml:3:12: policy child extends base, which no file has"), "{}", error(&gone));
    assert_eq!(policies(&gone)[0], policies(&before)[1]);
    assert_eq!(names(&load(&sources)), strings(["new", "other", "runtime-default"]), "at a start, what is valid");

    // A policy that only the new version of a file with a mistake has cannot be extended.
    write("base.yaml", &policy("base", ""));
    write("child.yaml", &extending("child", "base", ""));
    write("other.yaml", &(policy("other", "  alow: []\n") + &policy("second", "").replace("policies:\n", "")));
    write("third.yaml", &extending("third", "second", ""));
    let after = sources.load(&before.policies);
    assert_eq!(names(&after), strings(["base", "child", "other", "runtime-default"]), "{}", error(&after));
    assert!(error(&after).contains("third.yaml:3:12: policy third extends second, which no file has"));
}

#[test]
fn a_file_that_only_others_extend_counts_for_the_limits_of_those() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(format!("{name}.yaml")), text).unwrap();
    write("base", &expressions("base", 6));
    write("child", &extending("child", "base", ""));
    let before = load(&sources(directory.path()));
    assert_eq!(error(&before), "");
    fs::remove_file(directory.path().join("base.yaml")).unwrap();
    for name in ["c", "d", "e", "f"] {
        write(name, &expressions(name, 6));
    }
    // The child keeps its older parent in memory. With it, the expressions are too many.
    let after = sources(directory.path()).load(&before.policies);
    assert_eq!((names(&after).len(), after.problems.len()), (5, 2), "{}", error(&after));
    assert!(error(&after).contains("the most of all files"), "{}", error(&after));
    fs::remove_file(directory.path().join("child.yaml")).unwrap();
    let without = sources(directory.path()).load(&after.policies);
    assert_eq!((error(&without), names(&without).len()), (String::new(), 5));
}

#[test]
fn policies_beyond_the_limit_are_not_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let many = |prefix: &str, count: usize| -> String {
        (0..count).map(|n| policy(&format!("{prefix}-{n}"), "").replace("policies:\n", "")).collect()
    };
    for (name, count) in [("a", 600), ("b", 401), ("c", 400)] {
        let text = format!("policies:\n{}", many(name, count));
        fs::write(directory.path().join(format!("{name}.yaml")), text).unwrap();
    }
    let loaded = load(&sources(directory.path()));
    assert_eq!((loaded.policies.iter().len(), loaded.problems.len()), (802, 1));
    assert!(error(&loaded).contains("a.yaml: has 600 policies and 0 KiB"), "{}", error(&loaded));
}

#[test]
fn of_too_many_files_the_first_are_in_force_and_older_policies_stay() {
    let directory = tempfile::tempdir().unwrap();
    let write = |n: usize| fs::write(directory.path().join(format!("{n:04}.yaml")), "policies: []\n").unwrap();
    let last = directory.path().join("last.yaml");
    fs::write(directory.path().join("0000.yaml"), policy("first", "")).unwrap();
    (1..999).for_each(write);
    fs::write(&last, policy("last", "")).unwrap();
    let before = load(&sources(directory.path()));
    assert_eq!((error(&before), names(&before)), (String::new(), strings(["first", "last", "runtime-default"])));

    (999..1002).for_each(write);
    let started = load(&sources(directory.path()));
    assert_eq!(names(&started), ["first", "runtime-default"]);
    assert!(error(&started).ends_with("contains 1003 policy files: only the first 1000 by name are read"));
    let reloaded = sources(directory.path()).load(&before.policies);
    assert_eq!((names(&reloaded), reloaded.problems.len()), (strings(["first", "last", "runtime-default"]), 1));
}

/// A file with so many expressions, of about 550 KiB each.
fn expressions(name: &str, count: usize) -> String {
    let selectors: Vec<String> = (0..count).map(|n| format!("'pod=~\"{n}\\w{{10}}\"'")).collect();
    format!("policies:\n- name: {name}\n  match: [{}]\n  allow: [read]\n", selectors.join(", "))
}

#[test]
fn expressions_that_stay_in_force_leave_less_room_for_new_ones() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(format!("{name}.yaml")), text).unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        write(name, &expressions(name, 5));
    }
    let before = load(&sources(directory.path()));
    assert_eq!((error(&before), names(&before).len()), (String::new(), 6));

    // Mistakes keep the older policies of five files in force, and a sixth of their size comes.
    for name in ["a", "b", "c", "d", "e"] {
        write(name, "policies: [}");
    }
    write("f", &expressions("f", 5));
    let after = sources(directory.path()).load(&before.policies);
    assert_eq!(names(&after), names(&before), "{}", error(&after));
    assert!(error(&after).contains("f.yaml: has 1 policies"), "{}", error(&after));
}

#[test]
fn a_file_cannot_use_up_the_expressions_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, count| {
        fs::write(directory.path().join(format!("{name}.yaml")), expressions(name, count)).unwrap();
    };
    write("a", 40);
    write("b", 1);
    let loaded = load(&sources(directory.path()));
    assert_eq!(names(&loaded), ["b", "runtime-default"], "{}", error(&loaded));
    assert!(error(&loaded).contains("a.yaml") && error(&loaded).contains("4096 KiB"), "{}", error(&loaded));

    for name in ["a", "c", "d", "e", "f", "g"] {
        write(name, 5);
    }
    let before = load(&sources(directory.path()));
    assert_eq!(names(&before), strings(["a", "b", "c", "d", "e", "f", "runtime-default"]), "{}", error(&before));
    assert!(error(&before).contains("the most of all files"), "{}", error(&before));

    // The older generation does not count, and what was refused can come into force once others are smaller.
    assert_eq!(sources(directory.path()).load(&before.policies).policies, before.policies);
    for name in ["a", "c"] {
        write(name, 1);
    }
    let after = sources(directory.path()).load(&before.policies);
    assert_eq!((error(&after), names(&after).len()), (String::new(), 8));
}

fn strings<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

#[test]
fn a_missing_directory_is_an_error() {
    let loaded = load(&sources(Path::new("/nonexistent")));
    assert!(error(&loaded).contains("cannot read /nonexistent: No such file"), "{}", error(&loaded));
    assert!(!loaded.files.have_changed());
}

#[test]
fn what_is_larger_than_any_policy_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let comment = |bytes| "#".repeat(usize::try_from(bytes).unwrap());
    fs::write(directory.path().join("a.yaml"), comment(MAX_BYTES)).unwrap();
    assert_eq!(names(&load(&sources(directory.path()))), ["runtime-default"]);
    fs::write(directory.path().join("a.yaml"), comment(MAX_BYTES + 1)).unwrap();
    assert!(error(&load(&sources(directory.path()))).contains("exceeds 1048576 bytes"));
}
