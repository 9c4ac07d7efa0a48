//! `cargo xtask syscalls`: the tables of system calls, operations of io_uring and error numbers.

pub use syscallmon_generate::syscalls::{Args, run};
