//! Parses answers of Docker and Podman into metadata of the container `aaaa...`.

#![no_main]

use std::{alloc::System, sync::Arc};

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::workload::{ContainerInfo, providers::fuzzing};

/// Memory limit: higher use is a finding. Answers have 1 MiB at most.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 64 << 20);

fuzz_target!(|list: &[u8]| {
    let id: Arc<str> = "a".repeat(64).into();
    for facts in fuzzing::engine(&id, list) {
        assert_eq!(facts.id, id);
        let ContainerInfo { name, pod, image, .. } = &facts;
        let of_pod = pod.iter().flat_map(|pod| [&pod.uid, &pod.namespace, &pod.name]);
        for text in [name].into_iter().chain(image).chain(of_pod) {
            assert!((1..=1024).contains(&text.len()), "{facts:?}");
        }
    }
});
