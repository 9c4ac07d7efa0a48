//! Parses any path of a cgroup into its identity. A seed has the paths of a whole host, in lines of `path => identity`.
//! The target reads only the path.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use syscallmon::workload::CgroupIdentity;

fuzz_target!(|host: &[u8]| {
    let host = String::from_utf8_lossy(host);
    let paths = host.lines().map(|line| line.split(" => ").next().unwrap_or(line));
    let mut previous = "";
    for path in paths {
        check(&path.into(), previous);
        previous = path;
    }
});

/// Checks the identity of a path, and of the path `below` inside it.
fn check(path: &Arc<str>, below: &str) {
    let identity = CgroupIdentity::of(path);
    if !path.starts_with('/') {
        return;
    }
    let own = identity.path();
    let rest = path.strip_prefix(own.as_ref()).expect("its path begins the path");
    assert!(rest.is_empty() || rest.starts_with('/') || own.as_ref() == "/", "{own:?} of {path:?} ends within a name");
    assert_eq!(CgroupIdentity::of(own), identity, "{path:?}");
    if let CgroupIdentity::Container { id, .. } = &identity {
        assert!(id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id:?}");
        let inside = format!("{own}/{below}");
        assert_eq!(CgroupIdentity::of(&inside.as_str().into()), identity, "{inside:?}");
    }
    let is_users = path.starts_with("/user.slice/");
    assert!(!is_users || matches!(identity, CgroupIdentity::Cgroup(_)), "{path:?} is a user's");
}
