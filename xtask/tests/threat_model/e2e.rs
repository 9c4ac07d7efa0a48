//! Checks of `cargo xtask e2e`, by the environments that run them.

use std::path::Path;

use clap::{Args, Command};

use super::source::{Call, Function, functions};

/// The form in which documents name a check.
pub(crate) const FORM: &str = "`e2e ENVIRONMENT module::function`";

/// The code of e2e, and the environments that its command line accepts.
pub(crate) struct Checks {
    environments: Vec<String>,
    functions: Vec<Function>,
}

impl Checks {
    pub(crate) fn read(root: &Path) -> Self {
        Self::of(functions(&root.join("xtask/e2e/src/lib.rs"), |file| std::fs::read_to_string(file).ok()))
    }

    fn of(functions: Vec<Function>) -> Self {
        let command = syscallmon_e2e::Args::augment_args(Command::new("e2e"));
        let argument = command.get_arguments().find(|argument| argument.get_id() == "environments");
        let values = argument.expect("environments are an argument").get_possible_values();
        Self { environments: values.iter().map(|value| value.get_name().to_owned()).collect(), functions }
    }

    /// Why a code span that begins with `e2e` names no check.
    pub(crate) fn problem(&self, span: &str) -> Option<String> {
        let words: Vec<&str> = span.split(' ').collect();
        let [_, environment, check] = words.as_slice() else { return Some(format!("`{span}` is not {FORM}")) };
        if !self.environments.iter().any(|known| known == environment) {
            return Some(format!("`{span}`: e2e has no environment {environment}"));
        }
        let path = format!("check::{check}");
        let is_run = self.run_by(environment).iter().any(|function| function.path() == path);
        (!is_run).then(|| format!("`{span}`: the environment {environment} runs no check {check}"))
    }

    /// Checks of an environment: its function in `check`, which has its name, and what functions with steps call.
    fn run_by(&self, environment: &str) -> Vec<&Function> {
        let call = Call { qualifier: Some("check".to_owned()), name: environment.to_owned() };
        let is_registered = |function: &&Function| function.module.is_empty() && function.calls.contains(&call);
        let mut checks: Vec<&Function> =
            self.functions.iter().find(is_registered).map(|caller| self.called(caller, &call)).unwrap_or_default();
        let mut next = 0;
        while let Some(&function) = checks.get(next) {
            if function.calls.iter().any(|call| call.name == "step") {
                for called in function.calls.iter().flat_map(|call| self.called(function, call)) {
                    if !checks.iter().any(|known| std::ptr::eq(*known, called)) {
                        checks.push(called);
                    }
                }
            }
            next += 1;
        }
        checks
    }

    /// Functions in `check` that a call can mean: those of its module or of the caller's, or else all of that name.
    fn called(&self, caller: &Function, call: &Call) -> Vec<&Function> {
        let is_of_check = |function: &&Function| function.module.first().is_some_and(|module| module == "check");
        let all = self.functions.iter().filter(is_of_check).filter(|function| function.name == call.name);
        let module = call.qualifier.as_ref().or(caller.module.last());
        let (near, far): (Vec<_>, Vec<_>) = all.partition(|function| function.module.last() == module);
        if near.is_empty() { far } else { near }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const ROOT: &str = "mod check; fn run() { docker() } fn docker() { check::docker() } fn podman() { idle() }";
    const CHECK: &str = "mod quick; mod slow; fn step() {} fn value() {}";
    const QUICK: &str = "fn docker() { step(|| self.a()); slow::all() } fn a() { b() } fn b() {} fn podman() {}";
    const SLOW: &str = "fn all() { step(|| b()) } fn b() {} fn unused() {}";

    fn checks() -> Checks {
        let files =
            [("src/lib.rs", ROOT), ("src/check.rs", CHECK), ("src/check/quick.rs", QUICK), ("src/check/slow.rs", SLOW)];
        let files: BTreeMap<&Path, &str> = files.iter().map(|&(path, text)| (Path::new(path), text)).collect();
        Checks::of(functions(Path::new("src/lib.rs"), |path| files.get(path).map(|&text| text.to_owned())))
    }

    #[test]
    fn checks_that_an_environment_runs_are_found() {
        for check in ["quick::docker", "quick::a", "slow::all", "slow::b"] {
            assert_eq!(checks().problem(&format!("e2e docker {check}")), None, "{check}");
        }
    }

    #[test]
    fn what_is_no_check_of_an_environment_is_a_problem() {
        for (span, problem) in [
            ("e2e", "is not `e2e ENVIRONMENT module::function`"),
            ("e2e docker", "is not `e2e ENVIRONMENT module::function`"),
            ("e2e docker quick::a now", "is not `e2e ENVIRONMENT module::function`"),
            ("e2e pod-man quick::a", "e2e has no environment pod-man"),
            ("e2e docker quick::c", "the environment docker runs no check quick::c"),
            ("e2e docker a", "the environment docker runs no check a"),
            // It exists, but nothing calls it; only a helper is called by a check; another environment's.
            ("e2e docker slow::unused", "the environment docker runs no check slow::unused"),
            ("e2e docker quick::b", "the environment docker runs no check quick::b"),
            ("e2e podman quick::podman", "the environment podman runs no check quick::podman"),
        ] {
            let found = checks().problem(span).unwrap_or_else(|| panic!("{span} is accepted"));
            assert!(found.ends_with(problem), "{found}");
        }
    }

    #[test]
    fn every_environment_has_checks() {
        let checks = Checks::read(&xtask_support::workspace::root());
        assert!(checks.environments.len() >= 6, "{:?}", checks.environments);
        for environment in &checks.environments {
            assert!(!checks.run_by(environment).is_empty(), "{environment}");
        }
        assert_eq!(checks.problem("e2e policies policies::brief"), None);
        assert!(checks.problem("e2e policies hostile::owners").is_some());
    }
}
