//! Which slot a cgroup's calls are counted in: by this CPU's cache, else by the hash table, else a free one.
//!
//! A slot is trusted by its owner alone, which is in its row of the index: user space takes slots back without asking
//! the caches.

use aya_ebpf::bindings::BPF_NOEXIST;
use syscallmon_common::{IndexRow, Pool, SLOT_CACHE_LEN};

use crate::{
    ancestry,
    maps::{FREE_SLOTS, SERIES_INDEX, SLOT_CACHE, SLOT_OF_CGROUP, SLOTS},
    pool::{exhausted, give_back, take},
};

/// The slot that a cgroup's calls are counted in, and its row; `None` when every slot is taken.
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
    // Read once: user space may clear it at any time. No cgroup has the id 0, so a slot that is being reclaimed is not
    // cached.
    let owner = owner_of(row);
    cached.cgroup_id = if owner == 0 { 0 } else { cgroup_id };
    cached.owner = owner;
    cached.slot = slot;
    Some((slot, row))
}

/// The slot that a cgroup's calls are counted in: its own, or that of the attribution root that it is nested in. Given
/// now if there was none. `None`: there are no more.
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
    // SAFETY: valid map values. This CPU alone has the slot until it is in the hash table, and user space leaves it
    // alone until it is in SLOTS.
    let owner_field = unsafe { &raw mut (*row).owner };
    // The owner comes first: a CPU that finds the slot in the hash table trusts it by its owner.
    // SAFETY: as above, one aligned word.
    unsafe { owner_field.write_volatile(owner) };
    if SLOT_OF_CGROUP.insert(owner, slot, BPF_NOEXIST.into()).is_ok() {
        // SAFETY: as above.
        unsafe { holder.write_volatile(owner) };
        return Some(slot);
    }
    // Another CPU was first, or the table is full.
    // SAFETY: as above.
    unsafe { owner_field.write_volatile(0) };
    give_back(&FREE_SLOTS, slot);
    known_slot(owner)
}

/// The slot of a cgroup, by the hash table. The owner of the slot decides: the kernel may use an element again for
/// another key while this program reads its value, and a slot that is being reclaimed has no owner.
#[inline(always)]
fn known_slot(cgroup_id: u64) -> Option<u32> {
    // SAFETY: a value that belongs to another key by now names a slot with another owner.
    let slot = unsafe { SLOT_OF_CGROUP.get(cgroup_id) }.copied()?;
    let row = SERIES_INDEX.get_ptr(slot)?;
    (owner_of(row) == cgroup_id).then_some(slot)
}

/// The cgroup that a slot belongs to now.
#[inline(always)]
pub fn owner_of(row: *const IndexRow) -> u64 {
    // SAFETY: callers have a whole map value, whose owner everybody reads and writes as one word.
    unsafe { (&raw const (*row).owner).read_volatile() }
}

/// The cgroup that has a slot, also while it is reclaimed: then the row has no owner any more. Before another CPU has
/// written SLOTS, the row alone has it.
#[inline(always)]
pub fn holder_of(slot: u32) -> u64 {
    match SERIES_INDEX.get_ptr(slot).map_or(0, owner_of) {
        // SAFETY: a valid map value, read as one word.
        0 => SLOTS.get_ptr(slot).map_or(0, |id| unsafe { id.read_volatile() }),
        owner => owner,
    }
}
