//! Changes of the kernel's tables that user space requests.

#[cfg(feature = "bytes")]
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A change of the kernel's tables that user space requests, mostly to reclaim a number: an entry of the map
/// `RECLAIM_OPS`. Kind 0 marks a finished entry, and the end of the list.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bytes", derive(FromBytes, Immutable, IntoBytes, KnownLayout))]
pub struct ReclaimOp {
    /// The cgroup that loses its slot, or the `SeriesKey` that loses its number; 0 otherwise.
    pub key: u64,
    /// One of the constants below, such as [`RECLAIM_CGROUP`].
    pub kind: u32,
    /// The slot, series, histogram, or kind of attribution root.
    pub number: u32,
}

/// Removes a cgroup from the hash table: [`ReclaimOp::kind`].
pub const RECLAIM_CGROUP: u32 = 1;
/// Puts a slot into the free list: [`ReclaimOp::kind`].
pub const RECLAIM_SLOT: u32 = 2;
/// Puts a series into the free list: [`ReclaimOp::kind`].
pub const RECLAIM_SERIES: u32 = 3;

/// Removes a `SeriesKey` from the hash table of errors: [`ReclaimOp::kind`].
pub const RECLAIM_ERROR: u32 = 4;
/// Removes a `SeriesKey` from the hash table of denied calls: [`ReclaimOp::kind`].
pub const RECLAIM_DENIED: u32 = 5;
/// Removes a `SeriesKey` from the hash table of histograms: [`ReclaimOp::kind`].
pub const RECLAIM_TIMED: u32 = 6;
/// Puts a histogram into the free list: [`ReclaimOp::kind`].
pub const RECLAIM_HISTOGRAM: u32 = 7;
/// Makes a cgroup an attribution root, of the kind in [`ReclaimOp::number`]: [`ReclaimOp::kind`].
pub const RECLAIM_ADD_ROOT: u32 = 8;
/// Removes an attribution root: [`ReclaimOp::kind`].
pub const RECLAIM_REMOVE_ROOT: u32 = 9;
/// Removes a `SeriesKey` from the hash table of classes of arguments: [`ReclaimOp::kind`].
pub const RECLAIM_ARGUMENT: u32 = 10;

/// Entries of `RECLAIM_OPS`: the maximum for one run of the program.
pub const RECLAIM_OPS_LEN: usize = 64;
