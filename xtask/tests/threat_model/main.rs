//! The threat model names a test or a limit for each thing that an attacker can choose. The tests that documents name
//! exist.
//!
//! `source.rs` finds the tests of a crate, `e2e.rs` the checks of `cargo xtask e2e`.

mod e2e;
#[path = "../modules/lexer.rs"]
mod lexer;
mod source;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use e2e::Checks;
use xtask_support::workspace;

const THREAT_MODEL: &str = "docs/design/threat-model.md";
/// Other documents that may name tests, besides those in `docs/design`.
const PAGES: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/limitations.md"];

/// Crates with tests, by the first word of the names of these. Tests without such a word are unit tests of the daemon.
const SCOPES: [(&str, &str); 3] = [
    ("kernel ", "syscallmon/tests/kernel/main.rs"),
    ("exporter-web ", "syscallmon/exporter-web/src/lib.rs"),
    ("", "syscallmon/src/lib.rs"),
];

/// Words of the shortest limit that says something.
const MIN_LIMIT_WORDS: usize = 3;

/// All tests that a document can name.
struct Known {
    /// In the order of [`SCOPES`].
    tests: [BTreeSet<String>; 3],
    fuzz_targets: BTreeSet<String>,
    checks: Checks,
}

impl Known {
    fn read(root: &Path) -> Self {
        let tests = SCOPES.map(|(_, file)| {
            let functions = source::functions(&root.join(file), |file| fs::read_to_string(file).ok());
            functions.iter().filter(|function| function.is_test).map(source::Function::path).collect()
        });
        let targets = fs::read_dir(root.join("fuzz/fuzz_targets")).unwrap().map(|entry| entry.unwrap().path());
        let is_target = |file: &PathBuf| fs::read_to_string(file).unwrap_or_default().contains("\nfuzz_target!(");
        let fuzz_targets = targets.filter(is_target).map(|file| file.file_stem().unwrap().display().to_string());
        Self { tests, fuzz_targets: fuzz_targets.collect(), checks: Checks::read(root) }
    }

    /// Why a proof does not exist.
    fn problem(&self, proof: Proof<'_>) -> Option<String> {
        match proof {
            Proof::Test(span) => {
                let mut scopes = SCOPES.iter().zip(&self.tests);
                let (path, tests) = scopes.find_map(|((word, _), tests)| Some((span.strip_prefix(word)?, tests)))?;
                (!tests.contains(path)).then(|| format!("there is no test `{span}`"))
            }
            Proof::Check(span) => self.checks.problem(span),
            Proof::FuzzTarget(span) => {
                (!self.fuzz_targets.contains(span)).then(|| format!("there is no fuzz target `{span}`"))
            }
        }
    }

    /// What is wrong with the names of tests in a document.
    fn problems(&self, text: &str) -> Vec<String> {
        // A code span may continue on the next line.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_open = text.matches('`').count() % 2 == 1;
        let open = is_open.then(|| "a code span has no end".to_owned());
        open.into_iter().chain(proofs(&text).into_iter().filter_map(|proof| self.problem(proof))).collect()
    }
}

/// A code span that names what tests something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof<'a> {
    Test(&'a str),
    Check(&'a str),
    FuzzTarget(&'a str),
}

/// Code spans, at every second place between backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether a code span is written like a test: `module::test_name`, with or without the word of a scope.
fn is_like_test(span: &str) -> bool {
    let is_of_path = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c);
    let has_scope = SCOPES.iter().any(|(word, _)| !word.is_empty() && span.starts_with(word));
    has_scope || (span.contains("::") && span.chars().all(is_of_path))
}

fn proofs(text: &str) -> Vec<Proof<'_>> {
    let tests = spans(text).filter(|span| is_like_test(span)).map(Proof::Test);
    let checks = spans(text).filter(|span| *span == "e2e" || span.starts_with("e2e ")).map(Proof::Check);
    // Fuzz targets are the code spans after these words, up to the end of the list.
    let lists = text.split("fuzz target").skip(1).map(|rest| rest.split([';', '.', '|']).next().unwrap_or_default());
    tests.chain(checks).chain(lists.flat_map(spans).map(Proof::FuzzTarget)).collect()
}

/// Whether a cell states a limit.
fn has_limit(cell: &str) -> bool {
    cell.split("imit: ").skip(1).any(|limit| limit.split_whitespace().count() >= MIN_LIMIT_WORDS)
}

/// What is wrong with the form of a row of the threat model.
fn problems_of_row(row: &str) -> Vec<String> {
    let cell = row.trim_end().trim_end_matches('|').rsplit(" | ").next().unwrap_or_default();
    let mut problems = Vec::new();
    if proofs(cell).is_empty() && !has_limit(cell) {
        problems.push(format!("neither test nor limit: {row}"));
    }
    if cell.split('`').step_by(2).any(|text| text.contains("e2e")) {
        problems.push(format!("e2e without a check, write {}: {row}", e2e::FORM));
    }
    if spans(cell).any(|span| span.contains("::") && proofs(&format!("`{span}`")).is_empty()) {
        problems.push(format!("`::` in what is not written like a test: {row}"));
    }
    problems
}

/// Rows of tables, without their heads and the lines below these.
fn rows(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| chooses"))
}

#[test]
fn every_row_of_the_threat_model_has_a_proof_or_a_limit() {
    let page = fs::read_to_string(workspace::root().join(THREAT_MODEL)).unwrap();
    assert!(rows(&page).count() > 30);
    let problems: Vec<String> = rows(&page).flat_map(problems_of_row).collect();
    assert!(problems.is_empty(), "{THREAT_MODEL}:\n{}", problems.join("\n"));
}

#[test]
fn tests_that_documents_name_exist() {
    let root = workspace::root();
    let known = Known::read(&root);
    let design = fs::read_dir(root.join("docs/design")).unwrap().map(|entry| entry.unwrap().path());
    let pages: Vec<PathBuf> = PAGES.iter().map(|page| root.join(page)).chain(design).collect();
    assert!(pages.contains(&root.join(THREAT_MODEL)), "{pages:?}");
    let of = |page: &PathBuf| {
        let text = fs::read_to_string(page).unwrap();
        let (problems, page) = (known.problems(&text).into_iter(), page.strip_prefix(&root).unwrap().display());
        problems.map(|problem| format!("{page}: {problem}")).collect::<Vec<_>>()
    };
    let problems: Vec<String> = pages.iter().flat_map(of).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn names_of_tests_that_exist_are_accepted() {
    let known = Known::read(&workspace::root());
    for text in [
        "`kernel web::changes_are_for_local_clients_only` and `fair_share::tests::bytes_are_limited_as_entries_are`",
        "a property test: `fair_share::tests::who_stays_within_a_fair_share_loses_nothing`",
        "with tokio: `exporter-web tests::limits::idle_connections_do_not_shut_others_out`",
        "`e2e policies policies::brief`; fuzz targets `names`, `policy`. `no_target`",
        // Not written like tests.
        "`Model::rename`, `lost(LossReason::...)`, `cargo xtask e2e`, `tests/kernel/`",
    ] {
        assert_eq!(known.problems(text), [""; 0], "{text}");
    }
}

#[test]
fn names_of_what_is_no_test_are_found() {
    let known = Known::read(&workspace::root());
    for text in [
        "`kernel exact::no_such_test`",
        "`kernel no_such_file::test`",
        "`kernel exact`",
        "- `kernel\n  exact::no_such_test`",
        "`kernel blocked::`",
        "`exporter-web tests::limits`",
        "`fair_share::tests`",
        "`fair_share::no_such_module::test`",
        // A function of the product, a helper in a module of tests, and a test that only another one runs.
        "`rfc3339::parse`",
        "`kernel web::assert_well`",
        "`store::tests::writes_until_it_is_killed`",
        // A test of another scope.
        "`web::changes_are_for_local_clients_only`",
        "`kernel web::changes_are_for_local_clients_only` and `so on",
        "`e2e`",
        "`e2e policies`",
        "`e2e images policies::brief`",
        "fuzz targets `names`, `no_such_target`",
    ] {
        assert_eq!(known.problems(text).len(), 1, "{text}");
    }
}

#[test]
fn rows_without_a_proof_or_a_limit_are_found() {
    for (cell, is_good) in [
        ("`a::b`", true),
        ("`e2e a b::c`", true),
        ("fuzz target `a`", true),
        ("limit: this much and no more", true),
        ("`a::b`. Limit: all the rest", true),
        ("", false),
        ("a test", false),
        ("e2e", false),
        ("`a::b`; e2e `policies`", false),
        ("`policy.directory`", false),
        ("limit: none", false),
        ("no limit", false),
        ("`a::b`, `A::b`", false),
    ] {
        let row = format!("| `x::y` is chosen, limit: in the wrong cell | 1: so what | {cell} |");
        assert_eq!(problems_of_row(&row).is_empty(), is_good, "{row}");
    }
}

#[test]
fn every_row_of_a_table_is_read() {
    let page = "text\n\n| chooses | must not achieve | proof or limit |\n|---|---|---|\n| a | b | c |\n| d | | e |\n";
    assert_eq!(rows(page).collect::<Vec<_>>(), ["| a | b | c |", "| d | | e |"]);
}
