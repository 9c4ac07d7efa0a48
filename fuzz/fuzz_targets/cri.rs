//! Parses a runtime's CRI answers into metadata of all of its containers.
//!
//! One input has three answers: `ListContainers`, `ListPodSandbox`, `ListImages`. The first byte repeats an answer. Its
//! lower two bits select the answer (1 to 3), and its upper six bits are the number of repetitions, as a power of two.
//! The next four bytes are the lengths of the first two answers, 16 bits each. The answers follow. Consecutive messages
//! are one message with the lists of both.

#![no_main]

use std::alloc::System;

use cap::Cap;
use libfuzzer_sys::fuzz_target;
use syscallmon::workload::{ContainerInfo, providers::fuzzing};

/// Memory limit: higher use is a finding. The limit covers the longest answer and the metadata parsed from it.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 192 << 20);

/// Maximum length of an answer.
const MAX_ANSWER_BYTES: usize = 16 << 20;

fuzz_target!(|data: &[u8]| {
    let Some(([repeated, lengths @ ..], answers)) = data.split_first_chunk::<5>() else { return };
    let [low, high, low_of_second, high_of_second] = *lengths;
    let (containers, rest) = split(answers, [low, high]);
    let (sandboxes, images) = split(rest, [low_of_second, high_of_second]);
    let answer = |number, answer: &[u8]| {
        let times = if repeated & 3 == number { 1 << (repeated >> 2).min(24) } else { 1 };
        answer.repeat(times.min(MAX_ANSWER_BYTES / answer.len().max(1)))
    };
    let facts = fuzzing::cri(&answer(1, containers), &answer(2, sandboxes), &answer(3, images));
    facts.iter().flatten().for_each(check);
});

fn split(bytes: &[u8], length: [u8; 2]) -> (&[u8], &[u8]) {
    bytes.split_at(usize::from(u16::from_le_bytes(length)).min(bytes.len()))
}

fn check(facts: &ContainerInfo) {
    let ContainerInfo { id, name, pod, image, is_pause, .. } = facts;
    let of_pod = pod.iter().flat_map(|pod| [&pod.uid, &pod.namespace, &pod.name]);
    for text in [name].into_iter().filter(|name| *name != id).chain(image).chain(of_pod) {
        assert!((1..=1024).contains(&text.len()), "{facts:?}");
    }
    assert!(!is_pause || (name.as_ref() == "POD" && image.is_none()), "{facts:?}");
}
