//! A web server with threads. It answers the requests of a connection in sequence, and keeps connections open.
//! `web_server PORT` serves. `web_server PORT check` sends a request, as a health check does. SIGTERM ends the server
//! cleanly.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

const SIGTERM: i32 = 15;

static ENDS: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
}

extern "C" fn end(_: i32) {
    ENDS.store(true, Ordering::Relaxed);
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let address = format!("127.0.0.1:{}", args[0]);
    if args.len() > 1 {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").expect("it reads");
        stream.read_to_string(&mut String::new()).expect("it answers");
        return;
    }
    unsafe { signal(SIGTERM, end) };
    let listener = TcpListener::bind(address).expect("the port is free");
    listener.set_nonblocking(true).expect("sockets can wait");
    while !ENDS.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => drop(thread::spawn(|| serve(stream))),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn serve(mut stream: TcpStream) -> Option<()> {
    stream.set_nonblocking(false).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut is_last = false;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            is_last |= line.eq_ignore_ascii_case("connection: close\r\n");
            if line == "\r\n" {
                break;
            }
        }
        let body = format!("served by {:?}\n", thread::current().id());
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()?;
        if is_last {
            return Some(());
        }
    }
}
