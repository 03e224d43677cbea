//! What every source shares: the way out for its frames, and the
//! announcement of its changes of state. No source-specific knowledge.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::Duration;

use super::{CameraEvent, CameraFault, CameraInfo, Counters};
use crate::bell::{Bell, Caller};
use crate::clock::Timestamp;
use crate::frame::{Lease, Slot};

/// A source's way out.
pub(super) struct Outlet {
    slot: Arc<Slot>,
    consumer: Thread,
    pub counters: Arc<Counters>,
    pub bell: Arc<Bell>,
    stop: Arc<AtomicBool>,
    pub link: Link,
}

impl Outlet {
    pub fn new(
        slot: Arc<Slot>,
        consumer: Thread,
        events: Caller<CameraEvent>,
        counters: &Arc<Counters>,
        bell: &Arc<Bell>,
        stop: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            slot,
            consumer,
            counters: Arc::clone(counters),
            bell: Arc::clone(bell),
            stop: Arc::clone(stop),
            link: Link {
                events,
                state: State::Unknown,
                was_up: false,
            },
        }
    }

    /// Whether the source shall stop. Asked, and counted, in every round.
    pub fn stopped(&self) -> bool {
        Counters::count(&self.counters.rounds);
        self.stop.load(Ordering::Acquire)
    }

    /// Puts `lease` where the consumer finds it. An older unread lease goes back at once.
    pub fn put(&self, lease: Lease) {
        Counters::count(&self.counters.frames);
        if let Some(old) = self.slot.put(lease) {
            Counters::count(&self.counters.replaced);
            drop(old);
        }
    }

    /// Frames put so far.
    pub fn frames(&self) -> u64 {
        Counters::get(&self.counters.frames)
    }

    /// Counts a stream that ended in a fault.
    pub fn retired(&self) {
        Counters::count(&self.counters.retired);
    }

    /// Wakes the consumer. `unpark` takes no lock.
    pub fn wake(&self) {
        self.consumer.unpark();
    }

    /// Takes back an unread frame of a dead stream: it is older than it looks, and it holds memory of a
    /// device that must be released.
    pub fn clear(&self) {
        drop(self.slot.take());
    }

    /// Waits for `time`, or until the source shall stop.
    pub fn pause(&self, time: Duration) {
        let end = Timestamp::now().plus(time);
        while !self.stopped() {
            let left = end.since(Timestamp::now());
            if left.is_zero() {
                return;
            }
            self.bell.wait(left);
        }
    }
}

enum State {
    Unknown,
    Up,
    Down { since: Timestamp, why: CameraFault },
}

/// Reports each change of state once.
pub(super) struct Link {
    events: Caller<CameraEvent>,
    state: State,
    was_up: bool,
}

impl Link {
    /// Frames come.
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

    /// No frames come, or they have stopped.
    pub fn down(&mut self, why: CameraFault, path: &Path) {
        if let State::Down { why: known, .. } = &mut self.state {
            if *known != why {
                log::debug!("camera {} still down: {why}", path.display());
                *known = why;
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

    /// No more frames will come.
    pub fn ended(&self) {
        self.send(CameraEvent::Ended);
    }

    fn send(&self, event: CameraEvent) {
        if self.events.try_send(event).is_err() {
            log::debug!("camera event lost: its channel is full or closed");
        }
    }
}
