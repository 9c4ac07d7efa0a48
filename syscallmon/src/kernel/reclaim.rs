//! Reclaims numbers, and removes cgroups from the kernel side's hash table, without a system call on a map.
//!
//! Such system calls would lose calls: while one is under way, the kernel runs no classic tracepoint program on that
//! CPU (`bpf_disable_instrumentation`), not even for tasks that preempt it. So user space writes a list into mapped
//! memory, and runs a program that does the listed operations (`BPF_PROG_TEST_RUN` for raw tracepoints, Linux 5.10).
//! Operations that failed stay in a queue and are retried, so no number is lost.

use std::{
    collections::VecDeque,
    mem::offset_of,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use aya::{
    Ebpf,
    programs::{ProgramError, RawTracePoint, RawTracePointRunOptions, TestRun},
};
use syscallmon_common::{RECLAIM_OPS_LEN, ReclaimOp};

use super::{Error, mapped::MappedArray, remedies::privileges};

/// Name of the program.
pub(super) const PROGRAM: &str = "reclaim";

/// Runs the program once. This is [`run`], except in tests.
pub(super) type Run<'a> = &'a dyn Fn() -> Result<(), Error>;

/// The list in mapped memory, and the queue of operations.
pub(super) struct ReclaimQueue {
    list: MappedArray,
    /// Operations that are not done, in order: a number must not become free before its key has left the hash table.
    queue: VecDeque<ReclaimOp>,
    /// Operations that failed, counted at each attempt.
    refused: u64,
}

impl ReclaimQueue {
    /// Uses the list of an object whose program is loaded.
    pub(super) fn new(list: MappedArray) -> Self {
        Self { list, queue: VecDeque::new(), refused: 0 }
    }

    /// Does these operations, and first those that are left from earlier attempts, in order.
    ///
    /// # Errors
    ///
    /// When the kernel refuses. Operations before the failure are done; the next attempt retries the others.
    pub(super) fn reclaim(&mut self, run: Run<'_>, entries: impl IntoIterator<Item = ReclaimOp>) -> Result<(), Error> {
        self.queue.extend(entries);
        let done = self.work_off(run);
        if done.is_err() {
            self.refused += self.queue.len() as u64;
        } else {
            self.queue.shrink_to(RECLAIM_OPS_LEN);
        }
        done
    }

    /// Returns how many operations failed, counted at each attempt.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Writes lists and runs the program until the queue is empty.
    fn work_off(&mut self, run: Run<'_>) -> Result<(), Error> {
        while !self.queue.is_empty() {
            let chunk: Vec<ReclaimOp> = self.queue.iter().take(RECLAIM_OPS_LEN).copied().collect();
            self.write(&chunk);
            run()?;
            // The program stops at the first operation that fails.
            let done = (0..chunk.len()).take_while(|&index| self.is_done(index)).count();
            self.queue.drain(..done);
            if done < chunk.len() {
                return Err(Error::Reclaim { left: chunk.len() - done, wanted: chunk.len() });
            }
        }
        Ok(())
    }

    /// Writes one list. A list with free room ends with zeros.
    fn write(&self, chunk: &[ReclaimOp]) {
        for (index, entry) in chunk.iter().chain([&ReclaimOp::default()]).take(RECLAIM_OPS_LEN).enumerate() {
            let words: [u64; OP_WORDS] = zerocopy::transmute!(*entry);
            for (offset, word) in words.into_iter().enumerate() {
                self.list.u64(OP_WORDS * index + offset).store(word, Relaxed);
            }
        }
    }

    /// Whether the program has done an operation: it sets the kind to 0.
    fn is_done(&self, index: usize) -> bool {
        kind_of(&self.list, index).load(Relaxed) == 0
    }

    /// Whether the process has the necessary privileges. From Linux 5.19 on, there are none. Before, `CAP_BPF` is
    /// needed if `kernel.unprivileged_bpf_disabled` is set.
    pub(super) fn are_permitted(&self, run: Run<'_>) -> bool {
        self.write(&[]);
        !matches!(run(), Err(Error::Privileges { .. }))
    }
}

/// 64-bit words of an operation.
const OP_WORDS: usize = size_of::<ReclaimOp>() / size_of::<u64>();

/// Returns [`ReclaimOp::kind`] of an entry of the list.
fn kind_of(list: &MappedArray, index: usize) -> &AtomicU32 {
    list.u32((index * size_of::<ReclaimOp>() + offset_of!(ReclaimOp, kind)) / size_of::<u32>())
}

/// Runs the program, which also records the daemon's process id on the kernel side.
pub(super) fn run(ebpf: &Ebpf) -> Result<(), Error> {
    let program = ebpf.program(PROGRAM).ok_or(Error::Object { name: PROGRAM })?;
    let program: &RawTracePoint = program.try_into()?;
    let run: Result<_, ProgramError> = program.test_run(RawTracePointRunOptions::new());
    run.map(drop).map_err(|error| privileges(&error, "running a program").unwrap_or(Error::Program(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_side_did_not_do_is_tried_again_in_order() {
        let entry = |number: u32| ReclaimOp { key: 0, kind: syscallmon_common::RECLAIM_SLOT, number };
        let list = MappedArray::anonymous(RECLAIM_OPS_LEN * size_of::<ReclaimOp>());
        let mut reclaim = ReclaimQueue { queue: (1..=100).map(entry).collect(), ..ReclaimQueue::new(list) };
        assert!(reclaim.work_off(&|| Ok(())).is_err(), "a program that does nothing");
        assert_eq!((reclaim.queue.len(), reclaim.queue[0]), (100, entry(1)), "nothing is lost");
        // Now the program does the listed operations.
        let (done, list) = (std::cell::RefCell::new(Vec::new()), MappedArray::same(&reclaim.list));
        let program = || {
            for index in (0..RECLAIM_OPS_LEN).take_while(|&index| kind_of(&list, index).load(Relaxed) != 0) {
                let number = index * size_of::<ReclaimOp>() + offset_of!(ReclaimOp, number);
                done.borrow_mut().push(list.u32(number / size_of::<u32>()).load(Relaxed));
                kind_of(&list, index).store(0, Relaxed);
            }
            Ok(())
        };
        reclaim.work_off(&program).unwrap();
        assert_eq!((*done.borrow()).clone(), (1..=100).collect::<Vec<u32>>());
        assert!(reclaim.queue.is_empty());
    }
}
