//! Numbers that look random and are the same for the same seed (the generator is SplitMix64).

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

/// What generated names end in: no vowels, and nothing that looks like something else.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A version 4 UUID.
    pub(super) fn uid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
        let (d, e) = ((low >> 48) & 0x3fff | 0x8000, low & 0xffff_ffff_ffff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
    }

    /// The end of a generated name.
    pub(super) fn suffix(&mut self) -> String {
        (0..5).map(|_| char::from(LETTERS[self.below(27) as usize])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_uids_and_another_seed_others() {
        let uids = |seed| {
            let mut random = Random::new(seed);
            [random.uid(), random.uid()]
        };
        assert_eq!(uids(1), uids(1));
        assert_ne!(uids(1)[0], uids(2)[0]);
        assert_eq!((uids(1)[0].len(), &uids(1)[0][14..15]), (36, "4"));
    }
}
