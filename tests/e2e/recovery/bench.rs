//! How soon a bot that is ill trades again, by the schedule that checks have where nothing else is said: `make
//! bench-recovery`. For what every pod sees alike it is the time from the end of the cause.

use std::convert::identity;
use std::time::Duration;

use serde_json::Value;

use super::{cases, shared};
use crate::bench::{measure, write};

/// Causes that end last so long.
const AWAY: Duration = Duration::from_secs(20);
/// The exchange is away for so long.
const OUTAGE: Duration = Duration::from_secs(180);
/// Nothing may take longer, unless its cause lasts.
const LIMIT: f64 = 30.0;

#[test]
#[ignore = "takes minutes: make bench-recovery"]
fn bench_recovery() {
    let as_usual: fn(Value) -> Value = identity;
    let all = [
        measure("price-missing", LIMIT, async |world| cases::price_missing(world, as_usual).await),
        measure("data-stale", LIMIT, async |world| cases::data_stale(world, as_usual).await),
        measure("memory", LIMIT, async |world| cases::memory(world, as_usual).await),
        measure("hung", LIMIT, async |world| cases::hung(world, as_usual).await),
        measure("disk-full", LIMIT, async |world| cases::disk_full(world, as_usual).await),
        measure("redis-away", LIMIT, async |world| shared::redis_away(world, AWAY, as_usual).await),
        measure("postgres-away", LIMIT, async |world| shared::postgres_away(world, AWAY, as_usual).await),
        measure("exchange-away", 5.0, async |world| shared::exchange_away(world, OUTAGE, as_usual).await),
    ];
    write("recovery.json", &all);
    let slow: Vec<_> = all.iter().filter(|figures| figures.max() > figures.limit).map(|f| f.scenario).collect();
    assert!(slow.is_empty(), "slower than they have to be: {slow:?}");
}
