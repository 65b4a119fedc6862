//! The report, as JSON with money in decimal strings.

use serde::Serialize;
use serde_json::Value;

/// What was found and done.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub open_orders_found: u64,
    pub orders_cancelled: u64,
    pub positions_synced: u64,
    pub balances: Vec<Balance>,
    pub discrepancies: Vec<String>,
}

/// By how much an asset differs from the bot's books.
#[derive(Debug, Serialize)]
pub struct Balance {
    pub asset: String,
    pub drift: String,
}

const PLACES: u32 = 8;

/// `a - b`, both decimal strings of at most eight places.
pub fn difference(a: &Value, b: &Value) -> Result<String, String> {
    let units = units(a)? - units(b)?;
    let sign = if units < 0 { "-" } else { "" };
    let scale = 10u128.pow(PLACES);
    let text = format!("{sign}{}.{:08}", units.unsigned_abs() / scale, units.unsigned_abs() % scale);
    Ok(text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

fn units(value: &Value) -> Result<i128, String> {
    let text = value.as_str().unwrap_or("0");
    let bad = || format!("'{text}' is not an amount");
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if part.len() > PLACES as usize {
        return Err(bad());
    }
    let joined = format!("{whole}{part:0<8}");
    joined.parse::<i128>().map(|n| sign * n).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn drift_is_exact_to_the_last_place() {
        for (a, b, drift) in
            [("10", "10", "0"), ("0.00000001", "0", "0.00000001"), ("-1.5", "2.25", "-3.75"), ("100", "0", "100")]
        {
            assert_eq!(difference(&json!(a), &json!(b)).unwrap(), drift);
        }
        assert!(difference(&json!("1.2.3"), &json!("0")).is_err());
        assert!(difference(&json!("0.000000001"), &json!("0")).is_err());
    }
}
