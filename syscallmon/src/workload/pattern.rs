//! Regular expressions of selectors, compiled within a budget.
//!
//! Clients of the API and authors of configurations choose them, and a short one can be large when compiled: `\w{100}`
//! takes megabytes. A [`Budget`] bounds the expressions of one request, or of one file. Only [`super::Selector`] uses
//! this module.

use std::{
    cell::RefCell,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use regex_automata::{
    Input,
    meta::{Config, Regex},
};
use regex_syntax::{
    ParserBuilder,
    hir::{Hir, Look},
};

/// Maximum nesting of parentheses and sets.
const MAX_NESTING: u32 = 50;

/// Maximum memory for the states of a lazily built automaton, while a value is matched.
const MAX_LAZY_STATES: usize = 256 * 1024;

/// Maximum memory of an automaton that speeds matching up. A larger one is not built.
const MAX_ONE_PASS: usize = 16 * 1024;

/// Maximum bytes of compiled expressions of one file.
const MAX_OF_FILE: usize = 4 * 1024 * 1024;

thread_local! {
    /// The budget of the file that this thread parses.
    static FILE: RefCell<Option<Arc<Budget>>> = const { RefCell::new(None) };
}

/// Memory for compiled regular expressions.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    used: AtomicUsize,
    /// Longest text of one selector, in bytes.
    max_text: usize,
}

/// A part of a budget. Dropping it returns the part.
#[derive(Debug)]
struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

/// Why a regular expression is not compiled.
#[derive(Debug, thiserror::Error)]
pub enum PatternError {
    /// It is not a regular expression.
    #[error("invalid regular expression: {0}")]
    Syntax(#[from] Box<regex_syntax::Error>),
    /// It exceeds the rest of the budget.
    #[error(
        "the regular expression {pattern:?} is too large: compiled, those of one file or request have at most {} KiB (\\w and \\d are large, as they \
         match all of Unicode: write [A-Za-z0-9_] and [0-9]; so are counts such as {{100}})",
        limit / 1024
    )]
    TooLarge {
        /// The expression.
        pattern: String,
        /// The budget, in bytes.
        limit: usize,
    },
}

impl Budget {
    /// Returns a budget for one request.
    #[must_use]
    pub fn of_request() -> Arc<Self> {
        Self::new(256 * 1024, 2048)
    }

    /// Runs `read`, which parses one file. The selectors in it have a budget of their own, whatever other files are
    /// parsed or in force.
    pub fn with_file<T>(read: impl FnOnce() -> T) -> T {
        let outer = FILE.replace(Some(Self::of_file()));
        let result = read();
        FILE.set(outer);
        result
    }

    /// Returns the budget of the file that this thread parses, or otherwise the budget of all flags.
    pub(super) fn current() -> Arc<Self> {
        static FLAGS: LazyLock<Arc<Budget>> = LazyLock::new(Budget::of_file);
        FILE.with_borrow(Clone::clone).unwrap_or_else(|| Arc::clone(&FLAGS))
    }

    fn of_file() -> Arc<Self> {
        Self::new(MAX_OF_FILE, 16 * 1024)
    }

    /// Bytes for compiled expressions, and for the text of one selector.
    pub(super) fn new(total: usize, max_text: usize) -> Arc<Self> {
        Arc::new(Self { total, used: AtomicUsize::new(0), max_text })
    }

    /// Returns the maximum length of a selector, in bytes.
    pub(super) fn max_text(&self) -> usize {
        self.max_text
    }

    fn left(&self) -> usize {
        self.total.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    fn charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let fits = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.total);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Charge { budget: Arc::clone(self), bytes })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A regular expression that matches whole values. Newlines are ordinary text, as in Prometheus.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    regex: Regex,
    charge: Charge,
}

impl Pattern {
    /// Compiles an expression within the rest of a budget.
    pub(super) fn compile(pattern: &str, budget: &Arc<Budget>) -> Result<Self, PatternError> {
        let too_large = || PatternError::TooLarge { pattern: pattern.to_owned(), limit: budget.total };
        // The expression alone: `a)|(b` is not valid, but it would be with parentheses around it.
        let mut parser = ParserBuilder::new().nest_limit(MAX_NESTING).dot_matches_new_line(true).build();
        let expression = parser.parse(pattern).map_err(Box::new)?;
        let whole = Hir::concat(vec![Hir::look(Look::Start), expression, Hir::look(Look::End)]);
        let config = Config::new()
            // Forwards and backwards.
            .nfa_size_limit(Some(budget.left() / 2))
            .onepass_size_limit(Some(MAX_ONE_PASS))
            .hybrid_cache_capacity(MAX_LAZY_STATES);
        let regex = Regex::builder().configure(config).build_from_hir(&whole).map_err(|_| too_large())?;
        let charge = budget.charge(regex.memory_usage()).ok_or_else(too_large)?;
        Ok(Self(Arc::new(Compiled { regex, charge })))
    }

    /// Returns its size, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.0.charge.bytes
    }

    /// Whether it matches a whole value.
    pub(super) fn matches(&self, value: &str) -> bool {
        self.0.regex.is_match(Input::new(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_gives_its_memory_back() {
        let budget = Budget::of_request();
        let pattern = Pattern::compile("web-.*", &budget).unwrap();
        let (left, same) = (budget.left(), pattern.clone());
        assert!(left < budget.total);
        drop(pattern);
        assert_eq!(budget.left(), left, "the other still has it");
        drop(same);
        assert_eq!(budget.left(), budget.total);
    }

    #[test]
    fn usual_expressions_take_little_and_some_short_ones_do_not_fit() {
        let budget = Budget::of_request();
        let usual =
            ["web-.*", "web-[0-9]|db", "shop|cart|kube-.+", "[a-z0-9]{1,63}", ".*nginx:1\\.[0-9]+.*", "(?i)Web.*"];
        let kept = usual.map(|pattern| Pattern::compile(pattern, &budget).unwrap());
        assert!(budget.left() > budget.total / 2, "{} of {} left", budget.left(), budget.total);
        drop(kept);
        for large in [r"\w{100}", r"(\w{10}){10}", "(((.{10}){10}){10}){10}", r"\p{L}{100}", "((a{100}){100}){100}"] {
            let error = Pattern::compile(large, &budget).unwrap_err();
            assert!(matches!(&error, PatternError::TooLarge { .. }), "{large}: {error}");
            assert!(error.to_string().contains("256 KiB"), "{error}");
        }
        let deep = format!("{}a{}", "(".repeat(60), ")".repeat(60));
        assert!(matches!(Pattern::compile(&deep, &budget), Err(PatternError::Syntax(_))));
    }

    #[test]
    fn each_file_has_a_budget_of_its_own() {
        let compile_all =
            || (0..).map_while(|_| Pattern::compile(r"\w{10}", &Budget::current()).ok()).collect::<Vec<_>>();
        let mut inner = Vec::new();
        let outer = Budget::with_file(|| {
            inner = Budget::with_file(compile_all);
            compile_all()
        });
        let memory = |patterns: &[Pattern]| patterns.iter().map(Pattern::memory).sum::<usize>();
        assert!(memory(&outer) > MAX_OF_FILE / 2 && memory(&outer) <= MAX_OF_FILE, "{}", memory(&outer));
        assert_eq!(outer.len(), inner.len(), "the older one does not count");
        Pattern::compile(r"\w{10}", &Budget::current()).unwrap();
    }

    #[test]
    fn many_that_fit_alone_do_not_fit_together() {
        let budget = Budget::of_request();
        let compile = |_| Pattern::compile(r"\w+", &budget);
        let kept: Result<Vec<_>, _> = (0..60).map(compile).collect();
        assert!(matches!(kept, Err(PatternError::TooLarge { .. })), "{} left", budget.left());
    }
}
