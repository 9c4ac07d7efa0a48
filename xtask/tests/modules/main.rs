//! No cycle of modules: what a top-level module uses does not use it back, not even by way of others.
//!
//! `lexer.rs` makes tokens of a source file, `source.rs` finds the paths in them that lead to another top-level module,
//! and `graph.rs` looks for a cycle. Paths in `use` lines and in code count alike, whether they begin with `crate` or
//! climb by `super`. What only tests use does not count.

mod graph;
mod lexer;
mod source;

use std::fs;

use graph::cycle;
use source::Crate;
use xtask_support::workspace;

/// The file of each crate's root. `syscallmon-ebpf/src/bench_baseline.rs` has no modules.
const CRATES: [&str; 10] = [
    "syscallmon/src/lib.rs",
    "syscallmon/exporter-web/src/lib.rs",
    "syscallmon-common/src/lib.rs",
    "syscallmon-ebpf/src/main.rs",
    "xtask/src/lib.rs",
    "xtask/bench/src/lib.rs",
    "xtask/e2e/src/lib.rs",
    "xtask/generate/src/lib.rs",
    "xtask/kit/src/lib.rs",
    "xtask/support/src/lib.rs",
];
/// Modules that only hold others, which count as top-level modules.
const ROOMS: [&str; 1] = ["verbs"];

#[test]
fn no_top_level_modules_use_each_other() {
    let root = workspace::root();
    for path in CRATES {
        let read = Crate::read(path.as_ref(), &ROOMS, |file| fs::read_to_string(root.join(file)).ok());
        assert!(read.problems.is_empty(), "{path}: {:#?}", read.problems);
        if let Some(cycle) = cycle(&read.uses) {
            panic!("{path}: move what is in the wrong module; the cycle is\n{cycle}");
        }
    }
}
