//! The servers and their operations.

use std::{fs, path::Path, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::server::{Operation, Running, Server};
use crate::{
    servers::load::{self, postgres, redis},
    wait::wait_for,
};

const TIMEOUT: Duration = Duration::from_secs(30);
/// Time in which a server does what a signal asks for.
const PAUSE: Duration = Duration::from_secs(2);

const REDIS: &[&str] =
    &["setpriv", "--reuid=redis", "--regid=redis", "--clear-groups", "redis-server", "/data/redis.conf"];
/// As the entry point of the image of `PostgreSQL`: the first start creates the database.
const POSTGRES: &str = "PATH=$PATH:/usr/lib/postgresql/15/bin; export LC_ALL=C.UTF-8
    [ -s /data/db/pg/PG_VERSION ] || initdb -D /data/db/pg --auth=trust --no-sync >/dev/null || exit 1
    exec postgres -D /data/db/pg -p PORT -c listen_addresses=127.0.0.1 -c unix_socket_directories=/tmp \
        -c autovacuum_naptime=1s -c logging_collector=on -c log_directory=/data/log -c archive_mode=on \
        -c 'archive_command=cp %p /data/log/%f'";

/// All servers.
pub(super) const SERVERS: [Server; 3] = [
    Server {
        name: "nginx",
        command: &["nginx", "-c", "/data/nginx.conf", "-g", "daemon off;"],
        user: 0,
        load: load::nginx,
        stop: Signal::QUIT,
        operations: &[
            Operation { name: "log rotation (rename, SIGUSR1)", run: rotate_nginx },
            Operation { name: "reload (SIGHUP)", run: |server| signal(server, Signal::HUP) },
            Operation { name: "probe: `cat` a file", run: |server| server.exec(&["cat", "/data/www/index.html"]) },
            Operation {
                name: "probe: `nginx -t`",
                run: |server| server.exec(&["nginx", "-t", "-c", "/data/nginx.conf"]),
            },
            Operation { name: "backup: `cp -r` in the container", run: copy_pages },
            Operation { name: "graceful stop (SIGQUIT), start", run: |server| server.restart(Signal::QUIT) },
            Operation { name: "fast stop (SIGTERM), start", run: |server| server.restart(Signal::TERM) },
            Operation { name: "SIGKILL, start", run: |server| server.restart(Signal::KILL) },
        ],
    },
    Server {
        name: "redis",
        command: REDIS,
        user: 100,
        load: redis,
        stop: Signal::TERM,
        operations: &[
            Operation { name: "`flushall`", run: flush_redis },
            Operation { name: "log rotation (rename)", run: rotate_redis },
            Operation { name: "`config set`, `config rewrite`", run: configure_redis },
            Operation {
                name: "probe: `redis-cli ping`",
                run: |server| server.exec(&["redis-cli", "-p", "PORT", "ping"]),
            },
            Operation { name: "backup: `BGSAVE`, `cp` in the container", run: save_redis },
            Operation { name: "`BGREWRITEAOF`", run: rewrite_redis },
            Operation { name: "graceful stop (SIGTERM), start", run: |server| server.restart(Signal::TERM) },
            Operation { name: "SIGKILL, start", run: |server| server.restart(Signal::KILL) },
        ],
    },
    Server {
        name: "postgres",
        command: &["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "sh", "-c", POSTGRES],
        user: 101,
        load: postgres,
        stop: Signal::INT,
        operations: &[
            Operation {
                name: "log rotation (`pg_rotate_logfile`)",
                run: |server| sql(server, "select pg_rotate_logfile()"),
            },
            Operation { name: "reload (`alter system`, SIGHUP)", run: reload_postgres },
            Operation {
                name: "probe: `pg_isready`",
                run: |server| server.exec(&[PG_ISREADY, "-h", "127.0.0.1", "-p", "PORT"]),
            },
            Operation { name: "probe: `psql` in the container", run: |server| server.exec(PSQL) },
            Operation { name: "backup: `pg_dump` from outside", run: |server| server.client(PG_DUMP).map(drop) },
            Operation { name: "backup: `pg_basebackup` from outside", run: base_backup },
            Operation { name: "archive of WAL", run: |server| sql(server, "select pg_switch_wal(); checkpoint") },
            Operation {
                name: "`vacuum full`, `reindex`",
                run: |server| sql(server, "vacuum full; reindex database postgres"),
            },
            Operation { name: "graceful stop (SIGINT), start", run: |server| server.restart(Signal::INT) },
            Operation { name: "SIGKILL, start with recovery", run: |server| server.restart(Signal::KILL) },
        ],
    },
];

const PG_ISREADY: &str = "/usr/lib/postgresql/15/bin/pg_isready";
const PSQL: &[&str] =
    &["/usr/lib/postgresql/15/bin/psql", "-h", "127.0.0.1", "-p", "PORT", "-U", "postgres", "-c", "select 1"];
const PG_DUMP: &[&str] =
    &["/usr/lib/postgresql/15/bin/pg_dump", "-h", "127.0.0.1", "-p", "PORT", "-U", "postgres", "postgres"];

fn signal(server: &mut Running<'_>, signal: Signal) -> Result<()> {
    server.signal(signal)?;
    thread::sleep(PAUSE);
    Ok(())
}

fn rename(from: &Path) -> Result<()> {
    let to = from.with_extension("log.1");
    fs::rename(from, to).with_context(|| format!("cannot rename {}", from.display()))
}

fn rotate_nginx(server: &mut Running<'_>) -> Result<()> {
    for name in ["access.log", "error.log"] {
        rename(&server.file(name))?;
    }
    server.signal(Signal::USR1)?;
    wait_for("a new log", TIMEOUT, || Ok(server.file("access.log").exists().then_some(())))
}

fn copy_pages(server: &mut Running<'_>) -> Result<()> {
    server.exec(&["sh", "-c", "rm -rf /tmp/backup && cp -r /data/www /tmp/backup"])
}

fn rotate_redis(server: &mut Running<'_>) -> Result<()> {
    rename(&server.file("log/redis.log"))?;
    // Redis opens its log for each message.
    save(server)?;
    ensure!(server.file("log/redis.log").exists(), "redis has not written a new log");
    Ok(())
}

/// Otherwise each round adds data, and the load takes longer.
fn flush_redis(server: &mut Running<'_>) -> Result<()> {
    server.client(&["redis-cli", "-p", "PORT", "flushall"]).map(drop)
}

fn save(server: &Running<'_>) -> Result<()> {
    server.client(&["redis-cli", "-p", "PORT", "bgsave"])?;
    redis::saved(&server.target())
}

fn configure_redis(server: &mut Running<'_>) -> Result<()> {
    server.client(&["redis-cli", "-p", "PORT", "config", "set", "maxmemory-policy", "allkeys-lru"])?;
    server.client(&["redis-cli", "-p", "PORT", "config", "rewrite"]).map(drop)
}

fn save_redis(server: &mut Running<'_>) -> Result<()> {
    save(server)?;
    server.exec(&["cp", "/data/db/dump.rdb", "/tmp/backup.rdb"])
}

fn rewrite_redis(server: &mut Running<'_>) -> Result<()> {
    server.client(&["redis-cli", "-p", "PORT", "bgrewriteaof"])?;
    redis::saved(&server.target())
}

fn sql(server: &Running<'_>, statements: &'static str) -> Result<()> {
    postgres::ask(&server.target(), statements).map(drop)
}

fn reload_postgres(server: &mut Running<'_>) -> Result<()> {
    sql(server, "alter system set work_mem = '8MB'")?;
    signal(server, Signal::HUP)
}

fn base_backup(server: &mut Running<'_>) -> Result<()> {
    let script = "/usr/lib/postgresql/15/bin/pg_basebackup -h 127.0.0.1 -p PORT -U postgres -D - -F t -X fetch -c fast \
        >/tmp/backup.tar";
    server.client(&["sh", "-c", script]).map(drop)
}
