//! Owns everything that changes: takes snapshots, keeps totals and names up to date, has calls judged,
//! and publishes views.

mod attribution;
mod publisher;
mod replay;
mod sampler;

use std::time::{Duration, Instant};

pub use self::{
    replay::{Controls, PlayError, Player, Replay, Speed},
    sampler::{Beginning, MAX_SNAPSHOT_AGE, Sampler, SamplerEnd, SamplerThread, Tunables},
};

fn far_away() -> Instant {
    Instant::now() + Duration::from_hours(1)
}
