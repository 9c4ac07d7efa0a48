//! Content negotiation: the text format, and gzip or not (RFC 9110, sections 12.5.1 and 12.5.3).

use axum::http::{
    HeaderMap, HeaderName,
    header::{ACCEPT, ACCEPT_ENCODING},
};

use super::encode::Format;

/// Returns the format that a client prefers; the text format if it names none.
pub(in crate::serve) fn format(headers: &HeaderMap) -> Format {
    let mut best = (Format::Text, 0.0);
    for Choice { value, parameters, quality } in choices(headers, &ACCEPT) {
        let version = parameters.iter().find_map(|parameter| parameter.strip_prefix("version="));
        let offered = match value.to_ascii_lowercase().as_str() {
            "application/openmetrics-text" if matches!(version, None | Some("1.0.0" | "0.0.1")) => Format::OpenMetrics,
            "text/plain" if matches!(version, None | Some("0.0.4")) => Format::Text,
            "*/*" | "text/*" => Format::Text,
            _ => continue,
        };
        // Of two equal preferences, the first.
        if quality > best.1 {
            best = (offered, quality);
        }
    }
    best.0
}

/// Whether a client accepts gzip.
pub(in crate::serve) fn gzip(headers: &HeaderMap) -> bool {
    choices(headers, &ACCEPT_ENCODING).any(|choice| choice.value.eq_ignore_ascii_case("gzip") && choice.quality > 0.0)
}

/// A value of a header, such as `text/plain;version=0.0.4;q=0.5`.
struct Choice<'a> {
    value: &'a str,
    parameters: Vec<&'a str>,
    quality: f64,
}

fn choices<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = Choice<'a>> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|choice| {
        let mut parts = choice.split(';').map(str::trim);
        let value = parts.next().unwrap_or_default();
        let (quality, parameters): (Vec<&str>, Vec<&str>) = parts.partition(|part| part.starts_with("q="));
        // An unreadable weight does not remove the choice.
        let quality = quality.first().and_then(|q| q["q=".len()..].parse().ok()).unwrap_or(1.0);
        Choice { value, parameters, quality }
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        let accepts = |value: &str| gzip(&headers(ACCEPT_ENCODING, value));
        assert!(accepts("gzip") && accepts("deflate, GZIP;q=0.5") && accepts("br,gzip"));
        assert!(!accepts("identity") && !accepts("gzip;q=0") && !accepts("gzip; q=0.0") && !accepts("xgzip"));
        assert!(!gzip(&HeaderMap::new()));
    }

    #[test]
    fn open_metrics_is_sent_to_those_who_like_it_best() {
        let format = |value: &str| format(&headers(ACCEPT, value));
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let protobuf_first = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for accept in [prometheus_2, prometheus_3, protobuf_first, "application/openmetrics-text"] {
            assert_eq!(format(accept), Format::OpenMetrics, "{accept}");
        }
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for accept in [browser, "*/*", "", "text/plain", "application/openmetrics-text;version=2.0.0", "q=;;,,=;q=x"] {
            assert_eq!(format(accept), Format::Text, "{accept}");
        }
        assert_eq!(format("text/plain;version=0.0.4,application/openmetrics-text;q=0.5"), Format::Text);
        assert_eq!(super::format(&HeaderMap::new()), Format::Text);
    }
}
