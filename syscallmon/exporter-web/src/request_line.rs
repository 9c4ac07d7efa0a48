//! Corrects HTTP/1 requests for hyper, which is strict and refuses some without a message.
//!
//! `curl 'host/targets?match=namespace="shop"'` sends quotes unescaped, and hyper would answer 400 without a text.
//! [`Repair`] percent-encodes them in the first request of a connection, because only its first bytes cannot be the
//! body of another request. [`refusal`] replaces hyper's empty answer by one with a text. [`Beginning`] knows whether
//! the request was for the API, where the text is JSON.

use super::service::error_json;

/// Percent-encodes invalid characters of a query in the first line of a connection. Bytes after the first head stay
/// unchanged: they may be a body of announced length, and a longer one would be read as another request.
#[derive(Debug, Default)]
pub(super) enum Repair {
    /// Nothing but empty lines has come.
    #[default]
    Before,
    /// In the first line, before or in the query.
    Line { in_query: bool },
    /// In the headers; whether the line is empty so far.
    Headers { is_empty_line: bool },
    /// After the first head, or no GET or HEAD.
    Off,
}

impl Repair {
    /// Appends `bytes`, repaired, to `out`: at most three times as many.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            if matches!(self, Self::Line { in_query: true }) && must_be_encoded(byte) {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            } else {
                out.push(byte);
            }
            self.step(byte);
        }
    }

    fn step(&mut self, byte: u8) {
        *self = match (&self, byte) {
            (Self::Before, b'\r' | b'\n') => Self::Before,
            (Self::Before, b'G' | b'H') => Self::Line { in_query: false },
            (Self::Before | Self::Off, _) | (Self::Headers { is_empty_line: true }, b'\n') => Self::Off,
            (Self::Line { .. }, b'\n') => Self::Headers { is_empty_line: true },
            (Self::Line { in_query }, _) => Self::Line { in_query: *in_query || byte == b'?' },
            (Self::Headers { is_empty_line }, b'\r') => Self::Headers { is_empty_line: *is_empty_line },
            (Self::Headers { .. }, _) => Self::Headers { is_empty_line: byte == b'\n' },
        };
    }
}

/// RFC 3986 has none of these in a query, and `http::Uri` refuses them; whitespace ends it.
fn must_be_encoded(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}') || !byte.is_ascii()
}

/// The first bytes of a request, as they came.
#[derive(Debug, Default)]
pub(super) struct Beginning(Vec<u8>);

impl Beginning {
    /// More than the longest method and the prefix of the API.
    const MOST: usize = 64;

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let room = Self::MOST - self.0.len();
        self.0.extend(bytes.iter().take(room));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether the request is for the API: `GET /api/...`.
    pub(super) fn is_api(&self) -> bool {
        let line = self.0.trim_ascii_start();
        let path = line.iter().position(|&byte| byte == b' ').map(|space| &line[space + 1..]);
        path.is_some_and(|path| path.starts_with(b"/api/"))
    }
}

/// Returns an answer in place of hyper's own, which has no text, to bytes that are not a request. `None` if `bytes` do
/// not begin with an error's head.
pub(super) fn refusal(bytes: &[u8], max_header_bytes: usize, is_api: bool) -> Option<Vec<u8>> {
    let code = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let (reason, text) = match code {
        b"414" => ("URI Too Long", "the URL is too long".to_owned()),
        b"431" => ("Request Header Fields Too Large", format!("the headers exceed {max_header_bytes} bytes")),
        b"505" => ("HTTP Version Not Supported", "requires HTTP/1.1 or HTTP/1.0".to_owned()),
        [b'4' | b'5', ..] => (
            "Bad Request",
            "not an HTTP request, or the URL has characters that must be percent-encoded (curl: -G --data-urlencode)"
                .to_owned(),
        ),
        _ => return None,
    };
    let code = std::str::from_utf8(code).ok()?;
    Some(if is_api {
        answer(code, reason, "application/json", &error_json(&format!("{reason}: {text}")))
    } else {
        answer(code, reason, "text/plain; charset=utf-8", &text)
    })
}

/// The answer to plain HTTP on a port with TLS, with the text of Go's servers.
pub(super) fn not_tls() -> Vec<u8> {
    answer("400", "Bad Request", "text/plain; charset=utf-8", "Client sent an HTTP request to an HTTPS server.")
}

fn answer(code: &str, reason: &str, content_type: &str, text: &str) -> Vec<u8> {
    let length = text.len() + 1;
    format!(
        "HTTP/1.1 {code} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn repaired(text: &str) -> String {
        let mut out = Vec::new();
        Repair::default().push(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quotes_in_a_query_are_encoded_and_nothing_else() {
        let request = "GET /a\"b?match={namespace=\"shop\",pod=~'a|b'}&c=%22 HTTP/1.1\r\nX: \"a\"?\"\r\n\r\n";
        let expected = "GET /a\"b?match=%7Bnamespace=%22shop%22,pod=~'a%7Cb'%7D&c=%22 HTTP/1.1\r\nX: \"a\"?\"\r\n\r\n";
        assert_eq!(repaired(request), expected);
        assert_eq!(
            repaired(&format!("\r\n{request}{request}")),
            format!("\r\n{expected}{request}"),
            "once a connection"
        );
        let head = "GET /healthz HTTP/1.1\r\nContent-Length: 9\r\n\r\n";
        assert_eq!(
            repaired(&format!("{head}G?\"\"\"\"\"\"\"")),
            format!("{head}G?\"\"\"\"\"\"\""),
            "a body stays as long as it is"
        );
        let post = "POST /?a=\" HTTP/1.1\r\n\r\nGET /?\"";
        assert_eq!(repaired(post), post, "a body is left alone");
    }

    #[test]
    fn refusals_have_a_text() {
        let said = |bytes: &[u8]| refusal(bytes, 16384, false).map(|answer| String::from_utf8(answer).unwrap());
        assert!(said(b"HTTP/1.1 400 Bad Request\r\n").unwrap().contains("percent-encoded"));
        assert!(said(b"HTTP/1.1 431 x\r\n").unwrap().contains("exceed 16384 bytes"));
        assert_eq!(said(b"HTTP/1.1 200 OK\r\n"), None);
        assert_eq!(said(b"HTTP/1.1 4"), None);
        assert!(
            String::from_utf8(not_tls())
                .unwrap()
                .ends_with("\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
        );
    }

    #[test]
    fn refusals_of_the_api_are_json() {
        let is_api = |pieces: &[&str]| {
            let mut beginning = Beginning::default();
            for piece in pieces {
                beginning.push(piece.as_bytes());
            }
            beginning.is_api()
        };
        assert!(is_api(&["GET /a", "pi/v1/violations?a b HTTP/1.1"]) && is_api(&["\r\nPOST /api/v1 x"]));
        assert!(!is_api(&["GET /metrics HTTP/1.1"]) && !is_api(&["/api/"]) && !is_api(&["GET  /api/"]));
        assert!(!is_api(&[&"x".repeat(1000), " /api/"]), "and bounded");
        let answer = String::from_utf8(refusal(b"HTTP/1.1 400 Bad Request\r\n", 16384, true).unwrap()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(head.contains("Content-Type: application/json") && body["status"] == "error", "{answer}");
        assert!(body["error"].as_str().unwrap().contains("percent-encoded"), "{answer}");
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'G'), Just(b'?'), any::<u8>()], 0..60),
            at in 0..60_usize,
        ) {
            let (mut whole, mut split) = (Vec::new(), Vec::new());
            Repair::default().push(&bytes, &mut whole);
            let mut repair = Repair::default();
            let (head, tail) = bytes.split_at(at.min(bytes.len()));
            repair.push(head, &mut split);
            repair.push(tail, &mut split);
            prop_assert_eq!(&whole, &split);
            prop_assert!(whole.len() <= 3 * bytes.len());
        }
    }
}
