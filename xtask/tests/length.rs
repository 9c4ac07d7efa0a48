//! Files of code and functions stay short enough to be read at once.

#[path = "modules/lexer.rs"]
mod lexer;

use std::{fs, process::Command};

use lexer::{Token, tokens};
use xtask_support::workspace;

const MAX_FILE_LINES: usize = 450;
const MAX_FUNCTION_LINES: usize = 60;

/// Tables: one row for each call of the kernel, for each metric, and for each call of a container runtime.
const TABLES: [&str; 3] = [
    "syscallmon/src/syscalls/table/",
    "syscallmon/src/serve/exposition/families.rs",
    "syscallmon/src/profile/base/table.rs",
];
/// One line for each global of the kernel side. The compiler finds a missing one, which it would not in several parts.
const TABLE_FUNCTION: (&str, &str) = ("syscallmon/src/kernel/globals.rs", "new");

/// Functions with a body: name, and number of lines from `fn` to the closing brace.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let tokens = tokens(text);
    let starts = tokens.iter().enumerate().filter(|(_, token)| token.text == "fn");
    starts
        .filter_map(|(start, token)| Some((tokens.get(start + 1)?.text, lines(&tokens[start..], token.line)?)))
        .collect()
}

/// Lines until the end of the first block; `None` where a declaration ends before.
fn lines(tokens: &[Token<'_>], first: usize) -> Option<usize> {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for token in tokens {
        match token.text {
            "(" | "[" => others += 1,
            ")" | "]" => others = others.checked_sub(1)?,
            ";" | "," if braces == 0 && others == 0 => return None,
            "{" => braces += 1,
            "}" if braces == 1 => return Some(token.line + 1 - first),
            "}" => braces = braces.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

#[test]
fn files_and_functions_are_short() {
    let root = workspace::root();
    let output = Command::new("git").current_dir(&root).args(["ls-files", "*.rs"]).output().unwrap();
    let files = String::from_utf8(output.stdout).unwrap();
    let files = files.lines().filter(|file| root.join(file).exists());
    let (mut count, mut long) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(root.join(file)).unwrap();
        if text.lines().count() > MAX_FILE_LINES && !TABLES.iter().any(|table| file.starts_with(table)) {
            long.push(format!("{file}: {} lines", text.lines().count()));
        }
        let functions = functions(&text);
        count += functions.len();
        let too_long = functions.into_iter().filter(|&(_, lines)| lines > MAX_FUNCTION_LINES);
        let too_long = too_long.filter(|&(name, _)| (file, name) != TABLE_FUNCTION);
        long.extend(too_long.map(|(name, lines)| format!("{file}: {name}: {lines} lines")));
    }
    assert!(count > 3000, "{count} functions were found");
    assert!(
        long.is_empty(),
        "more than {MAX_FILE_LINES} lines, or {MAX_FUNCTION_LINES} of a function:\n{}",
        long.join("\n")
    );
}

#[test]
fn lengths_of_functions_are_measured() {
    let text = "fn a(b: [u8; 2]) -> fn() {\n    if c {\n    }\n}\ntrait D {\n    fn e();\n    fn f() {}\n}\nfn g(h: fn(u8), i: u8) {\n}\n";
    assert_eq!(
        functions(text).into_iter().filter(|(name, _)| *name != "(").collect::<Vec<_>>(),
        [("a", 4), ("f", 1), ("g", 2)]
    );
}
