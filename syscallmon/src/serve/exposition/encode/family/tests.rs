//! The text of families, character by character.

use std::time::{Duration, SystemTime};

use super::*;
use crate::serve::exposition::families::FAMILIES;

const CALLS: FamilyHead<'static> =
    FamilyHead { name: "calls_total", kind: FamilyKind::Counter, help: "Calls, \"all\" of\\\nthem." };
const TOOK: FamilyHead<'static> = FamilyHead { name: "took_seconds", kind: FamilyKind::Histogram, help: "How long." };
const ABOUT: FamilyHead<'static> = FamilyHead { name: "build_info", kind: FamilyKind::Gauge, help: "About." };

fn exposition(format: Format) -> String {
    let mut out = Vec::new();
    let workload: LabelText = [("pod", "a\"b\\\n"), ("container", "c")].into_iter().collect();
    let created = Some(Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250)));
    CALLS.write(format, &mut out);
    let mut series = SeriesTextWriter::new(CALLS, format, &mut out);
    series.value(&workload, &[("syscall", "read")], 17, created);
    series.value(&LabelText::default(), &[], u64::MAX, None);
    TOOK.write(format, &mut out);
    let bounds = Bounds::new(format, [0.000_001, 1.0]);
    let histogram = Histogram { bounds: &bounds, cumulative: &[1, 2], count: 3, sum: 4.5 };
    SeriesTextWriter::new(TOOK, format, &mut out).histogram(&workload, &[("syscall", "read")], histogram, created);
    ABOUT.write(format, &mut out);
    SeriesTextWriter::new(ABOUT, format, &mut out).value(&LabelText::default(), &[("version", "1")], 1, created);
    out.extend_from_slice(format.end().as_bytes());
    String::from_utf8(out).unwrap()
}

#[test]
fn the_text_format_is_as_expected() {
    let expected = r#"# HELP calls_total Calls, "all" of\\\nthem.
# TYPE calls_total counter
calls_total{pod="a\"b\\\n",container="c",syscall="read"} 17
calls_total 18446744073709552000
# HELP took_seconds How long.
# TYPE took_seconds histogram
took_seconds_bucket{pod="a\"b\\\n",container="c",syscall="read",le="0.000001"} 1
took_seconds_bucket{pod="a\"b\\\n",container="c",syscall="read",le="1"} 2
took_seconds_bucket{pod="a\"b\\\n",container="c",syscall="read",le="+Inf"} 3
took_seconds_sum{pod="a\"b\\\n",container="c",syscall="read"} 4.5
took_seconds_count{pod="a\"b\\\n",container="c",syscall="read"} 3
# HELP build_info About.
# TYPE build_info gauge
build_info{version="1"} 1
"#;
    assert_eq!(exposition(Format::Text), expected);
    assert!(Format::Text.content_type().starts_with(prometheus::TEXT_FORMAT));
}

/// Checked with the parsers of Prometheus and of the Python client, which accept this text.
#[test]
fn openmetrics_is_as_expected() {
    let expected = r#"# HELP calls Calls, \"all\" of\\\nthem.
# TYPE calls counter
calls_total{pod="a\"b\\\n",container="c",syscall="read"} 17
calls_created{pod="a\"b\\\n",container="c",syscall="read"} 1700000000.250
calls_total 18446744073709552000
# HELP took_seconds How long.
# TYPE took_seconds histogram
# UNIT took_seconds seconds
took_seconds_bucket{pod="a\"b\\\n",container="c",syscall="read",le="1e-06"} 1
took_seconds_bucket{pod="a\"b\\\n",container="c",syscall="read",le="1.0"} 2
took_seconds_bucket{pod="a\"b\\\n",container="c",syscall="read",le="+Inf"} 3
took_seconds_sum{pod="a\"b\\\n",container="c",syscall="read"} 4.5
took_seconds_count{pod="a\"b\\\n",container="c",syscall="read"} 3
took_seconds_created{pod="a\"b\\\n",container="c",syscall="read"} 1700000000.250
# HELP build_info About.
# TYPE build_info gauge
build_info{version="1"} 1
# EOF
"#;
    assert_eq!(exposition(Format::OpenMetrics), expected);
    assert!(Format::OpenMetrics.content_type().starts_with("application/openmetrics-text; version=1.0.0;"));
}

#[test]
fn units_are_those_that_names_end_with() {
    let head = |name, kind| {
        let mut out = Vec::new();
        FamilyHead { name, kind, help: "" }.write(Format::OpenMetrics, &mut out);
        String::from_utf8(out).unwrap()
    };
    let cpu = "# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\n";
    assert_eq!(head("process_cpu_seconds_total", FamilyKind::Counter), cpu);
    assert_eq!(head("seconds", FamilyKind::Gauge), "# TYPE seconds gauge\n");
    assert_eq!(head("process_open_fds", FamilyKind::Gauge), "# TYPE process_open_fds gauge\n");
    assert_eq!(head("calls", FamilyKind::Counter), "# TYPE calls unknown\n", "no counter without _total");
}

/// No name of a family's samples belongs to another family, in either format.
#[test]
fn no_two_families_share_a_name_in_openmetrics() {
    let mut names = std::collections::BTreeMap::new();
    for row in FAMILIES {
        use prometheus::proto::MetricType;
        let kind = match row.kind {
            MetricType::COUNTER => FamilyKind::Counter,
            MetricType::HISTOGRAM => FamilyKind::Histogram,
            _ => FamilyKind::Gauge,
        };
        let name = FamilyHead { name: row.name, kind, help: row.help }.name_in(Format::OpenMetrics);
        let suffixes: &[&str] = match kind {
            FamilyKind::Counter => &["", TOTAL, "_created"],
            FamilyKind::Gauge => &[""],
            FamilyKind::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
        };
        for suffix in suffixes {
            let other = names.insert(format!("{name}{suffix}"), row.name);
            assert_eq!(other, None, "{name}{suffix} of {}", row.name);
        }
    }
}
