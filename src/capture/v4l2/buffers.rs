//! The mapped buffers of one stream: camera memory, lent as leases.
//!
//! A retired stream leaves its buffers to the leases that are still out, and the last of these leases unmaps them. Nothing
//! that is returned to a dead stream reaches the stream after it.

#![expect(unsafe_code, reason = "slices of mapped memory that a device writes")]

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::super::{CameraFault, Counters};
use super::node::Node;
use crate::frame::{BEHIND, Pool};
use crate::wakeup::Wakeup;

pub(super) struct Buffers {
    maps: Vec<Map>,
    returns: Sender<u32>,
    wakeup: Arc<Wakeup>,
    counters: Arc<Counters>,
}

impl Buffers {
    /// Maps the `count` buffers that `node` has granted. The receiver yields the buffers that are returned.
    pub fn map(
        node: &Node,
        count: u32,
        wakeup: &Arc<Wakeup>,
        counters: &Arc<Counters>,
    ) -> Result<(Self, Receiver<u32>), CameraFault> {
        let maps = (0..count)
            .map(|index| {
                let (offset, len) = node.query_buffer(index)?;
                Map::new(node.fd(), offset, len).map_err(|errno| CameraFault::Call {
                    call: "mmap",
                    errno,
                })
            })
            .collect::<Result<Vec<_>, CameraFault>>()?;
        let (returns, returned) = bounded(maps.len());
        let buffers = Self {
            maps,
            returns,
            wakeup: Arc::clone(wakeup),
            counters: Arc::clone(counters),
        };
        Ok((buffers, returned))
    }

    /// The bytes of the smallest buffer.
    pub fn bytes_each(&self) -> usize {
        self.maps.iter().map(|map| map.len).min().unwrap_or(0)
    }
}

impl Pool for Buffers {
    fn bytes(&self, index: u32) -> &[u8] {
        let Some(map) = self.maps.get(index as usize) else {
            return &[];
        };
        // SAFETY: the mapping is `len` bytes long with at least `BEHIND` more, readable, and lives as long as `self`. This
        // type is private to the room: only leases of the stream call this function, for a buffer that was dequeued and is
        // queued again only after the lease came back (`Stream` lends no buffer twice). In between, the driver does not
        // write to the buffer. It also does not write after streaming has ended or the device has gone; the kernel then
        // keeps the memory for as long as it is mapped. Nothing in this process can write, because the mapping is read-only.
        unsafe { std::slice::from_raw_parts(map.start.as_ptr().cast(), map.len + BEHIND) }
    }

    fn give_back(&self, index: u32) {
        // The channel has room for every buffer. If there is no receiver, the stream is dead, and there is nothing to give
        // the buffer back to.
        if self.returns.try_send(index).is_ok() {
            self.wakeup.wake();
        }
        Counters::count(&self.counters.returned);
    }
}

/// A mapped buffer of the driver, with a page of zeros behind it for code that reads ahead.
struct Map {
    start: NonNull<c_void>,
    /// Bytes of the buffer.
    len: usize,
    /// Bytes mapped.
    whole: usize,
}

// SAFETY: a `Map` owns its mapping, which belongs to no thread and is only read.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    fn new(device: BorrowedFd<'_>, offset: u64, len: usize) -> Result<Self, Errno> {
        let page = rustix::param::page_size();
        let whole = len
            .checked_next_multiple_of(page)
            .and_then(|pages| pages.checked_add(page))
            .ok_or(Errno::OVERFLOW)?;
        // SAFETY: this is a new mapping at an address that the kernel chooses, so it replaces no other memory.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                whole,
                ProtFlags::READ,
                MapFlags::PRIVATE,
            )
        }?;
        let map = Self {
            start: NonNull::new(start).ok_or(Errno::NOMEM)?,
            len,
            whole,
        };
        // SAFETY: this replaces the first pages of the mapping above, which is larger and not in use yet.
        unsafe {
            let flags = MapFlags::SHARED | MapFlags::FIXED;
            mmap(start, len, ProtFlags::READ, flags, device, offset)
        }?;
        Ok(map)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: this is the whole of a mapping that `new` made; slices of it borrow the `Buffers` that contains this
        // `Map`.
        let _ = unsafe { munmap(self.start.as_ptr(), self.whole) };
    }
}
