//! Reads policies, from the configuration and a directory, with the seccomp profiles that they name; and tells when files changed.
//!
//! The only place of policies that touches files. Reads are bounded, but block: not for a thread that others wait for.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::file;
use crate::{
    policy::{Policies, PolicyError, PolicyList, PolicySpec, Profile, Source},
    syscalls::CallTable,
};

/// No file that is read is larger.
const MOST_BYTES: u64 = 1 << 20;

/// Most files in the directory, and most policies in all.
const MOST_FILES: usize = 1000;
const MOST_POLICIES: usize = 1000;

/// Where policies are written, in the order in which they are asked; the built-in one comes last.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySources {
    /// Whether there is the built-in policy.
    pub built_in: bool,
    /// Whether calls that a runtime makes to set a container up may look like the container's own.
    pub mixes_setup: bool,
    /// Those in the configuration file.
    pub configured: Vec<PolicySpec>,
    /// That file, where there are any.
    pub file: Option<PathBuf>,
    /// Where files with more are.
    pub directory: Option<PathBuf>,
}

/// What was read, and from which files.
#[derive(Debug)]
pub struct LoadedPolicies {
    /// All policies, or what is wrong with any of them.
    pub policies: Result<Policies, PoliciesError>,
    /// To know when it is time to read again, also where it failed.
    pub files: Watched,
}

/// Files as they were when they were read.
#[derive(Debug, Default, PartialEq)]
pub struct Watched(Vec<(PathBuf, Option<Stamp>)>);

/// What changes when a file does; other files that take its name have another inode.
#[derive(Debug, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

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
    /// Something else has a file's place.
    #[error("{path} is no file", path = path.display())]
    NoFile {
        /// Where.
        path: PathBuf,
    },
    /// A file is too large.
    #[error("{path} has more than {MOST_BYTES} bytes", path = path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// There are too many files.
    #[error("{path} has more than {MOST_FILES} files with policies", path = path.display())]
    TooManyFiles {
        /// The directory.
        path: PathBuf,
    },
    /// There are too many policies.
    #[error("{count} policies are more than {MOST_POLICIES}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// A file has no policies in it.
    #[error("{path}: {message}", path = path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// A seccomp profile is none.
    #[error("{path} is no seccomp profile of the OCI's or Docker's form: {source}", path = path.display())]
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
    sources: Vec<Source>,
    watched: Watched,
    problems: Vec<PolicyProblem>,
}

impl PolicySources {
    /// Reads everything. What is wrong in one place does not keep the rest from being looked at.
    #[must_use]
    pub fn load(&self) -> LoadedPolicies {
        let mut reading = Reading::default();
        reading.add(self.configured.clone(), self.file.as_deref());
        if let Some(directory) = &self.directory {
            reading.directory(directory);
        }
        let Reading { sources, watched: files, mut problems } = reading;
        if sources.len() > MOST_POLICIES {
            problems.push(PolicyProblem::TooMany { count: sources.len() });
            return LoadedPolicies { policies: Err(PoliciesError { problems }), files };
        }
        let policies = Policies::new(sources, self.built_in, &CallTable::native());
        let policies = policies.map(|policies| if self.mixes_setup { policies.mixing_setup() } else { policies });
        let policies = policies.map_err(|errors| {
            problems.extend(errors.into_iter().map(|(origin, source)| PolicyProblem::Policy { origin, source }));
        });
        let policies = match policies {
            Ok(policies) if problems.is_empty() => Ok(policies),
            _ => Err(PoliciesError { problems }),
        };
        LoadedPolicies { policies, files }
    }
}

impl Watched {
    /// Whether any of them is not what it was. Looks at no file's content.
    #[must_use]
    pub fn have_changed(&self) -> bool {
        self.0.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    /// Before the file is read, so that a change while it is read is one.
    fn watch(&mut self, path: &Path) {
        self.0.push((path.to_owned(), Stamp::of(path)));
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Reading {
    fn directory(&mut self, directory: &Path) {
        self.watched.watch(directory);
        match files(directory) {
            Ok(files) => files.iter().for_each(|file| self.file(file)),
            Err(problem) => self.problems.push(problem),
        }
    }

    fn file(&mut self, path: &Path) {
        self.watched.watch(path);
        let parse = |text: String| {
            file::parse(&text).map_err(|message| PolicyProblem::Parse { path: path.to_owned(), message })
        };
        match read(path).and_then(parse) {
            Ok(PolicyList { policies }) => self.add(policies, Some(path)),
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Policies of one file, with the profiles that they name.
    fn add(&mut self, policies: Vec<PolicySpec>, file: Option<&Path>) {
        let origin: Arc<str> =
            file.map_or_else(|| "the configuration".into(), |file| file.display().to_string().into());
        let directory = file.and_then(Path::parent).unwrap_or(Path::new(""));
        for spec in policies {
            let profiles = spec.seccomp.iter().filter_map(|profile| self.profile(&directory.join(profile))).collect();
            self.sources.push(Source { spec, profiles, origin: Arc::clone(&origin) });
        }
    }

    fn profile(&mut self, path: &Path) -> Option<Profile> {
        self.watched.watch(path);
        let parse = |json: String| {
            Profile::parse(&json).map_err(|source| PolicyProblem::Profile { path: path.to_owned(), source })
        };
        read(path).and_then(parse).map_err(|problem| self.problems.push(problem)).ok()
    }
}

/// The files with policies in a directory, by name. What begins with a dot is an editor's, or the machinery of a `ConfigMap`.
fn files(directory: &Path) -> Result<Vec<PathBuf>, PolicyProblem> {
    let failed = |source| PolicyProblem::Read { path: directory.to_owned(), source };
    let is_policy = |path: &PathBuf| {
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !is_hidden && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        files.extend(Some(entry.map_err(failed)?.path()).filter(is_policy));
        if files.len() > MOST_FILES {
            return Err(PolicyProblem::TooManyFiles { path: directory.to_owned() });
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// A file's text. Only files are opened: a pipe would keep its reader for ever.
fn read(path: &Path) -> Result<String, PolicyProblem> {
    let failed = |source| PolicyProblem::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(PolicyProblem::NoFile { path: path.to_owned() });
    }
    let mut text = String::new();
    let mut limited = File::open(path).map_err(failed)?.take(MOST_BYTES + 1);
    limited.read_to_string(&mut text).map_err(failed)?;
    if limited.limit() == 0 { Err(PolicyProblem::TooLarge { path: path.to_owned() }) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const PROFILE: &str =
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#;

    fn policy(name: &str, more: &str) -> String {
        format!("policies:\n- name: {name}\n  match: [{{pod: {name}}}]\n  allow: [read]\n{more}")
    }

    fn sources(directory: &Path) -> PolicySources {
        PolicySources {
            built_in: true,
            mixes_setup: false,
            configured: Vec::new(),
            file: None,
            directory: Some(directory.to_owned()),
        }
    }

    fn names(loaded: &LoadedPolicies) -> Vec<String> {
        let policies = loaded.policies.as_ref().unwrap_or_else(|error| panic!("{error}"));
        policies.iter().map(|policy| policy.name().to_string()).collect()
    }

    fn error(loaded: &LoadedPolicies) -> String {
        loaded.policies.as_ref().unwrap_err().to_string()
    }

    #[test]
    fn the_configurations_come_first_then_the_directorys_by_name_then_the_built_in_one() {
        let directory = tempfile::tempdir().unwrap();
        for (file, text) in [("b.yaml", policy("b", "")), ("a.yml", policy("a", "")), ("empty.yaml", "# none\n".into())]
        {
            fs::write(directory.path().join(file), text).unwrap();
        }
        for ignored in [".hidden.yaml", "readme.md", "yaml"] {
            fs::write(directory.path().join(ignored), "not: [policies").unwrap();
        }
        let configured = file::parse::<PolicyList>(&policy("z", "")).unwrap().policies;
        let sources = PolicySources { configured, file: Some("main.yaml".into()), ..sources(directory.path()) };
        assert_eq!(names(&sources.load()), ["z", "a", "b", "runtime-default"]);
        assert_eq!(names(&PolicySources { built_in: false, ..sources }.load()), ["z", "a", "b"]);
    }

    #[test]
    fn a_configmaps_links_are_followed_and_its_update_is_a_change() {
        let volume = tempfile::tempdir().unwrap();
        let at = |name: &str| volume.path().join(name);
        for (version, name) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("p.yaml"), policy(name, "")).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/p.yaml", at("p.yaml")).unwrap();
        let loaded = sources(volume.path()).load();
        assert_eq!(names(&loaded), ["old", "runtime-default"]);
        assert!(!loaded.files.have_changed());
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(loaded.files.have_changed());
        assert_eq!(names(&sources(volume.path()).load()), ["new", "runtime-default"]);
    }

    #[test]
    fn profiles_are_found_beside_the_file_that_names_them_and_their_change_is_one() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("profiles")).unwrap();
        let profile = directory.path().join("profiles/a.json");
        fs::write(&profile, PROFILE).unwrap();
        fs::write(directory.path().join("a.yaml"), policy("a", "  seccomp: [profiles/a.json]\n")).unwrap();
        let before = sources(directory.path()).load();
        let old = before.policies.unwrap();
        assert_eq!(sources(directory.path()).load().policies.unwrap(), old);
        fs::write(&profile, PROFILE.replace("read", "bind")).unwrap();
        assert!(before.files.have_changed());
        assert_ne!(sources(directory.path()).load().policies.unwrap(), old);
    }

    #[test]
    fn files_that_come_and_go_are_changes() {
        let directory = tempfile::tempdir().unwrap();
        let empty = sources(directory.path()).load().files;
        assert!(!empty.have_changed());
        fs::write(directory.path().join("a.yaml"), policy("a", "")).unwrap();
        assert!(empty.have_changed());
        let one = sources(directory.path()).load().files;
        fs::remove_file(directory.path().join("a.yaml")).unwrap();
        assert!(one.have_changed());
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write("a.yaml", &policy("a", "  alow: []\n"));
        write("b.yaml", &policy("b", "  seccomp: [nowhere.json, bad.json]\n"));
        write("bad.json", "{\"defaultAction\": 1}");
        write("c.yaml", &policy("c", ""));
        write("d.yaml", &policy("c", ""));
        fs::create_dir(directory.path().join("e.yaml")).unwrap();
        let loaded = sources(directory.path()).load();
        let error = error(&loaded);
        for expected in [
            "a.yaml: ",
            "alow",
            "line 5",
            "nowhere.json: No such file",
            "bad.json is no seccomp profile",
            "d.yaml: policy c: there is another one of this name in",
            "e.yaml is no file",
        ] {
            assert!(error.contains(expected), "{expected}: {error}");
        }
        assert_eq!(loaded.policies.unwrap_err().problems.len(), 5);
        write("nowhere.json", PROFILE);
        assert!(loaded.files.have_changed(), "what was missing is there");
    }

    #[test]
    fn a_missing_directory_is_an_error() {
        let loaded = sources(Path::new("/nonexistent")).load();
        assert!(error(&loaded).contains("cannot read /nonexistent: No such file"), "{}", error(&loaded));
        assert!(!loaded.files.have_changed());
    }

    #[test]
    fn what_is_larger_than_any_policy_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let comment = |bytes| "#".repeat(usize::try_from(bytes).unwrap());
        fs::write(directory.path().join("a.yaml"), comment(MOST_BYTES)).unwrap();
        assert_eq!(names(&sources(directory.path()).load()), ["runtime-default"]);
        fs::write(directory.path().join("a.yaml"), comment(MOST_BYTES + 1)).unwrap();
        assert!(error(&sources(directory.path()).load()).contains("more than 1048576 bytes"));
    }
}
