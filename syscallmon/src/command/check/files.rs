//! Files that `run` reads and writes: configuration, policies, state, the log of violations. Files that the daemon
//! opens later are tried without capabilities, as in the daemon.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
    thread,
};

use caps::CapSet;
use exporter_web::WebConfig;
use rustix::fs::{Access, AtFlags, CWD, FlockOperation, accessat, flock};

use super::Finding::{self, Failed, Fine, Remark};
use crate::{
    alert::{self, AlertConfig, LogTarget},
    blocking::{self, FILE_TIMEOUT, Work},
    detect::Policies,
    error_report::chain,
    settings::Config,
};

/// Purpose of the files of a configuration.
pub(super) fn requirements(config: &Arc<Config>) -> Vec<(&'static str, Finding)> {
    let web = in_time(Work::WebConfig, config, web_config).unwrap_or_else(|hang| hang);
    let (policies, learns) = in_time(Work::Policy, config, policies).unwrap_or_else(|hang| (vec![hang], false));
    let state =
        in_time(Work::Baseline, config, move |config| without_capabilities(|| state(&config.state_directory, learns)));
    let log = in_time(Work::AlertLog, config, |config| without_capabilities(|| alert_log(&config.alert.log)));
    let secrets = in_time(Work::Secret, config, |config| without_capabilities(|| secrets(&config.alert)));

    let mut requirements = vec![("web config", web)];
    requirements.extend(policies.into_iter().map(|finding| ("policies", finding)));
    requirements.push(("state", state.unwrap_or_else(|hang| hang)));
    requirements.push(("alert log", log.unwrap_or_else(|hang| hang)));
    let secrets = secrets.unwrap_or_else(|hang| vec![hang]);
    requirements.extend(secrets.into_iter().map(|finding| ("alert files", finding)));
    requirements
}

/// Returns the result of a check of files, or that they hang.
fn in_time<T: Send + 'static>(
    work: Work,
    config: &Arc<Config>,
    look: impl FnOnce(&Config) -> T + Send + 'static,
) -> Result<T, Finding> {
    let config = Arc::clone(config);
    let found = blocking::run_and_wait(work, "check", FILE_TIMEOUT, move || look(&config));
    found.map_err(|error| Failed(format!("{error}: a file system may not respond")))
}

/// Runs a check without capabilities, as in the daemon after attaching. Capabilities belong to threads.
fn without_capabilities<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // A process without capabilities cannot drop any.
            let _ = caps::clear(None, CapSet::Effective);
            work()
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn web_config(config: &Config) -> Finding {
    let Some(path) = &config.web_config_file else { return Fine("none: plain HTTP without password".to_owned()) };
    match WebConfig::load(path) {
        Ok(_) => Fine(path.display().to_string()),
        Err(error) => Failed(chain(&error)),
    }
}

/// Checks the policies: their number in each file or all problems, and whether any learns.
fn policies(config: &Config) -> (Vec<Finding>, bool) {
    let loaded = config.policies.load(&Policies::default());
    let learns = loaded.policies.iter().any(|policy| policy.learn().is_some());
    let policies = match loaded.all() {
        Ok(policies) => policies,
        Err(error) => return (error.problems.iter().map(|problem| Failed(problem.to_string())).collect(), learns),
    };
    let mut origins: Vec<(&str, usize)> = Vec::new();
    for policy in policies.iter() {
        match origins.last_mut().filter(|(origin, _)| **origin == **policy.origin()) {
            Some((_, count)) => *count += 1,
            None => origins.push((policy.origin(), 1)),
        }
    }
    let listed: Vec<String> = origins.iter().map(|(origin, count)| format!("{count} ({origin})")).collect();
    let text = if listed.is_empty() { "none: all calls are expected".to_owned() } else { listed.join(", ") };
    (vec![Fine(text)], learns)
}

/// Checks the state directory. Without it, policies that learn lose their baselines; otherwise only a restart reports
/// again what continues.
fn state(directory: &Path, learns: bool) -> Finding {
    let wrong = |text: String| {
        if learns {
            Failed(text)
        } else {
            Remark(format!("{text} (no policy learns; a restart reports again what continues)"))
        }
    };
    let baselines = directory.join("baselines");
    let made = [&*baselines, directory].into_iter().find(|path| path.exists());
    let Some(made) = made else {
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        return match writable(parent) {
            Ok(()) => Fine(format!("{} will be created", directory.display())),
            Err(error) => wrong(format!(
                "cannot create {}: {error}: create it, or choose another one with --state.directory",
                directory.display()
            )),
        };
    };
    if let Err(error) = writable(made) {
        let path = made.display();
        return wrong(format!(
            "cannot write to {path}: {error}: make it writable, or choose another one with --state.directory"
        ));
    }
    for part in [baselines, directory.join("alerts")] {
        match lock(&part) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Remark(format!("{}: in use by a running syscallmon", directory.display()));
            }
            Err(error) => return wrong(format!("cannot lock {}: {error}", part.display())),
        }
    }
    Fine(directory.display().to_string())
}

/// Whether this thread may make files in a directory.
fn writable(directory: &Path) -> io::Result<()> {
    if !fs::metadata(directory)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Takes the lock of the store, and releases it.
fn lock(directory: &Path) -> io::Result<()> {
    match File::open(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => Ok(flock(opened?, FlockOperation::NonBlockingLockExclusive)?),
    }
}

fn alert_log(target: &LogTarget) -> Finding {
    let LogTarget::File(path) = target else { return Fine(target.to_string()) };
    let remedy = "choose another file with --alert.log";
    match appendable(path) {
        Ok(true) => Fine(path.display().to_string()),
        Ok(false) => Fine(format!("{} will be created", path.display())),
        Err(error) => Failed(format!("cannot write {}: {error}: {remedy}", path.display())),
    }
}

/// Whether a file exists and is writable, or could be made. Makes no file, and waits for no reader of a pipe.
fn appendable(path: &Path) -> io::Result<bool> {
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    match OpenOptions::new().append(true).custom_flags(no_wait).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            writable(parent).map(|()| false)
        }
        Err(error) => Err(error),
    }
}

/// Returns files with passwords, tokens and certificates that are not readable.
fn secrets(config: &AlertConfig) -> Vec<Finding> {
    let failed = |file: &Path| {
        let error = readable(file).err()?;
        Some(Failed(format!(
            "cannot read {}: {error}: the daemon reads this file without capabilities",
            file.display()
        )))
    };
    alert::peer_files(config).into_iter().filter_map(failed).collect()
}

/// Whether a file is readable. Waits for no writer of a pipe.
fn readable(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.file_type().is_fifo() {
        return Err(io::Error::other("is a pipe"));
    }
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(no_wait).open(path)?.read(&mut [0]).map(drop)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::*;
    use crate::{alert::Url, settings::Settings};

    fn config(directory: Option<&Path>) -> Config {
        let mut config = Config::resolve(Settings::default(), None).expect("the defaults are valid");
        config.policies.directory = directory.map(Path::to_owned);
        config
    }

    #[test]
    fn policies_are_counted_by_file() {
        assert_eq!(policies(&config(None)).0, [Fine("1 (built in)".to_owned())]);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.yaml");
        let policy = |name| format!("- {{name: {name}, match: [{{pod: a}}], allow: [read]}}\n");
        fs::write(&file, format!("policies:\n{}{}", policy("a"), policy("b"))).unwrap();
        let listed = format!("2 ({}), 1 (built in)", file.display());
        assert_eq!(policies(&config(Some(directory.path()))).0, [Fine(listed)]);
        let mut none = config(None);
        none.policies.built_in = false;
        assert_eq!(policies(&none).0, [Fine("none: all calls are expected".to_owned())]);
    }

    #[test]
    fn every_bad_policy_is_a_line_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        for file in ["a.yaml", "b.yaml"] {
            fs::write(directory.path().join(file), "policies: [{name: a, alow: []}]\n").unwrap();
        }
        let findings = policies(&config(Some(directory.path()))).0;
        assert!(findings.iter().all(|finding| matches!(finding, Failed(_))), "{findings:?}");
        let of_b = ["b.yaml:1:12: policy a: ", "b.yaml:1:22: policy a: unknown key", "b.yaml:1:12: policy a: another"];
        assert!(of_b.iter().all(|text| findings.iter().any(|finding| says(finding, text))), "{findings:#?}");
        assert_eq!(findings.len(), 5, "{findings:#?}");
    }

    fn says(finding: &Finding, text: &str) -> bool {
        let (Fine(said) | Remark(said) | Failed(said)) = finding;
        said.contains(text)
    }

    #[test]
    fn a_state_directory_is_missing_only_where_a_policy_learns() {
        let directory = tempfile::tempdir().unwrap();
        let (there, missing) = (directory.path(), Path::new("/nonexistent/state"));
        assert_eq!(state(&there.join("new"), true), Fine(format!("{} will be created", there.join("new").display())));
        let learning = state(missing, true);
        assert!(matches!(learning, Failed(_)) && says(&learning, "--state.directory"), "{learning:?}");
        assert!(matches!(state(missing, false), Remark(_)));
        assert!(matches!(state(Path::new("/dev/null"), true), Failed(_)));
        assert_eq!(state(there, true), Fine(there.display().to_string()));
        fs::create_dir(there.join("baselines")).unwrap();
        let daemon = File::open(there.join("baselines")).unwrap();
        flock(&daemon, FlockOperation::NonBlockingLockExclusive).unwrap();
        let used = state(there, true);
        assert!(matches!(used, Remark(_)) && says(&used, "in use by a running syscallmon"), "{used:?}");
    }

    #[test]
    fn a_log_is_tried_without_a_trace() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("alert.log");
        let check = |path: &Path| alert_log(&LogTarget::File(path.to_owned()));
        assert!(says(&check(&file), "will be created") && !file.exists());
        fs::write(&file, "a line\n").unwrap();
        assert_eq!(check(&file), Fine(file.display().to_string()));
        assert_eq!(fs::read_to_string(&file).unwrap(), "a line\n");
        for path in [directory.path(), Path::new("/nonexistent/alert.log")] {
            let finding = check(path);
            assert!(matches!(finding, Failed(_)) && says(&finding, "--alert.log"), "{finding:?}");
        }
    }

    #[test]
    fn files_are_tried_as_the_daemon_opens_them_without_capabilities() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        fs::write(&file, "secret").unwrap();
        let mut alert = config(None).alert;
        let url: Url = "http://localhost:9093".parse().unwrap();
        alert.alertmanager.urls = vec![url.clone(), url];
        alert.alertmanager.client_config.bearer_token_file = Some(file.clone());
        assert_eq!(without_capabilities(|| secrets(&alert)), []);
        // Root may read it while it has its capabilities.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(12345), Some(12345)).unwrap();
        assert_eq!(secrets(&alert), []);
        let findings = without_capabilities(|| secrets(&alert));
        assert!(matches!(&findings[..], [Failed(_)]) && says(&findings[0], "token: Permission denied"), "{findings:?}");
        assert_eq!(secrets(&alert), [], "this thread still has its own");
    }
}
