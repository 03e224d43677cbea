//! The mapped buffers of one stream: camera memory, lent as leases.
//!
//! A stream that was retired leaves its buffers to the leases that are still out; the last of them
//! unmaps. Nothing returned to a dead stream reaches its successor.

#![expect(unsafe_code, reason = "slices of mapped memory that a device writes")]

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use memmap2::{MmapOptions, MmapRaw};
use rustix::io::Errno;

use super::super::{CameraFault, Counters};
use super::node::Node;
use crate::bell::Bell;
use crate::frame::Pool;

pub(super) struct Buffers {
    maps: Vec<MmapRaw>,
    returns: Sender<u32>,
    bell: Arc<Bell>,
    counters: Arc<Counters>,
}

impl Buffers {
    /// Maps the `count` buffers that `node` has granted. Returned ones come out of the receiver.
    pub fn map(
        node: &Node,
        count: u32,
        bell: &Arc<Bell>,
        counters: &Arc<Counters>,
    ) -> Result<(Self, Receiver<u32>), CameraFault> {
        let maps = (0..count)
            .map(|index| {
                let (offset, len) = node.query_buffer(index)?;
                MmapOptions::new()
                    .offset(offset)
                    .len(len)
                    .map_raw_read_only(&node.fd())
                    .map_err(|error| CameraFault::Call {
                        call: "mmap",
                        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
                    })
            })
            .collect::<Result<Vec<_>, CameraFault>>()?;
        let (returns, returned) = bounded(maps.len());
        let buffers = Self {
            maps,
            returns,
            bell: Arc::clone(bell),
            counters: Arc::clone(counters),
        };
        Ok((buffers, returned))
    }

    /// Bytes of the smallest.
    pub fn bytes_each(&self) -> usize {
        self.maps.iter().map(MmapRaw::len).min().unwrap_or(0)
    }
}

impl Pool for Buffers {
    fn bytes(&self, index: u32) -> &[u8] {
        let Some(map) = self.maps.get(index as usize) else {
            return &[];
        };
        // SAFETY: the mapping is `len` bytes long, readable, and lives as long as `self`. This type
        // is private to the room: only leases of the stream call this, for a buffer that was dequeued
        // and is queued again only after the lease came back (`Stream` lends no buffer twice). In
        // between the driver does not write to it, nor after streaming has ended or the device has
        // gone; then the kernel keeps the memory for as long as it is mapped. Nobody in this process
        // can write: the mapping is read-only.
        unsafe { std::slice::from_raw_parts(map.as_ptr(), map.len()) }
    }

    fn give_back(&self, index: u32) {
        // There is room for every buffer. If nobody receives any more, the stream is dead, and there
        // is nothing to give back to.
        if self.returns.try_send(index).is_ok() {
            self.bell.ring();
        }
        Counters::count(&self.counters.returned);
    }
}
