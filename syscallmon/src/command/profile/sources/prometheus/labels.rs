//! Labels of series in a Prometheus, which need not be those of the daemon's exposition.
//!
//! A scrape adds labels of the target (`job`, `instance`, `cluster`). Where a target and a workload have a label of the
//! same name, Prometheus without `honor_labels` calls the workload's `exported_namespace`.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, de};

use crate::workload::{Label, Labels};

/// Maximum labels of one series.
const MAX_LABELS: usize = 128;

/// Prefix of a workload's label where the target has a label of the same name.
pub(super) const EXPORTED: &str = "exported_";

/// Labels that distinguish the series of one workload or one daemon.
const OWN_LABELS: [&str; 8] = ["__name__", "abi", "syscall", "argument", "set", "errno", "reason", "probe"];

/// Names and values of labels, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct LabelSet(Vec<(Box<str>, Box<str>)>);

impl LabelSet {
    /// Returns the value of a label; empty if absent.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.binary_search_by(|(label, _)| label.as_ref().cmp(name)).map_or("", |index| &self.0[index].1)
    }

    /// Returns names and values, sorted by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Returns the number of labels.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the labels that identify a workload and its target: those of the series without labels of the call.
    pub(super) fn of_workload(&self) -> impl Iterator<Item = (&str, &str)> {
        self.iter().filter(|(name, _)| !OWN_LABELS.contains(name))
    }

    /// Returns the labels of the target alone, which all series of one daemon have.
    pub(super) fn of_target(&self) -> Self {
        let is_of_target = |name: &str| {
            let plain = name.strip_prefix(EXPORTED).unwrap_or(name);
            !Label::ALL.iter().any(|label| label.name() == plain)
        };
        let labels = self.of_workload().filter(|(name, _)| is_of_target(name));
        Self(labels.map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// Returns the labels of the workload, as the daemon exported them.
    pub(super) fn workload_labels(&self) -> Labels {
        let own = |label: Label| {
            let exported = self.get(&format!("{EXPORTED}{}", label.name()));
            if exported.is_empty() { self.get(label.name()) } else { exported }
        };
        Labels::new(Label::ALL.iter().map(|&label| (label, Arc::from(own(label)))))
    }
}

impl<N: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(N, V)> for LabelSet {
    /// Removes empty values, which are absent labels.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(labels: I) -> Self {
        let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into()));
        let mut labels: Vec<(Box<str>, Box<str>)> = labels.filter(|(_, value)| !value.is_empty()).collect();
        labels.sort_unstable();
        labels.dedup_by(|(name, _), (other, _)| name == other);
        labels.shrink_to_fit();
        Self(labels)
    }
}

impl<'de> Deserialize<'de> for LabelSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = LabelSet;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("labels and their values")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<LabelSet, A::Error> {
                let mut labels = Vec::<(String, String)>::new();
                while let Some(label) = map.next_entry()? {
                    if labels.len() == MAX_LABELS {
                        return Err(de::Error::custom(format!("a series has more than {MAX_LABELS} labels")));
                    }
                    labels.push(label);
                }
                Ok(labels.into_iter().collect())
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_the_scrape_renamed_are_those_of_the_workload() {
        let raw = [
            ("namespace", "monitoring"),
            ("pod", "syscallmon-x"),
            ("exported_namespace", "shop"),
            ("exported_pod", "web-1"),
            ("container", "httpd"),
            ("instance", "n1:9778"),
            ("syscall", "read"),
            ("empty", ""),
        ];
        let raw: LabelSet = raw.into_iter().collect();
        assert_eq!(raw.workload_labels().to_string(), "shop/web-1/httpd");
        let target: Vec<_> = raw.of_target().iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(target, ["instance=n1:9778"]);
        assert_eq!((raw.get("pod"), raw.get("absent"), raw.len()), ("syscallmon-x", "", 7));
    }

    #[test]
    fn a_series_with_endless_labels_is_refused() {
        let json = |labels: usize| {
            let labels: Vec<String> = (0..labels).map(|index| format!("\"l{index}\":\"v\"")).collect();
            format!("{{{}}}", labels.join(","))
        };
        assert_eq!(serde_json::from_str::<LabelSet>(&json(MAX_LABELS)).unwrap().len(), MAX_LABELS);
        assert!(serde_json::from_str::<LabelSet>(&json(MAX_LABELS + 1)).is_err());
    }
}
