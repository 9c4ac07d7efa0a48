//! A mail server that gets notifications.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde::Deserialize;

/// A mail, as Python's parser reads it.
#[derive(Debug, Deserialize)]
pub(super) struct Mail {
    headers: Vec<(String, String)>,
    pub(super) text: String,
    /// The text that a reader of the HTML sees.
    pub(super) html_text: String,
    pub(super) tags: HashSet<String>,
    pub(super) links: Vec<String>,
    pub(super) bytes: usize,
}

impl Mail {
    pub(super) fn header(&self, name: &str) -> String {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name).expect(name);
        value.clone()
    }

    pub(super) fn header_names(&self, name: &str) -> usize {
        self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name)).count()
    }
}

/// A mail server.
pub(super) struct MailReceiver {
    pub(super) address: String,
    mails: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl MailReceiver {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mails = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let log = Arc::clone(&mails);
        thread::spawn(move || {
            for stream in listener.incoming() {
                log.lock().unwrap().extend(mail(&stream.unwrap()));
            }
        });
        Self { address, mails }
    }

    pub(super) fn first(&self) -> Option<Mail> {
        self.mails.lock().unwrap().first().map(|mail| parse(mail))
    }
}

/// Receives one mail by SMTP.
fn mail(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    stream.write_all(b"220 test\r\n").ok()?;
    let mut mail = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return mail;
        }
        let answer: &[u8] = match line.trim_end() {
            "QUIT" => {
                let _ = stream.write_all(b"221 bye\r\n");
                return mail;
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").ok()?;
                mail = Some(data(&mut reader)?);
                b"250 ok\r\n"
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer).ok()?;
    }
}

/// Reads up to the line with a dot alone.
fn data(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut mail = Vec::new();
    loop {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).ok()?;
        if line == b".\r\n" || line.is_empty() {
            return Some(mail);
        }
        mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}

const PARSER: &str = r#"
import email, email.policy, html.parser, json, sys
raw = sys.stdin.buffer.read()
mail = email.message_from_bytes(raw, policy=email.policy.default)
tags, links, seen = [], [], []
class Reader(html.parser.HTMLParser):
    def handle_starttag(self, tag, attributes):
        tags.append(tag)
        links.extend(value for name, value in attributes if name in ("href", "src"))
    def handle_data(self, data):
        seen.append(data)
Reader().feed(mail.get_body(["html"]).get_content())
print(json.dumps({
    "headers": [[name, str(value)] for name, value in mail.items()],
    "text": mail.get_body(["plain"]).get_content(),
    "html_text": "".join(seen), "tags": tags, "links": links, "bytes": len(raw),
}))
"#;

fn parse(mail: &[u8]) -> Mail {
    let mut python = Command::new("python3");
    let mut python = python.args(["-c", PARSER]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(mail).unwrap();
    let output = python.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(mail)))
}
