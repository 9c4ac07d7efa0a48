//! What is committed fits together: generated files are those that their sources make.

use std::fs;

use syscallmon_bench::summary;
use xtask::verbs::{docs, ebpf};
use xtask_support::workspace;

#[test]
fn the_ebpf_object_was_built_from_these_sources() {
    ebpf::record_matches_sources(&workspace::root()).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn the_generated_documents_are_up_to_date() {
    docs::check(&workspace::root()).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn the_readme_has_the_costs_that_were_measured() {
    summary::check(&workspace::root()).unwrap_or_else(|error| panic!("{error:#}"));
}

/// Sections "Add a ..." of docs/design/extending.md say at most three places, five for a probe, and each begins with a
/// path that is there.
#[test]
fn what_a_change_touches_is_little_and_there() {
    let root = workspace::root();
    let text = fs::read_to_string(root.join("docs/design/extending.md")).unwrap();
    let sections: Vec<&str> = text.split("\n## Add a").skip(1).filter_map(|rest| rest.split("\n#").next()).collect();
    assert!(sections.len() >= 5, "{sections:?}");
    for section in sections {
        let title = section.lines().next().unwrap_or_default();
        let is_step = |line: &&str| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok());
        let steps: Vec<&str> = section.lines().filter(is_step).collect();
        let most = if title.contains("probe") { 5 } else { 3 };
        assert!((1..=most).contains(&steps.len()), "Add a{title}: {steps:?}");
        for path in steps.iter().filter_map(|step| step.split_once(". `")?.1.split('`').next()) {
            assert!(root.join(path).exists(), "Add a{title}: there is no {path}");
        }
    }
}
