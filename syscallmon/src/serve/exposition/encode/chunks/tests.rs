//! The text equals that of a new rendering, and only changes are rendered.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};

use super::*;

/// Workloads by number; a value is the text that they have.
type Entries = BTreeMap<u32, Arc<String>>;

fn render(key: u32, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{key}:{value}\n").as_bytes());
}

/// Updates, and returns the rendered keys.
fn update(chunks: &mut Chunks<u32, String>, entries: &Entries) -> Vec<u32> {
    let mut rendered = Vec::new();
    chunks.update(entries, |&key, value, out| {
        rendered.push(key);
        render(key, value, out);
    });
    rendered
}

fn text(chunks: &Chunks<u32, String>) -> Vec<u8> {
    chunks.texts().flat_map(|text| text.plain().to_vec()).collect()
}

fn anew(entries: &Entries) -> Vec<u8> {
    let mut out = Vec::new();
    for (&key, value) in entries {
        render(key, value, &mut out);
    }
    out
}

fn texts(chunks: &Chunks<u32, String>) -> Vec<Arc<Text>> {
    chunks.texts().cloned().collect()
}

/// Returns how many of these texts were freed.
fn gone(before: &[Arc<Text>], chunks: &Chunks<u32, String>) -> usize {
    before.iter().filter(|text| !chunks.texts().any(|kept| Arc::ptr_eq(kept, text))).count()
}

/// Checks that sizes are as the module says. A key larger than a chunk has one of its own.
fn assert_sizes(chunks: &Chunks<u32, String>) {
    for chunk in &chunks.chunks {
        assert!(chunk.text.plain().len() <= MAX || chunk.entries.len() == 1, "{}", chunk.text.plain().len());
        assert_eq!(chunk.entries.last().unwrap().end, chunk.text.plain().len());
    }
    let sizes: Vec<usize> = chunks.texts().map(|text| text.plain().len()).collect();
    for pair in sizes.windows(2) {
        assert!(pair[0].min(pair[1]) >= MIN || pair[0] + pair[1] > MAX, "{sizes:?}");
    }
}

fn entries(keys: impl IntoIterator<Item = u32>, size: usize) -> Entries {
    keys.into_iter().map(|key| (key, Arc::new("x".repeat(size)))).collect()
}

#[derive(Clone, Debug)]
enum Step {
    /// Inserts the key, or replaces its data.
    Set(u32, usize),
    Remove(u32),
    /// Replaces the data by an equal one: rendered again, to the same text.
    Touch(u32),
    RemoveRange(u32, u32),
    SetRange(u32, u32, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0_u32..400;
    let size = prop_oneof![6 => 0_usize..2000, 2 => 2000_usize..9000, 1 => Just(MAX), 1 => Just(3 * MAX)];
    let few = prop_oneof![Just(0_usize), 100_usize..1500];
    prop_oneof![
        4 => (key.clone(), size).prop_map(|(key, size)| Step::Set(key, size)),
        3 => key.clone().prop_map(Step::Remove),
        1 => key.clone().prop_map(Step::Touch),
        1 => (key.clone(), 1_u32..150).prop_map(|(from, count)| Step::RemoveRange(from, from + count)),
        1 => (key, 1_u32..150, few).prop_map(|(from, count, size)| Step::SetRange(from, from + count, size)),
    ]
}

/// Does a step, and returns the keys with other data.
fn apply(entries: &mut Entries, step: &Step) -> Vec<u32> {
    match *step {
        Step::Set(key, size) => {
            entries.insert(key, Arc::new("y".repeat(size)));
            vec![key]
        }
        Step::Remove(key) => {
            entries.remove(&key);
            Vec::new()
        }
        Step::Touch(key) => {
            let Some(value) = entries.get_mut(&key) else { return Vec::new() };
            *value = Arc::new(value.as_ref().clone());
            vec![key]
        }
        Step::RemoveRange(from, to) => {
            entries.retain(|key, _| !(from..to).contains(key));
            Vec::new()
        }
        Step::SetRange(from, to, size) => {
            (from..to).for_each(|key| drop(entries.insert(key, Arc::new("z".repeat(size)))));
            (from..to).collect()
        }
    }
}

proptest! {
    // Each makes megabytes of text, again and again.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_history_ends_in_the_text_of_rendering_everything_anew(
        rounds in vec(vec(step(), 0..4), 1..25), size in prop_oneof![Just(0_usize), Just(300), Just(1000)],
    ) {
        let mut all = entries((0..400).step_by(2), size);
        let mut chunks = Chunks::default();
        update(&mut chunks, &all);
        for steps in rounds {
            let mut changed: Vec<u32> = steps.iter().flat_map(|step| apply(&mut all, step)).collect();
            changed.retain(|key| all.contains_key(key));
            changed.sort_unstable();
            changed.dedup();
            prop_assert_eq!(update(&mut chunks, &all), changed, "what changed is rendered, in order, and nothing else");
            prop_assert!(text(&chunks) == anew(&all));
            assert_sizes(&chunks);
        }
    }

    #[test]
    fn one_change_leaves_all_chunks_but_three(steps in vec(step(), 1..10)) {
        let mut all = entries((0..400).step_by(2), 1000);
        let mut chunks = Chunks::default();
        update(&mut chunks, &all);
        for step in steps.into_iter().filter(|step| !matches!(step, Step::SetRange(..) | Step::RemoveRange(..))) {
            apply(&mut all, &step);
            let before = texts(&chunks);
            update(&mut chunks, &all);
            let gone = gone(&before, &chunks);
            prop_assert!(gone <= 3, "{} gone by {:?}", gone, step);
        }
    }
}

#[test]
fn nothing_is_rendered_or_moved_without_a_change() {
    let all = entries(0..1000, 100);
    let mut chunks = Chunks::default();
    assert_eq!(update(&mut chunks, &all).len(), 1000);
    let before = texts(&chunks);
    assert!(before.len() > 2);
    assert!(update(&mut chunks, &all).is_empty());
    assert_eq!((gone(&before, &chunks), chunks.texts().count()), (0, before.len()));
    chunks.clear();
    assert!(chunks.is_empty());
    assert_eq!(update(&mut chunks, &all).len(), 1000);
    assert!(!chunks.is_empty());
}

#[test]
fn a_change_that_no_text_shows_keeps_what_was_compressed() {
    let mut all = entries(0..1000, 100);
    let mut chunks = Chunks::default();
    update(&mut chunks, &all);
    let before = texts(&chunks);
    apply(&mut all, &Step::Touch(500));
    assert_eq!(update(&mut chunks, &all), [500]);
    assert_eq!((gone(&before, &chunks), chunks.texts().count()), (0, before.len()));
}

/// Workloads that are added and removed in one place leave the text of others alone, whatever their names.
#[test]
fn a_flood_in_one_place_leaves_the_other_chunks() {
    let mut all = entries((0..100_000).step_by(100), 300);
    let mut chunks = Chunks::default();
    update(&mut chunks, &all);
    let before = texts(&chunks);
    all.extend(entries(50_001..50_100, 2000));
    update(&mut chunks, &all);
    assert_eq!(gone(&before, &chunks), 1, "the one that was split");
    all.retain(|key, _| key % 100 == 0);
    update(&mut chunks, &all);
    assert!(gone(&before, &chunks) <= 3);
    assert!(text(&chunks) == anew(&all));
}

#[test]
fn the_data_does_not_live_longer_for_it() {
    let mut all = entries(0..10, 100);
    let mut chunks = Chunks::default();
    update(&mut chunks, &all);
    let data = Arc::downgrade(&all[&3]);
    all.clear();
    assert!(data.upgrade().is_none());
    update(&mut chunks, &all);
    assert!(chunks.is_empty() && chunks.texts().next().is_none());
}

#[test]
fn data_that_is_changed_by_its_owner_is_rendered_again() {
    let mut all = entries(0..10, 1);
    let mut chunks = Chunks::default();
    update(&mut chunks, &all);
    Arc::make_mut(all.get_mut(&3).unwrap()).push('!');
    assert_eq!(update(&mut chunks, &all), [3], "though nobody else held it");
    assert!(text(&chunks) == anew(&all));
}

#[test]
fn data_under_another_key_is_rendered_again() {
    let all = entries(0..10, 1);
    let mut chunks = Chunks::default();
    update(&mut chunks, &all);
    let renamed: Entries = all.iter().map(|(key, data)| (key + 100, Arc::clone(data))).collect();
    assert_eq!(update(&mut chunks, &renamed).len(), 10);
    assert!(text(&chunks) == anew(&renamed));
}

#[test]
fn halves_are_not_joined_again_by_the_next_small_change() {
    let mut all = entries(0..33, 2000);
    let mut chunks = Chunks::default();
    update(&mut chunks, &all);
    assert_eq!(chunks.texts().count(), 2);
    all.remove(&0);
    update(&mut chunks, &all);
    assert!(text(&chunks).len() < MAX);
    assert_eq!(chunks.texts().count(), 2);
}
