//! The last few items, oldest first, in an array: pushing to a full ring drops the oldest.

/// Up to `N` values in the order of their arrival.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring<T, const N: usize> {
    items: [T; N],
    len: usize,
}

impl<T: Copy, const N: usize> Ring<T, N> {
    /// An empty ring. `filler` fills the unused places.
    pub(super) const fn new(filler: T) -> Self {
        Self {
            items: [filler; N],
            len: 0,
        }
    }

    /// Adds `item` and keeps only the last `keep` (at most `N`).
    pub(super) fn push(&mut self, item: T, keep: usize) {
        let keep = keep.clamp(1, N);
        if self.len >= keep {
            let drop = self.len - keep + 1;
            self.items.copy_within(drop..self.len, 0);
            self.len -= drop;
        }
        self.items[self.len] = item;
        self.len += 1;
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let mut kept = 0;
        for i in 0..self.len {
            if keep(&self.items[i]) {
                self.items[kept] = self.items[i];
                kept += 1;
            }
        }
        self.len = kept;
    }

    pub(super) fn as_slice(&self) -> &[T] {
        &self.items[..self.len]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.items[..self.len]
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn clear(&mut self) {
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;

    #[test]
    fn keeps_the_last_ones_in_order() {
        let mut ring = Ring::<u8, 4>::new(0);
        for i in 1..=6 {
            ring.push(i, 3);
        }
        assert_eq!(ring.as_slice(), [4, 5, 6]);
        ring.push(7, 99); // more than fit: as many as fit are kept
        ring.push(8, 99);
        assert_eq!(ring.as_slice(), [5, 6, 7, 8]);
        ring.retain(|i| i % 2 == 0);
        assert_eq!(ring.as_slice(), [6, 8]);
        ring.push(9, 1); // fewer than the ring has
        assert_eq!(ring.as_slice(), [9]);
    }
}
