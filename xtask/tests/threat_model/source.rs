//! Functions of a crate: their paths, whether cargo runs them as tests, and what they call.

use std::{
    mem,
    path::{Path, PathBuf},
    slice,
};

use super::lexer::{Token, tokens};

/// A function with a name. Text in strings, comments and macro definitions does not count.
#[derive(Debug)]
pub(crate) struct Function {
    /// The modules that it is in, from the crate's root down.
    pub(crate) module: Vec<String>,
    pub(crate) name: String,
    /// Whether it has `#[test]` or `#[tokio::test]`, and no `#[ignore]`. `proptest!` requires `#[test]` as well.
    pub(crate) is_test: bool,
    pub(crate) calls: Vec<Call>,
}

/// A name before an opening parenthesis.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The word before `::`, where there is one.
    pub(crate) qualifier: Option<String>,
    pub(crate) name: String,
}

impl Function {
    /// `module::name`, from the crate's root.
    pub(crate) fn path(&self) -> String {
        [self.module.as_slice(), slice::from_ref(&self.name)].concat().join("::")
    }
}

/// Reads all functions of a crate, whose root is in `file`. `text` returns the content of an existing file.
pub(crate) fn functions(file: &Path, text: impl Fn(&Path) -> Option<String>) -> Vec<Function> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut functions = Vec::new();
    let mut files = vec![(file.to_owned(), Vec::new())];
    while let Some((path, module)) = files.pop() {
        let content = text(&path).unwrap_or_else(|| panic!("cannot read {}", path.display()));
        let tokens = tokens(&content);
        let mut reader = Reader::new(&tokens, module);
        reader.read();
        functions.append(&mut reader.functions);
        for child in mem::take(&mut reader.children) {
            let stem: PathBuf = folder.iter().map(AsRef::as_ref).chain(child.iter().map(Path::new)).collect();
            let candidates = [stem.with_extension("rs"), stem.join("mod.rs")];
            let found = candidates.into_iter().find(|candidate| text(candidate).is_some());
            files.push((found.unwrap_or_else(|| panic!("no file of {}", child.join("::"))), child));
        }
    }
    functions
}

/// What a pair of braces encloses.
#[derive(Default)]
enum Scope {
    Module,
    /// The body of a function, by its position in the list.
    Function(usize),
    #[default]
    Other,
}

/// What the attributes before an item say.
#[derive(Default)]
struct Marks {
    is_test: bool,
    is_ignored: bool,
}

/// A file while it is read.
struct Reader<'a> {
    tokens: &'a [Token<'a>],
    module: Vec<String>,
    /// Open braces.
    scopes: Vec<Scope>,
    /// What the next opening brace begins.
    next: Scope,
    marks: Marks,
    functions: Vec<Function>,
    /// Modules with files of their own.
    children: Vec<Vec<String>>,
}

impl<'a> Reader<'a> {
    fn new(tokens: &'a [Token<'a>], module: Vec<String>) -> Self {
        let (functions, children) = (Vec::new(), Vec::new());
        Self { tokens, module, scopes: Vec::new(), next: Scope::Other, marks: Marks::default(), functions, children }
    }

    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }

    fn is(&self, at: usize, texts: &[&str]) -> bool {
        texts.iter().enumerate().all(|(offset, text)| self.text(at + offset) == *text)
    }

    fn read(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            at = self.step(at);
        }
    }

    /// Reads one token or one attribute. Returns the position after it.
    fn step(&mut self, at: usize) -> usize {
        if self.is(at, &["#", "["]) {
            return self.attribute(at + 1);
        }
        let name = || self.text(at + 1).to_owned();
        match self.text(at) {
            // Between the attributes and `fn`.
            "pub" | "async" | "const" | "unsafe" | "extern" => return at + 1,
            "mod" if self.is(at + 2, &[";"]) => self.children.push([self.module.as_slice(), &[name()]].concat()),
            "mod" if self.is(at + 2, &["{"]) => {
                self.module.push(name());
                self.next = Scope::Module;
            }
            "fn" if is_word(self.text(at + 1)) => {
                let is_test = self.marks.is_test && !self.marks.is_ignored;
                let function = Function { module: self.module.clone(), name: name(), is_test, calls: Vec::new() };
                self.next = Scope::Function(self.functions.len());
                self.functions.push(function);
                self.marks = Marks::default();
                return at + 2;
            }
            "{" => self.scopes.push(mem::take(&mut self.next)),
            "}" => {
                if let Some(Scope::Module) = self.scopes.pop() {
                    self.module.pop();
                }
            }
            word if is_word(word) && self.is(at + 1, &["("]) => self.call(at),
            _ => {}
        }
        self.marks = Marks::default();
        at + 1
    }

    /// Reads an attribute, which begins at the bracket. Returns the position after it.
    fn attribute(&mut self, start: usize) -> usize {
        self.marks.is_test |= self.is(start, &["[", "test", "]"]) || self.is(start, &["[", "tokio", ":", ":", "test"]);
        self.marks.is_ignored |= self.is(start, &["[", "ignore"]);
        let (mut depth, mut at) = (0_usize, start);
        while at < self.tokens.len() {
            match self.text(at) {
                "[" => depth += 1,
                "]" if depth == 1 => return at + 1,
                "]" => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        at
    }

    /// Adds a call to the function around it.
    fn call(&mut self, at: usize) {
        let around = self.scopes.iter().rev().find_map(|scope| match scope {
            Scope::Function(index) => Some(*index),
            Scope::Module | Scope::Other => None,
        });
        let is_qualified = at >= 3 && self.is(at - 2, &[":", ":"]);
        let qualifier = is_qualified.then(|| self.text(at - 3).to_owned());
        let call = Call { qualifier, name: self.text(at).to_owned() };
        if let Some(function) = around.and_then(|index| self.functions.get_mut(index)) {
            function.calls.push(call);
        }
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first == '_' || first.is_alphabetic())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(files: &[(&str, &str)]) -> Vec<Function> {
        let files: BTreeMap<&Path, &str> = files.iter().map(|&(path, text)| (Path::new(path), text)).collect();
        functions(Path::new("src/lib.rs"), |path| files.get(path).map(|&text| text.to_owned()))
    }

    /// Paths of the tests in one file.
    fn tests(text: &str) -> Vec<String> {
        let functions = read(&[("src/lib.rs", text)]);
        functions.iter().filter(|function| function.is_test).map(Function::path).collect()
    }

    #[test]
    fn functions_with_the_attribute_of_a_test_are_tests() {
        assert_eq!(tests("#[test] fn a() {}"), ["a"]);
        assert_eq!(tests("#[tokio::test(flavor = \"multi_thread\")]\nasync fn a() {}"), ["a"]);
        assert_eq!(tests("#[cfg(unix)] #[test] #[should_panic] pub fn a() {}"), ["a"]);
        assert_eq!(tests("mod t { mod u { #[test] fn a() {} } #[test] fn b() {} }"), ["t::u::a", "t::b"]);
        assert_eq!(tests("proptest! { #[test] fn a(b in 0..9) { c(b); } #[test] fn d(e in f()) {} }"), ["a", "d"]);
    }

    #[test]
    fn other_functions_are_no_tests() {
        for text in [
            "fn a() {}",
            "#[cfg(test)] fn a() {}",
            "#[test] #[ignore = \"slow\"] fn a() {}",
            "// #[test]\nfn a() {}",
            "const A: &str = \"#[test] fn a() {}\";",
            "#[test_case] fn a() {}",
            "proptest! { fn a(b in 0..9) {} }",
            "macro_rules! m { () => { #[test] fn $a() {} } } fn b() {}",
            "#[test] const A: fn() = b; fn b() {}",
        ] {
            assert_eq!(tests(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn modules_are_read_from_their_files() {
        let functions = read(&[
            ("src/lib.rs", "mod a; mod b { mod c; }"),
            ("src/a.rs", "#[cfg(test)] mod tests;"),
            ("src/a/tests.rs", "#[test] fn d() {}"),
            ("src/b/c/mod.rs", "fn e() {}"),
        ]);
        let mut paths: Vec<String> = functions.iter().map(Function::path).collect();
        paths.sort();
        assert_eq!(paths, ["a::tests::d", "b::c::e"]);
    }

    #[test]
    fn calls_belong_to_the_function_around_them() {
        let text = "fn a(b: [u8; 2]) { c::d(|| e()); macro!(f.g(1)) } fn h() { fn i() { j() } k::<T>; } l();";
        let functions = read(&[("src/lib.rs", text)]);
        let calls = |index: usize| {
            let of = functions[index].calls.iter();
            of.map(|call| (call.qualifier.as_deref(), call.name.as_str())).collect::<Vec<_>>()
        };
        assert_eq!(calls(0), [(Some("c"), "d"), (None, "e"), (None, "g")]);
        assert_eq!((calls(1), calls(2)), (vec![], vec![(None, "j")]));
    }
}
