//! Lines of code, comments and documents are not longer than `rustfmt.toml` says.

#[path = "modules/lexer.rs"]
mod lexer;

use std::{collections::HashMap, fs, path::Path, process::Command};

use lexer::tokens;
use xtask_support::workspace;

/// Files of the repository with this suffix.
fn tracked(root: &Path, end: &str) -> Vec<String> {
    let output = Command::new("git").current_dir(root).args(["ls-files", &format!("*{end}")]).output().unwrap();
    assert!(output.status.success(), "git ls-files: {output:?}");
    let files: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert!(files.len() >= 20, "{files:?}");
    // A file that was removed, and is not committed as removed yet, is not there.
    files.into_iter().filter(|file| root.join(file).exists()).collect()
}

fn max_width(root: &Path) -> usize {
    let config: toml::Table = fs::read_to_string(root.join("rustfmt.toml")).unwrap().parse().unwrap();
    config["max_width"].as_integer().unwrap().try_into().unwrap()
}

fn width(line: &str) -> usize {
    line.chars().count()
}

/// Whether a line of text is too long and has a space to break it at.
fn is_long_text(line: &str, max: usize) -> bool {
    let text = line.trim_start().trim_start_matches(['/', '!', '-', '*']).trim_start();
    let before: String = text.chars().take(max.saturating_sub(width(line) - width(text))).collect();
    width(line) > max && before.contains(' ')
}

/// Numbers of the lines of Rust that are too long. String literals do not count: rustfmt does not break them either.
fn long_lines_of_rust(text: &str, max: usize) -> Vec<usize> {
    let mut code_widths: HashMap<usize, usize> = HashMap::new();
    for token in tokens(text) {
        *code_widths.entry(token.line).or_default() += width(token.text);
    }
    let is_long = |number: usize, line: &str| {
        if line.trim_start().starts_with("//") {
            return is_long_text(line, max);
        }
        let code = code_widths.get(&number).copied().unwrap_or(0);
        let spaces = line.chars().filter(|c| c.is_whitespace()).count();
        let has_comment = line.rsplit('"').next().is_some_and(|rest| rest.contains(" // "));
        width(line) > max && (code + spaces > max || has_comment || !line.contains('"') && code > 0)
    };
    (1..).zip(text.lines()).filter(|&(number, line)| is_long(number, line)).map(|(number, _)| number).collect()
}

/// Numbers of the lines of a document that are too long. Tables and code do not count.
fn long_lines_of_markdown(text: &str, max: usize) -> Vec<usize> {
    let mut is_code = false;
    let mut is_long = |line: &str| {
        is_code ^= line.trim_start().starts_with("```");
        !is_code && !line.starts_with("    ") && !line.trim_start().starts_with('|') && is_long_text(line, max)
    };
    (1..).zip(text.lines()).filter(|(_, line)| is_long(line)).map(|(number, _)| number).collect()
}

fn assert_fit(end: &str, long_lines: fn(&str, usize) -> Vec<usize>) {
    let root = workspace::root();
    let max = max_width(&root);
    let files = tracked(&root, end);
    let of = |file: String| {
        let lines = long_lines(&fs::read_to_string(root.join(&file)).unwrap(), max);
        lines.into_iter().map(|line| format!("{file}:{line}")).collect::<Vec<_>>()
    };
    let long: Vec<String> = files.into_iter().flat_map(of).collect();
    assert!(long.is_empty(), "more than {max} characters:\n{}", long.join("\n"));
}

#[test]
fn lines_of_rust_fit() {
    assert_fit(".rs", long_lines_of_rust);
}

#[test]
fn lines_of_documents_fit() {
    assert_fit(".md", long_lines_of_markdown);
}

#[test]
fn a_long_line_is_found() {
    // Characters count, not bytes.
    let rust = "// \u{e4} bcdefgh\n// a bcdefghi\n    /// a bcdef\nfn abcdefghij() {}\n";
    assert_eq!(long_lines_of_rust(rust, 12), [2, 3, 4]);
    let rust = "f(\"a b c d e\")\nlet s = \"\n  abc def ghi\n\";\nx(); // of it\n// unbreakable\n";
    assert_eq!(long_lines_of_rust(rust, 12), [5]);
    let document = "a b c d e f g\n| a b c d e f |\n    a b c d e f\n```\na b c d e f g\n```\n- unbreakable\n";
    assert_eq!(long_lines_of_markdown(document, 12), [1]);
}
