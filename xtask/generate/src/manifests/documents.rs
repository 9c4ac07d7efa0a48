//! Checks manifests as Kubernetes does: each document against the strict schema of its kind, and all documents
//! together.

use std::{collections::HashSet, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};
use xtask_support::{
    pypi::{self, Wheel},
    workspace,
};

use super::{autoscaler, chart::KUBERNETES, or_else_mend, pods, promtool::Promtool, schema::Schemas};

/// Contains schemas that allow no unknown fields, made from Kubernetes' schemas.
const WHEEL: Wheel = Wheel {
    name: "kubernetes-validate",
    version: "1.37.0",
    sha256: "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9",
};
/// Kinds of prometheus-operator. There is no schema for them here.
const OPERATORS: [&str; 3] = ["PodMonitor", "PrometheusRule", "ServiceMonitor"];

/// Checks whether Kubernetes would accept manifests.
pub(super) struct Judge {
    schemas: Schemas,
    promtool: Promtool,
}

impl Judge {
    /// Fetches the schemas, unless they are in the user's cache.
    pub(super) fn new(root: &Path) -> Result<Self> {
        let directory =
            workspace::cache_dir()?.join("kubernetes-schemas").join(format!("{}-{KUBERNETES}", WHEEL.version));
        let file = directory.join("_definitions.json");
        if !directory.exists() {
            eprintln!("fetching the schema of Kubernetes {KUBERNETES} (22 MB)");
            let work = workspace::cache_work_dir()?;
            let member =
                format!("kubernetes_validate/kubernetes-json-schema/v{KUBERNETES}.0-local-strict/_definitions.json");
            let found = pypi::unzip_one(&WHEEL.download(root, work.path())?, &member, work.path())?;
            let prepared = found.parent().context("a file is in a directory")?;
            workspace::move_into_cache(prepared, &directory)?;
        }
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let not_understood = || format!("{} is not understood: remove it", file.display());
        let mut all: Map<String, Value> = serde_json::from_slice(&text).with_context(not_understood)?;
        let Some(Value::Object(definitions)) = all.remove("$defs") else { bail!(not_understood()) };
        Ok(Self { schemas: Schemas::new(definitions), promtool: Promtool::find(root)? })
    }

    /// Fails if a document is not correct.
    pub(super) fn check(&self, text: &str) -> Result<()> {
        or_else_mend("mend the chart's templates", self.check_all(text))
    }

    fn check_all(&self, text: &str) -> Result<()> {
        let documents = parse(text)?;
        let mut names = HashSet::new();
        for document in &documents {
            let name = name(document);
            self.check_one(document).with_context(|| name.clone())?;
            ensure!(names.insert(name.clone()), "{name} is there twice");
        }
        pods::check(&documents)
    }

    fn check_one(&self, document: &Value) -> Result<()> {
        for field in ["labels", "annotations"] {
            let values = document["metadata"][field].as_object().into_iter().flatten();
            for (key, value) in values {
                ensure!(value.is_string(), "{field} has {key}: {value}, which is no text: quote it");
            }
        }
        let kind = document["kind"].as_str().unwrap_or_default();
        let version = document["apiVersion"].as_str().unwrap_or_default();
        if OPERATORS.contains(&kind) {
            ensure!(version == "monitoring.coreos.com/v1", "no {kind} is {version}");
            if kind == "PrometheusRule" {
                self.promtool.check_rules(&document["spec"])?;
            }
            return Ok(());
        }
        if kind == autoscaler::KIND {
            return autoscaler::check(document);
        }
        let name = self.definition(version, kind);
        let name = name.with_context(|| format!("Kubernetes {KUBERNETES} has no {kind} in {version}"))?;
        self.schemas.check(name, document).with_context(|| format!("Kubernetes {KUBERNETES} would refuse it"))
    }

    /// Returns the name of the schema of a kind.
    fn definition(&self, api_version: &str, kind: &str) -> Option<&str> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let is_it = |of: &Value| of["group"] == group && of["version"] == version && of["kind"] == kind;
        let kinds = |schema: &Value| {
            schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|all| all.iter().any(is_it))
        };
        Some(self.schemas.definitions().iter().find(|(_, schema)| kinds(schema))?.0)
    }
}

/// Returns the documents that are not empty. Rejects mappings with duplicate keys.
fn parse(text: &str) -> Result<Vec<Value>> {
    // Kubernetes reads YAML 1.1, in which `on` is not text and 0755 is octal.
    let options = serde_saphyr::options! { legacy_octal_numbers: true, with_snippet: false };
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options).context("this is no YAML")?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

fn name(document: &Value) -> String {
    let metadata = &document["metadata"];
    let part = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    format!("{} {}/{}", part(&document["kind"]), part(&metadata["namespace"]), part(&metadata["name"]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_is_read_as_kubernetes_reads_it() {
        let documents = parse("a: on\nb: 0755\nc: \"off\"\n---\n---\nd: 1.20\n").unwrap();
        assert_eq!(documents, [json!({"a": true, "b": 0o755, "c": "off"}), json!({"d": 1.2})]);
    }

    #[test]
    fn key_that_is_there_twice_is_refused() {
        assert!(parse("a: {b: 1, c: 2, b: 3}\n").is_err());
    }
}
