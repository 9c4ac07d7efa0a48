//! Parses the first line and the headers of a request from a client without a password.

#![no_main]

use std::{alloc::System, sync::Arc};

use cap::Cap;
use exporter_web::fuzzing::{authorization, repaired};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};
use libfuzzer_sys::fuzz_target;
use syscallmon::{
    serve::fuzzing,
    workload::{Label, Labels},
};

/// Memory limit: higher use is a finding. A request has 16 KiB at most.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 128 << 20);

fuzz_target!(|data: &[u8]| {
    let data = &data[..data.len().min(16 * 1024)];
    let repaired = repaired_in_pieces(data);
    let text = String::from_utf8_lossy(&repaired);
    let mut lines = text.split("\r\n");
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let headers = headers(lines);
    let _ = authorization(&headers);
    let Ok(uri) = target.parse::<Uri>() else { return };
    if fuzzing::refusal(Version::HTTP_11, &uri, &headers).is_none() {
        let host = headers.get("host").map(HeaderValue::as_bytes).unwrap_or_default();
        let starts =
            |prefix: &str| host.len() >= prefix.len() && host[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes());
        assert!(host.is_empty() || starts("localhost") || starts("127.") || starts("["), "{headers:?}");
        assert!(!host.is_empty() || uri.authority().is_some());
        assert!(!headers.contains_key("via") && !headers.contains_key("x-real-ip"));
    }
    let value: Arc<str> = target.chars().take(300).collect::<String>().into();
    let labels = Labels::new(Label::ALL.iter().map(|&label| (label, Arc::clone(&value))));
    for error in fuzzing::queries(&uri, &labels) {
        assert!(!error.is_empty());
    }
});

/// Returns the repaired request. Checks that the pieces in which it arrives do not change the result.
fn repaired_in_pieces(data: &[u8]) -> Vec<u8> {
    let whole = repaired(data, 0);
    assert!(whole.len() <= 3 * data.len());
    assert_eq!(whole, repaired(data, data.len() / 2));
    whole
}

fn headers<'a>(lines: impl Iterator<Item = &'a str>) -> HeaderMap {
    let pairs = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    pairs
        .filter_map(|(name, value)| Some((name.parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?)))
        .collect()
}
