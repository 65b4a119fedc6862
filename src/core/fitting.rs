//! Texts that have to fit into an annotation: sentences in them are cut until they do.

use serde::Serialize;

/// How much of each error is kept: the first of these with which all fit.
pub const KEPT_OF_ERRORS: [usize; 4] = [400, 120, 40, 0];

/// The JSON of what `with` makes of so many characters for each sentence: the first of `kept` that makes it no longer than
/// so many bytes. Empty: it is longer even without any.
pub fn fitting<T: Serialize>(longest: usize, kept: &[usize], with: impl Fn(usize) -> T) -> String {
    let text = |kept: &usize| serde_json::to_string(&with(*kept)).unwrap_or_default();
    kept.iter().map(text).find(|text| text.len() <= longest).unwrap_or_default()
}
