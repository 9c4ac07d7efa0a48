//! A built member unpacks to the same text.

use std::io::{Read, Write};

use flate2::{
    bufread::{GzDecoder, MultiGzDecoder},
    write::GzEncoder,
};
use proptest::{collection::vec, prelude::*};

use super::*;

fn texts<'a>(plain: impl IntoIterator<Item = &'a [u8]>) -> Vec<Arc<Text>> {
    plain.into_iter().map(|plain| Arc::new(Text::from(Bytes::copy_from_slice(plain)))).collect()
}

/// Returns the text of a member, and whether anything follows it.
fn unpacked(pieces: &[Bytes]) -> (Vec<u8>, bool) {
    let gzip = pieces.concat();
    let (mut text, mut same) = (Vec::new(), Vec::new());
    let mut decoder = GzDecoder::new(gzip.as_slice());
    decoder.read_to_end(&mut text).unwrap();
    MultiGzDecoder::new(gzip.as_slice()).read_to_end(&mut same).unwrap();
    assert!(text == same);
    (text, !decoder.into_inner().is_empty())
}

/// Returns lines as in an exposition, some of them repeated.
fn lines(count: usize) -> Vec<u8> {
    let line = |number: usize| format!("syscallmon_syscalls_total{{cgroup=\"/{}\"}} {}\n", number / 7, number * number);
    (0..count).map(line).collect::<String>().into_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_of_any_bytes_is_one_member(parts in vec(vec(any::<u8>(), 0..300), 0..8)) {
        let texts = texts(parts.iter().map(Vec::as_slice));
        prop_assert_eq!(unpacked(&gzip(&texts)), (parts.concat(), false));
        prop_assert_eq!(plain(&texts).concat(), parts.concat());
    }

    #[test]
    fn any_split_of_an_exposition_is_one_member(
        count in 0_usize..1000,
        mut cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let all = lines(count);
        cuts.sort_by_key(|cut| cut.index(all.len() + 1));
        let mut parts = Vec::new();
        let mut from = 0;
        for cut in &cuts {
            let cut = cut.index(all.len() + 1);
            parts.push(&all[from..cut]);
            from = cut;
        }
        parts.push(&all[from..]);
        prop_assert!(unpacked(&gzip(&texts(parts))) == (all, false));
    }
}

#[test]
fn nothing_is_an_empty_member() {
    assert_eq!(unpacked(&gzip(&[])), (Vec::new(), false));
    assert_eq!(gzip(&texts([&b""[..], b""])).len(), 2, "no block for an empty text");
}

#[test]
fn a_text_is_compressed_once_and_only_for_who_asks() {
    let all = texts([&lines(1000)[..], b"# EOF\n"]);
    assert!(!plain(&all).is_empty() && all[0].deflated.get().is_none());
    let (first, second) = (gzip(&all), gzip(&all[..1]));
    assert_eq!(first[1].as_ptr(), second[1].as_ptr(), "the same blocks in two members");
    assert!(unpacked(&second).0 == lines(1000));
}

/// After a reset, a text must not refer to an earlier one.
#[test]
fn blocks_stand_for_themselves() {
    let texts = texts([&lines(500)[..], &lines(500)[..]]);
    gzip(&texts);
    assert!(unpacked(&gzip(&texts[1..])).0 == lines(500));
    let blocks = |text: &Text| text.deflated.get().unwrap().blocks.clone();
    assert!(blocks(&texts[0]) == blocks(&texts[1]));
}

#[test]
fn chunks_cost_little_beside_one_stream() {
    let all = lines(50_000);
    let mut whole = GzEncoder::new(Vec::new(), LEVEL);
    whole.write_all(&all).unwrap();
    let whole = whole.finish().unwrap().len();
    let pieces: usize = gzip(&texts(all.chunks(32 << 10))).iter().map(Bytes::len).sum();
    assert!(pieces < whole * 5 / 4, "{pieces} against {whole}");
}

#[test]
fn much_text_is_compressed_in_threads_and_is_one_member() {
    let parts: Vec<Vec<u8>> = (0..32).map(|number| lines(6000 + number)).collect();
    let texts = texts(parts.iter().map(Vec::as_slice));
    assert!(parts.iter().map(Vec::len).sum::<usize>() > MAX_THREADS * MIN_BYTES_OF_THREAD);
    compress(&texts[1..]);
    let is_done: Vec<bool> = texts.iter().map(|text| text.deflated.get().is_some()).collect();
    let has_threads = thread::available_parallelism().unwrap().get() > 1;
    assert_eq!((is_done[0], is_done[1..].iter().all(|is_done| *is_done)), (false, has_threads));
    assert_eq!(unpacked(&gzip(&texts)), (parts.concat(), false));
}
