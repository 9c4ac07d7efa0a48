//! Decodes the records that the kernel side sends through ring buffers.
//!
//! Records are untrusted bytes. Records that are too short or of an unknown kind are dropped.

use std::time::Duration;

use syscallmon_common::{
    Abi, CGROUP_BORN, CGROUP_BORN_UNPRIVILEGED, CGROUP_DIED, CgroupEvent, EXE_DELETED, EXE_NO_PATH, EXE_PART_LEN,
    EXE_PARTS, Executable, RawFirstCall, X32_BIT,
};
use zerocopy::FromBytes;

use crate::syscalls::CallId;

/// A birth or death of a cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupChange {
    /// A birth.
    Born {
        /// Its id.
        id: u64,
        /// The parent's id; `None` if the kernel's BTF lacks it.
        parent: Option<u64>,
        /// Whether its creator may not administer the host; `false` if the kernel's BTF lacks that.
        unprivileged: bool,
        /// Its path from the root of its hierarchy, as the kernel wrote it (any bytes but NUL), cut after 1,023 bytes.
        path: Vec<u8>,
    },
    /// A death. No task makes another call in this cgroup.
    Died {
        /// Its id.
        id: u64,
    },
}

/// A first call of a cgroup, or a first denied call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstCallEvent {
    /// The time, on `CLOCK_MONOTONIC`.
    pub monotonic: Duration,
    /// The id of the cgroup that the call is attributed to.
    pub cgroup_id: u64,
    /// The ABI.
    pub abi: Abi,
    /// The number within the ABI's table, without x32's bit.
    pub number: u64,
    /// The class of arguments that is new; `None` if the call itself is.
    pub class: Option<CallId>,
    /// Process id in the daemon's pid namespace, or in the initial one for processes outside the daemon's.
    pub pid: u32,
    /// Thread id in the same namespace.
    pub tid: u32,
    /// Real user id in the initial user namespace.
    pub uid: u32,
    /// Whether seccomp denied the call.
    pub denied: bool,
    /// The thread's name, with invalid UTF-8 replaced.
    pub comm: String,
    /// The parent's process id and name, if known.
    pub parent: Option<(u32, String)>,
    /// The executable's path within its file system, if known. As in `/proc/<pid>/exe`, a removed file has `
    /// (deleted)`, and a memfd is `/memfd:name (deleted)`. `...` replaces components that did not fit.
    pub exe: Option<String>,
    /// The parent's executable, in the same form.
    pub parent_exe: Option<String>,
}

/// Drains both kinds of records, calls first. The birth of a cgroup precedes its calls, so it is there when births are
/// drained, even if both arrive in between.
pub(super) fn calls_and_changes<C, G>(calls: impl FnOnce() -> C, changes: impl FnOnce() -> G) -> (C, G) {
    let calls = calls();
    (calls, changes())
}

/// Decodes a record of `CGROUP_EVENTS`.
pub(super) fn cgroup_change(record: &[u8]) -> Option<CgroupChange> {
    let (event, path) = CgroupEvent::read_from_prefix(record).ok()?;
    let CgroupEvent { cgroup_id: id, kind, path_len, parent_id, .. } = event;
    match kind {
        CGROUP_BORN | CGROUP_BORN_UNPRIVILEGED => {
            let parent = Some(parent_id).filter(|&parent| parent != 0);
            let unprivileged = kind == CGROUP_BORN_UNPRIVILEGED;
            Some(CgroupChange::Born { id, parent, unprivileged, path: path.get(..path_len as usize)?.to_vec() })
        }
        CGROUP_DIED => Some(CgroupChange::Died { id }),
        _ => None,
    }
}

/// Decodes a record of `FIRST_CALLS`.
pub(super) fn first_call(record: &[u8]) -> Option<FirstCallEvent> {
    let (event, _) = RawFirstCall::read_from_prefix(record).ok()?;
    let abi = *Abi::ALL.get(event.abi as usize)?;
    let number = event.nr.cast_unsigned();
    let has_parent = event.parent != 0;
    Some(FirstCallEvent {
        monotonic: Duration::from_nanos(event.time_ns),
        cgroup_id: event.cgroup_id,
        abi,
        number: if abi == Abi::X32 { number ^ X32_BIT } else { number },
        class: u16::try_from(event.class).ok().filter(|&class| class != 0).map(CallId),
        pid: event.tgid,
        tid: event.pid,
        uid: event.uid,
        denied: event.denied != 0,
        comm: text(&event.comm),
        parent: has_parent.then(|| (event.parent, text(&event.parent_comm))),
        exe: path_of(&event.exe),
        parent_exe: path_of(&event.parent_exe).filter(|_| has_parent),
    })
}

/// Builds the path of an [`Executable`]; `None` if it has no components.
fn path_of(exe: &Executable) -> Option<String> {
    let parts = (exe.parts as usize).min(EXE_PARTS);
    let mut path = if parts == EXE_PARTS && exe.flags & EXE_NO_PATH == 0 { "/...".to_owned() } else { String::new() };
    for name in exe.names[..parts].iter().rev() {
        path.push('/');
        path.push_str(&text(name));
        if !name[..EXE_PART_LEN - 1].contains(&0) {
            path.push_str("...");
        }
    }
    if exe.flags & EXE_DELETED != 0 {
        path.push_str(" (deleted)");
    }
    (parts > 0).then_some(path)
}

/// Returns the text before the first NUL, with invalid UTF-8 replaced.
fn text(bytes: &[u8]) -> String {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use zerocopy::{FromZeros, IntoBytes};

    use super::*;

    fn birth(kind: u32, path_len: u32, path: &[u8]) -> Vec<u8> {
        let event = CgroupEvent { time_ns: 7, cgroup_id: 42, kind, path_len, parent_id: 6 };
        [event.as_bytes(), path].concat()
    }

    #[test]
    fn a_cgroup_that_is_born_and_calls_between_the_drains_is_known_when_its_call_is_taken() {
        // Births and calls that wait. After each drain, a cgroup is born and makes a call.
        let (births, calls) = (RefCell::<Vec<u64>>::default(), RefCell::<Vec<u64>>::default());
        let newest = Cell::new(0);
        let drain = |queue: &RefCell<Vec<u64>>| {
            let drained = queue.take();
            newest.set(newest.get() + 1);
            births.borrow_mut().push(newest.get());
            calls.borrow_mut().push(newest.get());
            drained
        };
        let (mut known, mut taken) = (Vec::new(), 0);
        for _ in 0..5 {
            let (calls, born) = calls_and_changes(|| drain(&calls), || drain(&births));
            known.extend(born);
            assert!(calls.iter().all(|cgroup| known.contains(cgroup)), "{calls:?} of {known:?}");
            taken += calls.len();
        }
        assert_eq!(taken, 8);
    }

    #[test]
    fn a_birth_has_its_path_and_a_death_its_id() {
        let born = cgroup_change(&birth(CGROUP_BORN, 4, b"/a\xffbrest"));
        assert_eq!(
            born,
            Some(CgroupChange::Born { id: 42, parent: Some(6), unprivileged: false, path: b"/a\xffb".to_vec() })
        );
        let by_user = cgroup_change(&birth(CGROUP_BORN_UNPRIVILEGED, 2, b"/a"));
        assert!(matches!(by_user, Some(CgroupChange::Born { unprivileged: true, .. })), "{by_user:?}");
        assert_eq!(cgroup_change(&birth(CGROUP_DIED, 0, b"")), Some(CgroupChange::Died { id: 42 }));
    }

    #[test]
    fn short_and_odd_records_are_dropped() {
        let whole = birth(CGROUP_BORN, 4, b"/abc");
        for len in 0..whole.len() {
            assert_eq!(cgroup_change(&whole[..len]), None, "{len}");
        }
        assert_eq!(cgroup_change(&birth(9, 0, b"")), None);
        for len in 0..size_of::<RawFirstCall>() {
            assert_eq!(first_call(&vec![0; len]), None, "{len}");
        }
        let event = RawFirstCall { abi: 77, ..RawFirstCall::new_zeroed() };
        assert_eq!(first_call(event.as_bytes()), None);
    }

    /// A seed with another layout would fail the first check, and fuzz nothing.
    #[test]
    fn the_seeds_of_the_fuzz_target_are_records() {
        let born = cgroup_change(include_bytes!("../../../fuzz/seeds/events/born"));
        assert!(matches!(born, Some(CgroupChange::Born { .. })), "{born:?}");
        assert!(cgroup_change(include_bytes!("../../../fuzz/seeds/events/died")).is_some());
        let call = first_call(include_bytes!("../../../fuzz/seeds/events/first_call")).unwrap();
        assert_eq!((call.exe.as_deref(), call.parent_exe.as_deref()), (Some("/usr/sbin/nginx"), Some("/bin/zsh")));
        let call = first_call(include_bytes!("../../../fuzz/seeds/events/first_call_x32")).unwrap();
        assert!(call.denied && call.abi == Abi::X32, "{call:?}");
    }

    #[test]
    fn a_first_call_of_x32_has_the_number_of_its_table() {
        let mut event = RawFirstCall { nr: 0x4000_0027, abi: Abi::X32 as u32, denied: 1, ..RawFirstCall::new_zeroed() };
        event.comm[..3].copy_from_slice(b"cat");
        let call = first_call(event.as_bytes()).unwrap();
        assert_eq!((call.abi, call.number, call.denied, call.comm.as_str()), (Abi::X32, 39, true, "cat"));
    }

    #[test]
    fn a_first_call_has_each_id_in_its_place() {
        let event = RawFirstCall { time_ns: 1, cgroup_id: 2, tgid: 3, pid: 4, uid: 5, ..RawFirstCall::new_zeroed() };
        let call = first_call(event.as_bytes()).unwrap();
        assert_eq!((call.monotonic, call.cgroup_id), (Duration::from_nanos(1), 2));
        assert_eq!((call.pid, call.tid, call.uid, call.denied, call.parent), (3, 4, 5, false, None));
    }

    fn executable(names: &[&[u8]], flags: u32) -> Executable {
        let mut exe = Executable { parts: u32::try_from(names.len()).unwrap(), flags, ..Executable::new_zeroed() };
        for (room, name) in exe.names.iter_mut().zip(names) {
            room[..name.len()].copy_from_slice(name);
        }
        exe
    }

    fn call_of(names: &[&[u8]], flags: u32) -> FirstCallEvent {
        let mut event = RawFirstCall { parent: 9, exe: executable(names, flags), ..RawFirstCall::new_zeroed() };
        event.parent_comm[..3].copy_from_slice(b"zsh");
        event.parent_exe = executable(&[b"zsh", b"bin"], 0);
        first_call(event.as_bytes()).unwrap()
    }

    #[test]
    fn a_first_call_has_the_parents_of_its_process() {
        let call = call_of(&[b"nginx", b"sbin", b"usr"], 0);
        assert_eq!(call.exe.as_deref(), Some("/usr/sbin/nginx"));
        assert_eq!(call.parent, Some((9, "zsh".to_owned())));
        assert_eq!(call.parent_exe.as_deref(), Some("/bin/zsh"));
        assert_eq!(call_of(&[], 0).exe, None);
        let deep = call_of(&[b"h", b"g", b"f", b"e", b"d", b"c", b"b", b"a"], 0);
        assert_eq!(deep.exe.as_deref(), Some("/.../a/b/c/d/e/f/g/h"));
        let long = call_of(&[&[b'x'; EXE_PART_LEN - 1], b"bin"], 0);
        assert_eq!(long.exe, Some(format!("/bin/{}...", "x".repeat(EXE_PART_LEN - 1))));
    }

    #[test]
    fn what_is_removed_or_has_no_path_is_called_as_proc_calls_it() {
        assert_eq!(call_of(&[b"nginx", b"sbin"], EXE_DELETED).exe.as_deref(), Some("/sbin/nginx (deleted)"));
        let memory = call_of(&[b"memfd:x"], EXE_DELETED | EXE_NO_PATH);
        assert_eq!(memory.exe.as_deref(), Some("/memfd:x (deleted)"));
    }
}
