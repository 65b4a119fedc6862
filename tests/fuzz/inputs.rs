//! Inputs that are made up the same way in every run: bytes by chance, and what is in the corpus, changed a little.

use crate::targets::Target;

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same for ever.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 where that is 0.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..start + self.below((length - start).min(40) + 1)
    }
}

pub struct Inputs {
    chance: Chance,
    known: Vec<Vec<u8>>,
    longest: usize,
}

impl Inputs {
    pub fn new(target: &Target, known: Vec<Vec<u8>>) -> Inputs {
        let seed = target.name.bytes().fold(0_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        Inputs { chance: Chance(seed), known, longest: target.longest }
    }

    pub fn next(&mut self) -> Vec<u8> {
        let mut input = match self.chance.below(3) {
            0 => self.by_chance(),
            _ => self.of_known(),
        };
        input.truncate(self.longest);
        input
    }

    fn by_chance(&mut self) -> Vec<u8> {
        let length = self.chance.below(self.longest + 1);
        (0..length).map(|_| self.chance.next().to_le_bytes()[0]).collect()
    }

    fn one_known(&mut self) -> Vec<u8> {
        let n = self.chance.below(self.known.len());
        self.known.get(n).cloned().unwrap_or_default()
    }

    fn of_known(&mut self) -> Vec<u8> {
        let mut input = self.one_known();
        for _ in 0..=self.chance.below(4) {
            let range = self.chance.range(input.len());
            let piece = match self.chance.below(6) {
                0 => Vec::new(),
                1 => input[range.clone()].repeat(2),
                2 => self.by_chance().into_iter().take(range.len()).collect(),
                3 => {
                    let other = self.one_known();
                    other[self.chance.range(other.len())].to_vec()
                }
                4 => self.chance.below(100_000).to_string().into_bytes(),
                _ => input[range.clone()].iter().map(|byte| byte ^ (1 << self.chance.below(8))).collect(),
            };
            input.splice(range, piece);
        }
        input
    }
}
