//! The threat model names a test or a limit for everything that an attacker can choose, and those tests exist.

use std::{fs, path::Path};

use xtask_support::workspace;

const PAGE: &str = "docs/design/threat-model.md";

/// Where tests are, by the first word of their name. Tests without such a word are unit tests of the daemon.
const SCOPES: [(&str, &str); 3] =
    [("kernel ", "syscallmon/tests/kernel"), ("exporter-web ", "syscallmon/exporter-web/src"), ("", "syscallmon/src")];

/// Code spans of a line.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The tests that a line names: paths of functions or modules.
fn tests(line: &str) -> impl Iterator<Item = &str> {
    spans(line).filter(|span| span.contains("::"))
}

/// The fuzz targets that a line names: code spans after "fuzz target".
fn fuzz_targets(line: &str) -> impl Iterator<Item = &str> {
    let lists = line.split("fuzz target").skip(1).map(|rest| rest.split([';', '.', '|']).next().unwrap_or_default());
    lists.flat_map(spans)
}

/// Whether a file has this module or function.
fn has(file: &Path, name: &str) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    [format!("mod {name};"), format!("mod {name} {{"), format!("fn {name}(")].iter().any(|item| text.contains(item))
}

/// Whether a test or a module of tests exists.
fn exists(root: &Path, test: &str) -> bool {
    let (word, folder) = SCOPES.into_iter().find(|(word, _)| test.starts_with(word)).unwrap();
    let mut folder = root.join(folder);
    let mut file = ["lib.rs", "main.rs"].map(|name| folder.join(name)).into_iter().find(|file| file.exists()).unwrap();
    test[word.len()..].split("::").filter(|name| !name.is_empty()).all(|name| {
        let is_there = has(&file, name);
        folder.push(name);
        let own = [folder.with_extension("rs"), folder.join("mod.rs")].into_iter().find(|file| file.exists());
        file = own.unwrap_or_else(|| file.clone());
        is_there
    })
}

fn problems(root: &Path, line: &str) -> Vec<String> {
    let missing = tests(line).filter(|test| !exists(root, test)).map(|test| format!("there is no test {test}"));
    let is_target = |target: &&str| root.join(format!("fuzz/fuzz_targets/{target}.rs")).exists();
    let no_target = fuzz_targets(line).filter(|target| !is_target(target));
    missing.chain(no_target.map(|target| format!("there is no fuzz target {target}"))).collect()
}

#[test]
fn every_row_has_a_proof_that_exists_or_a_limit() {
    let root = workspace::root();
    let page = fs::read_to_string(root.join(PAGE)).unwrap();
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| chooses")).collect();
    assert!(rows.len() > 30, "{rows:?}");
    let is_open = |row: &&&str| tests(row).count() == 0 && !row.contains("imit: ") && !row.contains("e2e");
    let open: Vec<&&str> = rows.iter().filter(is_open).collect();
    assert!(open.is_empty(), "neither test nor limit: {open:?}");
    let problems: Vec<String> = page.lines().flat_map(|line| problems(&root, line)).collect();
    assert!(problems.is_empty(), "{PAGE}:\n{}", problems.join("\n"));
}

#[test]
fn tests_that_do_not_exist_are_found() {
    let root = workspace::root();
    for (line, is_good) in [
        (
            "`kernel exact::`, `fair_share::tests`, `exporter-web tests::limits`; fuzz targets `names`, `policy`. `x`",
            true,
        ),
        ("`detect::detector::tests::anew`", true),
        ("`kernel exact::no_such_test`", false),
        ("`kernel no_such_file::`", false),
        ("`policy::violations::tests`", false),
        ("`fair_share::no_such_module`", false),
        ("fuzz targets `names`, `no_such_target`", false),
    ] {
        assert_eq!(problems(&root, line).is_empty(), is_good, "{line}");
    }
}
