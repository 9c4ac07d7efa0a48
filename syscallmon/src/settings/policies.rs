//! Reads policies, from the configuration and a directory, with the seccomp profiles that they name; and tells
//! when files changed.
//!
//! The only place of policies that touches files. Reads are bounded, but block: not for a thread that others wait for.

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
    detect::{FileSize, Policies, PolicyError, PolicyFile, Profile, Source, file_to_refuse},
    files::{self, FileStamp},
    privileges,
    syscalls::CallTable,
};

/// All files of policies are one job.
pub const POLICY_WORK: &str = "policies";

/// No file that is read is larger.
const MAX_BYTES: u64 = 1 << 20;

/// Maximum number of files that are read from the directory: the first by name.
const MAX_FILES: usize = 1000;

/// Where policies are written, in the order in which they are asked; the built-in one comes last.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySources {
    /// Whether there is the built-in policy.
    pub built_in: bool,
    /// Whether calls that a runtime makes to set a container up may look like the container's own.
    pub mixes_container_init: bool,
    /// Those in the configuration file.
    pub configured: PolicyItems,
    /// That file, where there are any.
    pub file: Option<PathBuf>,
    /// Where files with more are.
    pub directory: Option<PathBuf>,
    /// Whether one bad policy is enough to refuse all.
    pub strict: bool,
}

impl PolicySources {
    /// Those of whoever judges nothing.
    #[must_use]
    pub fn none() -> Self {
        let configured = PolicyItems::default();
        Self { built_in: false, mixes_container_init: false, configured, file: None, directory: None, strict: false }
    }
}

/// What was read, and from which files.
#[derive(Debug)]
pub struct LoadedPolicies {
    /// Those that can be in force.
    pub policies: Policies,
    /// What is wrong with the others.
    pub problems: Vec<PolicyProblem>,
    /// To know when it is time to read again, also where it failed.
    pub files: PolicyFileStamps,
}

/// Files as they were when they were read.
#[derive(Debug, Default, PartialEq)]
pub struct PolicyFileStamps(Vec<(PathBuf, Option<FileStamp>)>);

/// All that is wrong with the policies.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct PoliciesError {
    /// At least one.
    pub problems: Vec<PolicyProblem>,
}

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum PolicyProblem {
    /// A file or the directory cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading them takes too long.
    #[error("reading policy files timed out: {source}")]
    Hang {
        /// How long.
        source: BlockingError,
    },
    /// Something else has a file's place.
    #[error("{path} is not a file", path = path.display())]
    NoFile {
        /// Where.
        path: PathBuf,
    },
    /// A file is too large.
    #[error("{path} exceeds {MAX_BYTES} bytes", path = path.display())]
    TooLarge {
        /// Which.
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
    /// A policy cannot be read, or a file not to its end.
    #[error("{origin}: {message}")]
    Parse {
        /// The file.
        origin: Arc<str>,
        /// What is wrong, with line and column.
        message: String,
    },
    /// A seccomp profile is none.
    #[error("{path} is not a seccomp profile in the format of OCI or Docker: {source}", path = path.display())]
    Profile {
        /// Which.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A policy cannot be.
    #[error("{origin}: {source}")]
    Policy {
        /// The file that it is in.
        origin: Arc<str>,
        /// Why.
        source: PolicyError,
    },
}

/// What a reading has come to.
#[derive(Default)]
struct Reading {
    files: Vec<PolicyFile>,
    watched: PolicyFileStamps,
    problems: Vec<PolicyProblem>,
}

impl PolicySources {
    /// Reads everything. What is wrong in one place does not keep the rest from being in force; where something is
    /// wrong with a file, the policies that it had `before` stay.
    #[must_use]
    pub fn load(&self, before: &Policies) -> LoadedPolicies {
        let mut reading = Reading::default();
        reading.add(self.configured.clone(), self.file.as_deref());
        if let Some(directory) = &self.directory {
            reading.directory(directory, before);
        }
        let Reading { files: read, watched: files, mut problems } = reading;
        let (policies, errors) = Policies::from_files(read, self.built_in, before, &CallTable::native());
        let policies = if self.mixes_container_init { policies.mixing_container_init() } else { policies };
        for (origin, source) in errors {
            // A file that was too large when it was read is it once more by what stays of it.
            let is_known = |problem: &PolicyProblem| problem.is_of_largest_file(&origin);
            if !matches!(source, PolicyError::LargestFile(_)) || !problems.iter().any(is_known) {
                problems.push(PolicyProblem::Policy { origin, source });
            }
        }
        LoadedPolicies { policies, problems, files }
    }
}

impl PolicySources {
    /// The same at a start, where nobody else waits. While the files hang, only the built-in policy is in force.
    #[must_use]
    pub fn load_at_start(&self) -> LoadedPolicies {
        let sources = self.clone();
        let load = move || {
            // Whoever drops capabilities can always drop more.
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
    /// The policies, if nothing is wrong with any of them.
    ///
    /// # Errors
    ///
    /// All that is wrong.
    pub fn all(self) -> Result<Policies, PoliciesError> {
        if self.problems.is_empty() { Ok(self.policies) } else { Err(PoliciesError { problems: self.problems }) }
    }
}

impl PolicyProblem {
    fn is_of_largest_file(&self, file: &Arc<str>) -> bool {
        matches!(self, Self::Policy { origin, source: PolicyError::LargestFile(_) } if origin == file)
    }
}

impl PolicyFileStamps {
    /// Whether any of them is not what it was. Looks at no file's content.
    #[must_use]
    pub fn have_changed(&self) -> bool {
        self.0.iter().any(|(path, then)| stamp(path) != *then)
    }

    /// A file that nobody has read yet: it has changed.
    fn unread(path: &Path) -> Self {
        Self(vec![(path.to_owned(), Some(FileStamp::NONE))])
    }

    /// Before the file is read, so that a change while it is read is one.
    fn watch(&mut self, path: &Path) {
        self.0.push((path.to_owned(), stamp(path)));
    }
}

fn stamp(path: &Path) -> Option<FileStamp> {
    fs::metadata(path).ok().map(|metadata| FileStamp::from(&metadata))
}

impl Reading {
    fn directory(&mut self, directory: &Path, before: &Policies) {
        self.watched.watch(directory);
        let (files, problem) = files_in(directory);
        for file in &files {
            self.file(file);
        }
        if let Some(problem) = problem {
            self.problems.push(problem);
            // Files that were not read keep their policies.
            self.files.extend(unread_files(directory, &files, before));
        }
    }

    fn file(&mut self, path: &Path) {
        self.watched.watch(path);
        match read(path) {
            Ok(text) => self.add(policy_list::read(&text, OtherKeys::Refused), Some(path)),
            Err(problem) => {
                self.problems.push(problem);
                self.files.push(PolicyFile { origin: origin(Some(path)), sources: Vec::new(), is_whole: false });
            }
        }
    }

    /// Policies of one file, with the profiles that they name.
    fn add(&mut self, items: PolicyItems, file: Option<&Path>) {
        let PolicyItems { valid, problems } = items;
        let origin = origin(file);
        let directory = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let mut is_whole = problems.is_empty();
        let mut sources = Vec::new();
        for spec in valid {
            let (profiles, wrong): (Vec<_>, Vec<_>) =
                spec.seccomp.iter().map(|profile| self.profile(&directory.join(profile))).partition(Result::is_ok);
            // Without one of its profiles, a policy would report calls that it expects.
            if wrong.is_empty() {
                let profiles = profiles.into_iter().flatten().collect();
                sources.push(Source { spec, profiles, origin: Arc::clone(&origin) });
            }
            is_whole &= wrong.is_empty();
            self.problems.extend(wrong.into_iter().filter_map(Result::err));
        }
        let problem = |message| PolicyProblem::Parse { origin: Arc::clone(&origin), message };
        self.problems.extend(problems.into_iter().map(problem));
        self.files.push(PolicyFile { origin, sources, is_whole });
        self.refuse_largest_files();
    }

    fn profile(&mut self, path: &Path) -> Result<Profile, PolicyProblem> {
        self.watched.watch(path);
        let parse = |json: String| {
            Profile::parse(&json).map_err(|source| PolicyProblem::Profile { path: path.to_owned(), source })
        };
        read(path).and_then(parse)
    }

    /// Keeps no more than there may be, while files are still read. The order of the files makes no difference.
    fn refuse_largest_files(&mut self) {
        let mut sizes: Vec<FileSize> = self.files.iter().map(PolicyFile::size).collect();
        while let Some(at) = file_to_refuse(&sizes) {
            let size = mem::take(&mut sizes[at]);
            let file = &mut self.files[at];
            file.refuse();
            let (origin, source) = (Arc::clone(&file.origin), PolicyError::LargestFile(size));
            self.problems.push(PolicyProblem::Policy { origin, source });
        }
    }
}

/// What violations and messages call a file.
fn origin(file: Option<&Path>) -> Arc<str> {
    file.map_or_else(|| "the configuration".into(), |file| file.display().to_string().into())
}

/// Files of a directory that were not read, if policies in force are from them.
fn unread_files(directory: &Path, read: &BTreeSet<PathBuf>, before: &Policies) -> Vec<PolicyFile> {
    let mut origins: Vec<&Arc<str>> = before.iter().map(|policy| policy.origin()).collect();
    origins.retain(|origin| Path::new(&***origin).starts_with(directory) && !read.contains(Path::new(&***origin)));
    origins.dedup();
    let file = |origin: &Arc<str>| PolicyFile { origin: Arc::clone(origin), sources: Vec::new(), is_whole: false };
    origins.into_iter().map(file).collect()
}

/// The policy files of a directory, at most [`MAX_FILES`], and a problem if they are not all. Files that begin with a
/// dot belong to editors, or to the mount of a `ConfigMap`.
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

/// A file's text. Only files are opened: a pipe would keep its reader for ever.
fn read(path: &Path) -> Result<String, PolicyProblem> {
    let failed = |source| PolicyProblem::Read { path: path.to_owned(), source };
    // For the message; what has come there since is refused, too.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(PolicyProblem::NoFile { path: path.to_owned() });
    }
    let mut text = String::new();
    let mut limited = files::open(path).map_err(failed)?.take(MAX_BYTES + 1);
    limited.read_to_string(&mut text).map_err(failed)?;
    if limited.limit() == 0 { Err(PolicyProblem::TooLarge { path: path.to_owned() }) } else { Ok(text) }
}
