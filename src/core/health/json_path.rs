//! Where in a JSON document something is: `$.ticker[0]["last price"]`. No wildcards and no filters, so that a path names
//! one place or none.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Steps of a path, at most.
const MOST_STEPS: usize = 16;
const LONGEST: usize = 200;

/// A path that can be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// Completes "the path … ": what is wrong with it.
    pub fn parse(text: &str) -> Result<JsonPath, String> {
        if text.len() > LONGEST {
            return Err(format!("has more than {LONGEST} characters"));
        }
        let mut rest = text.strip_prefix('$').ok_or("does not begin with $")?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if steps.len() == MOST_STEPS {
                return Err(format!("has more than {MOST_STEPS} steps"));
            }
            let (step, left) = step(rest)?;
            steps.push(step);
            rest = left;
        }
        Ok(JsonPath(steps))
    }

    /// The text of what is there: `0.1`, `"0.1"`, `{…}`. `None`: there is nothing.
    ///
    /// # Errors
    /// Why the document is no JSON.
    pub fn find<'a>(&self, document: &'a str) -> Result<Option<&'a str>, serde_json::Error> {
        let mut here: &RawValue = serde_json::from_str(document)?;
        for step in &self.0 {
            let mut parser = serde_json::Deserializer::from_str(here.get());
            match step.deserialize(&mut parser)? {
                Some(found) => here = found,
                None => return Ok(None),
            }
        }
        Ok(Some(here.get()))
    }
}

fn step(text: &str) -> Result<(Step, &str), String> {
    if let Some(rest) = text.strip_prefix('.') {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c))).unwrap_or(rest.len());
        let (key, rest) = rest.split_at(end);
        if key.is_empty() {
            return Err("has a . without letters, digits, _ or - after it".into());
        }
        return Ok((Step::Key(key.into()), rest));
    }
    let inside = text.strip_prefix('[').ok_or_else(|| format!("has '{text}' where . or [ is expected"))?;
    if let Some(quoted) = inside.strip_prefix('"') {
        let (key, rest) = quoted.split_once("\"]").ok_or("has a [\" without \"] after it")?;
        let plain = |c: char| !c.is_control() && c != '"' && c != '\\';
        if key.is_empty() || !key.chars().all(plain) {
            return Err("has a key in quotes that is empty or has \" or \\ in it".into());
        }
        return Ok((Step::Key(key.into()), rest));
    }
    let (number, rest) = inside.split_once(']').ok_or("has a [ without ] after it")?;
    let canonical = number == "0" || (!number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit()));
    match number.parse::<usize>() {
        Ok(index) if canonical && number.len() <= 5 => Ok((Step::Index(index), rest)),
        _ => Err(format!("has [{number}] where a number such as [0] or a key such as [\"name\"] is expected")),
    }
}

/// Skips everything but the one thing that is looked for: nothing is built of the rest.
impl<'de> DeserializeSeed<'de> for &Step {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Step {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            match self {
                Step::Key(wanted) if *wanted == key => found = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        if let Step::Index(wanted) = self {
            for _ in 0..*wanted {
                if entries.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            let found = entries.next_element()?;
            while entries.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(found);
        }
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"a": {"b": [1, {"last price": "0.10"}, null]}, "current_price": 1e-8, "x-y": true,
        "\u0065scaped": 7, "big": 12345678901234567890.123456789}"#;

    fn at(path: &str) -> Option<&'static str> {
        JsonPath::parse(path).unwrap().find(DOCUMENT).unwrap()
    }

    #[test]
    fn a_path_names_one_place_and_its_text_is_as_it_was_sent() {
        assert_eq!(at(r#"$.a.b[1]["last price"]"#), Some(r#""0.10""#));
        assert_eq!((at("$.a.b[0]"), at("$.a.b[2]"), at("$.a.b[3]")), (Some("1"), Some("null"), None));
        assert_eq!((at("$.current_price"), at("$.x-y"), at("$.escaped")), (Some("1e-8"), Some("true"), Some("7")));
        assert_eq!(at("$.big"), Some("12345678901234567890.123456789"));
        assert_eq!((at("$.nothing"), at("$.a[0]"), at("$.current_price.x"), at("$.x-y[0]")), (None, None, None, None));
        assert_eq!(JsonPath::parse("$").unwrap().find(" 17 ").unwrap(), Some("17"));
        assert!(JsonPath::parse("$.a").unwrap().find("{\"a\": 1").is_err());
        assert!(JsonPath::parse("$.a").unwrap().find("<html>").is_err());
    }

    #[test]
    fn the_longest_path_is_read() {
        let longest = format!("$.{}", "a".repeat(LONGEST - 2));
        assert!(JsonPath::parse(&longest).is_ok());
        assert!(JsonPath::parse(&format!("{longest}a")).is_err());
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_the_reason() {
        for (path, why) in [
            ("", "does not begin with $"),
            ("price", "does not begin with $"),
            ("$price", "where . or [ is expected"),
            ("$.", "a . without"),
            ("$..price", "a . without"),
            ("$.*", "a . without"),
            ("$.a[", "a [ without ]"),
            ("$.a[-1]", "where a number"),
            ("$.a[01]", "where a number"),
            ("$.a[+1]", "where a number"),
            ("$.a[123456]", "where a number"),
            ("$.a[?(@.x)]", "where a number"),
            ("$.a[\"b]", "a [\" without"),
            ("$.a[\"\"]", "a key in quotes"),
            ("$.a[\"\\n\"]", "a key in quotes"),
        ] {
            let refusal = JsonPath::parse(path).unwrap_err();
            assert!(refusal.contains(why), "{path}: {refusal}");
        }
        assert!(JsonPath::parse(&format!("${}", ".a".repeat(17))).unwrap_err().contains("16 steps"));
        assert!(JsonPath::parse(&format!("$.{}", "a".repeat(200))).unwrap_err().contains("200 characters"));
    }
}
