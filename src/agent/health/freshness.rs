//! Whether something happened lately: market data, a tick, an order, a heartbeat.

use std::time::Duration;

use super::Tools;
use super::files::{self, Disk};
use super::http::{self, plain, short};
use crate::agent::clock;
use crate::api::health_config::TimeSource;
use crate::core::health::{Age, JsonPath, age, moment};

/// Looks once.
///
/// # Errors
/// A sentence.
pub(super) async fn check(
    tools: &Tools,
    disk: &Disk,
    name: &str,
    source: &TimeSource,
    most: Duration,
) -> Result<(), String> {
    let millis = match source {
        TimeSource::Http { request, json_path } => at(&http::body(tools, name, request).await?, json_path)?,
        TimeSource::File { path, json_path: Some(json_path) } => at(&files::text(disk, path).await?, json_path)?,
        TimeSource::File { path, json_path: None } => time(path, &files::text(disk, path).await?)?,
        TimeSource::Modified { path } => files::modified(disk, path).await?,
    };
    match age(millis, clock::wall()) {
        Age::Old(age) if age > most => {
            Err(format!("The time is {} s old, and may be {} s old.", age.as_secs(), most.as_secs()))
        }
        Age::Ahead(ahead) if ahead > most => {
            Err(format!("The time lies {} s ahead of the node's clock.", ahead.as_secs()))
        }
        Age::Old(_) | Age::Ahead(_) => Ok(()),
    }
}

fn at(document: &str, path: &str) -> Result<i64, String> {
    let parsed = JsonPath::parse(path).map_err(|why| format!("The path {path} {why}."))?;
    let found = parsed.find(document).map_err(|cause| format!("What should have a time in it is no JSON: {cause}."))?;
    let found = found.filter(|found| *found != "null").ok_or_else(|| format!("There is no {path}."))?;
    time(path, &plain(found))
}

fn time(place: &str, text: &str) -> Result<i64, String> {
    moment(text).ok_or_else(|| format!("{place} is '{}', which is no time.", short(text.trim())))
}
