//! The commands with curl in the documents work, and the answers that they show have the fields of real answers.

use std::{collections::BTreeSet, path::Path, process::Command, time::Duration};

use serde_json::Value;

use crate::{
    harness::{KnownCalls, TestCgroup, number, wait_for},
    policies::Guard,
};

/// Documents with commands of curl.
const DOCUMENTS: [(&str, &str); 5] = [
    ("http-api.md", include_str!("../../../docs/http-api.md")),
    ("alerts.md", include_str!("../../../docs/alerts.md")),
    ("faq.md", include_str!("../../../docs/faq.md")),
    ("install.md", include_str!("../../../docs/install.md")),
    ("learning.md", include_str!("../../../docs/learning.md")),
];

/// Objects with keys that depend on the host.
const MAPS: [&str; 4] = ["workload", "metadata", "lost", "learned"];

/// A command, and the answer that the document shows below it.
#[derive(Debug)]
struct Example {
    document: &'static str,
    command: String,
    shown: Option<Value>,
}

/// Returns the commands of a document. A block of JSON belongs to the last command of the block before it.
fn examples(document: &'static str, text: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut lines = text.lines();
    let mut is_after_command = false;
    while let Some(line) = lines.next() {
        if line.starts_with("```json") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
            if let Some(example) = examples.last_mut().filter(|_| is_after_command) {
                let shortened = block.concat().replace(", ...", "").replace("...", "");
                let shown = serde_json::from_str(&shortened);
                example.shown = Some(shown.unwrap_or_else(|error| panic!("{document}: {error}: {shortened}")));
            }
            is_after_command = false;
        } else if line.starts_with("    curl ") {
            let mut command = line.trim().to_owned();
            while command.ends_with('\\') {
                command.pop();
                command.push_str(lines.next().unwrap_or_default().trim());
            }
            let command = command.split("  #").next().unwrap_or_default().trim().to_owned();
            examples.push(Example { document, command, shown: None });
            is_after_command = true;
        } else if !line.trim().is_empty() && !line.starts_with("    ") {
            // Prose may stand between a command and its answer, but no heading.
            is_after_command = is_after_command && !line.starts_with('#');
        }
    }
    examples
}

/// Adds the paths of all fields: `data.workloads[].id`.
fn fields(value: &Value, at: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = format!("{at}.{name}");
                if !MAPS.contains(&name.as_str()) {
                    fields(value, &path, all);
                }
                all.insert(path);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, &format!("{at}[]"), all)),
        _ => {}
    }
}

fn fields_of(value: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    fields(value, "", &mut all);
    all
}

/// Runs a command as it stands in the document, up to a pipe. Answers with errors fail.
fn run(command: &str, directory: &Path) -> String {
    let command = command.split(" | ").next().unwrap_or_default();
    let script = format!("curl() {{ command curl --fail-with-body --max-time 20 \"$@\"; }}; {command}");
    let output = Command::new("sh").args(["-c", &script]).current_dir(directory).output().unwrap();
    let (answer, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command}: {} {answer} {error}", output.status);
    answer.into_owned()
}

/// A policy that reports, and one that learns.
fn policies(watched: &TestCgroup, learned: &TestCgroup) -> String {
    format!(
        "  - name: backup\n    match: [{{cgroup: {}}}]\n    extends: runtime-default\n    \
         critical: [keyctl]\n  - name: web\n    match: [{{cgroup: {}}}]\n    learn: {{quiet_for: 1h, at_least: 1h}}\n",
        watched.label(),
        learned.label()
    )
}

#[test]
fn commands_of_the_documents_work_and_answer_what_is_shown() {
    let all: Vec<Example> = DOCUMENTS.into_iter().flat_map(|(name, text)| examples(name, text)).collect();
    assert!(all.len() > 12 && all.iter().filter(|example| example.shown.is_some()).count() > 3, "{all:#?}");
    let [watched, learned] = ["documents", "learned"].map(TestCgroup::new);
    let guard = Guard::start(&policies(&watched, &learned), &["--poll.interval=200ms"]);
    let calls = |cgroup: &TestCgroup| {
        let numbers = [libc::SYS_keyctl, libc::SYS_getitimer].map(number);
        KnownCalls::run(&[&"calls", &cgroup.path(), &numbers[0], &"5", &numbers[1], &"3"]);
        KnownCalls::run(&[&"failing", &cgroup.path(), &"5", &"3", &"0"]);
    };
    // Its birth is seen.
    let late = TestCgroup::new("late");
    [&watched, &learned, &late].into_iter().for_each(calls);
    let json = |path: &str| -> Value { serde_json::from_str(&guard.daemon.get(path).1).unwrap() };
    let violation = wait_for("a violation with its process", Duration::from_secs(20), || {
        let answer = json("/api/v1/violations?syscall=keyctl&policy=backup");
        let violation = answer["data"]["violations"].get(0)?.clone();
        violation["process"]["comm"].is_string().then_some(violation)
    });
    let kind = wait_for("a baseline with calls, and its store", Duration::from_secs(20), || {
        let answer = json("/api/v1/policies");
        answer["data"]["store"]["up"].as_bool()?;
        let baseline = answer["data"]["baselines"].get(0)?.clone();
        (baseline["calls"].as_u64() > Some(0)).then(|| baseline["kind"].as_str().unwrap().to_owned())
    });
    let id = violation["id"].as_str().unwrap();
    let address = guard.daemon.address();
    let selected = format!("cgroup=\"{}\"", watched.label());
    for Example { document, command, shown } in &all {
        let mut here = command.replace("localhost:9778", address).replace("syscall=mount", "syscall=keyctl");
        for (from, to) in [
            ("shop/Deployment/web/httpd", kind.as_str()),
            ("unit:/system.slice/nginx.service", &kind),
            (r#"namespace="shop",owner="web""#, &selected),
            (r#"namespace="shop",pod=~"web-.*""#, &selected),
            (r#"container="web""#, &selected),
            ("violations/VIOLATION_ID", &format!("violations/{id}")),
            ("syscall=SYSCALL", "syscall=keyctl"),
            ("policy=POLICY", "policy=backup"),
        ] {
            here = here.replace(from, to);
        }
        let answer = run(&here, guard.directory.path());
        // jq takes a field of the answer.
        if let Some((_, field)) = command.split_once(".data.") {
            let field = field.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next().unwrap();
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert!(answer["data"].get(field).is_some(), "{document}: {command}: {answer}");
        }
        if let Some(shown) = shown {
            let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{here}: {answer}"));
            let (shown, real) = (fields_of(shown), fields_of(&answer));
            let missing: Vec<&String> = shown.difference(&real).collect();
            assert!(missing.is_empty(), "{document}: {here}: no {missing:?} in {answer:#}");
        }
    }
}

#[test]
fn no_other_document_has_commands_of_curl() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // A VM has the tests without the repository.
    let Ok(entries) = std::fs::read_dir(root.join("docs")) else { return };
    let files = entries.map(|entry| entry.unwrap().path()).chain([root.join("README.md")]);
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_listed = DOCUMENTS.iter().any(|(listed, _)| *listed == name);
        let has_commands = !examples("", &std::fs::read_to_string(&path).unwrap()).is_empty();
        assert_eq!(has_commands, is_listed, "{name}");
    }
}
