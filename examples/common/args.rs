//! Command-line arguments, taken one by one; what is left over is an error.

use std::str::FromStr;

/// The arguments that nobody has asked for yet.
pub struct Args(Vec<String>);

#[allow(dead_code, reason = "each program uses its part")]
impl Args {
    /// The process's own, without its name.
    pub fn from_env() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// For tests and for handing arguments on.
    pub fn from_list(list: &[&str]) -> Self {
        Self(list.iter().map(|word| (*word).to_owned()).collect())
    }

    /// The first word, if it is not an option.
    pub fn subcommand(&mut self) -> Option<String> {
        (self.0.first().is_some_and(|word| !word.starts_with('-'))).then(|| self.0.remove(0))
    }

    /// Whether the option is there.
    pub fn flag(&mut self, name: &str) -> bool {
        let found = self.0.iter().position(|word| word == name);
        found.map(|at| self.0.remove(at)).is_some()
    }

    /// `--name value` or `--name=value`.
    pub fn value(&mut self, name: &str) -> Result<Option<String>, String> {
        let with_sign = format!("{name}=");
        let Some(at) = self.0.iter().position(|word| word == name || word.starts_with(&with_sign)) else {
            return Ok(None);
        };
        let word = self.0.remove(at);
        match word.strip_prefix(&with_sign) {
            Some(value) => Ok(Some(value.to_owned())),
            None if at < self.0.len() => Ok(Some(self.0.remove(at))),
            None => Err(format!("{name} needs a value")),
        }
    }

    /// A value that is a number, an address, …
    pub fn parsed<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        match self.value(name)? {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("{name}: '{text}' is not a value for it")),
        }
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some(word) => Err(format!("'{word}' is not an option")),
        }
    }
}
