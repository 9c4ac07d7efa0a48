//! Calls by their names, for counts that outlast the daemon: another version may have other ids.

use std::{borrow::Cow, collections::HashMap};

use serde::{Deserialize, Serialize};

use super::{CallId, CallTable, UNKNOWN, split_argument};

/// The names of calls by the ids that a file uses: id, ABI, and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SavedCalls(Vec<(CallId, Cow<'static, str>, Cow<'static, str>)>);

/// The calls of this version by the ids of a file.
#[derive(Clone, Debug, Default)]
pub struct KnownCalls(HashMap<CallId, KnownCall>);

/// A call and a class of arguments with one id.
#[derive(Clone, Copy, Debug)]
struct KnownCall {
    call: CallId,
    class: Option<CallId>,
}

/// An id that the table of a file does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("call {} has no name in this file", .0.0)]
pub struct UnnamedCall(CallId);

impl SavedCalls {
    /// Returns the names of all calls and classes of arguments.
    #[must_use]
    pub fn of(table: &CallTable) -> Self {
        Self(table.all().map(|(id, call)| (id, call.abi.into(), call.syscall.into())).collect())
    }

    /// Looks the names up in the table of this version. A call that it does not have is an unknown call of its ABI. An
    /// unknown ABI has the unknown calls of the architecture's own.
    #[must_use]
    pub fn known(&self, table: &CallTable) -> KnownCalls {
        // The first one is it, as in `CallTable::id`.
        let mut ids = HashMap::new();
        for (id, call) in table.all() {
            ids.entry((call.abi, call.syscall)).or_insert(id);
        }
        let known = |(id, abi, syscall): &(CallId, Cow<'static, str>, Cow<'static, str>)| {
            let of_abi = |abi| ids.get(&(abi, UNKNOWN)).copied();
            let unknown = || of_abi(abi.as_ref()).or_else(|| of_abi(table.native_abi())).unwrap_or(CallId(0));
            let known = ids.get(&(abi.as_ref(), syscall.as_ref())).copied();
            let is_class = !split_argument(syscall).1.is_empty();
            let call = known.filter(|_| !is_class).unwrap_or_else(unknown);
            (*id, KnownCall { call, class: known.filter(|_| is_class) })
        };
        KnownCalls(self.0.iter().map(known).collect())
    }
}

impl KnownCalls {
    /// Returns the call with an id of the file.
    ///
    /// # Errors
    ///
    /// If the file gives it no name.
    pub fn call(&self, id: CallId) -> Result<CallId, UnnamedCall> {
        self.0.get(&id).map(|known| known.call).ok_or(UnnamedCall(id))
    }

    /// Returns the class of arguments with an id of the file; `None` if this version has no such class.
    ///
    /// # Errors
    ///
    /// If the file gives it no name.
    pub fn class(&self, id: CallId) -> Result<Option<CallId>, UnnamedCall> {
        self.0.get(&id).map(|known| known.class).ok_or(UnnamedCall(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_is_known_by_its_names() {
        for table in [CallTable::x86_64(), CallTable::aarch64()] {
            let known = SavedCalls::of(&table).known(&table);
            for (id, call) in table.all() {
                let same = if table.is_class(id) { known.class(id) } else { known.call(id).map(Some) };
                assert_eq!(same.map(|same| same.map(|same| table.call(same))), Ok(Some(call)));
            }
        }
    }

    #[test]
    fn calls_of_another_version_are_unknown_calls_of_their_abi() {
        let table = CallTable::x86_64();
        let text = r#"[[1, "ia32", "frobnicate"], [2, "vax", "read"], [3, "x86_64", "socket(AF_NEW)"]]"#;
        let known = serde_json::from_str::<SavedCalls>(text).unwrap().known(&table);
        let unknown = |abi| table.id(abi, UNKNOWN).unwrap();
        assert_eq!(known.call(CallId(1)), Ok(unknown("ia32")));
        assert_eq!(known.call(CallId(2)), Ok(unknown("x86_64")));
        assert_eq!((known.class(CallId(3)), known.class(CallId(1))), (Ok(None), Ok(None)));
        assert_eq!(known.call(CallId(4)).unwrap_err().to_string(), "call 4 has no name in this file");
    }
}
