//! Decimal numbers as they are written, compared without rounding: an exchange's `0.1` is no binary fraction.

use std::cmp::Ordering;

/// Digits that are read at most, and the largest exponent of either sign: no price has more.
const MOST_DIGITS: usize = 1_000;
const LARGEST_EXPONENT: i64 = 100_000;

/// A decimal number.
#[derive(Clone, Debug)]
pub struct Decimal {
    negative: bool,
    /// Without leading and trailing zeros; empty: zero.
    digits: Vec<u8>,
    /// The number is `0.digits` times ten to the power of this.
    exponent: i64,
}

impl Decimal {
    /// Reads `-12.50`, `3`, `.5` or `1e-8`; `None` where it is nothing of the kind.
    pub fn parse(text: &str) -> Option<Decimal> {
        let text = text.trim();
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (text, 0),
        };
        if exponent.abs() > LARGEST_EXPONENT || mantissa.len() > MOST_DIGITS {
            return None;
        }
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if all.is_empty() || !all.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let leading = all.iter().take_while(|digit| **digit == b'0').count();
        let trailing = all[leading..].iter().rev().take_while(|digit| **digit == b'0').count();
        let digits = all[leading..all.len() - trailing].to_vec();
        let point = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()?;
        let zero = digits.is_empty();
        Some(Decimal { negative: negative && !zero, digits, exponent: if zero { 0 } else { point + exponent } })
    }

    fn size(&self, other: &Decimal) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self.exponent.cmp(&other.exponent).then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.size(other),
            (true, true) => other.size(self),
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn decimals_are_compared_as_they_are_written_and_not_as_binary_fractions() {
        let ascending = ["-1e3", "-12.5", "-0.1", "0", "1e-9", ".1", "0.10000000000000000001", "9.99", "10", "1.5E+2"];
        for pair in ascending.windows(2) {
            assert!(of(pair[0]) < of(pair[1]), "{pair:?}");
        }
        for (left, right) in [("0", "-0.00"), ("1.50", "001.5"), ("100", "1e2"), ("0.05", "5e-2"), ("+7", "7")] {
            assert_eq!(of(left), of(right));
        }
        // Both are 9007199254740992 as floats.
        assert!(of("9007199254740992") < of("9007199254740993"));
    }

    #[test]
    fn what_is_no_number_is_not_read() {
        for text in ["", "-", ".", "1.2.3", "0x10", "1e", "1e999999999", "NaN", "1,5", "- 1", "--1"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
        assert!(Decimal::parse(&"9".repeat(MOST_DIGITS + 1)).is_none());
        assert!(Decimal::parse(&format!("1e{}", LARGEST_EXPONENT + 1)).is_none());
    }

    #[test]
    fn the_longest_and_the_largest_are_read() {
        assert!(of(&"9".repeat(MOST_DIGITS)) < of(&format!("1e{LARGEST_EXPONENT}")));
        assert_ne!(of("1"), of("2"));
    }
}
