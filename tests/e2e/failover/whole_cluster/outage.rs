//! The API server is away for a minute.

use std::time::{Duration, Instant};

use serde_json::json;
use tradingbot::api::bot_status::{OnApiServerLoss, Phase, TradingBotStatus};

use crate::harness::*;

const OUTAGE: Duration = Duration::from_secs(60);

#[test]
fn outage_of_the_api_server_moves_no_active() {
    scenario_within("api_server_away", Turn::Alone, seconds(420), async |world| {
        let stops = world.apply(bot().hot().named("stops")).await;
        let continues = bot().hot().named("continues").with("/spec/leadership/onApiServerLoss", json!("Continue"));
        let continues = world.apply(continues).await;
        let before = [stops.until_trading().await, continues.until_trading().await];
        let ledger = before[1].trading.clone().expect("the ledger says who");
        assert_eq!(ledger.on_api_server_loss, OnApiServerLoss::Continue);
        let rounds = [stops.begin_round("outage").await, continues.begin_round("outage").await];
        let began = Instant::now();
        let outage = world.faults().stop_apiserver();
        until("the outage has lasted its minute", OUTAGE * 2, async || (began.elapsed() >= OUTAGE).then_some(())).await;
        outage.heal();
        // Kubelets report their pods ready up to a minute later; nobody who trades has to wait for that.
        let healed = Instant::now();
        let epoch = before[0].epoch;
        let again = |s: &TradingBotStatus| s.phase == Phase::Active && s.epoch > epoch && s.active.is_some();
        let after = [
            stops.until("it trades again under Stop", seconds(20), again).await,
            continues.until("it trades under Continue", seconds(20), |s| s.phase == Phase::Active).await,
        ];
        world.note("s to trade again under Stop", format!("{:.1}", healed.elapsed().as_secs_f64()));

        for i in 0..2 {
            let (was, is) = (before[i].active.clone(), after[i].active.clone());
            assert_eq!(was.map(|a| a.pod), is.map(|a| a.pod), "an outage moves nothing");
        }
        // Under Stop the active stopped by its deadline, and trades again in a new epoch on the same pod.
        let last = stops.exchange.last_order_of(&rounds[0]).await;
        let traded_on = seconds_between(&rounds[0].marker, &last);
        world.note("s traded on under Stop", traded_on);
        assert!(traded_on < 5.0, "it traded on for {traded_on} s without the API server");
        assert!(after[0].epoch > before[0].epoch);
        // Under Continue it never stopped.
        assert_eq!(after[1].epoch, before[1].epoch);
        continues.assert_undisturbed_since(&rounds[1]).await;
        let pause = continues.longest_pause_since(&rounds[1]).await;
        world.note("longest pause in s under Continue", pause);
        assert!(pause < 2.0, "under Continue it paused for {pause} s");
        // Others follow.
        world.until_namespaces_work().await;
    });
}
