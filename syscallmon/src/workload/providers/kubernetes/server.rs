//! An API server with scripted answers, one after the other.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// An answer.
pub(in crate::workload::providers) enum Answer {
    /// A whole answer: status and body.
    Whole(u16, String),
    /// These lines of a watch, and its end.
    Ended(Vec<String>),
    /// These lines of a watch, and then silence.
    Silent(Vec<String>),
    /// These lines of a watch, the last of them cut, and no end.
    Torn(Vec<String>),
    /// A watch of one line that never ends.
    Endless,
}

/// Runs until the runtime ends. After its answers, it is silent.
pub(in crate::workload::providers) struct ApiServer {
    requests: Arc<Mutex<Vec<String>>>,
    kubeconfig: NamedTempFile,
}

impl ApiServer {
    pub(in crate::workload::providers) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut kubeconfig = NamedTempFile::new().unwrap();
        let address = listener.local_addr().unwrap();
        write!(kubeconfig, "{{current-context: c, contexts: [{{name: c, context: {{cluster: k, user: u}}}}], ")
            .unwrap();
        write!(kubeconfig, "clusters: [{{name: k, cluster: {{server: 'http://{address}'}}}}], users: []}}").unwrap();
        let requests = Arc::default();
        let answers: Vec<Answer> = answers.into_iter().collect();
        tokio::spawn(serve(listener, answers, Arc::clone(&requests)));
        Self { requests, kubeconfig }
    }

    pub(in crate::workload::providers) fn kubeconfig(&self) -> &std::path::Path {
        self.kubeconfig.path()
    }

    /// Returns paths and queries of the requests so far.
    pub(in crate::workload::providers) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(listener: TcpListener, answers: Vec<Answer>, requests: Arc<Mutex<Vec<String>>>) {
    let mut answers = answers.into_iter();
    let mut silent = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = request(&mut stream).await;
        requests.lock().unwrap().push(request);
        match answers.next() {
            Some(answer) => {
                let stays = matches!(answer, Answer::Silent(_));
                // The client closes the connection after a bad answer.
                let _ = reply(&mut stream, answer).await;
                if stays {
                    silent.push(stream);
                }
            }
            None => silent.push(stream),
        }
    }
}

/// Returns path and query of a request.
async fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().to_owned()
}

async fn reply(stream: &mut TcpStream, answer: Answer) -> std::io::Result<()> {
    const STREAM: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    match answer {
        Answer::Whole(status, body) => {
            let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await
        }
        Answer::Silent(lines) => stream.write_all((STREAM.to_owned() + &chunks(&lines)).as_bytes()).await,
        Answer::Ended(lines) => stream.write_all((STREAM.to_owned() + &chunks(&lines) + "0\r\n\r\n").as_bytes()).await,
        Answer::Torn(lines) => {
            let whole = STREAM.to_owned() + &chunks(&lines);
            stream.write_all(&whole.as_bytes()[..whole.len() - 30]).await
        }
        Answer::Endless => {
            stream.write_all(STREAM.as_bytes()).await?;
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
            loop {
                stream.write_all(chunk.as_bytes()).await?;
            }
        }
    }
}

fn chunks(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |text, line| text + &format!("{:x}\r\n{line}\n\r\n", line.len() + 1))
}
