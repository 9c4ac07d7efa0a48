//! Reads the filter of a systemd unit (systemd.exec(5), `SystemCallFilter=`) as a profile.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    seccomp::architecture,
    syscalls::{CallTable, errno, names, sets},
};

/// Maximum error number that has a name.
const MAX_NAMED_ERRNO: u16 = 255;

/// A drop-in that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DropInError {
    /// The last `SystemCallFilter=` is empty, and resets what was before it.
    #[error("SystemCallFilter= is empty: the unit has no filter")]
    NoFilter,
    /// A set that systemd does not have.
    #[error("systemd has no set {0}")]
    UnknownSet(String),
    /// Neither an error number, its name, nor `kill`.
    #[error("{0} is no error number")]
    UnknownErrno(String),
    /// An architecture that has no table of calls here.
    #[error("calls of the architecture {0} are not known")]
    UnknownArchitecture(String),
}

/// The filter of a unit.
#[derive(Default)]
struct Filter {
    /// Whether the listed calls are those that it allows. The first assignment decides.
    allows: Option<bool>,
    /// The listed calls, and the error number that each has itself.
    calls: BTreeMap<String, Option<String>>,
    errno: String,
    abis: BTreeSet<&'static str>,
}

/// Whether a text is the drop-in of a unit with a filter.
#[must_use]
pub fn is_drop_in(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with("SystemCallFilter="))
}

/// Returns the filter of a drop-in as a document of OCI, for the architecture of this host.
///
/// # Errors
///
/// When systemd would ignore the filter, or a part of it.
pub fn read_drop_in(text: &str) -> Result<Value, DropInError> {
    let mut filter = Filter::default();
    for line in text.replace("\\\n", " ").lines() {
        match line.trim().split_once('=') {
            Some(("SystemCallFilter", value)) => filter.assign(value.trim())?,
            Some(("SystemCallErrorNumber", value)) => value.trim().clone_into(&mut filter.errno),
            Some(("SystemCallArchitectures", value)) => filter.architectures(value)?,
            // Comments, sections, and other settings.
            _ => {}
        }
    }
    filter.document()
}

impl Filter {
    /// Adds calls, or removes them if the list is of the other kind.
    fn assign(&mut self, value: &str) -> Result<(), DropInError> {
        let (allows, listed) = value.strip_prefix('~').map_or((true, value), |listed| (false, listed));
        if listed.is_empty() {
            (self.allows, self.calls) = (None, BTreeMap::new());
            return Ok(());
        }
        if self.allows.is_none() {
            self.allows = Some(allows);
            if allows {
                self.list("@default", None, true)?;
            }
        }
        for name in listed.split_whitespace() {
            let (name, errno) = name.split_once(':').map_or((name, None), |(name, errno)| (name, Some(errno)));
            self.list(name, errno, self.allows == Some(allows))?;
        }
        Ok(())
    }

    fn list(&mut self, name: &str, errno: Option<&str>, is_added: bool) -> Result<(), DropInError> {
        let calls = if name.starts_with('@') {
            let mut members = sets::members(name).ok_or_else(|| DropInError::UnknownSet(name.to_owned()))?;
            // systemd leaves out calls of other architectures.
            members.retain(|name| names::system_calls().contains(name));
            members
        } else {
            vec![name]
        };
        for name in calls {
            if is_added {
                self.calls.insert(name.to_owned(), errno.map(str::to_owned));
            } else {
                self.calls.remove(name);
            }
        }
        Ok(())
    }

    fn architectures(&mut self, value: &str) -> Result<(), DropInError> {
        for name in value.split_whitespace() {
            let abi = match name {
                "native" => CallTable::native().native_abi(),
                "x86-64" => "x86_64",
                "x86" => "ia32",
                "x32" => "x32",
                "arm64" => "aarch64",
                "arm" => "aarch32",
                _ => return Err(DropInError::UnknownArchitecture(name.to_owned())),
            };
            self.abis.insert(abi);
        }
        Ok(())
    }

    fn document(mut self) -> Result<Value, DropInError> {
        let allows = self.allows.ok_or(DropInError::NoFilter)?;
        if self.abis.is_empty() {
            // systemd installs a filter for each ABI of the kernel.
            self.abis = CallTable::native().abis().filter(|abi| architecture(abi).is_some()).collect();
        }
        let architectures: Vec<&str> = self.abis.iter().filter_map(|abi| Some(architecture(abi)?.seccomp)).collect();
        let mut rules = Vec::new();
        for (name, own) in &self.calls {
            let mut rule = match own {
                None if allows => json!({"action": "SCMP_ACT_ALLOW"}),
                own => action(own.as_ref().unwrap_or(&self.errno), "action", "errnoRet")?,
            };
            rule["names"] = json!([name]);
            rules.push(rule);
        }
        let mut document = if allows {
            action(&self.errno, "defaultAction", "defaultErrnoRet")?
        } else {
            json!({"defaultAction": "SCMP_ACT_ALLOW"})
        };
        document["architectures"] = json!(architectures);
        document["syscalls"] = json!(rules);
        Ok(document)
    }
}

/// Returns what happens to a call that is not allowed: an error, or the end of the process.
fn action(errno: &str, action: &str, number: &str) -> Result<Value, DropInError> {
    if matches!(errno, "" | "kill") {
        return Ok(json!({action: "SCMP_ACT_KILL_PROCESS"}));
    }
    let named = || (1..=MAX_NAMED_ERRNO).find(|&number| errno::name(number) == Some(errno));
    let found = errno.parse().ok().or_else(named).ok_or_else(|| DropInError::UnknownErrno(errno.to_owned()))?;
    Ok(json!({action: "SCMP_ACT_ERRNO", number: found}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        profile::format::{Format, tests},
        seccomp::Profile,
    };

    fn allows(text: &str, call: &str) -> bool {
        let profile = Profile::from_value(read_drop_in(text).unwrap()).unwrap();
        let native = CallTable::native().native_abi();
        profile.decide(native, native, call, &[0; 6]).allows()
    }

    #[test]
    fn what_syscallmon_writes_is_read_as_it_was_meant() {
        let text = tests::text(Format::Systemd, &tests::evidence("web"));
        assert!(is_drop_in(&text) && !is_drop_in("{\"defaultAction\": \"SCMP_ACT_ALLOW\"}"));
        assert!(allows(&text, "openat") && allows(&text, "exit_group") && !allows(&text, "mount"));
        let document = read_drop_in(&text).unwrap();
        assert_eq!((&document["defaultAction"], &document["defaultErrnoRet"]), (&json!("SCMP_ACT_ERRNO"), &json!(1)));
        assert_eq!(document["architectures"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn lists_are_read_as_systemd_reads_them() {
        // A list of allowed calls has those of @default, and `~` takes calls away.
        let allowed = "[Service]\nSystemCallFilter=~read\nSystemCallFilter=\nSystemCallFilter=@file-system \\\n  bpf\n\
                       SystemCallFilter=~mkdir bpf\n";
        for (call, expected) in [("openat", true), ("nanosleep", true), ("mkdirat", true), ("bpf", false)] {
            assert_eq!(allows(allowed, call), expected, "{call}");
        }
        // The first list decides what the default is.
        let denied = "SystemCallFilter=~@mount ptrace:EPERM\nSystemCallFilter=umount2\n";
        for (call, expected) in [("read", true), ("mount", false), ("ptrace", false), ("umount2", true)] {
            assert_eq!(allows(denied, call), expected, "{call}");
        }
        let document = read_drop_in(denied).unwrap().to_string();
        assert!(document.contains("SCMP_ACT_KILL_PROCESS") && document.contains("\"errnoRet\":1"), "{document}");
    }

    #[test]
    fn mistakes_are_told() {
        for (text, message) in [
            ("SystemCallFilter=read\nSystemCallFilter=\n", "no filter"),
            ("SystemCallFilter=@typo\n", "systemd has no set @typo"),
            ("SystemCallFilter=read\nSystemCallErrorNumber=ETYPO\n", "ETYPO is no error number"),
            ("SystemCallFilter=read\nSystemCallArchitectures=mips\n", "architecture mips"),
        ] {
            let error = read_drop_in(text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
