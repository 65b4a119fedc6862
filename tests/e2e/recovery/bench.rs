//! How soon a bot that is ill trades again, by the schedule that checks have where nothing else is said: `make
//! bench-recovery`. For what every pod sees alike it is the time from the end of the cause.

use std::convert::identity;
use std::time::Duration;

use super::{Pace, cases, shared};
use crate::bench::{measure, write};

/// From one run of a check to the next while it passes. Where in it the fault begins decides how soon it is noticed, so it
/// is another point of it in every run: the first right after a run, the last right before the next.
const PERIOD: Duration = Duration::from_secs(10);
/// And while it fails: there it is the end that comes at another point.
const PERIOD_OF_FAILING: Duration = Duration::from_secs(2);
/// Causes that end last so long.
const AWAY: Duration = Duration::from_secs(20);
/// The exchange is away for so long.
const OUTAGE: Duration = Duration::from_secs(180);
/// Nothing may take longer, unless its cause lasts.
const LIMIT: f64 = 30.0;

#[test]
#[ignore = "takes minutes: make bench-recovery"]
fn bench_recovery() {
    let at = |period: Duration, share| Pace { schedule: identity, wait: period.mul_f64(share) };
    let begins = |share| at(PERIOD, share);
    let ends = |share| at(PERIOD_OF_FAILING, share);
    let all = [
        measure("price-missing", LIMIT, async |world, share| cases::price_missing(world, begins(share)).await),
        measure("data-stale", LIMIT, async |world, share| cases::data_stale(world, begins(share)).await),
        measure("memory", LIMIT, async |world, share| cases::memory(world, begins(share)).await),
        measure("hung", LIMIT, async |world, share| cases::hung(world, begins(share)).await),
        measure("disk-full", LIMIT, async |world, share| cases::disk_full(world, begins(share)).await),
        measure("redis-away", LIMIT, async |world, share| shared::redis_away(world, AWAY, ends(share)).await),
        measure("postgres-away", LIMIT, async |world, share| shared::postgres_away(world, AWAY, ends(share)).await),
        measure("exchange-away", 5.0, async |world, share| shared::exchange_away(world, OUTAGE, ends(share)).await),
    ];
    write("recovery.json", &all);
    let slow: Vec<_> = all.iter().filter(|figures| figures.max() > figures.limit).map(|f| f.scenario).collect();
    assert!(slow.is_empty(), "slower than they have to be: {slow:?}");
}
