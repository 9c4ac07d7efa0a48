//! A web server that keeps the requests of webhooks.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result};
use serde_json::Value;

/// A web server on this host that keeps the JSON of each request, and answers `ok`. It serves until the process ends.
pub struct HttpReceiver {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Debug, PartialEq)]
struct Request {
    path: String,
    body: Value,
}

impl HttpReceiver {
    /// Starts one on a free port.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket"));
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let log = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let log = Arc::clone(&log);
                thread::spawn(move || {
                    if let Err(error) = receive(&stream, &log) {
                        eprintln!("receiver of webhooks: {error:#}");
                    }
                });
            }
        });
        Self { url, requests }
    }

    /// Returns its URL, without a path.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the bodies of all requests so far, in order.
    #[must_use]
    pub fn bodies(&self) -> Vec<Value> {
        self.bodies_if(|_| true)
    }

    /// Returns the bodies of the requests for a path, in order.
    #[must_use]
    pub fn bodies_for(&self, path: &str) -> Vec<Value> {
        self.bodies_if(|request| request.path == path)
    }

    fn bodies_if(&self, is_chosen: impl Fn(&Request) -> bool) -> Vec<Value> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().filter(|request| is_chosen(request)).map(|request| request.body.clone()).collect()
    }
}

/// Reads one request, and keeps it before the answer: a client that has its answer finds it.
fn receive(mut stream: &TcpStream, log: &Mutex<Vec<Request>>) -> Result<()> {
    let request = read(&mut BufReader::new(stream))?;
    log.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    stream.write_all(answer).context("the client does not read its answer")
}

fn read(reader: &mut impl BufRead) -> Result<Request> {
    let lines: Vec<String> =
        reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).context("a request without a path")?;
    let length = lines.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.context("a request without a length")?];
    reader.read_exact(&mut body).context("a request that ends early")?;
    let body = serde_json::from_slice(&body).context("a body that is no JSON")?;
    Ok(Request { path: path.to_owned(), body })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_are_kept_in_order_and_by_path() {
        let receiver = HttpReceiver::start();
        let post = |path: &str, body: &str| ureq::post(format!("{}{path}", receiver.url())).send(body).is_ok();
        assert!(post("/a", r#"{"n": 1}"#) && post("/b", r#"{"n": 2}"#) && post("/a", r#"{"n": 3}"#));
        assert!(!post("/a", "no JSON"), "it has no answer");
        assert_eq!(receiver.bodies(), [json!({"n": 1}), json!({"n": 2}), json!({"n": 3})]);
        assert_eq!(receiver.bodies_for("/a"), [json!({"n": 1}), json!({"n": 3})]);
    }

    #[test]
    fn a_request_that_ends_early_is_none() {
        let whole = "POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(read(&mut whole.as_bytes()).unwrap(), Request { path: "/a".to_owned(), body: json!({}) });
        for length in 0..whole.len() {
            assert!(read(&mut &whole.as_bytes()[..length]).is_err(), "{length}");
        }
    }
}
