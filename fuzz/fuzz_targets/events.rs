//! Parses records of the kernel's ring buffers: creations and removals of cgroups, and first calls.

#![no_main]

use libfuzzer_sys::fuzz_target;
use syscallmon::{
    kernel::{CgroupChange, fuzzing},
    process,
};

/// Maximum length of a path assembled from the names of a first call, in bytes of the record.
const MAX_EXE: usize = 512;

fuzz_target!(|record: &[u8]| {
    if let Some(CgroupChange::Born { path, .. }) = fuzzing::cgroup_change(record) {
        assert!(record.ends_with(&path) || record.windows(path.len().max(1)).any(|part| part == path), "{path:?}");
    }
    let Some(call) = fuzzing::first_call(record) else { return };
    // Each byte that is not UTF-8 becomes three.
    let comms = [&call.comm].into_iter().chain(call.parent.iter().map(|(_, comm)| comm));
    comms.for_each(|comm| assert!(comm.len() <= 3 * 16 && !comm.contains('\0'), "{comm:?}"));
    let exes = call.exe.iter().chain(&call.parent_exe);
    exes.for_each(|exe| assert!(exe.len() <= 3 * MAX_EXE && !exe.contains('\0'), "{exe:?}"));
    let process = process::of_event(&call);
    let texts = [Some(&process.comm), process.exe.as_ref()];
    let of_parents = process.parents.iter().flat_map(|parent| [Some(&parent.comm), parent.exe.as_ref()]);
    for text in texts.into_iter().chain(of_parents).flatten() {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
});
