//! What is committed fits together: generated files are those that their sources make.

mod paths;

use std::{fs, process::Command};

use paths::{Tree, is_path, spans};
use syscallmon_bench::summary;
use xtask::verbs::{docs, ebpf};
use xtask_support::{shell, workspace};

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

#[test]
fn links_lead_to_files() {
    let root = workspace::root();
    let mut list = Command::new("git");
    let listed = shell::query(list.current_dir(&root).args(["ls-files", "--stage"]), "git must be installed").unwrap();
    // Mode, hash, stage and path.
    let links: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("120000 ")?.split('\t').nth(1)).collect();
    assert!(links.len() > 3, "{links:?}");
    let broken: Vec<&&str> = links.iter().filter(|link| !root.join(link).exists()).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

/// Maximum places of a change, unless a row says otherwise: the beginning of the title, after "Add a".
const MAX_PLACES: usize = 3;
const LONGER: [(&str, usize); 5] =
    [(" metric", 4), (" count per workload", 8), (" kernel count", 6), (" probe", 5), (" sink", 7)];

/// A section "Add a ..." of docs/design/extending.md.
struct Section<'a> {
    title: &'a str,
    /// Its numbered steps, each with all of its lines.
    steps: Vec<String>,
    text: &'a str,
}

fn sections(text: &str) -> Vec<Section<'_>> {
    let sections = text.split("\n## Add a").skip(1).filter_map(|rest| rest.split("\n#").next());
    sections.map(|text| Section { title: text.lines().next().unwrap_or_default(), steps: steps(text), text }).collect()
}

fn steps(text: &str) -> Vec<String> {
    let is_step = |line: &str| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u8>().is_ok());
    let mut steps: Vec<String> = Vec::new();
    let mut is_in_step = false;
    for line in text.lines() {
        is_in_step = is_step(line) || is_in_step && line.starts_with("   ");
        match steps.last_mut() {
            _ if is_step(line) => steps.push(line.to_owned()),
            Some(step) if is_in_step => *step = format!("{step}\n{line}"),
            _ => {}
        }
    }
    steps
}

/// Why a section is wrong.
fn problems(section: &Section<'_>, tree: &Tree) -> Vec<String> {
    let Section { title, steps, text } = section;
    let longer = LONGER.iter().find(|(begin, _)| title.starts_with(begin));
    let most = longer.map_or(MAX_PLACES, |&(_, most)| most);
    let mut problems = Vec::new();
    if !(1..=most).contains(&steps.len()) {
        problems.push(format!("Add a{title}: {} places, at most {most}", steps.len()));
    }
    let paths = spans(text).filter(|span| is_path(span));
    problems.extend(paths.filter_map(|path| tree.problem(path)).map(|problem| format!("Add a{title}: {problem}")));
    // Most steps name their place.
    let named = steps.iter().filter(|step| spans(step).any(is_path)).count();
    if 2 * named < steps.len() {
        problems.push(format!("Add a{title}: {named} of {} steps have a path", steps.len()));
    }
    problems
}

/// docs/design/extending.md lists few places for each change, and all paths exist.
#[test]
fn a_change_touches_few_places_and_they_exist() {
    let root = workspace::root();
    let text = fs::read_to_string(root.join("docs/design/extending.md")).unwrap();
    let (sections, tree) = (sections(&text), Tree::read(&root));
    assert!(sections.len() >= 10, "{}", sections.len());
    for (begin, _) in LONGER {
        assert!(sections.iter().any(|section| section.title.starts_with(begin)), "no section is called Add a{begin}");
    }
    let problems: Vec<String> = sections.iter().flat_map(|section| problems(section, &tree)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_wrong_path_anywhere_in_a_section_and_a_long_list_are_found() {
    let tree = Tree::of(["syscallmon/src/a.rs", "b/c.rs"]);
    let check = |text: &str| sections(text).iter().flat_map(|section| problems(section, &tree)).collect::<Vec<_>>();
    let good = "# How\n\n## Add a thing\n\n1. `a.rs`: a row,\n   or `b/`.\n2. `b/c.rs`: a field.\n\nThen more.\n";
    assert_eq!(sections(good)[0].steps, ["1. `a.rs`: a row,\n   or `b/`.", "2. `b/c.rs`: a field."]);
    assert!(check(good).is_empty());
    assert_eq!(check(&good.replace("`b/`", "`c/`")).len(), 1, "a second path of a step");
    assert_eq!(check(&good.replace("more", "`c.rs`")).len(), 1, "a path after the steps");
    assert_eq!(check(&good.replace("Then more.", "3. `a.rs`\n4. `a.rs`")).len(), 1, "too many steps");
}
