//! What `/proc` tells of a process: its command line, and where it comes from.
//!
//! Asked at the moment of a call that nobody expected, while the process may already be gone: whatever is not there is left out, and
//! whatever belongs to another process, which has its id now, too.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::Duration,
};

use crate::{
    kernel::FirstCall,
    policy::{Ancestor, Process},
};

/// Bytes of a command line that are told.
const COMMAND_LINE_MAX: u64 = 4096;

/// How many ancestors are told.
const MOST_ANCESTORS: usize = 16;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(50);

/// What the kernel told of the process of a first call.
#[must_use]
pub fn of_event(call: &FirstCall) -> Process {
    let parent = |(pid, comm): &(u32, String)| Ancestor { pid: *pid, comm: comm.clone(), exe: call.parent_exe.clone() };
    Process {
        pid: call.pid,
        tid: call.tid,
        uid: call.uid,
        comm: call.comm.clone(),
        exe: call.exe.clone(),
        command_line: None,
        parents: call.parent.iter().map(parent).collect(),
    }
}

/// Reads in a thread of its own: a process can keep whoever reads its command line waiting, for as long as it likes.
#[derive(Debug)]
pub struct ProcessReader {
    questions: SyncSender<Process>,
    answers: Receiver<Process>,
}

impl ProcessReader {
    /// A reader of this procfs.
    #[must_use]
    pub fn new(procfs: PathBuf) -> Self {
        let (questions, asked) = mpsc::sync_channel::<Process>(1);
        let (answer, answers) = mpsc::channel();
        thread::spawn(move || {
            for mut process in asked {
                complete(&mut process, &procfs);
                if answer.send(process).is_err() {
                    break;
                }
            }
        });
        Self { questions, answers }
    }

    /// The process with what procfs tells; as it was given, if that takes longer than [`PATIENCE`].
    #[must_use]
    pub fn complete(&self, process: Process) -> Process {
        // Answers to earlier questions, which came too late.
        self.answers.try_iter().for_each(drop);
        if self.questions.try_send(process.clone()).is_err() {
            return process;
        }
        match self.answers.recv_timeout(PATIENCE) {
            Ok(complete) if (complete.pid, complete.tid) == (process.pid, process.tid) => complete,
            _ => process,
        }
    }
}

/// Adds what procfs tells, as far as it still does.
fn complete(process: &mut Process, procfs: &Path) {
    let directory = procfs.join(process.pid.to_string());
    if comm(&directory.join("task").join(process.tid.to_string())).as_ref() == Some(&process.comm) {
        process.command_line = command_line(&directory);
        process.exe = process.exe.take().or_else(|| executable(&directory));
    }
    let Some(mut ancestor) = process.parents.pop() else { return };
    while process.parents.len() < MOST_ANCESTORS {
        let directory = procfs.join(ancestor.pid.to_string());
        if comm(&directory).as_ref() != Some(&ancestor.comm) {
            break;
        }
        ancestor.exe = ancestor.exe.take().or_else(|| executable(&directory));
        let parent = parent(&directory).filter(|&pid| pid != 0);
        let next = parent.and_then(|pid| Some(Ancestor { pid, comm: comm(&procfs.join(pid.to_string()))?, exe: None }));
        let Some(next) = next else { break };
        process.parents.push(std::mem::replace(&mut ancestor, next));
    }
    process.parents.push(ancestor);
}

fn read(path: PathBuf) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(COMMAND_LINE_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn comm(directory: &Path) -> Option<String> {
    let bytes = read(directory.join("comm"))?;
    Some(String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(&bytes)).into_owned())
}

/// The arguments; `None` for who has none, such as threads of the kernel.
fn command_line(directory: &Path) -> Option<Vec<String>> {
    let bytes = read(directory.join("cmdline"))?;
    let arguments = bytes.strip_suffix(b"\0").unwrap_or(&bytes);
    let text = |argument: &[u8]| String::from_utf8_lossy(argument).into_owned();
    (!arguments.is_empty()).then(|| arguments.split(|&byte| byte == 0).map(text).collect())
}

/// Only those may know who could trace the process.
fn executable(directory: &Path) -> Option<String> {
    Some(directory.join("exe").read_link().ok()?.to_string_lossy().into_owned())
}

fn parent(directory: &Path) -> Option<u32> {
    let status = read(directory.join("status"))?;
    String::from_utf8_lossy(&status).lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Instant};

    use super::*;

    fn make(procfs: &Path, pid: u32, comm: &str, parent: u32) {
        let directory = procfs.join(pid.to_string());
        let task = directory.join("task").join(pid.to_string());
        fs::create_dir_all(&task).unwrap();
        for place in [&directory, &task] {
            fs::write(place.join("comm"), format!("{comm}\n")).unwrap();
        }
        fs::write(directory.join("cmdline"), format!("/bin/{comm}\0--all\0\0")).unwrap();
        fs::write(directory.join("status"), format!("Name:\t{comm}\nPPid:\t{parent}\n")).unwrap();
    }

    fn process(comm: &str, parent: Option<(u32, &str)>) -> Process {
        of_event(&FirstCall {
            monotonic: Duration::ZERO,
            cgroup_id: 1,
            abi: syscallmon_common::Abi::Native,
            number: 1,
            pid: 30,
            tid: 30,
            uid: 0,
            denied: false,
            uncounted: false,
            comm: comm.to_owned(),
            parent: parent.map(|(pid, comm)| (pid, comm.to_owned())),
            exe: Some("/bin/ls".to_owned()),
            parent_exe: parent.map(|(_, comm)| format!("/bin/{comm}")),
        })
    }

    fn parents(process: &Process) -> Vec<(u32, &str)> {
        process.parents.iter().map(|parent| (parent.pid, parent.comm.as_str())).collect()
    }

    #[test]
    fn a_process_has_its_command_line_and_its_parents() {
        let procfs = tempfile::tempdir().unwrap();
        make(procfs.path(), 30, "ls", 20);
        make(procfs.path(), 20, "sh", 1);
        make(procfs.path(), 1, "init", 0);
        let mut process = process("ls", Some((20, "sh")));
        complete(&mut process, procfs.path());
        assert_eq!(process.command_line, Some(vec!["/bin/ls".to_owned(), "--all".to_owned(), String::new()]));
        assert_eq!(parents(&process), [(20, "sh"), (1, "init")]);
        assert_eq!(process.parents[0].exe.as_deref(), Some("/bin/sh"), "the kernel side knows it without privileges");
    }

    #[test]
    fn what_is_gone_or_another_s_is_left_out() {
        let procfs = tempfile::tempdir().unwrap();
        make(procfs.path(), 30, "other", 20);
        make(procfs.path(), 20, "sh", 1);
        let mut process = process("ls", Some((20, "zsh")));
        complete(&mut process, procfs.path());
        assert_eq!((&process.command_line, parents(&process)), (&None, vec![(20, "zsh")]));
        assert_eq!(process.exe.as_deref(), Some("/bin/ls"));
    }

    #[test]
    fn parents_that_go_in_a_circle_end() {
        let procfs = tempfile::tempdir().unwrap();
        make(procfs.path(), 20, "a", 21);
        make(procfs.path(), 21, "b", 20);
        let mut process = process("ls", Some((20, "a")));
        complete(&mut process, procfs.path());
        assert_eq!(process.parents.len(), MOST_ANCESTORS + 1);
    }

    #[test]
    fn a_process_that_keeps_its_reader_waiting_keeps_nobody_else() {
        let procfs = tempfile::tempdir().unwrap();
        make(procfs.path(), 30, "ls", 1);
        let pipe = procfs.path().join("30/cmdline");
        fs::remove_file(&pipe).unwrap();
        // Whoever opens it waits for a writer.
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let reader = ProcessReader::new(procfs.path().to_owned());
        let begin = Instant::now();
        for _ in 0..100 {
            assert_eq!(reader.complete(process("ls", None)).command_line, None);
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        // What waits gets its answer, and what comes later an ordinary file.
        let mut writer = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        fs::write(procfs.path().join("file"), "/bin/ls").unwrap();
        fs::rename(procfs.path().join("file"), &pipe).unwrap();
        std::io::Write::write_all(&mut writer, b"late").unwrap();
        drop(writer);
        let answered = || reader.complete(process("ls", None)).command_line.is_some();
        assert!(
            (0..500).any(|_| answered() || {
                thread::sleep(Duration::from_millis(10));
                false
            }),
            "it goes on"
        );
    }
}
