//! Ring buffers of the programs: waiting and draining.

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use aya::maps::{MapData, RingBuf};
use aya_log::EbpfLogger;
use tokio::io::unix::AsyncFd;

use super::{
    Error,
    events::{self, CgroupChange, FirstCallEvent},
    log::KernelLog,
};

/// The ring buffers and their readers.
pub struct EventRings {
    pub(super) cgroup: RingBuf<MapData>,
    pub(super) first_calls: RingBuf<MapData>,
    pub(super) logger: EbpfLogger<KernelLog>,
}

impl EventRings {
    /// Makes the ring buffers awaitable. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the runtime cannot watch them.
    pub fn watch(self) -> Result<EventStreams, Error> {
        Ok(EventStreams {
            cgroup: Ring(watch(self.cgroup)?),
            first_calls: Ring(watch(self.first_calls)?),
            log: watch(self.logger)?,
        })
    }
}

fn watch<T: AsFd + AsRawFd>(source: T) -> Result<AsyncFd<T>, Error> {
    // SAFETY: ring buffers own their descriptor, and return the same one as long as they live.
    unsafe { AsyncFd::register(source) }.map_err(|error| Error::Wait(error.into_parts().1))
}

/// The awaitable ring buffers.
pub struct EventStreams {
    /// Births and deaths of cgroups.
    pub cgroup: Ring,
    /// First calls.
    pub first_calls: Ring,
    log: AsyncFd<EbpfLogger<KernelLog>>,
}

impl EventStreams {
    /// Waits until a ring buffer has records. Writes messages of the programs to the log meanwhile.
    ///
    /// # Errors
    ///
    /// When the runtime is shutting down.
    pub async fn ready(&mut self) -> io::Result<()> {
        loop {
            tokio::select! {
                guard = self.cgroup.0.readable_mut() => return guard.map(|mut guard| guard.clear_ready()),
                guard = self.first_calls.0.readable_mut() => return guard.map(|mut guard| guard.clear_ready()),
                guard = self.log.readable_mut() => {
                    let mut guard = guard?;
                    guard.clear_ready();
                    guard.get_inner_mut().flush();
                }
            }
        }
    }

    /// Drains all records, each kind in order. The cgroup of each call was born earlier, or in these changes.
    pub fn take(&mut self) -> (Vec<FirstCallEvent>, Vec<CgroupChange>) {
        events::calls_and_changes(
            || self.first_calls.drain(events::first_call),
            || self.cgroup.drain(events::cgroup_change),
        )
    }
}

/// One ring buffer.
pub struct Ring(AsyncFd<RingBuf<MapData>>);

impl Ring {
    fn drain<T>(&mut self, decode: impl Fn(&[u8]) -> Option<T>) -> Vec<T> {
        let ring = self.0.get_mut();
        let mut items = Vec::new();
        while let Some(record) = ring.next() {
            items.extend(decode(&record));
        }
        items
    }
}
