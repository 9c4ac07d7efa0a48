//! A crate's modules, and which modules of the top each of them names.
//!
//! A crate may have rooms: modules of its root that only hold others, which then count as modules of the top.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::lexer::{Token, tokens};

/// A path that leads from one top-level module to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) from: String,
    pub(crate) to: String,
    /// `file:line`.
    pub(crate) place: String,
}

/// What is read of a crate.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    /// Every path from one top-level module to another.
    pub(crate) uses: Vec<Use>,
    /// Syntax that this reader does not follow, so the sources must not use it.
    pub(crate) problems: Vec<String>,
}

impl Crate {
    /// Reads the root's file and the files of all modules but those of tests; `text` has what is in a file that is
    /// there.
    pub(crate) fn read(root: &Path, rooms: &[&str], text: impl Fn(&Path) -> Option<String>) -> Self {
        let mut all = Self::default();
        let mut top = BTreeSet::new();
        let mut files = vec![(root.to_owned(), Vec::new())];
        while let Some((path, module)) = files.pop() {
            let Some(content) = text(&path) else {
                all.problems.push(format!("{} cannot be read", path.display()));
                continue;
            };
            let tokens = tokens(&content);
            let mut file = File {
                path: &path,
                tokens: &tokens,
                rooms,
                module: module.clone(),
                modules: Vec::new(),
                all: &mut all,
            };
            file.read();
            for child in file.modules {
                top.extend(of_top(rooms, &child));
                let candidates = files_of(&path, module.len(), &child);
                match candidates.iter().find(|candidate| text(candidate).is_some()) {
                    Some(found) => files.push((found.clone(), child)),
                    None => all.problems.push(format!("{} has no file of {}", path.display(), child.join("::"))),
                }
            }
        }
        for named in all.uses.iter().filter(|named| !top.contains(&named.to)) {
            all.problems.push(format!("{}: crate::{} is no module of the root", named.place, named.to));
        }
        all
    }
}

/// The module of the top that a module is, or is in; `None` for the root and for rooms.
fn of_top(rooms: &[&str], module: &[String]) -> Option<String> {
    match module {
        [room, rest @ ..] if rooms.contains(&room.as_str()) => rest.first().map(|name| format!("{room}::{name}")),
        _ => module.first().cloned(),
    }
}

/// Where the file of a module may be that a file declares, `depth` being the number of names of the file's own module.
fn files_of(parent: &Path, depth: usize, child: &[String]) -> [PathBuf; 2] {
    let is_own_folder =
        matches!(parent.file_name().and_then(|name| name.to_str()), Some("lib.rs" | "main.rs" | "mod.rs"));
    let mut folder =
        if is_own_folder { parent.parent().unwrap_or(parent).to_owned() } else { parent.with_extension("") };
    folder.extend(&child[depth..child.len() - 1]);
    let name = &child[child.len() - 1];
    [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")]
}

/// A file while it is read.
struct File<'a> {
    path: &'a Path,
    tokens: &'a [Token<'a>],
    rooms: &'a [&'a str],
    /// The module that the tokens are in, by the names from the root down.
    module: Vec<String>,
    /// Modules that the file says to be in others.
    modules: Vec<Vec<String>>,
    all: &'a mut Crate,
}

impl<'a> File<'a> {
    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    fn is(&self, at: usize, texts: &[&str]) -> bool {
        texts.iter().enumerate().all(|(offset, text)| self.text(at + offset) == *text)
    }

    fn problem(&mut self, at: usize, what: &str) {
        let line = self.tokens.get(at).map_or(0, |token| token.line);
        self.all.problems.push(format!("{}:{line}: {what}", self.path.display()));
    }

    fn read(&mut self) {
        // Of modules that have their text here: the depth of the braces that each is in.
        let (mut inline, mut depth, mut at) = (Vec::new(), 0_usize, 0);
        while at < self.tokens.len() {
            if self.is(at, &["#", "!", "[", "cfg", "(", "test", ")", "]"]) {
                return;
            }
            if self.is(at, &["#", "[", "cfg", "(", "test", ")", "]"]) {
                at = self.after_item(at + 7);
                continue;
            }
            if self.is(at, &["#", "[", "path"]) {
                self.problem(at, "the file of a module has its name");
            }
            match self.text(at) {
                "{" => depth += 1,
                "}" => {
                    depth = depth.saturating_sub(1);
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        self.module.pop();
                    }
                }
                "mod" if matches!(self.text(at + 2), ";" | "{") => {
                    let child = [self.module.as_slice(), &[self.text(at + 1).to_owned()]].concat();
                    if self.is(at + 2, &[";"]) {
                        self.modules.push(child);
                    } else {
                        self.module = child;
                        inline.push(depth);
                    }
                    at += 2;
                    continue;
                }
                "crate" | "super" | "self" if at < 2 || !self.is(at - 2, &[":", ":"]) => {
                    at = self.follow(at, Some(self.module.clone()));
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// The token after an item that only tests have, of which `at` is the first token, or an attribute.
    fn after_item(&self, mut at: usize) -> usize {
        let is_field = {
            while self.is(at, &["#", "["]) {
                at = self.after_brackets(at + 1);
            }
            let after_visibility = if self.text(at) != "pub" {
                at
            } else if self.text(at + 1) == "(" {
                self.after_brackets(at + 1)
            } else {
                at + 1
            };
            let is_typed = self.is(after_visibility + 1, &[":"]) && !self.is(after_visibility + 2, &[":"]);
            is_typed || self.is(after_visibility + 1, &[","])
        };
        while at < self.tokens.len() {
            match self.text(at) {
                "{" => return self.after_brackets(at),
                "(" | "[" => at = self.after_brackets(at),
                ";" => return at + 1,
                "," if is_field => return at + 1,
                // A last field without a comma.
                "}" | ")" => return at,
                _ => at += 1,
            }
        }
        at
    }

    /// The token after the bracket that ends the one at `at`.
    fn after_brackets(&self, mut at: usize) -> usize {
        let mut depth = 0_usize;
        while at < self.tokens.len() {
            match self.text(at) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        at
    }

    /// Follows a path or a tree of paths from a module, and notes each top-level module that it names. `None` is above
    /// the root. Returns the token at which reading goes on.
    fn follow(&mut self, at: usize, from: Option<Vec<String>>) -> usize {
        let from = match self.text(at) {
            "crate" => Some(Vec::new()),
            "self" => from,
            "super" => from.and_then(|mut module| module.pop().map(|_| module)),
            "*" if from.as_deref().is_some_and(|module| self.is_above(module)) && !self.module.is_empty() => {
                self.problem(at, "names everything of the root");
                return at + 1;
            }
            name => match from {
                Some(module) if module.is_empty() && self.rooms.contains(&name) => Some(vec![name.to_owned()]),
                Some(module) if self.is_above(&module) => {
                    self.note(at, module);
                    return at + 1;
                }
                _ => return at + 1,
            },
        };
        if self.rooms.contains(&self.text(at)) && !self.is(at + 1, &[":", ":"]) && !self.module.is_empty() {
            self.problem(at, "names a whole room");
        }
        if self.text(at) == "crate" && self.text(at + 1) == "as" {
            self.problem(at, "gives the root another name");
        }
        if !self.is(at + 1, &[":", ":"]) {
            return at + 1;
        }
        if self.text(at + 3) != "{" {
            return self.follow(at + 3, from);
        }
        let end = self.after_brackets(at + 3);
        let mut entry = at + 4;
        while entry < end - 1 {
            entry = self.follow(entry, from.clone());
            // What is below a name is inside of its module.
            while entry < end - 1 && self.text(entry) != "," {
                entry = if self.text(entry) == "{" { self.after_brackets(entry) } else { entry + 1 };
            }
            entry += 1;
        }
        end
    }

    /// Whether modules of the top stand right below a module.
    fn is_above(&self, module: &[String]) -> bool {
        match module {
            [] => true,
            [name] => self.rooms.contains(&name.as_str()),
            _ => false,
        }
    }

    /// Notes the use of what the token names, right below a module.
    fn note(&mut self, at: usize, mut module: Vec<String>) {
        let token = self.tokens[at];
        module.push(token.text.to_owned());
        let (Some(from), Some(to)) = (of_top(self.rooms, &self.module), of_top(self.rooms, &module)) else { return };
        if from != to {
            let place = format!("{}:{}", self.path.display(), token.line);
            self.all.uses.push(Use { from, to, place });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(files: &[(&str, &str)]) -> Crate {
        let files: BTreeMap<&Path, &str> = files.iter().map(|&(path, text)| (Path::new(path), text)).collect();
        Crate::read(Path::new("src/lib.rs"), &["room"], |path| files.get(path).map(|&text| text.to_owned()))
    }

    /// Where the module `a` with this text says to use what.
    fn uses(text: &str) -> Vec<String> {
        let read = read(&[
            ("src/lib.rs", "mod a; mod b; mod c; mod d;"),
            ("src/a.rs", text),
            ("src/b.rs", ""),
            ("src/c.rs", ""),
            ("src/d.rs", ""),
        ]);
        assert_eq!(read.problems, [""; 0]);
        read.uses.into_iter().map(|named| format!("{} {}", named.to, named.place)).collect()
    }

    #[test]
    fn paths_of_use_lines_and_of_code_are_found() {
        assert_eq!(
            uses("use crate::b::X;\nuse crate::{a::Y, c::{self, Z, d}, d};"),
            ["b src/a.rs:1", "c src/a.rs:2", "d src/a.rs:2"]
        );
        assert_eq!(
            uses("fn f() {\n crate::b::g(crate::a::h());\n println!(\"{}\", crate::c::X);\n}"),
            ["b src/a.rs:2", "c src/a.rs:3"]
        );
        assert_eq!(
            uses("pub(crate) struct X;\nimpl X { fn f(self) -> crate::b::Y { self.crate_name } }"),
            ["b src/a.rs:2"]
        );
        assert_eq!(uses("macro_rules! m { () => { $crate::b::X } }"), ["b src/a.rs:1"]);
    }

    #[test]
    fn paths_that_climb_are_found() {
        assert_eq!(
            uses(
                "use super::b;\nmod inner { use super::X; use super::super::c; use super::{Y, super::d::Z}; }\nuse self::super::c;"
            ),
            ["b src/a.rs:1", "c src/a.rs:2", "d src/a.rs:2", "c src/a.rs:3",]
        );
    }

    #[test]
    fn what_only_tests_use_does_not_count() {
        let text = "struct S { #[cfg(test)] x: crate::b::X, y: u32 }
            #[cfg(test)] pub(crate) use crate::b::{X, Y};
            #[cfg(test)] #[must_use] fn f<A, B>(_: [crate::c::T; 1]) { crate::d::g() }
            fn g() -> crate::c::X {}
            #[cfg(test)] mod tests { use crate::b; }
            use crate::d;";
        assert_eq!(uses(text), ["c src/a.rs:4", "d src/a.rs:6"]);
        assert_eq!(uses("#![cfg(test)]\nuse crate::b;"), [""; 0]);
    }

    #[test]
    fn modules_are_read_wherever_their_files_are() {
        let read = read(&[
            ("src/lib.rs", "mod a; mod b; mod c;"),
            ("src/a/mod.rs", "mod x;\nmod y { mod z; }\n#[cfg(test)] mod tests;"),
            ("src/a/x.rs", "mod w;"),
            ("src/a/x/w.rs", "use super::super::super::b;"),
            ("src/a/y/z.rs", "use crate::c;"),
            ("src/a/tests.rs", "use crate::c;"),
            ("src/b.rs", ""),
            ("src/c.rs", ""),
        ]);
        assert_eq!(read.problems, [""; 0]);
        let mut places: Vec<&str> = read.uses.iter().map(|named| named.place.as_str()).collect();
        places.sort_unstable();
        assert_eq!(places, ["src/a/x/w.rs:1", "src/a/y/z.rs:1"]);
    }

    #[test]
    fn modules_of_a_room_count_alone() {
        let read = read(&[
            ("src/lib.rs", "mod a; mod room;"),
            ("src/a.rs", "use crate::room::{x::X, y};\nuse crate::room::x;"),
            ("src/room.rs", "mod x; mod y;\nuse self::x::X;"),
            ("src/room/x.rs", "use super::y; use crate::a;\nmod z;"),
            ("src/room/x/z.rs", "use super::X; use super::super::y::Y;"),
            ("src/room/y.rs", "use crate::{room::x, a::A};"),
        ]);
        assert_eq!(read.problems, [""; 0]);
        let uses: Vec<String> =
            read.uses.iter().map(|step| format!("{} {} {}", step.from, step.to, step.place)).collect();
        let mut uses: Vec<&str> = uses.iter().map(String::as_str).collect();
        uses.sort_unstable();
        assert_eq!(
            uses,
            [
                "a room::x src/a.rs:1",
                "a room::x src/a.rs:2",
                "a room::y src/a.rs:1",
                "room::x a src/room/x.rs:1",
                "room::x room::y src/room/x.rs:1",
                "room::x room::y src/room/x/z.rs:1",
                "room::y a src/room/y.rs:1",
                "room::y room::x src/room/y.rs:1",
            ]
        );
    }

    #[test]
    fn what_hides_a_use_is_a_problem() {
        let problems = |text| {
            let room = [("src/room.rs", "mod x;"), ("src/room/x.rs", "")];
            read(&[&[("src/lib.rs", "mod a; mod room; pub use a::X;"), ("src/a.rs", text)][..], &room].concat())
                .problems
        };
        assert_eq!(problems("use crate::X;"), ["src/a.rs:1: crate::X is no module of the root"]);
        assert_eq!(problems("use crate::*;"), ["src/a.rs:1: names everything of the root"]);
        assert_eq!(problems("use crate::room::*;"), ["src/a.rs:1: names everything of the root"]);
        assert_eq!(problems("use crate::room;"), ["src/a.rs:1: names a whole room"]);
        assert_eq!(problems("use crate as root;"), ["src/a.rs:1: gives the root another name"]);
        assert_eq!(problems("#[path = \"b.rs\"] mod b { }"), ["src/a.rs:1: the file of a module has its name"]);
        assert_eq!(problems("mod gone;"), ["src/a.rs has no file of a::gone"]);
    }
}
