//! Reads policies from the configuration and a directory, with the seccomp profiles that they name, and finds changes
//! of these files. All access to files of policies is here. Reads are bounded and may block, so only threads that no
//! other task waits for call this module.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::policy_list::{self, OtherKeys, PolicyItems};
use crate::{
    blocking::{self, BlockingError, FILE_TIMEOUT, Work},
    detect::{
        FileSize, Mistake, Policies, PolicyError, PolicyFile, PolicyMistake, Position, ProfilePath, Source,
        file_to_refuse,
    },
    files::{self, FileStamp},
    privileges,
    seccomp::{Profile, ProfileError},
    syscalls::CallTable,
};

/// All files of policies are one job.
pub const POLICY_WORK: &str = "policies";

/// Maximum size of a file.
const MAX_BYTES: u64 = 1 << 20;

/// Maximum number of files that are read from the directory: the first by name.
const MAX_FILES: usize = 1000;

/// Where policies come from, in order of precedence. The built-in one comes last.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySources {
    /// Whether the built-in policy is used.
    pub built_in: bool,
    /// Whether calls of container init may look like the container's own.
    pub mixes_container_init: bool,
    /// Policies in the configuration file.
    pub configured: PolicyItems,
    /// The configuration file, if it has policies.
    pub file: Option<PathBuf>,
    /// Directory of files with policies.
    pub directory: Option<PathBuf>,
    /// Whether one bad policy makes all policies fail.
    pub strict: bool,
}

impl PolicySources {
    /// Returns sources without any policy.
    #[must_use]
    pub fn none() -> Self {
        let configured = PolicyItems::default();
        Self { built_in: false, mixes_container_init: false, configured, file: None, directory: None, strict: false }
    }
}

/// Policies that were read, and their files.
#[derive(Debug)]
pub struct LoadedPolicies {
    /// Valid policies.
    pub policies: Policies,
    /// Problems with the others.
    pub problems: Vec<PolicyProblem>,
    /// State of the files, to find changes. Also kept for files that could not be read.
    pub files: PolicyFileStamps,
}

/// State of files when they were read.
#[derive(Debug, Default, PartialEq)]
pub struct PolicyFileStamps(Vec<(PathBuf, Option<FileStamp>)>);

/// All problems with the policies.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct PoliciesError {
    /// At least one problem.
    pub problems: Vec<PolicyProblem>,
}

/// A problem with a policy or its file.
#[derive(Debug, thiserror::Error)]
pub enum PolicyProblem {
    /// A file or the directory cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Reading them takes too long.
    #[error("reading policy files timed out: {source}")]
    Hang {
        /// The timeout.
        source: BlockingError,
    },
    /// A path of a policy file is not a file.
    #[error("{path} is not a file", path = path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// A file is too large.
    #[error("{path} exceeds {MAX_BYTES} bytes", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// There are too many files.
    #[error("{path} contains {count} policy files: only the first {MAX_FILES} by name are read", path = path.display())]
    TooManyFiles {
        /// The directory.
        path: PathBuf,
        /// The number of files.
        count: usize,
    },
    /// A mistake in a policy, or the rest of a file cannot be parsed.
    #[error("{origin}:{mistake}")]
    Parse {
        /// The file.
        origin: Arc<str>,
        /// The mistake, with line and column.
        mistake: Mistake,
    },
    /// A seccomp profile of a policy cannot be used.
    #[error("{origin}:{at}: {source}")]
    ProfileOf {
        /// The file of the policy.
        origin: Arc<str>,
        /// Where the profile is named.
        at: Position,
        /// The cause.
        source: Box<Self>,
    },
    /// A file is not a seccomp profile.
    #[error("{path} is not a seccomp profile in the format of OCI or Docker: {source}", path = path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// The mistake, with line and column.
        source: ProfileError,
    },
    /// A policy is not in force because of other policies.
    #[error("{}{}: {}", .0.origin, .0.at.map_or_else(String::new, |at| format!(":{at}")), .0.error)]
    Policy(PolicyMistake),
}

/// State of a reading.
#[derive(Default)]
struct Reading {
    files: Vec<PolicyFile>,
    watched: PolicyFileStamps,
    problems: Vec<PolicyProblem>,
}

impl PolicySources {
    /// Reads everything. A problem with one file keeps no other file from being in force. A file with a problem keeps
    /// the policies that it had `before`.
    #[must_use]
    pub fn load(&self, before: &Policies) -> LoadedPolicies {
        let mut reading = Reading::default();
        reading.add(self.configured.clone(), self.file.as_deref());
        if let Some(directory) = &self.directory {
            reading.directory(directory, before);
        }
        let loaded = reading.loaded(self.built_in, before, &CallTable::native());
        let mixes = |policies: Policies| {
            if self.mixes_container_init { policies.mixing_container_init() } else { policies }
        };
        LoadedPolicies { policies: mixes(loaded.policies), ..loaded }
    }
}

impl LoadedPolicies {
    /// Reads these policy files, directories of policy files, and configuration files, as at a start. `table` has the
    /// calls that are judged. The built-in policy comes last.
    #[must_use]
    pub fn of_paths(paths: &[PathBuf], table: &CallTable) -> Self {
        let mut reading = Reading::default();
        for path in paths {
            if path.is_dir() {
                reading.directory(path, &Policies::default());
            } else {
                reading.file(path, OtherKeys::Settings);
            }
        }
        reading.loaded(true, &Policies::default(), table)
    }
}

impl PolicySources {
    /// Does the same at a start, when no other task waits. While the files hang, only the built-in policy is in force.
    #[must_use]
    pub fn load_at_start(&self) -> LoadedPolicies {
        let sources = self.clone();
        let load = move || {
            // A process can always drop more capabilities after it dropped some.
            let _ = privileges::keep_for_files();
            sources.load(&Policies::default())
        };
        blocking::run_and_wait(Work::Policy, POLICY_WORK, FILE_TIMEOUT, load).unwrap_or_else(|source| {
            let without_files = Self { configured: PolicyItems::default(), directory: None, ..self.clone() };
            let files =
                PolicyFileStamps::unread(self.directory.as_deref().or(self.file.as_deref()).unwrap_or(Path::new("/")));
            let problems = vec![PolicyProblem::Hang { source }];
            LoadedPolicies { problems, files, ..without_files.load(&Policies::default()) }
        })
    }
}

impl LoadedPolicies {
    /// Returns the policies, if all of them are valid.
    ///
    /// # Errors
    ///
    /// Contains all problems.
    pub fn all(self) -> Result<Policies, PoliciesError> {
        if self.problems.is_empty() { Ok(self.policies) } else { Err(PoliciesError { problems: self.problems }) }
    }
}

/// Maximum problems that the daemon logs at once. `syscallmon check` prints all.
const MAX_LOGGED: usize = 100;

/// Logs problems, each in a line.
pub fn log_problems(problems: &[PolicyProblem]) {
    for problem in problems.iter().take(MAX_LOGGED) {
        tracing::error!("invalid policy: {problem}");
    }
    if problems.len() > MAX_LOGGED {
        let omitted = problems.len() - MAX_LOGGED;
        tracing::error!(omitted, "invalid policy: more problems; syscallmon check prints all");
    }
}

impl PolicyProblem {
    fn is_of_largest_file(&self, file: &Arc<str>) -> bool {
        matches!(self, Self::Policy(PolicyMistake { origin, error: PolicyError::LargestFile(_), .. }) if origin == file)
    }
}

impl PolicyFileStamps {
    /// Whether a file has changed, by its metadata alone.
    #[must_use]
    pub fn have_changed(&self) -> bool {
        self.0.iter().any(|(path, then)| stamp(path) != *then)
    }

    /// A file that was never read counts as changed.
    fn unread(path: &Path) -> Self {
        Self(vec![(path.to_owned(), Some(FileStamp::NONE))])
    }

    /// Taken before the file is read, so a change during the read is found.
    fn watch(&mut self, path: &Path) {
        self.0.push((path.to_owned(), stamp(path)));
    }
}

fn stamp(path: &Path) -> Option<FileStamp> {
    fs::metadata(path).ok().map(|metadata| FileStamp::from(&metadata))
}

impl Reading {
    /// Returns the policies that are to be in force. Those from `before` can stay.
    fn loaded(self, built_in: bool, before: &Policies, table: &CallTable) -> LoadedPolicies {
        let Self { files: read, watched: files, mut problems } = self;
        let (policies, mistakes) = Policies::from_files(read, built_in, before, table);
        for mistake in mistakes {
            // A file that was too large is too large again with the policies that it keeps.
            let is_known = |problem: &PolicyProblem| problem.is_of_largest_file(&mistake.origin);
            if !matches!(mistake.error, PolicyError::LargestFile(_)) || !problems.iter().any(is_known) {
                problems.push(PolicyProblem::Policy(mistake));
            }
        }
        LoadedPolicies { policies, problems, files }
    }

    fn directory(&mut self, directory: &Path, before: &Policies) {
        self.watched.watch(directory);
        let (files, problem) = files_in(directory);
        for file in &files {
            self.file(file, OtherKeys::Refused);
        }
        if let Some(problem) = problem {
            self.problems.push(problem);
            // Files that were not read keep their policies.
            self.files.extend(unread_files(directory, &files, before));
        }
    }

    fn file(&mut self, path: &Path, other_keys: OtherKeys) {
        self.watched.watch(path);
        match read(path) {
            Ok(text) => self.add(policy_list::read(&text, other_keys), Some(path)),
            Err(problem) => {
                self.problems.push(problem);
                self.files.push(without_policies(origin(Some(path))));
            }
        }
    }

    /// Adds the policies of one file, with the profiles that they name.
    fn add(&mut self, items: PolicyItems, file: Option<&Path>) {
        let PolicyItems { valid, mut invalid, mistakes } = items;
        let origin = origin(file);
        let directory = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let mut is_whole = mistakes.is_empty();
        let mut sources = Vec::new();
        let mistake = |mistake| PolicyProblem::Parse { origin: Arc::clone(&origin), mistake };
        self.problems.extend(mistakes.into_iter().map(mistake));
        for spec in valid {
            let profile = |profile: &ProfilePath| {
                let read = self.profile(&directory.join(&profile.path));
                read.map_err(|source| PolicyProblem::ProfileOf {
                    origin: Arc::clone(&origin),
                    at: profile.at,
                    source: Box::new(source),
                })
            };
            let (profiles, wrong): (Vec<_>, Vec<_>) = spec.seccomp.iter().map(profile).partition(Result::is_ok);
            // Without one of its profiles, a policy would report calls that it expects.
            if wrong.is_empty() {
                let profiles = profiles.into_iter().flatten().collect();
                sources.push(Source { spec, profiles, origin: Arc::clone(&origin) });
            } else {
                is_whole = false;
                invalid.push(spec.declared());
            }
            self.problems.extend(wrong.into_iter().filter_map(Result::err));
        }
        self.files.push(PolicyFile { origin, sources, invalid, is_whole });
        self.refuse_largest_files();
    }

    fn profile(&mut self, path: &Path) -> Result<Profile, PolicyProblem> {
        self.watched.watch(path);
        let parse = |json: String| {
            Profile::parse(&json).map_err(|source| PolicyProblem::Profile { path: path.to_owned(), source })
        };
        read(path).and_then(parse)
    }

    /// Enforces the limits while files are still being read. The order of files makes no difference.
    fn refuse_largest_files(&mut self) {
        let mut sizes: Vec<FileSize> = self.files.iter().map(PolicyFile::size).collect();
        while let Some(at) = file_to_refuse(&sizes) {
            let size = mem::take(&mut sizes[at]);
            let file = &mut self.files[at];
            file.refuse();
            let (origin, error) = (Arc::clone(&file.origin), PolicyError::LargestFile(size));
            self.problems.push(PolicyProblem::Policy(PolicyMistake { origin, at: None, error }));
        }
    }
}

/// Returns the name of a file in violations and messages.
fn origin(file: Option<&Path>) -> Arc<str> {
    file.map_or_else(|| "the configuration".into(), |file| file.display().to_string().into())
}

/// Returns the files of a directory that were not read, if policies in force are from them.
fn unread_files(directory: &Path, read: &BTreeSet<PathBuf>, before: &Policies) -> Vec<PolicyFile> {
    let mut origins: Vec<&Arc<str>> = before.iter().map(|policy| policy.origin()).collect();
    origins.retain(|origin| Path::new(&***origin).starts_with(directory) && !read.contains(Path::new(&***origin)));
    origins.dedup();
    origins.into_iter().map(|origin| without_policies(Arc::clone(origin))).collect()
}

/// Returns a file that could not be read.
fn without_policies(origin: Arc<str>) -> PolicyFile {
    PolicyFile { origin, sources: Vec::new(), invalid: Vec::new(), is_whole: false }
}

/// Returns the policy files of a directory, at most [`MAX_FILES`], and a problem if there are more. Files that begin
/// with a dot belong to editors, or to the mount of a `ConfigMap`.
fn files_in(directory: &Path) -> (BTreeSet<PathBuf>, Option<PolicyProblem>) {
    let is_policy = |path: &PathBuf| {
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !is_hidden && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
    };
    let path = || directory.to_owned();
    let (mut files, mut count) = (BTreeSet::new(), 0);
    let entries = fs::read_dir(directory).and_then(|mut entries| {
        entries.try_for_each(|entry| {
            if let Some(file) = Some(entry?.path()).filter(is_policy) {
                count += 1;
                files.insert(file);
            }
            if files.len() > MAX_FILES {
                files.pop_last();
            }
            Ok(())
        })
    });
    let problem = match entries {
        Err(source) => Some(PolicyProblem::Read { path: path(), source }),
        Ok(()) => (count > MAX_FILES).then(|| PolicyProblem::TooManyFiles { path: path(), count }),
    };
    (files, problem)
}

/// Returns the text of a file. Opens regular files only, because a pipe may block for ever.
fn read(path: &Path) -> Result<String, PolicyProblem> {
    let failed = |source| PolicyProblem::Read { path: path.to_owned(), source };
    // This check makes the message. A file that appears later is still refused by `open`.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(PolicyProblem::NoFile { path: path.to_owned() });
    }
    let mut text = String::new();
    let mut limited = files::open(path).map_err(failed)?.take(MAX_BYTES + 1);
    limited.read_to_string(&mut text).map_err(failed)?;
    if limited.limit() == 0 { Err(PolicyProblem::TooLarge { path: path.to_owned() }) } else { Ok(text) }
}
