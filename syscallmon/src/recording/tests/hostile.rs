//! Files that no recorder wrote.

use std::io::Write;

use super::*;

/// A file of these lines, with their checksums.
fn file(lines: &[&str]) -> Vec<u8> {
    file_with(lines.iter().map(|line| (*line, reader::crc32(line.as_bytes()))))
}

/// Returns a file of lines, each with this checksum.
fn file_with<'a>(lines: impl IntoIterator<Item = (&'a str, u32)>) -> Vec<u8> {
    let mut file = GzEncoder::new(Vec::new(), Compression::default());
    for (line, checksum) in lines {
        writeln!(file, "{line}\n{{\"crc32\":{checksum}}}").unwrap();
    }
    file.finish().unwrap()
}

fn header() -> String {
    serde_json::to_string(&Header::new(&FixedFacts::minimal(), 1000, false)).unwrap()
}

/// Returns the error of a file with a good header and these lines.
fn problem(lines: &[&str]) -> String {
    let header = header();
    let all: Vec<&str> = std::iter::once(header.as_str()).chain(lines.iter().copied()).collect();
    read(&file(&all)).1.unwrap_err().problem.to_string()
}

#[test]
fn what_is_no_recording_is_called_so() {
    let open = |bytes: &[u8]| Reader::open(bytes, Limits::default()).err().unwrap().problem.to_string();
    for bytes in [&b""[..], b"hello", &file(&["{}"]), &file(&["[1]"]), &file(&["{\"format\":\"x\"}"])] {
        let problem = open(bytes);
        assert_eq!(problem, "is not a recording of syscallmon");
    }
    let newer = file(&["{\"format\":\"syscallmon-recording\",\"version\":2}"]);
    assert_eq!(open(&newer), "has recording version 2; this syscallmon reads version 1");
    assert!(open(&file(&["{\"format\":\"syscallmon-recording\",\"version\":1}"])).contains("missing field"));
}

#[test]
fn what_no_recorder_writes_is_refused_and_says_why() {
    let label = format!(
        r#"{{"frame":{{"names":[[1,{{"workload":"unknown","metadata":{{"pod":"{}"}}}}]]}}}}"#,
        "x".repeat(1 << 20)
    );
    let deep = format!(r#"{{"frame":{{"kept":{}"#, "[".repeat(100_000));
    let ignored = format!(r#"{{"frame":{{"other":{}"#, "[".repeat(100_000));
    for (line, expected) in [
        (
            r#"{"frame":{"slots":[{"slot":1,"cgroup":1,"is_new":true,"counts":{"calls":[[9999,1]],"errors":[],"denied":[],"durations":[]}}]}}"#,
            "call 9999",
        ),
        (r#"{"frame":{"slots":[{"slot":1,"cgroup":1}]}}"#, "slot 1"),
        (r#"{"frame":{"at":9223372036854775807}}"#, "time"),
        (r#"{"frame":{"births":[[1,18446744073709551615]]}}"#, "time"),
        (r#"{"frame":{"at":1e999}}"#, "out of range"),
        (r#"{"frame":{"at":-1}}"#, "invalid value"),
        (r#"{"frame":{"at":NaN}}"#, "expected value"),
        (
            r#"{"frame":{"remainder":{"calls":[[1,18446744073709551615]],"errors":[],"denied":[],"durations":[]}}}"#,
            "possible number of calls",
        ),
        (r#"{"frame":{"renames":[["remainder",{"workload":"unknown"}]]}}"#, "renames"),
        (label.as_str(), "limit: "),
        (ignored.as_str(), "EOF"),
        (deep.as_str(), "invalid type"),
        (r#"{"frame":{"names":[[1,{"workload":"unknown","metadata":{"colour":"x"}}]]}}"#, "not a workload label"),
        ("{}", "expected value"),
    ] {
        let problem = problem(&[line]);
        assert!(problem.contains(expected), "{problem}: {}", &line[..line.len().min(80)]);
    }
}

#[test]
fn a_line_with_a_wrong_checksum_is_refused_and_what_stands_before_it_is_used() {
    let (header, frame) = (header(), r#"{"frame":{"at":5}}"#);
    let [of_header, of_frame] = [header.as_str(), frame].map(|line| reader::crc32(line.as_bytes()));
    let (samples, end) = read(&file_with([(&*header, of_header), (frame, of_frame), (frame, of_frame ^ 1)]));
    assert_eq!(samples.len(), 1);
    assert_eq!(end.unwrap_err().problem.to_string(), "the checksum of a line is wrong");
}

#[test]
fn time_does_not_go_back() {
    assert!(problem(&[r#"{"frame":{"at":5}}"#, r#"{"frame":{"at":4}}"#]).contains("time"));
}

#[test]
fn keys_in_any_order_and_twice_are_one_sorted_tally() {
    let slots = r#"[{"slot":1,"cgroup":1,"is_new":true,"counts":{"calls":[[7,1],[5,2],[7,3],[6,0]],"errors":[[{"Of":[5,500]},1],[{"Of":[5,501]},2]],"denied":[],"durations":[]}}]"#;
    let (header, frame) = (header(), format!(r#"{{"frame":{{"slots":{slots}}}}}"#));
    let (samples, _) = read(&file(&[&header, &frame]));
    let counts = &samples[0].snapshot.slots[0].counts;
    assert_eq!(counts.calls.iter().collect::<Vec<_>>(), [(CallId(5), &2), (CallId(7), &4)]);
    assert_eq!(counts.errors.sum(), 3);
    assert_eq!(counts.errors.len(), 1, "errnos without a name are one");
}

/// Reads as many lines as are asked for, until the reader has enough.
fn endless(line: impl Fn(u64) -> String, limits: Limits) -> ReadError {
    struct Endless<F>(Cursor<Vec<u8>>, u64, F);
    impl<F: Fn(u64) -> String> Read for Endless<F> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.0.position() == self.0.get_ref().len() as u64 {
                self.1 += 1;
                self.0 = Cursor::new((self.2(self.1) + "\n").into_bytes());
            }
            self.0.read(buffer)
        }
    }
    let lines = Cursor::new(header() + "\n").chain(Endless(Cursor::default(), 0, line));
    let limits = Limits { has_checksums: false, ..limits };
    let mut reader = Reader::of_lines(std::io::BufReader::new(lines), limits).unwrap();
    loop {
        match reader.next_record().unwrap() {
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

/// Makes the line of a number.
type Line = Box<dyn Fn(u64) -> String>;

#[test]
fn what_has_no_end_is_ended() {
    let small = Limits { bytes: 1 << 20, slots: 100, events: 100, series: 1000, samples: 1000, ..Limits::default() };
    let counts = r#"{"calls":[[1,1]],"errors":[],"denied":[],"durations":[]}"#;
    let slot = move |slot| format!(r#"{{"slot":{slot},"cgroup":{slot},"is_new":true,"counts":{counts}}}"#);
    let calls: Vec<String> = (0..1000).map(|call| format!("[{call},1]")).collect();
    let many = format!(r#"{{"calls":[{}],"errors":[],"denied":[],"durations":[]}}"#, calls.join(","));
    let lines: [(&str, Line); 7] = [
        ("samples", Box::new(|_| r#"{"frame":{}}"#.to_owned())),
        ("bytes", Box::new(|_| r#"{"frame":{"is_part":true}}"#.to_owned())),
        ("slots", Box::new(move |n| format!(r#"{{"frame":{{"is_part":true,"slots":[{}]}}}}"#, slot(n)))),
        (
            "series",
            Box::new(move |n| {
                format!(r#"{{"frame":{{"slots":[{{"slot":{n},"cgroup":{n},"is_new":true,"counts":{many}}}]}}}}"#)
            }),
        ),
        ("events", Box::new(|n| format!(r#"{{"frame":{{"is_part":true,"births":[[{n},1]]}}}}"#))),
        ("names", Box::new(|n| format!(r#"{{"frame":{{"is_part":true,"names":[[{n},{{"workload":"unknown"}}]]}}}}"#))),
        ("line", Box::new(|_| "x".repeat(usize::try_from(MAX_LINE).unwrap() + 1))),
    ];
    for (what, line) in lines {
        let limits = if what == "line" { Limits::default() } else { small };
        let problem = endless(line, limits).problem.to_string();
        assert!(problem.contains(what), "{what}: {problem}");
    }
}

#[test]
fn a_bomb_is_not_decompressed_as_a_whole() {
    use std::io::Write;
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..16 {
        bomb.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let error = Reader::open(&bomb[..], Limits::default()).err().unwrap();
    assert!(error.bytes <= MAX_LINE + 1, "{error}");
}
