//! What is committed fits together: generated files are those that their sources make.

use xtask::{docs, ebpf, workspace};

#[test]
fn the_ebpf_object_was_built_from_these_sources() {
    ebpf::record_matches_sources(&workspace::root()).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn the_generated_documents_are_up_to_date() {
    docs::check(&workspace::root()).unwrap_or_else(|error| panic!("{error:#}"));
}
