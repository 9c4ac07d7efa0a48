//! Package lists of one suite and one architecture, separate from the machine's lists. They are for packages that are
//! inspected, not installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{CHECK_MIRROR, apt_get, debs, download};
use crate::{arch::Arch, shell, workspace};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const NO_MIRROR: &str = "apt's sources name no mirror: check /etc/apt";
const SOURCES: [&str; 2] = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
/// Maximum age of the lists. Debian publishes four times a day, and older lists may name packages that are gone.
const FRESH: Duration = Duration::from_hours(12);

/// A suite of a mirror: a release, or additions to a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// Debian 11
    Bullseye,
    /// Debian 12
    Bookworm,
    /// Debian 13
    Trixie,
    /// Packages newer than those of Debian 13, built for it
    TrixieBackports,
    /// Debian unstable
    Sid,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::TrixieBackports => "trixie-backports",
            Self::Sid => "sid",
        }
    }

    /// Returns the name of its security updates, which are on a separate mirror.
    fn security(self) -> Option<String> {
        match self {
            Self::Bullseye | Self::Bookworm | Self::Trixie => Some(format!("{}-security", self.name())),
            Self::TrixieBackports | Self::Sid => None,
        }
    }
}

/// The kind of packages in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PackageKind {
    Binaries,
    Sources,
}

impl PackageKind {
    /// Returns the first word of a line in apt's sources.
    fn keyword(self) -> &'static str {
        match self {
            Self::Binaries => "deb",
            Self::Sources => "deb-src",
        }
    }

    /// Returns the directory of its lists. Sources have no architecture.
    fn directory(self, suite: Suite, architecture: &str) -> String {
        let of = if self == Self::Sources { "source" } else { architecture };
        format!("{}-{of}", suite.name())
    }
}

/// Package lists that can be queried.
pub struct Lists {
    conf: PathBuf,
}

impl Lists {
    /// Fetches the lists into the user's cache, unless they are fresh. Does not change the machine's lists.
    ///
    /// `architecture` is Debian's name of the architecture.
    ///
    /// # Errors
    ///
    /// If apt cannot fetch them.
    pub fn fetch(suite: Suite, architecture: &str) -> Result<Self> {
        Self::fetch_kind(PackageKind::Binaries, suite, architecture)
    }

    /// Does the same for source packages, which have no architecture.
    ///
    /// # Errors
    ///
    /// If apt cannot fetch them.
    pub fn fetch_sources(suite: Suite) -> Result<Self> {
        Self::fetch_kind(PackageKind::Sources, suite, Arch::native().debian())
    }

    fn fetch_kind(kind: PackageKind, suite: Suite, architecture: &str) -> Result<Self> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = workspace::cache_dir()?.join("apt").join(kind.directory(suite, architecture));
        let lists = Self { conf: write_conf(kind, suite, architecture, &dir)? };
        let stamp = dir.join("fetched");
        if !is_fresh(&stamp) {
            eprintln!("fetching the package lists of {}", kind.directory(suite, architecture));
            shell::query(lists.ask(apt_get()).arg("update"), CHECK_MIRROR)?;
            fs::write(&stamp, "").with_context(|| format!("cannot write {}", stamp.display()))?;
        }
        Ok(lists)
    }

    /// Returns the names of the packages that match a regular expression, in no order.
    ///
    /// # Errors
    ///
    /// If apt cannot search them.
    pub fn search(&self, regex: &str) -> Result<Vec<String>> {
        let mut search = self.ask(Command::new("apt-cache"));
        let found = shell::query(search.args(["search", "--names-only", regex]), CHECK_MIRROR)?;
        Ok(found.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect())
    }

    /// Downloads a package (`name` or `name=version`) into `dir`, which must contain no other package.
    ///
    /// # Errors
    ///
    /// If there is no such package, or the mirror no longer has it.
    pub fn download(&self, package: &str, dir: &Path) -> Result<PathBuf> {
        download(&mut self.ask(apt_get()), package, dir)
    }

    /// Downloads packages into `dir`, with all of their dependencies including the C library. Returns the files, in the
    /// order of their names.
    ///
    /// # Errors
    ///
    /// If one of them cannot be downloaded.
    pub fn download_with_dependencies(&self, packages: &[&str], dir: &Path) -> Result<Vec<PathBuf>> {
        let partial = dir.join("partial");
        fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
        let mut apt_get = self.ask(apt_get());
        apt_get.arg("-o").arg(format!("Dir::Cache::archives={}", dir.display()));
        apt_get.args(["install", "--yes", "--download-only", "--no-install-recommends"]).args(packages);
        shell::query(&mut apt_get, CHECK_MIRROR)?;
        let mut files = debs(dir)?;
        files.sort_unstable();
        Ok(files)
    }

    /// Downloads the files of a source package into `dir`, without unpacking them.
    ///
    /// # Errors
    ///
    /// If it cannot be downloaded.
    pub fn download_source(&self, package: &str, dir: &Path) -> Result<()> {
        let mut apt_get = self.ask(apt_get());
        shell::query(apt_get.current_dir(dir).args(["source", "--download-only", package]), CHECK_MIRROR)?;
        Ok(())
    }

    fn ask(&self, mut command: Command) -> Command {
        command.arg("--config-file").arg(&self.conf);
        command
    }
}

fn is_fresh(stamp: &Path) -> bool {
    let age = fs::metadata(stamp).and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age < FRESH)
}

/// Reads apt's sources.
fn sources() -> Result<String> {
    let sources = SOURCES.iter().find_map(|path| fs::read_to_string(path).ok());
    sources.with_context(|| format!("no {}: this needs Debian", SOURCES.join(" or ")))
}

/// Writes an apt configuration with only one suite, which keeps all files in `dir`.
fn write_conf(kind: PackageKind, suite: Suite, architecture: &str, dir: &Path) -> Result<PathBuf> {
    let sources = sources()?;
    for sub in ["lists/partial", "state", "cache/archives/partial"] {
        fs::create_dir_all(dir.join(sub)).with_context(|| format!("cannot create {sub} in {}", dir.display()))?;
    }
    let file = |name: &str, content: &str| -> Result<PathBuf> {
        let path = dir.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    };
    file("status", "")?;
    file("sources.list", &sources_list(kind, suite, &sources).context(NO_MIRROR)?)?;
    let at = dir.display();
    file(
        "apt.conf",
        &format!(
            r#"Dir::Etc::sourcelist "{at}/sources.list"; Dir::Etc::sourceparts "-";
Dir::State "{at}/state"; Dir::State::lists "{at}/lists"; Dir::State::status "{at}/status"; Dir::Cache "{at}/cache";
APT::Architecture "{architecture}"; APT::Architectures {{ "{architecture}"; }};
Acquire::Languages "none"; Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false"; Acquire::Retries "2";
"#
        ),
    )
}

/// Returns the mirror of Debian's archive that this machine uses.
///
/// # Errors
///
/// If apt's sources name none.
pub fn mirror() -> Result<String> {
    let sources = sources()?;
    mirrors(&sources).find(|mirror| !mirror.contains("security")).map(str::to_owned).context(NO_MIRROR)
}

/// Returns the suite's lines, with the mirrors of this machine's sources (in either format).
fn sources_list(kind: PackageKind, suite: Suite, sources: &str) -> Option<String> {
    let line = |mirror: &str, suite: &str| format!("{} [signed-by={KEYRING}] {mirror} {suite} main\n", kind.keyword());
    let mirror = mirrors(sources).find(|mirror| !mirror.contains("security"))?;
    let mut list = line(mirror, suite.name());
    if let Some(name) = suite.security() {
        let named = mirrors(sources).find(|mirror| mirror.contains("security")).map(str::to_owned);
        // If a machine has no security updates, its mirror often has them in a directory beside the main archive.
        let security = named
            .or_else(|| Some(mirror.trim_end_matches('/').strip_suffix("/debian")?.to_owned() + "/debian-security"));
        list.extend(security.map(|mirror| line(&mirror, &name)));
    }
    Some(list)
}

fn mirrors(sources: &str) -> impl Iterator<Item = &str> {
    sources
        .lines()
        .filter(|line| line.starts_with("URIs:") || line.starts_with("deb "))
        .flat_map(str::split_whitespace)
        .filter(|word| word.contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "Types: deb\n# http://snapshot.example/x\nURIs: http://m.example/debian-security\n\nURIs: http://m.example/debian\n";

    fn lines(suite: Suite, sources: &str) -> Vec<String> {
        let list = sources_list(PackageKind::Binaries, suite, sources).unwrap();
        list.lines().map(|line| line.replace(&format!("deb [signed-by={KEYRING}] "), "")).collect()
    }

    #[test]
    fn mirrors_are_read_from_both_formats() {
        assert_eq!(lines(Suite::Sid, DEB822), ["http://m.example/debian sid main"]);
        let one_line =
            "# deb http://old.example/debian x main\ndeb [arch=amd64] http://m.example/debian bookworm main\n";
        assert_eq!(lines(Suite::TrixieBackports, one_line), ["http://m.example/debian trixie-backports main"]);
        assert_eq!(sources_list(PackageKind::Binaries, Suite::Sid, "Types: deb\n"), None);
    }

    #[test]
    fn sources_are_asked_for_by_their_keyword() {
        let list = sources_list(PackageKind::Sources, Suite::Sid, "deb http://m.example/debian x main\n").unwrap();
        assert_eq!(list, format!("deb-src [signed-by={KEYRING}] http://m.example/debian sid main\n"));
    }

    #[test]
    fn releases_come_with_their_security_updates() {
        let expected =
            ["http://m.example/debian bullseye main", "http://m.example/debian-security bullseye-security main"];
        assert_eq!(lines(Suite::Bullseye, DEB822), expected);
        assert_eq!(lines(Suite::Bullseye, "deb http://m.example/debian/ bookworm main\n")[1], expected[1]);
        assert_eq!(
            lines(Suite::Bookworm, "deb http://m.example/ bookworm main\n"),
            ["http://m.example/ bookworm main"]
        );
    }

    #[test]
    fn what_was_never_fetched_is_not_fresh() {
        let dir = tempfile::tempdir().unwrap();
        let stamp = dir.path().join("fetched");
        assert!(!is_fresh(&stamp));
        fs::write(&stamp, "").unwrap();
        assert!(is_fresh(&stamp));
    }
}
