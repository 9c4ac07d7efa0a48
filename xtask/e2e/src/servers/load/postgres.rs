//! Load for `PostgreSQL`.

use std::time::Duration;

use anyhow::{Result, ensure};
use syscallmon_testkit::try_wait_for;

use super::{Phase, Target};

const TIMEOUT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(200);
const PSQL: [&str; 6] = ["/usr/lib/postgresql/15/bin/psql", "-X", "-h", "127.0.0.1", "-U", "postgres"];
const BENCH: [&str; 6] = ["/usr/lib/postgresql/15/bin/pgbench", "-h", "127.0.0.1", "-U", "postgres", "-n"];

const FIRST: [(&str, &str); 9] = [
    ("create table t (id serial primary key, text text)", "CREATE"),
    ("insert into t (text) select repeat('x', i) from generate_series(1, 2000) i", "INSERT 0 2000"),
    ("select count(*) from t a join t b using (text)", "2000"),
    ("update t set text = text || 'y'; delete from t where id % 3 = 0", "DELETE"),
    ("copy t to '/tmp/t.copy'; create table u (like t); copy u from '/tmp/t.copy'", "COPY"),
    (
        "select * from t order by text desc, id limit 1; set work_mem = '64kB'; select count(*) from \
      (select a.id, b.text from t a, u b where b.id < 60 order by 2, 1) s",
        "row",
    ),
    ("vacuum analyze t; checkpoint", "CHECKPOINT"),
    (
        "create index on t (text); set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; \
      set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0; select sum(length(text)) from t",
        "row",
    ),
    ("create database other; drop database other", "DROP"),
];
const SECOND: [(&str, &str); 8] = [
    ("create table v as select i, md5(i::text) m from generate_series(1, 30000) i", "SELECT 30000"),
    ("vacuum full v; checkpoint", "CHECKPOINT"),
    ("select count(*) from v where m > '8'; select m from v order by m limit 3", "row"),
    ("begin; lock table v; insert into v values (0, 'new'); rollback", "ROLLBACK"),
    ("copy v to '/tmp/v.copy' with csv; create table w (like v); copy w from '/tmp/v.copy' with csv", "COPY"),
    ("select nothing from nowhere", "ERROR"),
    ("create unique index on v (i); cluster v using v_i_idx; reindex table v; analyze", "ANALYZE"),
    ("drop table v, w", "DROP"),
];

/// Creates, changes, copies and vacuums tables, also with many clients.
pub(crate) fn postgres(target: &Target<'_>, phase: Phase) -> Result<()> {
    let (statements, clients, script): (&[_], _, _) = match phase {
        Phase::First => (&FIRST, "3", "tpcb-like"),
        Phase::Second => (&SECOND, "6", "simple-update"),
    };
    try_wait_for("an answer", TIMEOUT, PAUSE, || Ok(ask(target, "select 1").ok()))?;
    for (statement, expected) in statements {
        // psql exits with 1 after a statement that fails. Its message is on stderr then.
        let answer = match ask(target, statement) {
            Ok(answer) => answer,
            Err(error) => error.to_string(),
        };
        ensure!(answer.contains(expected), "postgres answered {statement:?} with {answer:?}");
    }
    if phase == Phase::First {
        autovacuum(target)?;
    }
    let port = target.port.to_string();
    target.client(&[&BENCH[..], &["-p", &port, "-i", "-q", "postgres"]].concat())?;
    target.client(
        &[&BENCH[..], &["-p", &port, "-b", script, "-c", clients, "-j", "2", "-t", "30", "postgres"]].concat(),
    )?;
    Ok(())
}

/// Waits until the server has cleaned up a table in the background, which makes calls of its own.
fn autovacuum(target: &Target<'_>) -> Result<()> {
    const QUERY: &str = "select sum(autovacuum_count + autoanalyze_count) > 0 as is_done from pg_stat_all_tables";
    try_wait_for("autovacuum", TIMEOUT, PAUSE, || {
        ask(target, QUERY).map(|answer| answer.contains("\n t\n").then_some(()))
    })
}

/// Runs statements, each in a transaction of its own. Returns the answer.
pub(crate) fn ask(target: &Target<'_>, statements: &'static str) -> Result<String> {
    let port = target.port.to_string();
    target.client(&[&psql(statements)[..], &["-p", &port]].concat())
}

/// Returns the command of a client for statements, each in a transaction of its own.
pub(crate) fn psql(statements: &'static str) -> Vec<&'static str> {
    let parts = statements.split("; ").flat_map(|statement| ["-c", statement]);
    PSQL.into_iter().chain(parts).collect()
}
