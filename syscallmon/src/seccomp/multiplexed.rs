//! Calls that 32-bit x86 makes through `socketcall` and `ipc`, whose first argument selects the operation.
//!
//! libseccomp allows the operation of `socketcall` when a profile allows `bind`. Source: Linux's `linux/net.h` and
//! `linux/ipc.h`.

/// Operations of `socketcall`, from 1.
const SOCKET_OPERATIONS: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// Operations of `ipc`, by number.
const IPC_OPERATIONS: [(u64, &str); 12] = [
    (1, "semop"),
    (2, "semget"),
    (3, "semctl"),
    (4, "semtimedop"),
    (11, "msgsnd"),
    (12, "msgrcv"),
    (13, "msgget"),
    (14, "msgctl"),
    (21, "shmat"),
    (22, "shmdt"),
    (23, "shmget"),
    (24, "shmctl"),
];

/// Returns the call that a call of `socketcall` or `ipc` stands for.
pub(super) fn operation(abi: &str, syscall: &str, first_argument: u64) -> Option<&'static str> {
    match (abi, syscall) {
        ("ia32", "socketcall") => {
            let index = usize::try_from(first_argument.checked_sub(1)?).ok()?;
            SOCKET_OPERATIONS.get(index).copied()
        }
        ("ia32", "ipc") => IPC_OPERATIONS.iter().find(|(number, _)| *number == first_argument).map(|(_, name)| *name),
        _ => None,
    }
}

/// Returns all calls that `socketcall` or `ipc` stands for.
pub(super) fn operations(abi: &str, syscall: &str) -> impl Iterator<Item = &'static str> {
    let (sockets, ipc) = (abi == "ia32" && syscall == "socketcall", abi == "ia32" && syscall == "ipc");
    let sockets = SOCKET_OPERATIONS.into_iter().filter(move |_| sockets);
    sockets.chain(IPC_OPERATIONS.into_iter().map(|(_, name)| name).filter(move |_| ipc))
}
