//! The operations of each server, common ones first.

use rustix::process::Signal;

use super::{
    Act::{Abort, Raw, Redis, Request, Signal as Sent, SignalWorker, Slow, Sql},
    Operation,
};

pub(super) const ALL: [(&str, &[Operation]); 5] =
    [("nginx", NGINX), ("python", PYTHON), ("go", GO), ("redis", REDIS), ("postgres", POSTGRES)];

const NGINX: &[Operation] = &[
    (3.0, Request(("GET /", "", 0, 200))),
    (8.0, Request(("GET /missing", "", 0, 404))),
    (15.0, Request(("GET /list/a.txt", "Accept-Encoding: gzip\r\n", 0, 200))),
    (30.0, Request(("HEAD /", "", 0, 200))),
    (45.0, Request(("GET /list/", "", 0, 200))),
    (60.0, Request(("GET /big", "", 0, 200))),
    (90.0, Request(("GET /proxy/big", "", 0, 200))),
    (150.0, Request(("POST /proxy/echo", "", 70_000, 200))),
    (240.0, Abort("GET /big HTTP/1.1\r\nHost: a\r\n\r\n")),
    (300.0, Slow("GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")),
    (400.0, Raw("\x16\x03\x01 TLS to a server without it")),
    (480.0, Request(("GET /secret", "", 0, 403))),
    (600.0, Sent(Signal::HUP)),
    (720.0, Request(("GET /big", "Range: bytes=7-99999\r\n", 0, 206))),
    (900.0, Sent(Signal::USR1)),
    (1200.0, Request(("POST /proxy/echo", "", 900_000, 200))),
    (1800.0, SignalWorker(Signal::SEGV)),
    (2400.0, SignalWorker(Signal::QUIT)),
];

const PYTHON: &[Operation] = &[
    (3.0, Request(("GET /", "", 0, 200))),
    (10.0, Request(("GET /missing", "", 0, 404))),
    (25.0, Request(("GET /list/", "", 0, 200))),
    (45.0, Request(("GET /big", "", 0, 200))),
    (90.0, Request(("POST /", "", 5000, 200))),
    (120.0, Abort("GET /big HTTP/1.1\r\nHost: a\r\n\r\n")),
    (180.0, Request(("GET /run", "", 0, 200))),
    (240.0, Slow("GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")),
    (300.0, Request(("GET /database", "", 0, 200))),
    (420.0, Request(("GET /resolve", "", 0, 200))),
    (600.0, Sent(Signal::HUP)),
    (720.0, Request(("GET /backup", "", 0, 200))),
    (900.0, Request(("GET /disk", "", 0, 200))),
    (1200.0, Request(("GET /workers", "", 0, 200))),
    (1800.0, Request(("GET /lock", "", 0, 200))),
    (2400.0, Request(("POST /", "", 3_000_000, 200))),
];

const GO: &[Operation] = &[
    (3.0, Request(("GET /metrics", "", 0, 200))),
    (8.0, Request(("GET /probe?module=tcp&target=127.0.0.1:9115", "", 0, 200))),
    (20.0, Request(("GET /probe?module=http_2xx&target=127.0.0.1:9115", "", 0, 200))),
    (45.0, Request(("GET /probe?module=tcp&target=127.0.0.1:1", "", 0, 200))),
    (90.0, Request(("GET /config", "", 0, 200))),
    (150.0, Request(("GET /probe?module=http_2xx&target=localhost:9115/config", "", 0, 200))),
    (200.0, Abort("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")),
    (300.0, Slow("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")),
    (420.0, Raw("no request\r\n\r\n")),
    (600.0, Request(("POST /-/reload", "", 0, 200))),
    (720.0, Request(("GET /probe?module=tcp&target=no-such-host.invalid:1", "", 0, 200))),
    (900.0, Sent(Signal::HUP)),
    (1200.0, Request(("GET /debug/pprof/heap", "", 0, 200))),
    (1800.0, Request(("GET /debug/pprof/profile?seconds=1", "", 0, 200))),
    (2400.0, Request(("GET /probe?module=icmp&target=127.0.0.1", "", 0, 200))),
];

const REDIS: &[Operation] = &[
    (3.0, Redis(&["set", "a", "1"])),
    (8.0, Redis(&["get", "a"])),
    (20.0, Redis(&["lpush", "list", "1", "2", "3"])),
    (45.0, Redis(&["info"])),
    (90.0, Redis(&["eval", "return redis.call('get', 'a')", "0"])),
    (150.0, Redis(&["client", "list"])),
    (200.0, Redis(&["eval", "redis.call('set', 'big', string.rep('x', 9000000))", "0"])),
    (240.0, Abort("GET big\r\n")),
    (300.0, Redis(&["bgsave"])),
    (420.0, Redis(&["config", "set", "maxmemory", "100mb"])),
    (600.0, Redis(&["bgrewriteaof"])),
    (720.0, Redis(&["flushall", "async"])),
    (900.0, Redis(&["memory", "purge"])),
    (1000.0, Redis(&["save"])),
    (1200.0, Redis(&["config", "set", "maxclients", "20000"])),
    (1500.0, Redis(&["replicaof", "127.0.0.1", "6379"])),
    (1600.0, Redis(&["replicaof", "no", "one"])),
    (1800.0, Redis(&["module", "load", "/tmp/no-such-module.so"])),
    (2400.0, Redis(&["config", "set", "bind", "127.0.0.1 -::1"])),
];

const POSTGRES: &[Operation] = &[
    (4.0, Sql("select 1")),
    (10.0, Sql("create table if not exists t (id serial, text text); insert into t (text) values ('x')")),
    (30.0, Sql("update t set text = text || 'y'")),
    (60.0, Sql("insert into t (text) select repeat('x', i) from generate_series(1, 2000) i")),
    (120.0, Sql("select count(*) from t a join t b using (text)")),
    (180.0, Sql("copy t to '/tmp/t.copy'")),
    (240.0, Sql("set work_mem = '64kB'; select text from t order by text desc, id limit 1")),
    (300.0, Sql("vacuum analyze t; checkpoint")),
    (420.0, Sql("select pg_reload_conf()")),
    (480.0, Sql("select pg_terminate_backend(pg_backend_pid())")),
    (
        600.0,
        Sql("create index on t (text); set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; \
                 set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0; select sum(length(text)) from t"),
    ),
    (720.0, Raw("GET / HTTP/1.1\r\n\r\n")),
    (900.0, Sql("create database other; drop database other")),
    (1000.0, Sql("vacuum full t; reindex table t")),
    (1200.0, Sql("alter system set log_statement = 'ddl'; select pg_reload_conf()")),
    (1500.0, Sql("copy t to program 'cat >/dev/null'")),
    (1800.0, Sql("select pg_switch_wal(); drop table t")),
    (2000.0, Sql("select lo_unlink(lo_import('/srv/nginx.conf'))")),
    (2400.0, Sql("select * from pg_ls_dir('/tmp')")),
    (3600.0, SignalWorker(Signal::SEGV)),
];
