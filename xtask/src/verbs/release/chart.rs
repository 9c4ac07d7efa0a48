//! The chart as an archive. helm makes it, and its times are removed, so that its bytes depend only on the chart.

use std::{fs, io::Read, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use xtask_support::{clients::Clients, pypi, shell};

use super::VERSION;
use crate::verbs::dist::archive::{self, Entries};

const CHART: &str = "deploy/helm/syscallmon";
/// The directory in the archive.
const NAME: &str = "syscallmon";

/// Returns the archive. It has the files that helm packs.
pub(super) fn archive(root: &Path) -> Result<Vec<u8>> {
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let mut package = Command::new(Clients::fetch(root)?.helm);
    package.current_dir(root).args(["package", CHART, "--destination"]).arg(work.path());
    shell::query(&mut package, "`cargo xtask manifests` checks the chart")?;
    let made = pypi::find(work.path(), ".tgz")?;
    let name = made.file_name().unwrap_or_default().to_string_lossy().into_owned();
    ensure!(name == format!("{NAME}-{VERSION}.tgz"), "the chart's version is not {VERSION}: mend {CHART}/Chart.yaml");
    let bytes = fs::read(&made).with_context(|| format!("cannot read {}", made.display()))?;
    archive::pack_entries(NAME, &entries(&bytes).context("cannot read what helm packed")?)
}

/// Returns the files of the archive below [`NAME`].
fn entries(bytes: &[u8]) -> Result<Entries> {
    let mut files = Entries::new();
    for entry in tar::Archive::new(GzDecoder::new(bytes)).entries()? {
        let mut entry = entry?;
        let path = entry.path()?.strip_prefix(NAME)?.to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        files.insert(path, (content, 0o644));
    }
    Ok(files)
}
