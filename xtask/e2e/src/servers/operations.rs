//! Operations of servers, from common to rare, with the mean time between two of them. They arrive at random, as in a
//! Poisson process.

mod table;

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::load::{Request, Target, psql, send};

const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a slow client waits in the middle of its request.
const SLOW: Duration = Duration::from_millis(700);
/// Pause between operations when each is done once.
const PAUSE: Duration = Duration::from_millis(300);

/// An operation, and the mean number of seconds between two of them.
pub(crate) type Operation = (f64, Act);

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Sends a request.
    Request(Request),
    /// Sends the first half of a request, waits, and sends the rest.
    Slow(&'static str),
    /// Closes the connection before the answer is read.
    Abort(&'static str),
    /// Sends this text and reads the answer.
    Raw(&'static str),
    /// Runs a client of Redis.
    Redis(&'static [&'static str]),
    /// Runs SQL statements, separated by `"; "`.
    Sql(&'static str),
    /// Sends a signal to the first process of the container.
    Signal(Signal),
    /// Sends a signal to the newest process of the container.
    SignalWorker(Signal),
}

/// A server to operate.
pub(crate) struct Site<'a> {
    pub(crate) target: Target<'a>,
    /// Directory of the container's cgroup.
    pub(crate) cgroup: PathBuf,
}

/// Returns the operations of a server.
pub(crate) fn of(server: &str) -> &'static [Operation] {
    table::ALL.iter().find(|(name, _)| *name == server).map_or(&[], |(_, operations)| operations)
}

/// Does operations at random times for this long, and then each of them twice. The server may answer anything.
pub(crate) fn run(server: &str, site: &Site<'_>, seed: u64, time: Duration, has_ended: impl Fn() -> bool) {
    let operations = of(server);
    let mut random = Random::new(seed);
    let mut next: Vec<f64> = operations.iter().map(|(mean, _)| random.exponential(*mean)).collect();
    let begin = Instant::now();
    while let Some((index, &at)) = next.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1))
        && at < time.as_secs_f64()
    {
        while begin.elapsed().as_secs_f64() < at {
            if has_ended() {
                return;
            }
            thread::sleep(Duration::from_secs_f64(at).saturating_sub(begin.elapsed()).min(PAUSE));
        }
        let (mean, act) = &operations[index];
        next[index] = at + random.exponential(*mean);
        let _ = act.run(site);
    }
    thread::sleep(time.saturating_sub(begin.elapsed()));
    for (_, act) in operations.iter().chain(operations) {
        if has_ended() {
            return;
        }
        let _ = act.run(site);
        thread::sleep(PAUSE);
    }
}

impl Act {
    fn run(&self, site: &Site<'_>) -> Result<()> {
        let Target { network, port, .. } = site.target;
        let connected = |act: fn(TcpStream, &str) -> std::io::Result<()>, text: &str| {
            network.run(|| {
                let stream = TcpStream::connect(("127.0.0.1", port))?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                act(stream, text)
            })
        };
        match *self {
            Self::Request(request) => network.run(|| send(port, &request)).and_then(|sent| sent),
            Self::Slow(text) => Ok(connected(slow, text)??),
            Self::Abort(text) => Ok(connected(abort, text)??),
            Self::Raw(text) => Ok(connected(raw, text)??),
            Self::Redis(words) => site.target.client(&[&["redis-cli", "-p", "6379"], words].concat()).map(drop),
            Self::Sql(statements) => site.target.client(&psql(statements)).map(drop),
            Self::Signal(signal) => Ok(kill_process(first_process(&site.cgroup)?, signal)?),
            Self::SignalWorker(signal) => Ok(kill_process(newest_process(&site.cgroup)?, signal)?),
        }
    }
}

fn slow(mut stream: TcpStream, text: &str) -> std::io::Result<()> {
    let (first, second) = text.split_at(text.len() / 2);
    stream.write_all(first.as_bytes())?;
    thread::sleep(SLOW);
    stream.write_all(second.as_bytes())?;
    let mut part = [0; 100];
    // The answer is read slowly as well.
    let _ = stream.read(&mut part)?;
    thread::sleep(SLOW);
    stream.read_to_end(&mut Vec::new()).map(drop)
}

fn abort(mut stream: TcpStream, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes())?;
    let _ = stream.read(&mut [0; 10])?;
    // The rest of the answer is not read, so the kernel resets the connection.
    stream.shutdown(Shutdown::Read)
}

fn raw(mut stream: TcpStream, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

fn processes(cgroup: &Path) -> Result<Vec<Pid>> {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).context("the container has ended")?;
    Ok(text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect())
}

/// Returns the process that has the id 1 in the container.
fn first_process(cgroup: &Path) -> Result<Pid> {
    let is_first = |pid: &Pid| {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
        status.lines().find_map(|line| line.strip_prefix("NSpid:")).is_some_and(|ids| ids.ends_with("\t1"))
    };
    processes(cgroup)?.into_iter().find(is_first).context("the container has no first process")
}

fn newest_process(cgroup: &Path) -> Result<Pid> {
    let first = first_process(cgroup)?;
    let others = processes(cgroup)?.into_iter().filter(|pid| *pid != first);
    others.max_by_key(|pid| pid.as_raw_nonzero()).context("the container has one process")
}

/// Pseudo-random numbers, the same for the same seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number of an exponential distribution.
    fn exponential(&mut self, mean: f64) -> f64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let uniform = ((self.0 >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        -mean * uniform.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_between_operations_have_their_mean_and_depend_on_the_seed() {
        let mut random = Random::new(7);
        let times: Vec<f64> = (0..20_000).map(|_| random.exponential(60.0)).collect();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        assert!((58.0..62.0).contains(&mean) && times.iter().all(|time| *time >= 0.0), "{mean}");
        let first = |seed| Random::new(seed).exponential(1.0);
        assert!((0..100).all(|seed| (seed + 1..100).all(|other| (first(seed) - first(other)).abs() > 0.0)));
    }

    #[test]
    fn every_server_has_common_and_rare_operations() {
        for (server, operations) in table::ALL {
            let means: Vec<f64> = operations.iter().map(|(mean, _)| *mean).collect();
            assert!(means.is_sorted() && means[0] <= 5.0 && means[means.len() - 1] >= 1800.0, "{server}");
        }
    }
}
