//! Camera memory for made pictures: buffers that are lent as a camera lends them. Frames are copied into them.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::link::Outlet;
use super::{CameraInfo, Counters};
use crate::bell::Bell;
use crate::clock::Timestamp;
use crate::frame::{BEHIND, Layout, Lease, Pool};

/// Lends buffers as a camera would.
pub(super) struct Projector {
    buffers: Vec<Arc<Buffer>>,
    /// Buffers that are not lent.
    free: Vec<u32>,
    returned: Receiver<u32>,
    sequence: u32,
}

impl Projector {
    pub fn new(buffers: u32, outlet: &Outlet) -> Self {
        let count = buffers.max(1);
        let (returns, returned) = bounded(count as usize);
        let buffer = |_| {
            Arc::new(Buffer {
                bytes: Vec::new(),
                returns: returns.clone(),
                bell: Arc::clone(&outlet.bell),
                counters: Arc::clone(&outlet.counters),
            })
        };
        Self {
            buffers: (0..count).map(buffer).collect(),
            free: (0..count).collect(),
            returned,
            sequence: 0,
        }
    }

    /// Shows one frame, unless every buffer is out: then the frame is lost, as a camera would lose it.
    /// `info` describes the camera, when the first frame comes.
    pub fn show(
        &mut self,
        layout: Layout,
        bytes: &[u8],
        outlet: &mut Outlet,
        info: impl FnOnce(Layout) -> CameraInfo,
    ) {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.free.extend(self.returned.try_iter());
        // A lease gives its buffer back just before it releases it: such a buffer is not yet ours.
        let Some(at) = (0..self.free.len()).find(|at| {
            let buffer = &mut self.buffers[self.free[*at] as usize];
            Arc::get_mut(buffer).is_some()
        }) else {
            return;
        };
        let index = self.free.remove(at);
        if sequence == 0 {
            outlet.link.up(info(layout));
        }
        let buffer = &mut self.buffers[index as usize];
        if let Some(buffer) = Arc::get_mut(buffer) {
            buffer.bytes.clear();
            buffer.bytes.extend_from_slice(bytes);
            buffer.bytes.extend_from_slice(&[0; BEHIND]);
        }
        let pool = Arc::clone(buffer) as Arc<dyn Pool>;
        let now = Timestamp::now();
        outlet.put(Lease::new(pool, index, bytes.len(), layout, now, sequence));
        outlet.wake();
    }
}

/// A pool of one buffer, so that it can be written to while others are out, without a lock.
struct Buffer {
    bytes: Vec<u8>,
    returns: Sender<u32>,
    bell: Arc<Bell>,
    counters: Arc<Counters>,
}

impl Pool for Buffer {
    fn bytes(&self, _index: u32) -> &[u8] {
        &self.bytes
    }

    fn give_back(&self, index: u32) {
        // There is room for every buffer; if there is no receiver, the show is over.
        if self.returns.try_send(index).is_ok() {
            self.bell.ring();
        }
        Counters::count(&self.counters.returned);
    }
}
