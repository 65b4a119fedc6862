//! The operator is installed, upgraded and taken away with Helm and kubectl, and a bot trades throughout.
//! `tests/e2e/chart/run` runs it, with the chart of the commit before.

mod helm;
mod scope;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ListParams};

use crate::harness::*;
use helm::{OPERATOR, Release, SYSTEM};

/// So long nobody looks after the bot; longer than its Lease lasts.
const UNATTENDED: std::time::Duration = seconds(15);

#[test]
#[ignore = "it takes the operator away: tests/e2e/chart/run"]
fn chart_comes_and_goes_and_a_bot_trades_throughout() {
    scenario_within("chart", Turn::Alone, seconds(400), async |world| {
        let again = kubectl_said(&["apply", "-f", helm::MANIFEST]).expect("kubectl applies the manifest");
        // kubectl always sends the selector of a disruption budget, and says that it configured it.
        let budget = format!("poddisruptionbudget.policy/{OPERATOR} configured");
        let changed: Vec<_> = again.lines().filter(|line| !line.ends_with(" unchanged") && *line != budget).collect();
        assert!(changed.is_empty(), "a second apply changed {changed:?}");
        kubectl_said(&["diff", "-f", helm::MANIFEST]).expect("the API server sees no difference either");

        let client = world.operator().cluster.client;
        let release = Release::in_place_of_the_manifest();
        release.install(&helm::chart_before(), &[]);
        world.operator().until_ready().await;
        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let trades_on = async |round: &Round, what: &str| {
            bot.assert_undisturbed_since(round).await;
            let pause = bot.longest_pause_since(round).await;
            world.note(&format!("longest pause in s, {what}"), pause);
            assert!(pause < 1.0, "the bot paused for {pause} s: {what}");
            assert_eq!(bot.status().await.epoch, before.epoch, "{what}");
        };

        // A changed pod template, so that both replicas are really replaced.
        let leader = world.operator().identity().await;
        let round = bot.begin_round("helm upgrade").await;
        release.upgrade(&helm::chart(), &["--set", "podAnnotations.upgraded=yes"]);
        world.operator().until_led_by_other_than(&leader).await;
        world.operator().until_ready().await;
        trades_on(&round, "upgrade").await;

        let leader = world.operator().identity().await;
        let round = bot.begin_round("helm uninstall").await;
        release.uninstall();
        let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
        until("no replica of the operator is left", seconds(60), async || {
            pods.list(&ListParams::default()).await.ok()?.items.is_empty().then_some(())
        })
        .await;
        let alone = bot.mark("nobody looks after the bot").await;
        until("the bot trades on for long without an operator", UNATTENDED * 2, async || {
            let last = bot.exchange.last(&bot.at("")).await?;
            (seconds_between(&alone, &last) >= UNATTENDED.as_secs_f64()).then_some(())
        })
        .await;
        let kinds: Api<CustomResourceDefinition> = Api::all(client);
        for kind in ["tradingbots.tradingbot.io", "tradingbotoperations.tradingbot.io"] {
            let there = kinds.get(kind).await.expect("the kinds stay");
            assert!(there.metadata.deletion_timestamp.is_none(), "{kind} is being removed");
        }
        trades_on(&round, "uninstall").await;

        release.install(&helm::chart(), &[]);
        world.operator().until_ready().await;
        // The one before could not give the lead back: its rights went with it.
        world.operator().until_led_by_other_than(&leader).await;
        trades_on(&round, "install again").await;
        // It acts, from the very epoch on.
        let round = bot.begin_round("crash under the operator that came back").await;
        bot.tell(&before.active.expect("one trades").pod, "crash").await;
        let first = bot.first_order_of_next(&round).await;
        world.note("s to trade again after a crash", seconds_between(&round.marker, &first));
        assert_eq!(first.epoch, Some(before.epoch + 1), "no epoch was lost meanwhile");
        bot.until_trading().await;

        drop(release);
        world.operator().until_ready().await;
    });
}
