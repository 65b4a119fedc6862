//! Which backups are let go.

use serde::{Deserialize, Serialize};

/// How long the backups of a schedule are kept: exactly one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// So many of the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub count: Option<u32>,
    /// Those of the last so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
    pub days: Option<u32>,
    /// Those of the last so many weeks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 2_000)))]
    pub weeks: Option<u32>,
    /// Those of the last so many months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 600)))]
    pub months: Option<u32>,
}

impl Retention {
    /// What a schedule keeps that says nothing: 30 days, by its name 12 weeks (`weekly`) or 12 months (`monthly`).
    pub fn of_schedule(name: &str) -> Retention {
        match name {
            "weekly" => Retention { weeks: Some(12), ..Retention::default() },
            "monthly" => Retention { months: Some(12), ..Retention::default() },
            _ => Retention { days: Some(30), ..Retention::default() },
        }
    }
}
