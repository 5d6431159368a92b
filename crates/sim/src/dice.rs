//! Randomness that is looked up, not drawn in turn: what happens to a call depends on the seed and on which
//! call it is, never on what else happened before. So two policies that meet the same seed meet the same faults.

/// A place in the tree of random values under one seed; also a stream of values of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dice(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64: every bit of the result depends on every bit of the input.
const fn mix(value: u64) -> u64 {
    let a = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(mix(seed.wrapping_add(GOLDEN)))
    }

    /// The values under a name.
    pub(crate) fn on(self, name: &str) -> Self {
        // FNV-1a: names are short and few.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.at(hash)
    }

    /// The values under a number.
    pub(crate) const fn at(self, number: u64) -> Self {
        Self(mix(self.0 ^ mix(number.wrapping_add(GOLDEN))))
    }

    /// The next value of this place's stream.
    pub(crate) const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Below `limit`; 0 if that is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.roll().checked_rem(limit).unwrap_or(0)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// True so many times in a million.
    pub(crate) fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            for (byte, random) in chunk.iter_mut().zip(self.roll().to_le_bytes()) {
                *byte = random;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_place_has_the_same_values_and_others_have_others() {
        let place = |seed, name, number| Dice::new(seed).on(name).at(number).roll();
        assert_eq!(place(1, "call", 7), place(1, "call", 7));
        let others = [place(2, "call", 7), place(1, "fate", 7), place(1, "call", 8)];
        assert!(!others.contains(&place(1, "call", 7)));
        let mut stream = Dice::new(3);
        assert_ne!(stream.roll(), stream.roll());
    }

    #[test]
    fn chances_are_about_right() {
        let mut dice = Dice::new(5);
        let hits = (0..100_000).filter(|_| dice.chance(20_000)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        assert!((0..1_000).all(|_| (3..=5).contains(&dice.between(3, 5))));
    }
}
