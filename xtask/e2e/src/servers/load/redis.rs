//! Load for Redis.

use std::time::Duration;

use anyhow::{Result, ensure};
use syscallmon_testkit::try_wait_for;

use super::{Phase, Target};

const TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// A command, and what its answer contains.
type Command = (&'static [&'static str], &'static str);

const FIRST: &[Command] = &[
    (&["set", "a", "1"], "OK"),
    (&["lpush", "a", "1"], "WRONGTYPE"),
    (&["config", "set", "maxmemory", "100mb"], "OK"),
    (&["expire", "a", "1000"], "1"),
    (&["eval", "return redis.call('get', 'a')", "0"], "1"),
    (&["info"], "redis_version"),
    (&["client", "list"], "addr="),
    (&["bgsave"], "Background"),
];
const SECOND: &[Command] = &[
    (&["append", "b", "xyz"], "3"),
    (&["nothing"], "unknown command"),
    (&["config", "set", "save", "100 10"], "OK"),
    (&["flushall", "async"], "OK"),
    (&["xadd", "s", "*", "k", "v"], "-"),
    (&["client", "info"], "addr="),
    (&["slowlog", "get"], ""),
    (&["bgsave"], "Background"),
];

/// Sends commands, also by many connections, and makes Redis write its files.
pub(crate) fn redis(target: &Target<'_>, phase: Phase) -> Result<()> {
    let (clients, size, tests) = match phase {
        Phase::First => ("10", "3", "set,get,incr,lpush,mset"),
        Phase::Second => ("30", "20000", "set,get,rpush,sadd,hset,spop,zadd,lrange_100"),
    };
    let port = target.port.to_string();
    let benchmark = ["redis-benchmark", "-p", &port, "-q", "-n", "300", "-c", clients, "-d", size, "-t", tests];
    target.client(&benchmark)?;
    for (command, expected) in if phase == Phase::First { FIRST } else { SECOND } {
        let answer = target.client(&[&["redis-cli", "-p", &port], *command].concat())?;
        ensure!(answer.contains(expected), "redis answered {command:?} with {answer:?}");
    }
    saved(target)?;
    target.client(&["redis-cli", "-p", &port, "bgrewriteaof"])?;
    saved(target)
}

/// Waits until Redis has written its files.
pub(crate) fn saved(target: &Target<'_>) -> Result<()> {
    let port = target.port.to_string();
    try_wait_for("files of redis", TIMEOUT, PAUSE, || {
        let info = target.client(&["redis-cli", "-p", &port, "info", "persistence"])?;
        for state in ["rdb_last_bgsave_status:ok", "aof_last_bgrewrite_status:ok", "aof_last_write_status:ok"] {
            ensure!(info.contains(state), "not {state}: {info}");
        }
        let is_done = ["rdb_bgsave_in_progress:0", "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"]
            .iter()
            .all(|state| info.contains(state));
        Ok(is_done.then_some(()))
    })
}
