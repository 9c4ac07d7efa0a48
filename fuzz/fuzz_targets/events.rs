//! Records of the kernel's ring buffers: the births and deaths of cgroups, and first calls.

#![no_main]

use libfuzzer_sys::fuzz_target;
use syscallmon::kernel::{CgroupChange, fuzzing};

fuzz_target!(|record: &[u8]| {
    if let Some(CgroupChange::Born { path, .. }) = fuzzing::cgroup_change(record) {
        assert!(record.ends_with(&path) || record.windows(path.len().max(1)).any(|part| part == path), "{path:?}");
    }
    if let Some(call) = fuzzing::first_call(record) {
        // Each byte that is not UTF-8 becomes three.
        let texts = call.exe.iter().chain([&call.comm]).chain(call.parent.iter().map(|(_, comm)| comm));
        texts.for_each(|text| assert!(text.len() <= 3 * record.len() && !text.contains('\0'), "{text:?}"));
    }
});
