//! Documents for people: what they link to and name exists, and the overviews stay short.

mod paths;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use paths::{Tree, is_path, spans};
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

/// Names in a text that begin so, and go on with small letters, digits and these characters.
fn names<'a>(text: &'a str, start: &str, others: &str) -> HashSet<&'a str> {
    let is_of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || others.contains(c);
    let begins = text.match_indices(start).map(|(at, _)| at);
    let begins = begins.filter(|&at| !text[..at].ends_with(|c: char| is_of_name(c) || c == ':'));
    let name = |at: usize| text[at..].split(|c| !is_of_name(c)).next().unwrap_or_default();
    begins.map(|at| name(at).trim_end_matches(['.', '-'])).collect()
}

/// Flags of the daemon that a text names: all have a dot, unlike those of other programs.
fn flags(text: &str) -> HashSet<&str> {
    names(text, "--", "-.").into_iter().filter(|name| name.contains('.')).collect()
}

fn metrics(text: &str) -> HashSet<&str> {
    let metrics = names(text, "syscallmon_", "_").into_iter();
    // `syscallmon_alerts_*`, and `syscallmon_0.1.0-1_amd64.deb`.
    let is_metric = |name: &&str| !name.ends_with(|end: char| end == '_' || end.is_ascii_digit());
    let metrics = metrics.filter(is_metric);
    let parts = ["_bucket", "_count", "_sum", "_created"];
    metrics.map(|name| parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)).collect()
}

/// Files and folders that a text names with a top-level folder, whatever their ends are.
fn whole_paths(text: &str) -> impl Iterator<Item = &str> {
    // Not fuzz/, where files appear that are not committed.
    const TOP: [&str; 6] = ["deploy/", "docs/", "syscallmon/", "syscallmon-common/", "syscallmon-ebpf/", "xtask/"];
    spans(text).filter(|span| TOP.iter().any(|top| span.starts_with(top)) && !span.contains([' ', '*', '<', '{']))
}

#[test]
fn what_documents_name_exists() {
    let root = workspace::root();
    let (completions, table) = (read(&root.join("deploy/completions/syscallmon.bash")), read(&root.join("METRICS.md")));
    let (known_flags, known_metrics, tree) = (flags(&completions), metrics(&table), Tree::read(&root));
    assert!(known_flags.len() > 50 && known_metrics.len() > 50, "{known_flags:?} {known_metrics:?}");
    // The changelog has names that are no more.
    let current = documents(&root).into_iter().filter(|path| !path.ends_with("CHANGELOG.md"));
    let mut missing = Vec::new();
    for document in current {
        let text = read(&document);
        let unknown = flags(&text).into_iter().filter(|flag| !known_flags.contains(flag));
        let unknown = unknown.chain(metrics(&text).into_iter().filter(|metric| !known_metrics.contains(metric)));
        let unknown = unknown.chain(whole_paths(&text).filter(|path| !root.join(path).exists()));
        let unknown = unknown.map(str::to_owned);
        let unknown = unknown.chain(spans(&text).filter(|span| is_path(span)).filter_map(|path| tree.problem(path)));
        missing.extend(unknown.map(|name| format!("{}: {name}", document.display())));
    }
    assert!(missing.is_empty(), "these do not exist:\n{}", missing.join("\n"));
}

#[test]
fn names_in_a_text_are_found() {
    let text = "`--a.b-c=1`, `helm --wait`, --web.x. node:syscallmon_y:rate5m syscallmon_z_bucket{} syscallmon_0.1.0.deb `xtask/x` `xtask x`";
    assert_eq!(flags(text), HashSet::from(["--a.b-c", "--web.x"]));
    assert_eq!(metrics(text), HashSet::from(["syscallmon_z"]));
    assert_eq!(whole_paths(text).collect::<Vec<_>>(), ["xtask/x"]);
    let text = "`alert/x.rs` `x y.rs` `x.r` `.rs` `/` `/proc/` `target/tools/` y.rs `z/` `z`";
    assert_eq!(spans(text).filter(|span| is_path(span)).collect::<Vec<_>>(), ["alert/x.rs", "z/"]);
}

#[test]
fn a_path_that_leads_nowhere_or_to_two_places_is_found() {
    let tree = Tree::of(["syscallmon/src/engine/attribution.rs", "syscallmon/src/deploy/x.rs", "deploy/y", "z.rs"]);
    for (path, is_good) in [
        ("syscallmon/src/engine/attribution.rs", true),
        ("engine/attribution.rs", true),
        ("engine/", true),
        ("z.rs", true),
        // The end of a path is not enough.
        ("attribution.rs", false),
        ("src/engine/attribution.rs", false),
        ("source/", false),
        ("engine/attribution.rs/", false),
        // At the root, and at the base.
        ("deploy/", false),
    ] {
        assert_eq!(tree.problem(path).is_none(), is_good, "{path}: {:?}", tree.problem(path));
    }
}

/// The table of ARCHITECTURE.md has every module at the top of the daemon and of the kernel side.
#[test]
fn the_table_of_code_is_complete() {
    let root = workspace::root();
    let architecture = read(&root.join("ARCHITECTURE.md"));
    let table = architecture.split("\n## Code\n").nth(1).unwrap().split("\n#").next().unwrap();
    let named: HashSet<&str> = spans(table).collect();
    let is_named = |module: &str| {
        let folder = format!("{module}/");
        named.iter().any(|span| *span == module || *span == format!("{module}.rs") || span.starts_with(&folder))
    };
    let tree = Tree::read(&root);
    let files = tree.0.iter().filter_map(|path| {
        let file = ["syscallmon/src/", "syscallmon-ebpf/src/"].iter().find_map(|source| path.strip_prefix(source))?;
        file.split(['/', '.']).next()
    });
    let modules: HashSet<&str> = files.filter(|module| !module.is_empty()).collect();
    assert!(modules.len() > 40, "{modules:?}");
    let missing: Vec<&str> = modules.into_iter().filter(|module| *module != "lib" && !is_named(module)).collect();
    assert!(missing.is_empty(), "{missing:?}");
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
