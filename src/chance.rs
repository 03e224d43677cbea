//! Random numbers that are the same on every machine, because they follow from a seed. They are for sampling and learning, not
//! for secrets.

/// 64 well-mixed bits from two numbers (the finaliser of `SplitMix64`, Steele, Lea and Flood 2014).
#[must_use]
pub const fn bits(seed: u64, at: u64) -> u64 {
    let mut z = seed ^ at.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number at least 0 and below 1.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "24 bits")]
pub fn unit(seed: u64, at: u64) -> f32 {
    (bits(seed, at) >> 40) as f32 / 16_777_216.0
}

/// A sequence of random numbers.
#[derive(Clone, Debug)]
pub struct Chance {
    seed: u64,
    at: u64,
}

impl Chance {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed: bits(seed, 0x5EED),
            at: 0,
        }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.at += 1;
        bits(self.seed, self.at)
    }

    /// A number at least 0 and below 1.
    pub fn unit(&mut self) -> f32 {
        self.at += 1;
        unit(self.seed, self.at)
    }

    /// A number between `low` and `high`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        (high - low).mul_add(self.unit(), low)
    }

    /// True with this probability.
    pub fn happens(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// A number below `n`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a small count"
    )]
    pub fn one_of(&mut self, n: usize) -> usize {
        ((self.unit() * n as f32) as usize).min(n.saturating_sub(1))
    }

    /// A normal deviate (Box and Muller 1958), between -2.2 and 2.2, so that no random person is unlike all people.
    pub fn normal(&mut self) -> f32 {
        let (a, b) = (self.unit().max(1e-7), self.unit());
        ((-2.0 * a.ln()).sqrt() * (std::f32::consts::TAU * b).cos()).clamp(-2.2, 2.2)
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.one_of(i + 1));
        }
    }
}
