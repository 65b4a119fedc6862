//! An operator that looks after a list of namespaces, with rights in these alone.

use super::helm::{Release, chart};
use crate::harness::*;

#[test]
#[ignore = "it takes the operator away: tests/e2e/chart/run"]
fn operator_of_one_namespace_looks_after_its_bots_and_no_other() {
    scenario_within("operator_of_one_namespace", Turn::Alone, seconds(300), async |world| {
        let release = Release::in_place_of_the_manifest();
        let elsewhere = world.apply_elsewhere(bot().named("elsewhere")).await;
        release.install(&chart(), &["--set", &format!("watchNamespaces={{{}}}", world.namespace)]);
        world.operator().until_ready().await;

        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("crash").await;
        bot.tell(&before.active.expect("one trades").pod, "crash").await;
        bot.first_order_of_next(&round).await;
        bot.until_trading().await;
        // It was there first, and nobody has looked at it.
        assert_eq!(elsewhere.status().await, Default::default());
        assert!(elsewhere.pods().await.is_empty());

        // Its end needs the rights in its namespace, which go with the release.
        bot.delete().await;
        bot.until_gone().await;
        drop(release);
        world.operator().until_ready().await;
        elsewhere.until_trading().await;
    });
}
