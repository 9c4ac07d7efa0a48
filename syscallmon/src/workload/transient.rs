//! Groups of transient units, which get a new name for each session, run or connection.
//!
//! `*` replaces a generated name: `session-12.scope` is in the group `session-*.scope` of its slice. The path above the
//! unit stays, so a group has members below one parent only, and only processes that may make cgroups there can join
//! it. systemd allows no `*` in names of units. A cgroup that was made by hand with such a name counts for the group.
//! Pure.

/// Forms of generated names, one row each.
const UNIT_NAME_FORMS: &[UnitNameForm] = &[
    // systemd-logind: the kernel's audit session, or `c` and a counter.
    UnitNameForm { prefix: "session-", suffix: ".scope", generated: Generated::All(is_session) },
    // systemd-run: `u` and a bus name, `r` and a random number, `p` and a pid (257), or a pid (before 218).
    UnitNameForm { prefix: "run-", suffix: ".scope", generated: Generated::All(is_run) },
    UnitNameForm { prefix: "run-", suffix: ".service", generated: Generated::All(is_run) },
    // Desktops: https://systemd.io/DESKTOP_ENVIRONMENTS/, and GNOME and Flatpak before that was written.
    UnitNameForm { prefix: "app-", suffix: ".scope", generated: Generated::After(&["-"], is_random) },
    UnitNameForm { prefix: "app-", suffix: ".service", generated: Generated::After(&["@"], is_random) },
    UnitNameForm { prefix: "gnome-launched-", suffix: ".scope", generated: Generated::After(&["-"], is_random) },
    UnitNameForm { prefix: "flatpak-", suffix: ".scope", generated: Generated::After(&["-"], is_random) },
    // dbus-broker: `dbus-:1.2-org.example.Name@0.service`, by a counter.
    UnitNameForm { prefix: "dbus-:", suffix: ".service", generated: Generated::After(&["@"], is_number) },
    // Terminals.
    UnitNameForm { prefix: "vte-spawn-", suffix: ".scope", generated: Generated::All(is_uuid) },
    UnitNameForm { prefix: "ptyxis-spawn-", suffix: ".scope", generated: Generated::All(is_uuid) },
    UnitNameForm { prefix: "tmux-spawn-", suffix: ".scope", generated: Generated::All(is_uuid) },
    // snapd: `snap.NAME.APP-UUID.scope`, with a dot before 2.62.
    UnitNameForm { prefix: "snap.", suffix: ".scope", generated: Generated::After(&["-", "."], is_uuid) },
    // Podman itself without root, which leaves the session's scope. Its containers are `libpod-ID`.
    UnitNameForm { prefix: "podman-", suffix: ".scope", generated: Generated::All(is_number) },
    UnitNameForm { prefix: "podman-pause-", suffix: ".scope", generated: Generated::All(is_random) },
    // Sockets with `Accept=yes`, such as `sshd@0-10.0.0.1:22-10.0.0.2:50000.service`.
    UnitNameForm { prefix: "", suffix: ".service", generated: Generated::After(&["@"], is_connection) },
];

/// A form of generated names: those that one program gives its units.
struct UnitNameForm {
    prefix: &'static str,
    suffix: &'static str,
    generated: Generated,
}

/// The generated part of a name between prefix and suffix.
enum Generated {
    /// The whole part.
    All(fn(&str) -> bool),
    /// The part after one of these separators.
    After(&'static [&'static str], fn(&str) -> bool),
}

/// Returns the group of a unit with a generated name.
pub(super) fn group(unit: &str) -> Option<String> {
    UNIT_NAME_FORMS.iter().find_map(|form| form.group(unit))
}

impl UnitNameForm {
    fn group(&self, unit: &str) -> Option<String> {
        let Self { prefix, suffix, generated } = self;
        let middle = unit.strip_prefix(prefix)?.strip_suffix(suffix)?;
        let kept = match generated {
            Generated::All(is_generated) => is_generated(middle).then_some("")?,
            Generated::After(separators, is_generated) => {
                // UUIDs have dashes, too, so the longest end that fits is used.
                let ends = separators.iter().flat_map(|separator| middle.match_indices(separator));
                let begins = ends.map(|(end, separator)| end + separator.len());
                let begin = begins.filter(|&begin| begin > 1 && is_generated(&middle[begin..])).min()?;
                &middle[..begin]
            }
        };
        Some(format!("{prefix}{kept}*{suffix}"))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a text is a pid, a counter, or a random number; words such as `face` are not.
fn is_random(text: &str) -> bool {
    is_number(text)
        || is_uuid(text)
        || text.len() >= 4 && is_hex(text) && text.bytes().any(|byte| byte.is_ascii_digit())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_session(text: &str) -> bool {
    is_number(text.strip_prefix('c').unwrap_or(text))
}

fn is_run(text: &str) -> bool {
    let is_process = |text: &str| match text.split_once("-i") {
        Some((pid, inode)) => is_number(pid) && is_number(inode),
        None => is_number(text),
    };
    is_number(text)
        || text.strip_prefix('u').is_some_and(is_number)
        || text.strip_prefix('r').is_some_and(is_random)
        || text.strip_prefix('p').is_some_and(is_process)
}

/// Whether a text is a counter and both ends of a connection, or a counter, pid and uid of a local peer.
fn is_connection(text: &str) -> bool {
    let Some((_, peer)) = text.split_once('-').filter(|(counter, _)| is_number(counter)) else { return false };
    let is_end = |text: &str| {
        let address =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit() || b".:[]".contains(&b));
        text.rsplit_once(':').is_some_and(|(host, port)| address(host) && is_number(port))
    };
    let is_pid = |text: &str| is_number(text.split_once('_').map_or(text, |(pid, _)| pid));
    match peer.split_once('-') {
        Some((local, remote)) => is_end(local) && is_end(remote) || is_pid(local) && is_number(remote),
        None => peer == "unknown",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn generated_names_are_grouped() {
        let uuid = "21527424-cb2d-479f-af17-22251e2b37a0";
        for (unit, expected) in [
            ("session-12.scope", "session-*.scope"),
            ("session-c3.scope", "session-*.scope"),
            ("run-r9f86d081884c7d659a2feaa0c55ad015.scope", "run-*.scope"),
            ("run-r0123.scope", "run-*.scope"),
            ("run-u12.service", "run-*.service"),
            ("run-p4242-i5151.service", "run-*.service"),
            ("run-4242.scope", "run-*.scope"),
            ("app-gnome-firefox-4242.scope", "app-gnome-firefox-*.scope"),
            ("app-org.kde.konsole-9d2c1ed3c6d4480f8bfd4d29a1bb96cf.scope", "app-org.kde.konsole-*.scope"),
            ("app-org.kde.konsole@9d2c1ed3c6d4480f8bfd4d29a1bb96cf.service", "app-org.kde.konsole@*.service"),
            (
                "gnome-launched-org.gnome.Terminal.desktop-47296.scope",
                "gnome-launched-org.gnome.Terminal.desktop-*.scope",
            ),
            ("dbus-:1.2-org.gnome.Nautilus@250.service", "dbus-:1.2-org.gnome.Nautilus@*.service"),
            (&format!("vte-spawn-{uuid}.scope"), "vte-spawn-*.scope"),
            (&format!("snap.firefox.firefox-{uuid}.scope"), "snap.firefox.firefox-*.scope"),
            (&format!("snap.firefox.firefox.{uuid}.scope"), "snap.firefox.firefox.*.scope"),
            ("podman-4242.scope", "podman-*.scope"),
            ("podman-pause-55177911.scope", "podman-pause-*.scope"),
            ("sshd@0-10.0.0.1:22-10.0.0.2:50000.service", "sshd@*.service"),
            ("sshd@12-[::1]:22-[fe80::1]:50000.service", "sshd@*.service"),
            ("systemd-coredump@3-4242-0.service", "systemd-coredump@*.service"),
            ("varlink@3-4242_99-0.service", "varlink@*.service"),
        ] {
            assert_eq!(group(unit).as_deref(), Some(expected), "{unit}");
        }
    }

    #[test]
    fn names_that_people_give_are_not() {
        let id = "a1".repeat(32);
        for unit in [
            "init.scope",
            "cron.service",
            "getty@tty1.service",
            "worker@1.service",
            "postgresql@15-main.service",
            "redis@6379-1.service",
            "user@1000.service",
            "session-12.service",
            "session-.scope",
            "session-*.scope",
            "session-12a.scope",
            "run-backup.service",
            "run-r.scope",
            "run-race.service",
            "app-firefox@autostart.service",
            "app-2048.service",
            "app-editor.scope",
            "snap.docker.dockerd.service",
            "systemd-nspawn@web.service",
            "machine-qemu\\x2d1\\x2dvm.scope",
            "0a1b2c3d-cb2d-479f-af17-22251e2b37a0.web.scope",
            &format!("libpod-{id}.scope"),
            &format!("docker-{id}.scope"),
            &format!("{id}.scope"),
            &format!("{id}.service"),
        ] {
            assert_eq!(group(unit), None, "{unit}");
        }
    }

    proptest! {
        #[test]
        fn a_group_is_in_no_group(unit in "(session-|run-|app-|snap\\.|dbus-:)?(\\PC|[-@.0-9a-f]){0,40}\\.(scope|service)") {
            if let Some(group) = group(&unit) {
                prop_assert!(group.contains('*'));
                prop_assert_eq!(super::group(&group), None);
            }
        }
    }
}
