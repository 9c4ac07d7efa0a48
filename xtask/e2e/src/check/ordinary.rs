//! Calls of ordinary software outside `@runtime-default`: those that must not be reported, and those that may be.
//!
//! Each program runs twice under load: without a seccomp profile, and with the runtime's profile. bpftrace counts the
//! calls, so the result does not depend on the daemon.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use syscallmon::syscalls::sets;
use syscallmon_testkit::cgroup;

use super::{step, web};
use crate::{
    calls::{Calls, Tracer},
    cri::{Container, Cri, Pod, Seccomp},
    images::BUSYBOX,
    namespaces::Namespaces,
    software::{DEBIAN, PROGRAMS, WEB_SERVER},
    wait::wait_for,
};

/// The set of calls that the check is about.
const SET: &str = "@runtime-default";
/// This call is in the set although runtimes deny it. The check prints its use anyway.
const EXCEPTION: &str = "clone3";
/// Maximum time until a server answers, or until it has ended.
const TIMEOUT: Duration = Duration::from_mins(3);
/// Minimum number of calls of a load generator. A generator that cannot connect makes fewer.
const BUSY: u64 = 50_000;
/// Process names of runtimes before they execute the program.
const SETUP: [&str; 2] = ["runc", "runc:["];

/// A program: its commands to serve, to make load and to check its health. `PORT` stands for its port, and `SECONDS`
/// for the duration of the load.
struct Software {
    name: &'static str,
    image: &'static str,
    serve: &'static [&'static str],
    /// Runs beside the server for as long as the load lasts. Web servers have no client here.
    client: Option<&'static str>,
    health: &'static [&'static str],
}

const ALL: [Software; 6] = [
    Software {
        name: "busybox",
        image: BUSYBOX,
        serve: &["sh", "-c", "mkdir -p /www; echo hello >/www/index.html; exec httpd -f -p PORT -h /www"],
        client: None,
        health: &["wget", "-q", "-O", "-", "http://127.0.0.1:PORT/index.html"],
    },
    Software {
        name: "a static Rust server",
        image: PROGRAMS,
        serve: &[WEB_SERVER, "PORT"],
        client: None,
        health: &[WEB_SERVER, "PORT", "check"],
    },
    Software {
        name: "nginx",
        image: DEBIAN,
        serve: &[
            "sh",
            "-c",
            "printf 'user www-data; worker_processes 2; events {} http { server { listen 127.0.0.1:PORT; root /var/www/html; } }' \
             >/etc/nginx/nginx.conf; cp /usr/share/nginx/html/index.html /var/www/html/; exec nginx -g 'daemon off;'",
        ],
        client: None,
        health: &["nginx", "-t"],
    },
    Software {
        name: "redis",
        image: DEBIAN,
        serve: &[
            "sh",
            "-c",
            "cd /tmp; exec setpriv --reuid=redis --regid=redis --clear-groups \
             redis-server --port PORT --appendonly yes --save 1 1 --io-threads 2",
        ],
        client: Some(
            "end=$(($(date +%s)+SECONDS)); while [ $(date +%s) -lt $end ]; do redis-benchmark -p PORT -q -n 2000 -c 20; \
             redis-cli -p PORT bgsave; redis-cli -p PORT bgrewriteaof; done",
        ),
        health: &["redis-cli", "-p", "PORT", "ping"],
    },
    Software {
        name: "postgres",
        image: DEBIAN,
        serve: &[
            "sh",
            "-c",
            "mkdir -p /run/postgresql /data; chown postgres /run/postgresql /data; \
             as='setpriv --reuid=postgres --regid=postgres --clear-groups'; export LANG=C.UTF-8 LC_ALL=C.UTF-8; \
             $as /usr/lib/postgresql/15/bin/initdb -D /data --auth=trust --no-sync; \
             exec $as /usr/lib/postgresql/15/bin/postgres -D /data -p PORT -c listen_addresses=127.0.0.1",
        ],
        client: Some(
            "PATH=$PATH:/usr/lib/postgresql/15/bin; export PGHOST=127.0.0.1 PGUSER=postgres; \
             pgbench -p PORT -i -s 1 postgres; pgbench -p PORT -c 4 -j 2 -T SECONDS postgres; \
             psql -p PORT -c 'set max_parallel_workers_per_gather = 2; select count(*) from pgbench_accounts a, pgbench_branches b' postgres; \
             psql -p PORT -c 'vacuum full analyze' postgres; pg_dump -p PORT postgres >/dev/null",
        ),
        health: &["/usr/lib/postgresql/15/bin/pg_isready", "-h", "127.0.0.1", "-p", "PORT"],
    },
    Software {
        name: "python",
        image: DEBIAN,
        serve: &["python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", "/usr/share", "PORT"],
        client: None,
        health: &["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:PORT/').read()"],
    },
];

/// Returns the command line of Debian's nginx at this port.
pub(super) fn nginx(port: u16) -> Vec<String> {
    let nginx = ALL.iter().find(|software| software.name == "nginx").expect("it is in the list");
    nginx.serve.iter().map(|word| word.replace("PORT", &port.to_string())).collect()
}

/// A running server and its clients.
struct Running<'a> {
    software: &'a Software,
    seccomp: Seccomp,
    port: u16,
    pod: String,
    /// Id of each container and id of its cgroup, by the container's name.
    containers: BTreeMap<&'static str, (String, u64)>,
}

/// Runs all programs, and prints the table.
pub(crate) fn images(namespaces: &Namespaces, cri: &Cri, load: Duration) -> Result<()> {
    let set: BTreeSet<&str> = sets::members(SET).with_context(|| format!("there is no {SET}"))?.into_iter().collect();
    let tracer = Tracer::start()?;
    let running = step("all of it starts, with seccomp and without", || start(namespaces, cri, load))?;
    step(&format!("{} s of load, and health checks in it", load.as_secs()), || {
        let begin = Instant::now();
        loop {
            for server in &running {
                server.check_health(cri)?;
                if server.software.client.is_none() {
                    namespaces.network().run(|| web::requests(server.port, 50))??;
                }
            }
            if begin.elapsed() >= load {
                return Ok(());
            }
        }
    })?;
    step("all of it ends when asked", || running.iter().try_for_each(|server| server.stop(cri)))?;
    let calls = tracer.finish()?;
    for server in &running {
        for (container, (_, cgroup)) in &server.containers {
            let made: u64 = calls.of(*cgroup).map(|(.., count)| count).sum();
            ensure!(
                made > BUSY || *container != "client",
                "{} ({container}) was not busy: {made} calls",
                server.software.name
            );
            let has_started = calls.of(*cgroup).any(|(_, call, _)| call == "execve");
            ensure!(has_started, "the start of {} ({container}) was not seen", server.software.name);
        }
    }
    print(&running, &calls, &set);
    running.iter().try_for_each(|server| cri.remove_pod(&server.pod))
}

fn start<'a>(namespaces: &Namespaces, cri: &Cri, load: Duration) -> Result<Vec<Running<'a>>> {
    let mut running = Vec::new();
    for (software, number) in ALL.iter().zip(0_u16..) {
        for (seccomp, base) in [(Seccomp::Unconfined, 7100), (Seccomp::RuntimeDefault, 7200)] {
            let server = Running::start(cri, software, seccomp, base + number, load)?;
            wait_for(software.name, TIMEOUT, || {
                Ok(namespaces.network().run(|| web::answers(server.port))?.then_some(()))
            })?;
            running.push(server);
        }
    }
    // Starts clients after all servers, because load would delay servers that start slowly.
    for server in &mut running {
        server.start_client(cri, load)?;
    }
    Ok(running)
}

impl<'a> Running<'a> {
    fn start(cri: &Cri, software: &'a Software, seccomp: Seccomp, port: u16, load: Duration) -> Result<Self> {
        let mut server = Self { software, seccomp, port, pod: String::new(), containers: BTreeMap::new() };
        server.pod = cri.run_pod(&server.definition())?;
        server.run(cri, "server", software.serve, load)?;
        Ok(server)
    }

    fn definition(&self) -> Pod {
        Pod::named("ordinary", &format!("pod-{}", self.port))
    }

    fn start_client(&mut self, cri: &Cri, load: Duration) -> Result<()> {
        self.software.client.map_or(Ok(()), |script| self.run(cri, "client", &["sh", "-c", script], load))
    }

    fn run(&mut self, cri: &Cri, name: &'static str, command: &[&str], load: Duration) -> Result<()> {
        let seconds = load.as_secs().to_string();
        let command: Vec<String> =
            self.filled_in(command).iter().map(|word| word.replace("SECONDS", &seconds)).collect();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let container =
            Container { name, image: self.software.image, command: &command, seccomp: self.seccomp, mounts: &[] };
        let id = cri.run(&self.definition(), &self.pod, &container)?;
        let cgroup = cgroup_of(&id)?;
        self.containers.insert(name, (id, cgroup));
        Ok(())
    }

    fn filled_in(&self, command: &[&str]) -> Vec<String> {
        command.iter().map(|word| word.replace("PORT", &self.port.to_string())).collect()
    }

    fn check_health(&self, cri: &Cri) -> Result<()> {
        let command = self.filled_in(self.software.health);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let (id, _) = self.containers.get("server").context("it has started")?;
        cri.exec(id, &command).map(drop).with_context(|| format!("{} is not healthy", self.software.name))
    }

    /// Asks the server to end. Its client ends without a request.
    fn stop(&self, cri: &Cri) -> Result<()> {
        let (id, _) = self.containers.get("server").context("it has started")?;
        cri.stop_container(id, 10)
    }
}

/// Returns the id of a container's cgroup.
fn cgroup_of(container: &str) -> Result<u64> {
    let cgroup = cgroup::containing(container).into_iter().next().context("the container has no cgroup")?;
    Ok(cgroup.metadata().with_context(|| format!("cannot look at {}", cgroup.display()))?.ino())
}

/// Prints every call outside the set, by program, caller and profile.
fn print(running: &[Running<'_>], calls: &Calls, set: &BTreeSet<&str>) {
    println!("| software | container | call | by | unconfined | runtime's profile |\n|---|---|---|---|---|---|");
    for software in &ALL {
        let mut rows: BTreeMap<(&str, &str, &str), [u64; 2]> = BTreeMap::new();
        for server in running.iter().filter(|server| server.software.name == software.name) {
            for (container, (_, cgroup)) in &server.containers {
                for (comm, call, count) in
                    calls.of(*cgroup).filter(|(_, call, _)| !set.contains(call) || *call == EXCEPTION)
                {
                    let by = if is_setup(comm) { "the runtime" } else { comm };
                    rows.entry((container, call, by)).or_default()
                        [usize::from(server.seccomp != Seccomp::Unconfined)] += count;
                }
            }
        }
        for ((container, call, by), [unconfined, filtered]) in rows {
            println!("| {} | {container} | {call} | {by} | {unconfined} | {filtered} |", software.name);
        }
    }
}

/// Whether a process with this name is the runtime during container init.
fn is_setup(comm: &str) -> bool {
    comm == SETUP[0] || comm.starts_with(SETUP[1])
}
