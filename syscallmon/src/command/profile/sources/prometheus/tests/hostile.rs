//! Servers that are no Prometheus, or a bad one.

use std::{io, time::Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

use super::*;

const END: u64 = 1_700_000_000;

/// What a server does after each request.
#[derive(Clone, Debug)]
enum Does {
    Answer(&'static str, String),
    /// Is busy on the first connection, and answers on others.
    BusyThen(String),
    /// Repeats a text in a chunked body, this often; without an end if the number is 0.
    Repeat(&'static str, usize),
    Nothing,
    Close,
}

/// Serves any number of connections. Returns its URL and requests.
async fn serve(does: Does) -> (String, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accept = async move {
        let mut is_first = true;
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, does.clone(), is_first));
            is_first = false;
        }
    };
    (url, AbortOnDropHandle::new(tokio::spawn(accept)))
}

async fn converse(mut stream: TcpStream, does: Does, is_first: bool) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    while stream.read(&mut buffer).await? > 0 {
        match &does {
            Does::Answer(status, body) => {
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + body).as_bytes()).await?;
            }
            Does::BusyThen(body) => {
                let status = if is_first { "429 Too Many Requests\r\nConnection: close" } else { "200 OK" };
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + body).as_bytes()).await?;
                if is_first {
                    return Ok(());
                }
            }
            Does::Repeat(text, number) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
                stream.write_all(br#"{"status":"success","data":{"resultType":"vector","result":["#).await?;
                let block = text.repeat(1000);
                let mut blocks = 0;
                while *number == 0 || blocks < number / 1000 {
                    stream.write_all(block.as_bytes()).await?;
                    blocks += 1;
                }
                return stream.write_all(br#"{"metric":{},"value":[1,"1"]}]}}"#).await;
            }
            Does::Nothing => {}
            Does::Close => return Ok(()),
        }
    }
    Ok(())
}

async fn error(does: Does, flags: &[&str]) -> String {
    let (url, _server) = serve(does).await;
    format!("{:#}", ask(&url, r#"owner="web""#, flags, END).await.unwrap_err())
}

#[tokio::test]
async fn what_is_no_prometheus_is_said_to_be() {
    let ok = |body: &str| Does::Answer("200 OK", body.to_owned());
    for (does, expected) in [
        (ok("<html><title>Login</title>"), "requires the URL of a Prometheus"),
        (ok(""), "not an answer of Prometheus: EOF"),
        (ok("{}"), "missing field `status`"),
        (ok(r#"{"status":"success","data":{"resultType":"vector","result":["#), "EOF while parsing"),
        (ok(r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#), "its type is \"matrix\""),
        (
            ok(r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":["a","1"]}]}}"#),
            "invalid type",
        ),
        (ok("\u{1b}[31m\nforged"), "\u{fffd}"),
        (Does::Answer("404 Not Found", "404 page not found".into()), "the URL before /api/v1"),
        (Does::Answer("401 Unauthorized", String::new()), "see --prometheus-username"),
        (
            Does::Answer("302 Found\r\nLocation: https://login/", String::new()),
            "302 Found to https://login/: use that URL",
        ),
        (Does::Answer("500 Internal Server Error", "oops\u{1b}[2J".into()), "500 Internal Server Error: oops[2J"),
        (
            Does::Answer(
                "400 Bad Request",
                r#"{"status":"error","errorType":"bad_data","error":"parse error\u0007"}"#.into(),
            ),
            "parse error\\u{7}",
        ),
        (
            Does::Answer(
                "422 Unprocessable Entity",
                r#"{"status":"error","errorType":"execution","error":"too many samples"}"#.into(),
            ),
            "too many samples",
        ),
        (Does::Close, "no answer from Prometheus at http://127"),
    ] {
        let error = error(does.clone(), &["--range=1d"]).await;
        let expected = if expected == "\u{fffd}" { "requires the URL" } else { expected };
        assert!(error.contains(expected), "{does:?}: {error}");
        assert!(!error.contains(['\u{1b}', '\u{7}', '\n']), "{error:?}");
    }
}

/// Each answer is metadata and a counter at once.
#[tokio::test]
async fn a_busy_server_is_asked_again_and_its_warnings_are_kept() {
    let series = r#"{"metric":{"instance":"a","namespace":"shop","owner":"web","abi":"x86_64","syscall":"read"},"value":[1,"7"]}"#;
    let answer = format!(
        r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}},"warnings":["a store\u001b is away"]}}"#
    );
    let (url, _server) = serve(Does::BusyThen(answer)).await;
    let evidence = ask(&url, r#"owner="web""#, &["--range=10m"], END).await.unwrap();
    assert_eq!((evidence.replicas.len(), evidence.calls.len()), (1, 1));
    let warnings = &evidence.sources[0].warnings;
    assert!(warnings.contains(&"the server warns: a store\\u{1b} is away".to_owned()), "{warnings:?}");
}

#[tokio::test]
async fn who_never_answers_is_given_up() {
    let begin = Instant::now();
    let error = error(Does::Nothing, &["--range=7d", "--prometheus-timeout=1s"]).await;
    assert!(error.contains("no answer within 1 s"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn endless_answers_and_ten_million_samples_take_little_memory() {
    let endless = Does::Repeat(r#"{"metric":{"a":"b"},"value":[1,"1"]},"#, 0);
    assert!(error(endless, &[]).await.contains("the answer exceeds 64 MiB"));
    let many = Does::Repeat(r#"{"metric":{"__name__":"a","pod":"web-1"},"value":[1,"1"]},"#, 10_000_000);
    let begin = Instant::now();
    assert!(error(many, &[]).await.contains("the answer exceeds 64 MiB"));
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn many_answers_of_many_samples_have_a_limit_together() {
    let (url, _server) = serve(Does::Repeat(r#"{"metric":{"owner":"web"},"value":[1,"1"]},"#, 9_000)).await;
    let limits = ExchangeLimits { time: Duration::from_secs(10), bytes: MAX_ANSWER_BYTES };
    let (url, client_config) = (url.parse().unwrap(), HttpClientConfig::default());
    let server = Server { url, client_config, headers: vec![], limits, max_samples: 10_000 };
    let mut api = Api::new(server).await.unwrap();
    let error = collect::infos(&mut api, &["a".to_owned()], &Window::of_range(END, Duration::from_hours(24))).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("more than 10000 samples: use a narrower --workload"), "{error}");
}

#[tokio::test]
async fn a_path_headers_and_credentials_are_sent() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/prometheus/", listener.local_addr().unwrap());
    let read = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut text, mut buffer) = (String::new(), vec![0; 4096]);
        while !text.contains("&timeout=60s") {
            let length = stream.read(&mut buffer).await.unwrap();
            text += std::str::from_utf8(&buffer[..length]).unwrap();
        }
        text
    };
    let flags = ["--prometheus-header=X-Scope-OrgID=a", "--prometheus-token-file", token.to_str().unwrap()];
    let (request, _) = tokio::join!(read, ask(&url, r#"owner="web""#, &flags, END));
    assert!(request.starts_with("POST /prometheus/api/v1/query HTTP/1.1\r\n"), "{request}");
    for part in
        ["x-scope-orgid: a\r\n", "authorization: Bearer secret\r\n", "query=last_over_time%28syscallmon_workload_info"]
    {
        assert!(request.contains(part), "{request}");
    }
}
