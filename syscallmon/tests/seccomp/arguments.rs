//! The arguments of calls that are compared: the same in every run.

use serde_json::Value;

/// Number of sets of arguments that are pseudo-random.
const RANDOM: usize = 120;

const EDGES: [u64; 8] = [0, 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, 1 << 63, u64::MAX];

/// Values that are compared with: edges, and the values of the profile and their neighbours.
fn values(profile: &Value) -> Vec<u64> {
    let mut values: Vec<u64> = EDGES.to_vec();
    let rules = profile["syscalls"].as_array().into_iter().flatten();
    for comparison in rules.flat_map(|rule| rule["args"].as_array().into_iter().flatten()) {
        for value in ["value", "valueTwo"].into_iter().filter_map(|key| comparison[key].as_u64()) {
            values.extend([value.wrapping_sub(1), value, value.wrapping_add(1), value ^ (1 << 32)]);
        }
    }
    // The operations of socketcall and ipc.
    values.extend(2..25);
    values.sort_unstable();
    values.dedup();
    values
}

/// Returns pseudo-random arguments: values of the profile, and numbers of 32 and 64 bits.
pub(crate) fn random(profile: &Value, count: usize) -> Vec<[u64; 6]> {
    let (values, mut random) = (values(profile), fastrand::Rng::with_seed(17));
    let mut pick = |_| match random.u32(..4) {
        0 => random.u64(..),
        1 => random.u32(..).into(),
        _ => values[random.usize(..values.len())],
    };
    (0..count).map(|_| std::array::from_fn(&mut pick)).collect()
}

/// Returns sets of arguments: edges, the values that the profile compares with and their neighbours, and others.
pub(crate) fn all(profile: &Value) -> Vec<[u64; 6]> {
    let values = values(profile);
    let mut random = fastrand::Rng::with_seed(7);
    let equal = values.iter().map(|&value| [value; 6]).collect::<Vec<_>>();
    let mut pick = |_| if random.bool() { values[random.usize(..values.len())] } else { random.u64(..) };
    let mixed = (0..RANDOM).map(|_| std::array::from_fn(&mut pick)).collect::<Vec<[u64; 6]>>();
    equal.into_iter().chain(mixed).collect()
}
