//! Measures how much time a frame takes, stage by stage, and how much the networks alone take.
//!
//! Runs the real path of a frame, from lease to decision, on one thread, with a frame in memory in place of the camera's. Each
//! round times ten frames that follow each other as at the door, and then each network alone ten times. So both are measured in
//! the same state of the machine, and with their own caches. Two sets are timed one after the other in every round.

mod figures;
mod still;

use std::sync::Arc;
use std::time::Instant;

pub use self::figures::{Measured, peak_rss_mb, quantile};
use self::still::Still;
pub use self::still::scene;
use crate::alloc::allocations;
use crate::clock::Timestamp;
use crate::door::Door;
use crate::face::{Stage, Stages};
use crate::frame::{Layout, Lease, Pool, Slot};
use crate::lab::LabError;
use crate::pipeline::Recogniser;

/// The number of frames, and of invocations of each network, in a round.
const ROUND: u32 = 10;

/// A set that is measured.
pub struct Subject {
    pub models: String,
    pub embedder: String,
    pub engine: String,
    recogniser: Recogniser,
    door: Door,
    pub measured: Measured,
}

/// Times the frame `bytes` in rounds until each of `subjects` has looked at it `frames` times.
pub fn measure(
    bytes: &[u8],
    layout: Layout,
    subjects: &mut [Subject],
    frames: u32,
) -> Result<(), LabError> {
    let used = bytes.len();
    let pool: Arc<dyn Pool> = Arc::new(Still::new(bytes));
    let slot = Slot::new();
    // The first round touches memory for the first time and is not counted.
    for first in (0..frames + ROUND).step_by(ROUND as usize) {
        for subject in &mut *subjects {
            for number in first..first + ROUND {
                subject.look(&pool, used, layout, &slot, number, frames)?;
            }
            subject.bare(first >= ROUND)?;
        }
    }
    Ok(())
}

impl Subject {
    /// The set of this name, with memory reserved for the times of `frames` frames.
    pub fn new(
        set: &str,
        embedder: &str,
        mut recogniser: Recogniser,
        door: Door,
        frames: u32,
    ) -> Self {
        let engine = recogniser.reader().engine().to_owned();
        let room = || Vec::with_capacity(frames as usize);
        let networks = recogniser.reader().networks();
        let measured = Measured {
            total: room(),
            networks: room(),
            stages: Stage::ALL.map(|s| (s, room())).into(),
            bare: networks
                .into_iter()
                .map(|(name, _)| (name, room()))
                .collect(),
            allocations: 0,
            sampled: 0,
            detect_sampled: 0,
            faces: 0,
        };
        Self {
            models: set.to_owned(),
            embedder: embedder.to_owned(),
            engine,
            recogniser,
            door,
            measured,
        }
    }

    /// Times one frame, from lease to decision.
    fn look(
        &mut self,
        pool: &Arc<dyn Pool>,
        used: usize,
        layout: Layout,
        slot: &Slot,
        number: u32,
        frames: u32,
    ) -> Result<(), LabError> {
        let (before, begun) = (allocations(), Instant::now());
        let lease = Lease::new(Arc::clone(pool), 0, used, layout, Timestamp::now(), number);
        drop(slot.put(lease));
        let Some(lease) = slot.take() else {
            return Ok(());
        };
        let observation = self.recogniser.look(&lease)?;
        let events = self.door.observe(Timestamp::now(), &observation);
        drop(lease);
        let took = begun.elapsed();
        let allocated = allocations() - before;
        std::hint::black_box(events);
        let stages: Stages = self.recogniser.reader().stages().clone();
        if (ROUND..frames + ROUND).contains(&number) {
            let m = &mut self.measured;
            m.total.push(took.as_secs_f64() * 1e6);
            m.networks.push(micros(stages.networks()));
            for (stage, times) in &mut m.stages {
                times.push(micros(stages.nanos(*stage)));
            }
            m.allocations += allocated;
            m.sampled += stages.sampled;
            m.detect_sampled += stages.detect_sampled;
            m.faces = m.faces.max(observation.sightings().len());
        }
        Ok(())
    }

    /// Times each network alone.
    fn bare(&mut self, counted: bool) -> Result<(), LabError> {
        let networks = self.recogniser.reader().networks();
        for ((_, network), (_, times)) in networks.into_iter().zip(&mut self.measured.bare) {
            for _ in 0..ROUND {
                let begun = Instant::now();
                network.invoke().map_err(LabError::from)?;
                if counted {
                    times.push(begun.elapsed().as_secs_f64() * 1e6);
                }
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a frame")]
fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}
