//! Numbers that are assigned one after the other, for tracks and for presentations.

/// Assigns numbers, starting at 1. 0 is never assigned and means that there is no number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    last: u32,
}

impl Numbers {
    /// The next number. After the largest number, 1 follows again.
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
