//! Numbers that are given one after the other, for tracks and for presentations.

/// Gives numbers from 1 on. 0 is never given: it stands for nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    last: u32,
}

impl Numbers {
    /// The next number. After the largest comes 1 again.
    pub const fn next_number(&mut self) -> u32 {
        self.last = match self.last.wrapping_add(1) {
            0 => 1,
            next => next,
        };
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_never_given() {
        let mut numbers = Numbers::default();
        assert_eq!([numbers.next_number(), numbers.next_number()], [1, 2]);
        let mut numbers = Numbers { last: u32::MAX };
        assert_eq!(numbers.next_number(), 1);
    }
}
