//! Gives numbers back to the kernel side, and takes cgroups out of its hash table, without a system call on a map.
//!
//! Such calls would stop counting for as long as they take: the kernel runs no classic tracepoint program on a CPU where one
//! is under way (`bpf_disable_instrumentation`), not even for the tasks that preempted it there. So a list goes into mapped memory,
//! and a program that works through it is run on demand (`BPF_PROG_TEST_RUN` for raw tracepoints, Linux 5.10). What the program could not do
//! stays in a queue, and is tried again: nothing leaks.

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

use super::{Error, error_report::privileges, mapped::MappedArray};

/// The program.
pub(super) const PROGRAM: &str = "reclaim";

/// Runs the program once: [`run`], but in tests.
pub(super) type Run<'a> = &'a dyn Fn() -> Result<(), Error>;

/// The list.
pub(super) struct ReclaimQueue {
    list: MappedArray,
    /// What is not done yet, in order: a number must not be given out again before its key has left the hash table.
    queue: VecDeque<ReclaimOp>,
    /// Entries that the program could not do, each time that it was asked.
    refused: u64,
}

impl ReclaimQueue {
    /// With the list of an object whose program is loaded.
    pub(super) fn new(list: MappedArray) -> Self {
        Self { list, queue: VecDeque::new(), refused: 0 }
    }

    /// Gives what is left from earlier attempts and all of these back, in order.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; those before are done then, and the others are tried again at the next attempt.
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

    /// Entries that were not done when they were asked for, each time.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Has lists worked through until nothing is left.
    fn work_off(&mut self, run: Run<'_>) -> Result<(), Error> {
        while !self.queue.is_empty() {
            let chunk: Vec<ReclaimOp> = self.queue.iter().take(RECLAIM_OPS_LEN).copied().collect();
            self.write(&chunk);
            run()?;
            // The program stops at the first that it cannot do.
            let done = (0..chunk.len()).take_while(|&index| self.is_done(index)).count();
            self.queue.drain(..done);
            if done < chunk.len() {
                return Err(Error::Reclaim { left: chunk.len() - done, wanted: chunk.len() });
            }
        }
        Ok(())
    }

    /// Writes one list; a shorter one than there is room for ends with zeros.
    fn write(&self, chunk: &[ReclaimOp]) {
        for (index, entry) in chunk.iter().chain([&ReclaimOp::default()]).take(RECLAIM_OPS_LEN).enumerate() {
            let words: [u64; OP_WORDS] = zerocopy::transmute!(*entry);
            for (offset, word) in words.into_iter().enumerate() {
                self.list.u64(OP_WORDS * index + offset).store(word, Relaxed);
            }
        }
    }

    /// Whether the program has struck an entry off the list: its kind is 0.
    fn is_done(&self, index: usize) -> bool {
        kind_of(&self.list, index).load(Relaxed) == 0
    }

    /// Whether the process has the privileges that this takes, which are none from Linux 5.19 on; before, where
    /// `kernel.unprivileged_bpf_disabled` is set, it is `CAP_BPF`.
    pub(super) fn are_permitted(&self, run: Run<'_>) -> bool {
        self.write(&[]);
        !matches!(run(), Err(Error::Privileges { .. }))
    }
}

/// Words of 64 bits in an entry of the list.
const OP_WORDS: usize = size_of::<ReclaimOp>() / size_of::<u64>();

/// [`ReclaimOp::kind`] of an entry of the list.
fn kind_of(list: &MappedArray, index: usize) -> &AtomicU32 {
    list.u32((index * size_of::<ReclaimOp>() + offset_of!(ReclaimOp, kind)) / size_of::<u32>())
}

/// Runs the program, which also tells the kernel side which process the daemon is.
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
        // Now the program does what is listed.
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
