//! Answers of the API as JSON, in the envelope of Prometheus' own API: `{"status": "success", "data": ...}`.

use std::io::{self, Write};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// Maximum bytes of the entries of an answer.
const MAX_BYTES: usize = 16 * 1024 * 1024;

#[derive(Serialize)]
struct Envelope<T> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Returns a successful answer.
pub(in crate::serve) fn success(data: impl Serialize) -> Response {
    Json(Envelope { status: "success", data: Some(data), error: None }).into_response()
}

/// Returns an answer with an error.
pub(in crate::serve) fn failure(code: StatusCode, error: String) -> Response {
    (code, Json(Envelope::<()> { status: "error", data: None, error: Some(error) })).into_response()
}

/// A successful answer with an array that is written entry by entry, so only bounded text is in memory.
pub(in crate::serve) struct ListAnswer {
    text: Vec<u8>,
    entries: usize,
    is_truncated: bool,
}

impl ListAnswer {
    /// `head` is an object with at least one field; the array follows its fields as `key`.
    pub(in crate::serve) fn new(head: &impl Serialize, key: &str) -> Self {
        let mut text = br#"{"status":"success","data":"#.to_vec();
        serde_json::to_writer(&mut text, head).expect("plain data is serialized");
        debug_assert_eq!(text.last(), Some(&b'}'));
        text.pop();
        text.extend_from_slice(format!(",\"{key}\":[").as_bytes());
        Self { text, entries: 0, is_truncated: false }
    }

    /// Writes an entry. Returns false if it does not fit; then no further entry fits.
    fn push(&mut self, entry: &impl Serialize) -> bool {
        let before = self.text.len();
        if self.entries > 0 {
            self.text.push(b',');
        }
        let fits = serde_json::to_writer(Bounded(&mut self.text), entry).is_ok();
        if fits {
            self.entries += 1;
        } else {
            self.text.truncate(before);
            self.is_truncated = true;
        }
        fits
    }

    /// Writes a page: entries until the limit is reached or the answer is full. If there are more, and `cursor` gives
    /// the last entry of the page a cursor, the answer has it as `next`.
    pub(in crate::serve) fn page<T, E: Serialize>(
        mut self,
        all: &[T],
        limit: usize,
        entry: impl Fn(&T) -> E,
        cursor: impl Fn(&T) -> Option<String>,
    ) -> Response {
        let written = all.iter().take(limit).take_while(|item| self.push(&entry(item))).count();
        let last = all[..written].last().filter(|_| written < all.len());
        self.finish(last.and_then(cursor).as_deref())
    }

    /// Returns the answer, with the cursor of the next page, and `"truncated": true` if entries did not fit.
    fn finish(mut self, next: Option<&str>) -> Response {
        self.text.push(b']');
        if let Some(next) = next {
            self.text.extend_from_slice(b",\"next\":");
            serde_json::to_writer(&mut self.text, next).expect("a text is serialized");
        }
        let end: &[u8] = if self.is_truncated { br#","truncated":true}}"# } else { b"}}" };
        self.text.extend_from_slice(end);
        ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], self.text).into_response()
    }
}

/// Fails on text that makes the answer longer than [`MAX_BYTES`].
struct Bounded<'a>(&'a mut Vec<u8>);

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};

    use super::*;

    async fn text(answer: ListAnswer) -> Value {
        body(answer.finish(None)).await
    }

    async fn body(answer: Response) -> Value {
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(body.len() < MAX_BYTES + 100);
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn entries_follow_the_other_fields() {
        let answer = ListAnswer::new(&json!({"total": 0}), "rows");
        assert_eq!(text(answer).await, json!({"status": "success", "data": {"total": 0, "rows": []}}));
        let mut answer = ListAnswer::new(&json!({"total": 2}), "rows");
        assert!(answer.push(&json!({"a": 1})) && answer.push(&"b"));
        assert_eq!(text(answer).await["data"]["rows"], json!([{"a": 1}, "b"]));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_left_out_whole() {
        let mut answer = ListAnswer::new(&json!({"total": 2}), "rows");
        let row = "x".repeat(MAX_BYTES / 2);
        assert!(answer.push(&row) && !answer.push(&row));
        let answer = text(answer).await;
        assert_eq!((answer["data"]["rows"].as_array().unwrap().len(), &answer["data"]["truncated"]), (1, &true.into()));
    }

    #[tokio::test]
    async fn a_page_has_a_cursor_if_more_follows() {
        let page = async |limit, size| {
            let entry = |&number: &u32| json!([number, "x".repeat(size)]);
            let list = ListAnswer::new(&json!({"total": 3}), "rows");
            let answer = body(list.page(&[1, 2, 3], limit, entry, |number| Some(number.to_string()))).await;
            let data = &answer["data"];
            (data["rows"].as_array().unwrap().len(), data["next"].clone(), data["truncated"].clone())
        };
        assert_eq!(page(2, 0).await, (2, "2".into(), Value::Null));
        assert_eq!(page(3, 0).await, (3, Value::Null, Value::Null));
        assert_eq!(page(0, 0).await, (0, Value::Null, Value::Null));
        assert_eq!(page(3, MAX_BYTES / 2).await, (1, "1".into(), true.into()), "what did not fit is in the next page");
    }
}
