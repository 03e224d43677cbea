//! Buffers for sources without a device. They are lent as a camera lends its own, and frames are copied into them.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::frame_sender::FrameSender;
use super::{CameraInfo, Counters};
use crate::clock::Timestamp;
use crate::frame::{BEHIND, Layout, Lease, Pool};
use crate::wakeup::Wakeup;

/// Lends buffers as a camera would.
pub(super) struct BufferPool {
    buffers: Vec<Arc<Buffer>>,
    /// Buffers that are not lent.
    free: Vec<u32>,
    returned: Receiver<u32>,
    sequence: u32,
}

impl BufferPool {
    pub fn new(buffers: u32, sender: &FrameSender) -> Self {
        let count = buffers.max(1);
        let (returns, returned) = bounded(count as usize);
        let buffer = |_| {
            Arc::new(Buffer {
                bytes: Vec::new(),
                returns: returns.clone(),
                wakeup: Arc::clone(&sender.wakeup),
                counters: Arc::clone(&sender.counters),
            })
        };
        Self {
            buffers: (0..count).map(buffer).collect(),
            free: (0..count).collect(),
            returned,
            sequence: 0,
        }
    }

    /// Sends one frame. If every buffer is lent, the frame is lost, as a camera would lose it. `info` describes the camera;
    /// it is called for the first frame.
    pub fn send(
        &mut self,
        layout: Layout,
        bytes: &[u8],
        sender: &mut FrameSender,
        info: impl FnOnce(Layout) -> CameraInfo,
    ) {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.free.extend(self.returned.try_iter());
        // A lease gives its buffer back just before it releases the buffer's memory. Such a buffer cannot be written to yet.
        let Some(at) = (0..self.free.len()).find(|at| {
            let buffer = &mut self.buffers[self.free[*at] as usize];
            Arc::get_mut(buffer).is_some()
        }) else {
            return;
        };
        let index = self.free.remove(at);
        if sequence == 0 {
            sender.state.up(info(layout));
        }
        let buffer = &mut self.buffers[index as usize];
        if let Some(buffer) = Arc::get_mut(buffer) {
            buffer.bytes.clear();
            buffer.bytes.extend_from_slice(bytes);
            buffer.bytes.extend_from_slice(&[0; BEHIND]);
        }
        let pool = Arc::clone(buffer) as Arc<dyn Pool>;
        let now = Timestamp::now();
        sender.put(Lease::new(pool, index, bytes.len(), layout, now, sequence));
        sender.wake_consumer();
    }
}

/// One buffer of a pool. It is separate, so that it can be written to without a lock while other buffers are lent.
struct Buffer {
    bytes: Vec<u8>,
    returns: Sender<u32>,
    wakeup: Arc<Wakeup>,
    counters: Arc<Counters>,
}

impl Pool for Buffer {
    fn bytes(&self, _index: u32) -> &[u8] {
        &self.bytes
    }

    fn give_back(&self, index: u32) {
        // The channel has room for every buffer. If there is no receiver, the source has ended.
        if self.returns.try_send(index).is_ok() {
            self.wakeup.wake();
        }
        Counters::count(&self.counters.returned);
    }
}
