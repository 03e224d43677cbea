//! What all sources share: they send their frames through this module, and report their changes of state. It knows nothing
//! about any particular source.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use super::{CameraEvent, CameraFault, CameraInfo, Counters};
use crate::clock::Timestamp;
use crate::frame::{Lease, Slot};
use crate::wakeup::{Wakeup, WakingSender};

/// Hands a source's frames to the consumer.
pub(super) struct FrameSender {
    slot: Arc<Slot>,
    consumer: Thread,
    pub counters: Arc<Counters>,
    pub wakeup: Arc<Wakeup>,
    stop: Arc<AtomicBool>,
    pub state: StateReporter,
}

impl FrameSender {
    pub fn new(
        slot: Arc<Slot>,
        consumer: Thread,
        events: WakingSender<CameraEvent>,
        counters: &Arc<Counters>,
        wakeup: &Arc<Wakeup>,
        stop: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            slot,
            consumer,
            counters: Arc::clone(counters),
            wakeup: Arc::clone(wakeup),
            stop: Arc::clone(stop),
            state: StateReporter {
                events,
                state: State::Unknown,
                was_up: false,
            },
        }
    }

    /// Whether the source must stop. Every round checks this and is counted here.
    pub fn stopped(&self) -> bool {
        Counters::count(&self.counters.rounds);
        self.stop.load(Ordering::Acquire)
    }

    /// Puts `lease` where the consumer finds it. An older unread lease is given back at once.
    pub fn put(&self, lease: Lease) {
        Counters::count(&self.counters.frames);
        if let Some(old) = self.slot.put(lease) {
            Counters::count(&self.counters.replaced);
            drop(old);
        }
    }

    /// The number of frames that have been put.
    pub fn frames(&self) -> u64 {
        Counters::get(&self.counters.frames)
    }

    /// Counts a stream that ended in a fault.
    pub fn count_retired(&self) {
        Counters::count(&self.counters.retired);
    }

    /// Wakes the consumer. `unpark` takes no lock.
    pub fn wake_consumer(&self) {
        self.consumer.unpark();
    }

    /// Takes back an unread frame of a dead stream. The frame is older than it looks, and it keeps memory of a device that
    /// must be released.
    pub fn discard_unread(&self) {
        drop(self.slot.take());
    }

    /// Waits for `time`, or until the source must stop.
    pub fn wait(&self, time: Duration) {
        let end = Timestamp::now().plus(time);
        while !self.stopped() {
            let left = end.since(Timestamp::now());
            if left.is_zero() {
                return;
            }
            self.wakeup.wait(left);
        }
    }
}

enum State {
    Unknown,
    Up,
    Down { since: Timestamp, why: CameraFault },
}

/// Reports each change of state once.
pub(super) struct StateReporter {
    events: WakingSender<CameraEvent>,
    state: State,
    was_up: bool,
}

impl StateReporter {
    /// Reports that frames are coming.
    pub fn up(&mut self, camera: CameraInfo) {
        let event = match self.state {
            State::Up => return,
            State::Down { since, .. } if self.was_up => CameraEvent::Back {
                camera,
                away: Timestamp::now().since(since),
            },
            State::Unknown | State::Down { .. } => CameraEvent::Up(camera),
        };
        (self.state, self.was_up) = (State::Up, true);
        self.send(event);
    }

    /// Reports that no frames are coming, or that they have stopped.
    pub fn down(&mut self, why: CameraFault, path: &Path) {
        if let State::Down { why: reported, .. } = &mut self.state {
            if *reported != why {
                log::debug!("camera {} still down: {why}", path.display());
                *reported = why;
            }
            return;
        }
        self.state = State::Down {
            since: Timestamp::now(),
            why: why.clone(),
        };
        let path = PathBuf::from(path);
        self.send(CameraEvent::Down { why, path });
    }

    /// Reports that no more frames will come.
    pub fn ended(&self) {
        self.send(CameraEvent::Ended);
    }

    fn send(&self, event: CameraEvent) {
        if self.events.try_send(event).is_err() {
            log::debug!("camera event lost: its channel is full or closed");
        }
    }
}
