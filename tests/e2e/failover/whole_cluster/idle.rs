//! With nothing to do, the operator does nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::harness::*;

const BOTS: usize = 20;
/// Ten renewals of each bot.
const WATCHED: Duration = Duration::from_secs(20);

#[test]
fn twenty_idle_bots_cause_no_reconcile_and_no_write() {
    scenario("steady_state", Turn::Alone, async |world| {
        let mut bots = Vec::new();
        for n in 0..BOTS {
            bots.push(world.apply(bot().named(&format!("idle-{n}")).lease(10, 2, 6).idle()).await);
        }
        for bot in &bots {
            bot.until("it is active with its standby", seconds(180), |s| {
                format!("{:?}", s.phase) == "Active" && s.standbys.summary == "1/1"
            })
            .await;
        }
        let operator = world.operator();
        until("the last writes of the start have been made", SOON, async || {
            let (before, began) = (writes(&operator).await, Instant::now());
            tokio::time::sleep(Duration::from_secs(3)).await;
            (writes(&operator).await == before && began.elapsed() > Duration::from_secs(2)).then_some(())
        })
        .await;
        let renewals = renewals(&bots).await;
        let (wrote, reconciled) = (writes(&operator).await, operator.counters("tradingbot_reconciles_total").await);
        tokio::time::sleep(WATCHED).await;
        let (now_wrote, now_reconciled) =
            (writes(&operator).await, operator.counters("tradingbot_reconciles_total").await);
        assert!(
            self::renewals(&bots).await.iter().zip(&renewals).all(|(now, then)| now != then),
            "a bot did not renew"
        );
        assert_eq!(now_wrote, wrote, "the operator wrote something but its own election Lease");
        let more: u64 = now_reconciled.values().sum::<u64>() - reconciled.values().sum::<u64>();
        world.note("reconciles in 20 s", more);
        let by_trigger: Vec<_> =
            now_reconciled.iter().filter(|(k, v)| reconciled.get(*k) != Some(v)).map(|(k, _)| k.clone()).collect();
        assert!(!by_trigger.iter().any(|k| k.contains("ease")), "renewals caused reconciles: {by_trigger:?}");
        assert!(more <= BOTS as u64, "{more} reconciles of {BOTS} idle bots: {by_trigger:?}");
    });
}

/// All writes but those of the operator's own election.
async fn writes(operator: &Operator) -> BTreeMap<String, u64> {
    let mut all = operator.counters("tradingbot_api_writes_total").await;
    all.retain(|labels, _| !labels.contains("resource=\"election\""));
    all
}

async fn renewals(bots: &[Bot]) -> Vec<Option<String>> {
    let mut all = Vec::new();
    for bot in bots {
        let notes = bot.lease().await.and_then(|l| l.metadata.annotations).unwrap_or_default();
        all.push(notes.get("tradingbot.io/renew").cloned());
    }
    all
}
