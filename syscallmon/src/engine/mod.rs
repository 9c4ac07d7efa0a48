//! Owns all changing state: takes snapshots, updates totals and names, passes calls to detection, and publishes views.

mod attribution;
mod publisher;
mod replay;
mod sampler;

use std::time::{Duration, Instant};

pub use self::{
    replay::{Controls, PlayError, Player, Replay, Speed},
    sampler::{Beginning, Known, Lasting, MAX_SNAPSHOT_AGE, SLOT_OFFSET, Sampler, SamplerEnd, SamplerThread, Tunables},
};

fn far_away() -> Instant {
    Instant::now() + Duration::from_hours(1)
}
