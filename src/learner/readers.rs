//! Reads photos with several readers at once, in this process: finds how many readers there is memory for, and shares the work
//! out among them.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::Show;
use crate::capture::Photo;
use crate::face::Reader;
use crate::memory::{self, Bounded};

/// The most memory that a reader needs, in KiB: its networks, and a large photo.
const READER: u64 = (Photo::MEMORY >> 10) + (48 << 10);

/// The number of readers that there is memory for, at most one per core.
pub fn how_many() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let photos = usize::try_from(memory::available_kib() / READER).unwrap_or(usize::MAX);
    cores.min(photos.max(1))
}

/// Reads every item, shared out among the readers, and returns the results in the items' order, while `show` shows
/// the progress.
pub fn each<I: Sync, T: Send>(
    readers: &mut [Reader],
    show: Show,
    what: &'static str,
    items: &[I],
    read: impl Fn(&mut Reader, &I) -> T + Sync,
) -> Vec<T> {
    let mut step = show(what, items.len());
    // A decoder that needs too much memory ends this process, instead of another one that the machine needs.
    let _bounded = bounded(readers.len());
    let mut read_all: Vec<(usize, T)> = Vec::new();
    share(readers, items, read, |place, result| {
        step();
        read_all.push((place, result));
    });
    drop(step);
    read_all.sort_by_key(|(place, _)| *place);
    read_all.into_iter().map(|(_, result)| result).collect()
}

/// Bounds the memory of this process while `readers` readers read photos.
#[must_use]
pub fn bounded(readers: usize) -> Bounded {
    Bounded::to((READER << 10).saturating_mul(readers as u64 + 1))
}

/// Shares the items out among the readers, and passes each result, with the item's place, to `hand_on` as it comes.
pub fn share<I: Sync, T: Send>(
    readers: &mut [Reader],
    items: &[I],
    read: impl Fn(&mut Reader, &I) -> T + Sync,
    hand_on: impl FnMut(usize, T),
) {
    let mut hand_on = hand_on;
    let next = AtomicUsize::new(0);
    let (done, results) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| {
        for reader in readers {
            let (next, done, read) = (&next, done.clone(), &read);
            scope.spawn(move || {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(place) else { break };
                    // The receiver is still there.
                    let _ = done.send((place, read(reader, item)));
                }
            });
        }
        drop(done);
        for (place, result) in &results {
            hand_on(place, result);
        }
    });
}
