//! Finds the slot of a cgroup: in the cache of this CPU, in the hash table, or a free one.
//!
//! The owner in the slot's index row decides whether a slot is valid, because user space reclaims slots without
//! clearing caches.

use aya_ebpf::bindings::BPF_NOEXIST;
use syscallmon_common::{IndexRow, Pool, SLOT_CACHE_LEN};

use crate::{
    ancestry,
    maps::{FREE_SLOTS, SERIES_INDEX, SLOT_CACHE, SLOT_OF_CGROUP, SLOTS},
    pool::{exhausted, give_back, take},
};

/// Returns the slot of a cgroup's calls and its row; `None` when no slot is free.
#[inline(always)]
pub fn slot(cgroup_id: u64) -> Option<(u32, *mut IndexRow)> {
    let cache = SLOT_CACHE.get_ptr_mut(0)?;
    // SAFETY: `cache` points to a whole map value of this CPU; the index is masked to its length.
    let cached = unsafe { &mut (*cache).entries[cgroup_id as usize & (SLOT_CACHE_LEN - 1)] };
    if cached.cgroup_id == cgroup_id {
        let row = SERIES_INDEX.get_ptr_mut(cached.slot)?;
        if owner_of(row) == cached.owner {
            return Some((cached.slot, row));
        }
    }
    let slot = find_or_take(cgroup_id)?;
    let row = SERIES_INDEX.get_ptr_mut(slot)?;
    // Read once, because user space may clear it at any time. No cgroup has the id 0, so a slot that is being reclaimed
    // is not cached.
    let owner = owner_of(row);
    cached.cgroup_id = if owner == 0 { 0 } else { cgroup_id };
    cached.owner = owner;
    cached.slot = slot;
    Some((slot, row))
}

/// Returns the slot of a cgroup's calls: its own, or that of the attribution root above it. Takes a free slot if there
/// is none yet. `None`: no slot is free.
#[cold]
#[inline(never)]
fn find_or_take(cgroup_id: u64) -> Option<u32> {
    if let Some(slot) = known_slot(cgroup_id) {
        return Some(slot);
    }
    let owner = ancestry::attributed_to(cgroup_id);
    if owner != cgroup_id
        && let Some(slot) = known_slot(owner)
    {
        return Some(slot);
    }
    let Some(slot) = take(&FREE_SLOTS, Pool::Slots) else {
        exhausted(Pool::Slots);
        return None;
    };
    let (holder, row) = (SLOTS.get_ptr_mut(slot)?, SERIES_INDEX.get_ptr_mut(slot)?);
    // SAFETY: valid map values. Only this CPU has the slot until it is in the hash table, and user space leaves it
    // alone until it is in SLOTS.
    let owner_field = unsafe { &raw mut (*row).owner };
    // The owner comes first: a CPU that finds the slot in the hash table checks the owner.
    // SAFETY: as above, one aligned word.
    unsafe { owner_field.write_volatile(owner) };
    if SLOT_OF_CGROUP.insert(owner, slot, BPF_NOEXIST.into()).is_ok() {
        // SAFETY: as above.
        unsafe { holder.write_volatile(owner) };
        return Some(slot);
    }
    // Another CPU won the race, or the table is full.
    // SAFETY: as above.
    unsafe { owner_field.write_volatile(0) };
    give_back(&FREE_SLOTS, slot);
    known_slot(owner)
}

/// Returns the slot of a cgroup from the hash table, if the slot's owner matches. The kernel may reuse an element for
/// another key while this program reads its value, and a slot that is being reclaimed has no owner.
#[inline(always)]
fn known_slot(cgroup_id: u64) -> Option<u32> {
    // SAFETY: a value that now belongs to another key leads to a slot with another owner.
    let slot = unsafe { SLOT_OF_CGROUP.get(cgroup_id) }.copied()?;
    let row = SERIES_INDEX.get_ptr(slot)?;
    (owner_of(row) == cgroup_id).then_some(slot)
}

/// Returns the cgroup that owns a slot now.
#[inline(always)]
pub fn owner_of(row: *const IndexRow) -> u64 {
    // SAFETY: callers have a whole map value; all sides read and write the owner as one word.
    unsafe { (&raw const (*row).owner).read_volatile() }
}

/// Returns the cgroup of a slot, also while the slot is reclaimed and its row has no owner. Until another CPU has
/// written SLOTS, only the row has the cgroup.
#[inline(always)]
pub fn holder_of(slot: u32) -> u64 {
    match SERIES_INDEX.get_ptr(slot).map_or(0, owner_of) {
        // SAFETY: a valid map value, read as one word.
        0 => SLOTS.get_ptr(slot).map_or(0, |id| unsafe { id.read_volatile() }),
        owner => owner,
    }
}
