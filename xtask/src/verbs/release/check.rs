//! Checks of the files of a release, with the tools of their users.

use std::{collections::BTreeSet, fs, io::Read, path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;
use xtask_support::{arch::Arch, clients::Clients, shell, workspace};

use super::{SUMS, VERSION, chart_file, image_file, read, read_text};
use crate::verbs::dist;

const REMEDY: &str = "the file is not good: see the message";

/// Checks all files.
pub(super) fn all(root: &Path, dir: &Path) -> Result<()> {
    let mut sha256sum = Command::new("sha256sum");
    shell::query(sha256sum.current_dir(dir).args(["--check", "--strict", "--quiet", SUMS]), REMEDY)?;
    eprintln!("sha256sum finds every file as in {SUMS}");
    for arch in Arch::ALL {
        let name = dist::name(arch);
        sbom(root, &read_text(&dir.join(format!("{name}.cdx.json")))?)
            .with_context(|| format!("the SBOM for {arch} is not good"))?;
        deb(dir, arch)?;
        image(root, dir, arch, &read(&dir.join(name))?).with_context(|| format!("the image for {arch} is not good"))?;
    }
    chart(root, dir)
}

/// Checks that an SBOM has all direct dependencies, and nothing that only tests use.
fn sbom(root: &Path, text: &str) -> Result<()> {
    let sbom: Value = serde_json::from_str(text)?;
    ensure!(sbom["bomFormat"] == "CycloneDX", "it is not in CycloneDX's format");
    ensure!(sbom["metadata"]["component"]["version"] == VERSION, "it is of another version");
    ensure!(sbom.get("serialNumber").is_none(), "it has a random number");
    let components = sbom["components"].as_array().context("it has no components")?;
    let names: BTreeSet<&str> = components.iter().filter_map(|component| component["name"].as_str()).collect();
    let [direct, tests] = ["dependencies", "dev-dependencies"].map(|table| dependencies(root, table));
    let (direct, tests) = (direct?, tests?);
    let missing: Vec<&String> = direct.iter().filter(|name| !names.contains(name.as_str())).collect();
    ensure!(missing.is_empty(), "it lacks direct dependencies: {missing:?}");
    for name in ["syscallmon-testkit", "proptest", "stateright"] {
        ensure!(tests.contains(name), "syscallmon/Cargo.toml has no dev-dependency {name}: mend this check");
        ensure!(!names.contains(name), "it has {name}, which only tests use");
    }
    let incomplete = |component: &&Value| component.get("licenses").is_none() || component.get("purl").is_none();
    let incomplete: Vec<&Value> = components.iter().filter(incomplete).map(|component| &component["name"]).collect();
    ensure!(incomplete.is_empty(), "it has no licence or no purl of {incomplete:?}");
    eprintln!("the SBOM has {} crates, with all {} direct dependencies", components.len(), direct.len());
    Ok(())
}

/// Returns the names of the crates in a table of the manifest of syscallmon.
fn dependencies(root: &Path, table: &str) -> Result<BTreeSet<String>> {
    let manifest: toml::Table = read_text(&root.join("syscallmon/Cargo.toml"))?.parse()?;
    let table = manifest.get(table).and_then(toml::Value::as_table).with_context(|| format!("no table {table}"))?;
    Ok(table.keys().cloned().collect())
}

/// Checks what dpkg-deb says about a package.
fn deb(dir: &Path, arch: Arch) -> Result<()> {
    let file = dir.join(format!("syscallmon_{VERSION}-1_{arch}.deb"));
    let mut field = Command::new("dpkg-deb");
    let fields = shell::query(field.arg("--field").arg(&file).args(["Version", "Architecture"]), REMEDY)?;
    let expected = format!("Version: {VERSION}-1\nArchitecture: {arch}\n");
    ensure!(fields == expected, "{} calls itself {fields:?}, not {expected:?}", file.display());
    Ok(())
}

/// Checks that skopeo finds an image for the architecture, and that it has the released binary.
fn image(root: &Path, dir: &Path, arch: Arch, binary: &[u8]) -> Result<()> {
    let work = tempfile::tempdir().context("cannot make a temporary directory")?;
    let skopeo = workspace::find_program(root, "skopeo").context("no skopeo: `cargo xtask setup --for release`")?;
    let mut copy = Command::new(skopeo);
    copy.args(["copy", "--quiet", "--insecure-policy", "--override-os", "linux", "--override-arch", arch.debian()]);
    copy.arg(format!("oci-archive:{}", image_file(dir).display())).arg(format!("dir:{}", work.path().display()));
    shell::query(&mut copy, REMEDY)?;
    let blob = |descriptor: &Value| -> Result<Vec<u8>> {
        let digest = descriptor["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
        let path = work.path().join(digest.context("a descriptor has no digest")?);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let manifest: Value = serde_json::from_slice(&read(&work.path().join("manifest.json"))?)?;
    let config: Value = serde_json::from_slice(&blob(&manifest["config"])?)?;
    ensure!(config["architecture"] == arch.debian(), "it is for {}", config["architecture"]);
    let layer = blob(&manifest["layers"][0])?;
    for entry in tar::Archive::new(GzDecoder::new(layer.as_slice())).entries()? {
        let mut entry = entry?;
        let mut content = Vec::new();
        if entry.path()?.ends_with("syscallmon") {
            entry.read_to_end(&mut content)?;
            ensure!(content == binary, "its binary is not the released one");
            eprintln!("skopeo finds the image for {arch}, with the released binary");
            return Ok(());
        }
    }
    anyhow::bail!("it has no binary")
}

/// Checks that helm renders the archive as it renders the chart in the checkout.
fn chart(root: &Path, dir: &Path) -> Result<()> {
    let helm = Clients::fetch(root)?.helm;
    let rendered = |chart: &Path| {
        let mut template = Command::new(&helm);
        shell::query(template.args(["template", "syscallmon"]).arg(chart), REMEDY)
    };
    let ours = rendered(&chart_file(dir))?;
    ensure!(
        ours == rendered(&root.join("deploy/helm/syscallmon"))?,
        "helm renders the archive of the chart differently"
    );
    eprintln!("helm renders the archive of the chart as the chart");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sbom_of(names: &[String]) -> Value {
        let component = |name| json!({ "name": name, "licenses": [], "purl": format!("pkg:cargo/{name}") });
        let components: Vec<Value> = names.iter().map(component).collect();
        json!({ "bomFormat": "CycloneDX", "metadata": { "component": { "version": VERSION } }, "components": components })
    }

    #[test]
    fn sbom_needs_all_dependencies_and_none_of_tests() {
        let root = workspace::root();
        let direct: Vec<String> = dependencies(&root, "dependencies").unwrap().into_iter().collect();
        let check = |names: &[String]| sbom(&root, &sbom_of(names).to_string()).map_err(|error| error.to_string());
        assert_eq!(check(&direct), Ok(()));
        assert!(check(&direct[1..]).unwrap_err().contains("lacks direct dependencies"));
        let with_tests = [direct.as_slice(), &["proptest".to_owned()]].concat();
        assert!(check(&with_tests).unwrap_err().contains("proptest, which only tests use"));
        let mut unlicensed = sbom_of(&direct);
        unlicensed["components"][0].as_object_mut().unwrap().remove("licenses");
        assert!(sbom(&root, &unlicensed.to_string()).unwrap_err().to_string().contains("no licence"));
    }
}
