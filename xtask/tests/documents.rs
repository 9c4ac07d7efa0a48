//! Documents for people: their links lead somewhere, and the overviews stay short.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use xtask_support::workspace;

/// Lines of README.md and words of ARCHITECTURE.md, and lines of the glossary.
const MAX_README_LINES: usize = 150;
const MAX_ARCHITECTURE_WORDS: usize = 1800;
const MAX_GLOSSARY_LINES: usize = 30;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All documents that are in the repository.
fn documents(root: &Path) -> Vec<PathBuf> {
    let folders = [".", "docs", "docs/design", "deploy/helm/syscallmon", "syscallmon/exporter-web"]
        .map(|folder| root.join(folder));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

/// Targets of links outside of code.
fn links(text: &str) -> Vec<String> {
    let mut is_code = false;
    let mut links = Vec::new();
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if !is_code && !line.starts_with("    ") {
            let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            links.extend(targets.map(str::to_owned));
        }
    }
    links
}

/// Anchors of headings, as GitHub makes them.
fn anchors(text: &str) -> HashSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|text| text.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

/// Why a link of a document leads nowhere.
fn problem(document: &Path, link: &str) -> Option<String> {
    if link.contains("://") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = if file.is_empty() { document.to_owned() } else { document.parent().unwrap().join(file) };
    if !target.exists() {
        return Some(format!("{}: there is no {link}", document.display()));
    }
    let is_there = |anchor: &str| anchors(&read(&target)).contains(anchor);
    anchor.filter(|anchor| !is_there(anchor)).map(|_| format!("{}: no heading for {link}", document.display()))
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let documents = documents(&workspace::root());
    assert!(documents.len() >= 25, "{documents:?}");
    let of = |document: &PathBuf| {
        let links = links(&read(document));
        links.iter().filter_map(|link| problem(document, link)).collect::<Vec<_>>()
    };
    let problems: Vec<String> = documents.iter().flat_map(of).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_link_to_nothing_is_found() {
    let readme = workspace::root().join("README.md");
    assert_eq!(links("a [b](c.md#d), [e](f)\n    [code](g)\n```\n[code](h)\n```\n"), ["c.md#d", "f"]);
    for (link, is_good) in
        [("docs/faq.md", true), ("docs/no.md", false), ("#quick-start", true), ("docs/faq.md#no", false)]
    {
        assert_eq!(problem(&readme, link).is_none(), is_good, "{link}");
    }
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let root = workspace::root();
    let contents = root.join("docs/README.md");
    let linked: HashSet<PathBuf> = links(&read(&contents))
        .iter()
        .filter_map(|link| root.join("docs").join(link.split('#').next()?).canonicalize().ok())
        .collect();
    let pages = documents(&root).into_iter().filter(|path| path.starts_with(root.join("docs")) && *path != contents);
    let missing: Vec<PathBuf> = pages.filter(|path| !linked.contains(&path.canonicalize().unwrap())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn overviews_stay_short() {
    let root = workspace::root();
    let (readme, architecture) = (read(&root.join("README.md")), read(&root.join("ARCHITECTURE.md")));
    assert!(readme.lines().count() <= MAX_README_LINES, "README.md has {} lines", readme.lines().count());
    let words = architecture.split_whitespace().count();
    assert!(words <= MAX_ARCHITECTURE_WORDS, "ARCHITECTURE.md has {words} words: move details to docs/design");
    let glossary = architecture.split("\n## Glossary\n").nth(1).unwrap().split("\n## ").next().unwrap();
    assert!(glossary.lines().filter(|line| !line.is_empty()).count() <= MAX_GLOSSARY_LINES);
}
