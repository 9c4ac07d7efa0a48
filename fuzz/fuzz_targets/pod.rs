//! Parses a pod from the API server, of a watch or a list, into its containers. Parses a controller into the texts of a
//! pod's owner.

#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::workload::{ContainerInfo, providers::fuzzing};

/// Memory limit: higher use is a finding.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 64 << 20);

fuzz_target!(|json: &[u8]| {
    if let Some(texts) = std::str::from_utf8(json).ok().and_then(fuzzing::controller_texts) {
        texts.iter().for_each(|text| assert!(text.len() <= 1024, "{text:?}"));
    }
    let Some(pod) = fuzzing::pod(json) else { return };
    assert!(!pod.facts.uid.is_empty());
    let mut texts: Vec<_> = [&pod.facts.uid, &pod.facts.namespace, &pod.facts.name].into_iter().collect();
    for container in &pod.containers {
        let ContainerInfo { id, name, pod: of_pod, image, runtime, is_pause } = container;
        assert!(of_pod.as_ref() == Some(&pod.facts) && !is_pause && !id.is_empty(), "{container:?}");
        texts.extend([id, name, runtime].into_iter().chain(image));
    }
    for text in texts {
        assert!(text.len() <= 1024, "{text:?}");
    }
});
