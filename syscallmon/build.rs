//! Tells the crate where the eBPF object is: the committed one, unless `SYSCALLMON_BPF_OBJECT` names another
//! (`cargo xtask ci` uses that to run the suite with a freshly built object).

use std::{env, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=SYSCALLMON_BPF_OBJECT");
    let committed =
        || PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo")).join("bpf/syscallmon.bpf.o");
    let object = env::var_os("SYSCALLMON_BPF_OBJECT").map_or_else(committed, PathBuf::from);
    assert!(object.is_file(), "no eBPF object at {}: run `cargo xtask ebpf`", object.display());
    println!("cargo::rerun-if-changed={}", object.display());
    println!("cargo::rustc-env=SYSCALLMON_BPF_OBJECT={}", object.display());
}
