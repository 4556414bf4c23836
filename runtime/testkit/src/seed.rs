//! Chance that can be had again: numbers from a seed, which a test prints.

use std::time::{SystemTime, UNIX_EPOCH};

/// A source of numbers (SplitMix64: one word of state, and good enough to choose where to hurt).
#[derive(Debug, Clone)]
pub struct Seed(u64);

impl Seed {
    /// The seed in this variable of the environment, or another one each time. Says which, so that a failure can be had
    /// again.
    ///
    /// # Panics
    /// When the variable holds no number.
    #[track_caller]
    pub fn from_env(variable: &str) -> Self {
        let now =
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |age| age.as_nanos() as u64 % 1_000_000_007);
        let seed = std::env::var(variable).map_or_else(|_| now(), |text| text.parse().expect("a number as the seed"));
        eprintln!("{variable}={seed}");
        Self(seed)
    }

    /// This seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one, 0 when there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// True this many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}
