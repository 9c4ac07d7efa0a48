//! `syscallmon profile`: seccomp profiles from evidence of calls.

mod sources;
