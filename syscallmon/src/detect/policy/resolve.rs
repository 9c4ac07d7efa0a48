//! Which policies of all files are in force: those without a mistake, and older ones of files with a mistake.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    collection::{Policies, PolicyFile, PolicyMistake, Source, default_critical},
    compiled::Policy,
    extends::{Named, Names, Parent},
    spec::{DeclaredPolicy, PolicyError, PolicyItem},
};
use crate::syscalls::CallTable;

/// A file whose policies are to be in force.
pub(super) struct ResolvedFile {
    origin: Arc<str>,
    sources: Vec<Source>,
    /// What the valid policies declare, and those with a mistake.
    valid: Vec<DeclaredPolicy>,
    invalid: Vec<DeclaredPolicy>,
    is_whole: bool,
    /// Policies of the file that were in force before.
    older: Vec<Arc<Policy>>,
    /// Whether the older policies stay in force, in place of those that were read.
    keeps_older: bool,
}

/// Returns the files with the policies that are to be in force, and all mistakes of the others.
///
/// A file that keeps its older policies can lack one that another file extends. So this repeats until no other file
/// has a mistake.
pub(super) fn resolve(
    files: impl IntoIterator<Item = PolicyFile>,
    before: &Policies,
) -> (Vec<ResolvedFile>, Vec<PolicyMistake>) {
    let mut files: Vec<ResolvedFile> = files.into_iter().map(|file| ResolvedFile::new(file, before)).collect();
    // Files with other mistakes report those here as well, before their older policies take the place.
    let mut mistakes = Vec::new();
    let found = mistakes_of(&files);
    for (file, found) in files.iter_mut().zip(found).filter(|(file, _)| !file.is_whole && !file.older.is_empty()) {
        file.keeps_older = true;
        mistakes.extend(found);
    }
    loop {
        let found = mistakes_of(&files);
        let mut is_settled = true;
        for (file, found) in files.iter_mut().zip(&found) {
            if !found.is_empty() && !file.older.is_empty() {
                file.keeps_older = true;
                is_settled = false;
                mistakes.extend(found.iter().cloned());
            }
        }
        if is_settled {
            for (file, found) in files.iter_mut().zip(&found) {
                file.drop_invalid(found);
            }
            mistakes.extend(found.into_iter().flatten());
            return (files, mistakes);
        }
    }
}

/// Returns the mistakes of the policies in each file that are about other policies. Files that keep their older
/// policies have none.
fn mistakes_of(files: &[ResolvedFile]) -> Vec<Vec<PolicyMistake>> {
    let mut names = Names::default();
    let mut found: Vec<Vec<PolicyMistake>> = Vec::new();
    for file in files {
        let mut of_file = Vec::new();
        for (name, named, declared) in file.named() {
            if let (Err(other), Some(declared)) = (names.add(name, named, &file.origin), declared) {
                let error = PolicyError::Duplicate { name: declared.name.clone(), other };
                of_file.push(PolicyMistake { origin: Arc::clone(&file.origin), at: Some(declared.at), error });
            }
        }
        found.push(of_file);
    }
    for (file, found) in files.iter().zip(&mut found).filter(|(file, _)| !file.keeps_older) {
        for declared in file.valid.iter().chain(&file.invalid) {
            let at = declared.extends.as_ref().map(|extends| extends.at);
            let error = names.chain_error(declared);
            found.extend(error.map(|error| PolicyMistake { origin: Arc::clone(&file.origin), at, error }));
        }
        found.sort_by_key(|mistake| mistake.at);
    }
    found
}

impl ResolvedFile {
    fn new(file: PolicyFile, before: &Policies) -> Self {
        let PolicyFile { origin, sources, invalid, is_whole } = file;
        let older = before.iter().filter(|policy| *policy.origin() == origin).cloned().collect();
        let valid = sources.iter().map(|source| source.spec.declared()).collect();
        Self { origin, sources, valid, invalid, is_whole, older, keeps_older: false }
    }

    /// Returns the names of its policies, in order, with the policies that are read now.
    fn named(&self) -> Vec<(&str, Named<'_>, Option<&DeclaredPolicy>)> {
        if self.keeps_older {
            return self.older.iter().map(|policy| (&**policy.name(), Named::Older(policy), None)).collect();
        }
        let valid = self.valid.iter().map(|policy| (policy, Named::New(policy)));
        let invalid = self.invalid.iter().map(|policy| (policy, Named::Invalid));
        let mut all: Vec<_> =
            valid.chain(invalid).map(|(policy, named)| (&**policy.name.text(), named, Some(policy))).collect();
        all.sort_by_key(|(_, _, policy)| policy.map(|policy| policy.at));
        all
    }

    /// Moves valid policies with a mistake about other policies to the others.
    fn drop_invalid(&mut self, mistakes: &[PolicyMistake]) {
        let wrong: BTreeSet<_> = mistakes.iter().filter_map(|mistake| mistake.at).collect();
        let is_wrong = |policy: &DeclaredPolicy| {
            wrong.contains(&policy.at) || policy.extends.as_ref().is_some_and(|extends| wrong.contains(&extends.at))
        };
        self.sources.retain(|source| !is_wrong(&source.spec.declared()));
        let (wrong, valid) = self.valid.drain(..).partition(is_wrong);
        self.valid = valid;
        self.invalid.extend::<Vec<_>>(wrong);
    }
}

/// Compiles policies. Those that others extend come first.
struct Compiler<'a> {
    names: Names<'a>,
    sources: BTreeMap<Arc<str>, Source>,
    compiled: BTreeMap<Arc<str>, Arc<Policy>>,
    built_in: &'a Arc<Policy>,
    default_critical: Vec<PolicyItem>,
    table: &'a CallTable,
}

/// Returns the policies of all files, in order.
pub(super) fn compile(mut files: Vec<ResolvedFile>, built_in: &Arc<Policy>, table: &CallTable) -> Vec<Arc<Policy>> {
    let mut sources = BTreeMap::new();
    for file in files.iter_mut().filter(|file| !file.keeps_older) {
        for source in file.sources.drain(..) {
            sources.insert(Arc::clone(source.spec.name.text()), source);
        }
    }
    let mut names = Names::default();
    for file in &files {
        for (name, named, _) in file.named() {
            // The first of equal names counts. The others are mistakes, or older policies whose name is taken.
            let _ = names.add(name, named, &file.origin);
        }
    }
    let default_critical = default_critical();
    let mut compiler = Compiler { names, sources, compiled: BTreeMap::new(), built_in, default_critical, table };
    let mut ordered = Vec::new();
    for file in &files {
        if file.keeps_older {
            ordered.extend(file.older.iter().filter(|policy| compiler.names.is_older(policy)).cloned());
        } else {
            ordered.extend(file.valid.iter().filter_map(|policy| compiler.compile(policy)));
        }
    }
    ordered
}

impl Compiler<'_> {
    /// Compiles a policy and all that it extends: at most [`super::extends::MAX_DEPTH`], without a cycle.
    fn compile(&mut self, policy: &DeclaredPolicy) -> Option<Arc<Policy>> {
        let name = policy.name.text();
        if let Some(compiled) = self.compiled.get(name) {
            return Some(Arc::clone(compiled));
        }
        let parent = match &policy.extends {
            None => None,
            Some(extends) => Some(match self.names.parent(&policy.name, &extends.name) {
                Parent::BuiltIn => Arc::clone(self.built_in),
                Parent::Named(Named::Older(older)) => Arc::clone(older),
                Parent::Named(Named::New(parent)) => self.compile(parent)?,
                Parent::Named(Named::Invalid) | Parent::Missing => return None,
            }),
        };
        let source = self.sources.remove(name)?;
        let compiled = Arc::new(Policy::new(source, parent, &self.default_critical, self.table));
        self.compiled.insert(Arc::clone(name), Arc::clone(&compiled));
        Some(compiled)
    }
}
