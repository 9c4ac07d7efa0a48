//! Real servers in containers of real runtimes: how they start, which load they get, and how they reload and stop.

pub(crate) mod container;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod operations;
mod spec;

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Context, Result};

use self::load::Load;

/// A server.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) command: &'static [&'static str],
    /// User and group of its first process.
    pub(crate) user: u32,
    pub(crate) port: u16,
    pub(crate) load: Load,
    /// The signal that makes it read its configuration again. Other servers have another way, which is part of the
    /// load, or none.
    pub(crate) reload: Option<&'static str>,
    /// The signal that stops it gracefully.
    pub(crate) stop: &'static str,
}

const BUSYBOX: &str = "
    trap 'kill -HUP $child' HUP
    trap 'kill $child; exit 0' TERM
    /busybox httpd -f -p 127.0.0.1:8080 -h /srv/www &
    child=$!
    while kill -0 $child; do wait $child; done
    exit 1";
const POSTGRES: &str = "
    PATH=$PATH:/usr/lib/postgresql/15/bin
    initdb --pgdata=/tmp/data --auth=trust --no-sync --locale=C.UTF-8 >/dev/null || exit 1
    exec postgres -D /tmp/data -p 5432 -c listen_addresses=127.0.0.1 -c unix_socket_directories=/tmp \
        -c autovacuum_naptime=1s -c log_checkpoints=off";

/// All servers.
pub(crate) const ALL: [Server; 7] = [
    Server {
        name: "busybox",
        command: &["/busybox", "sh", "-c", BUSYBOX],
        user: 0,
        port: 8080,
        load: load::busybox,
        reload: Some("HUP"),
        stop: "TERM",
    },
    Server {
        name: "rust",
        command: &[crate::software::WEB_SERVER, "8080"],
        user: 1000,
        port: 8080,
        load: load::rust,
        reload: None,
        stop: "TERM",
    },
    Server {
        name: "go",
        command: &[
            "prometheus-blackbox-exporter",
            "--config.file=/srv/blackbox.yml",
            "--web.listen-address=127.0.0.1:9115",
        ],
        user: 65534,
        port: 9115,
        load: load::go,
        reload: Some("HUP"),
        stop: "TERM",
    },
    Server {
        name: "nginx",
        command: &["nginx", "-c", "/srv/nginx.conf", "-g", "daemon off;"],
        user: 0,
        port: 8080,
        load: load::nginx,
        reload: Some("HUP"),
        stop: "QUIT",
    },
    Server {
        name: "python",
        command: &["python3", "/srv/server.py"],
        user: 0,
        port: 8080,
        load: load::python,
        reload: Some("HUP"),
        stop: "TERM",
    },
    Server {
        name: "redis",
        command: &[
            "setpriv",
            "--reuid=redis",
            "--regid=redis",
            "--clear-groups",
            "redis-server",
            "--port",
            "6379",
            "--dir",
            "/tmp",
            "--appendonly",
            "yes",
            "--io-threads",
            "2",
        ],
        user: 0,
        port: 6379,
        load: load::redis,
        reload: None,
        stop: "TERM",
    },
    Server {
        name: "postgres",
        command: &["sh", "-c", POSTGRES],
        user: 101,
        port: 5432,
        load: load::postgres,
        reload: Some("HUP"),
        stop: "INT",
    },
];

/// Returns a server by its name.
pub(crate) fn named(name: &str) -> &'static Server {
    ALL.iter().find(|server| server.name == name).expect("the name is in the table")
}

/// Writes the files of the servers into their file system.
pub(crate) fn write_files(root: &Path) -> Result<()> {
    let page = "<p>A page.</p>\n".repeat(40);
    let big = "0123456789abcdef".repeat(1 << 16);
    let files = [
        ("nginx.conf", include_str!("servers/files/nginx.conf"), 0o644),
        ("blackbox.yml", include_str!("servers/files/blackbox.yml"), 0o644),
        ("server.py", include_str!("servers/files/server.py"), 0o644),
        ("www/cgi-bin/echo", include_str!("servers/files/cgi.sh"), 0o755),
        ("www/index.html", &page, 0o644),
        ("www/big", &big, 0o644),
        ("www/list/a.txt", &page, 0o644),
        ("www/list/b.txt", &big, 0o644),
        ("www/closed/a", &page, 0o644),
        ("www/secret", &page, 0o000),
    ];
    for (name, content, mode) in files {
        let path = root.join("srv").join(name);
        let cannot = || format!("cannot write {}", path.display());
        fs::create_dir_all(path.parent().with_context(cannot)?).with_context(cannot)?;
        fs::write(&path, content).with_context(cannot)?;
        fs::set_permissions(&path, Permissions::from_mode(mode)).with_context(cannot)?;
    }
    Ok(())
}
