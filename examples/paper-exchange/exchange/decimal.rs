//! Money: decimal strings outside, whole units of 10⁻⁸ inside.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

const SCALE: i128 = 100_000_000;

/// A decimal with at most eight places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(i128);

impl Decimal {
    /// `units` × 10⁻⁸.
    pub const fn from_units(units: i128) -> Self {
        Self(units)
    }

    /// The product, cut after eight places.
    pub fn times(self, other: Decimal) -> Decimal {
        Decimal(self.0 * other.0 / SCALE)
    }

    pub fn is_positive(self) -> bool {
        self.0 > 0
    }
}

impl std::ops::AddAssign for Decimal {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::ops::Neg for Decimal {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl FromStr for Decimal {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("'{text}' is not a decimal with at most 8 places");
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = whole.bytes().chain(places.bytes()).all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 15 || places.len() > 8 || !all_digits {
            return Err(error());
        }
        let units: i128 = format!("{whole}{places:0<8}").parse().map_err(|_| error())?;
        Ok(Self(if negative { -units } else { units }))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = self.0.abs();
        let text = format!("{}.{:08}", units / SCALE, units % SCALE);
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[test]
fn decimals_round_trip_and_refuse_what_is_none() {
    for text in ["0", "25.01", "-3", "0.00000001", "1000000"] {
        assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
    }
    for text in ["", "-", ".5", "1e3", "1.000000001", "+1", "1.2.3"] {
        assert!(text.parse::<Decimal>().is_err(), "{text}");
    }
    let product = "25.5".parse::<Decimal>().unwrap().times("10".parse().unwrap());
    assert_eq!(product.to_string(), "255");
}
