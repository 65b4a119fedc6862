//! The program that cleans up at the exchange before somebody trades, and all that can be wrong with it.

use kube::ResourceExt;
use serde_json::{Value, json};
use tradingbot::api::bot_status::{Block, Phase, Reason, TradingBotStatus};
use tradingbot::api::operation::OperationPhase;

use crate::harness::entry::Kind;
use crate::harness::*;

fn policy(arguments: &[&str], more: Value) -> Value {
    let mut command = vec!["/paper-reconcile"];
    command.extend(arguments);
    let mut policy = json!({"command": command, "deadlineSeconds": 20, "retries": 1});
    let more = more.as_object().expect("an object").clone();
    policy.as_object_mut().expect("an object").extend(more);
    policy
}

/// The bot never traded, is blocked, and says why.
async fn assert_blocked(bot: &Bot, why: Block, words: &str) -> TradingBotStatus {
    let status = bot.until("the reconciliation blocks it", SOON, |s| s.blocked == Some(why)).await;
    assert_eq!(status.phase, Phase::Blocked);
    let reconciled = status.conditions.iter().find(|c| c.type_ == "Reconciled").expect("a condition");
    assert_eq!(reconciled.status, "False");
    let message = &reconciled.message;
    assert!(message.contains(words), "the condition does not say '{words}': {message}");
    assert!(bot.exchange.orders(&bot.account, 0).await.is_empty(), "somebody traded without a reconciliation");
    status
}

#[test]
fn failing_reconciliation_is_tried_again_and_then_blocks() {
    scenario("reconciliation_fails", Turn::Shared, async |world| {
        let bot = world.apply(bot().reconciled_by(policy(&["--fail"], json!({})))).await;
        let status = assert_blocked(&bot, Block::ReconciliationFailed, "").await;
        assert!(status.epoch >= 2, "a retry has an epoch of its own");
        let failed = bot.exchange.log(0).await.into_iter().filter(|e| e.kind == Kind::Reconciliation);
        let tokens: std::collections::BTreeSet<_> = failed.filter_map(|e| e.token).collect();
        assert_eq!(tokens.len(), 2, "one retry, with a token of its own");
        // A person can have it tried again, and it still does not trade.
        let operation = bot.ask("Failover", None).await;
        let ended = bot.until_ended(&operation).await;
        assert_eq!((ended.phase, ended.reason.as_deref()), (OperationPhase::Failed, Some("Blocked")), "{ended:?}");
        // What is wrong is put right in the spec, and a person asks again.
        bot.change(json!({"spec": {"reconciliation": {"command": ["/paper-reconcile"]}}})).await;
        bot.ask("Failover", None).await;
        bot.until_trading().await;
    });
}

#[test]
fn failed_reconciliation_lets_trade_where_the_policy_says_proceed() {
    scenario("reconciliation_fails_proceed", Turn::Shared, async |world| {
        let manifest = bot().reconciled_by(policy(&["--fail"], json!({"onFailure": "Proceed"})));
        let bot = world.apply_judged_without(manifest, &[verdict::Rule::I3]).await;
        bot.until_trading().await;
    });
}

#[test]
fn hanging_reconciliation_ends_at_its_deadline() {
    scenario("reconciliation_hangs", Turn::Shared, async |world| {
        let more = json!({"deadlineSeconds": 3, "onFailure": "Block"});
        let bot = world.apply(bot().reconciled_by(policy(&["--hang"], more))).await;
        let status = assert_blocked(&bot, Block::ReconciliationFailed, "").await;
        world.note("message", &status.message);
    });
}

#[test]
fn discrepancies_block_until_a_person_decides() {
    scenario("reconciliation_discrepancies", Turn::Shared, async |world| {
        let bot = world.apply(bot().reconciled_by(policy(&["--discrepancy", "2 DOGE too many"], json!({})))).await;
        assert_blocked(&bot, Block::DiscrepanciesFound, "2 DOGE too many").await;
        let tried = bot.exchange.log(0).await.into_iter().filter(|e| e.kind == Kind::Reconciliation);
        let tokens: std::collections::BTreeSet<_> = tried.filter_map(|e| e.token).collect();
        assert_eq!(tokens.len(), 1, "discrepancies are not tried again");
        bot.change(json!({"spec": {"reconciliation": {"onDiscrepancy": "Proceed"}}})).await;
        bot.ask("Failover", None).await;
        let trading = bot.until_trading().await;
        let report = trading.failover.history[0].reconciliation.clone().expect("the report is kept");
        assert_eq!(report.discrepancies, ["2 DOGE too many"]);
    });
}

#[test]
fn nonsense_for_a_report_blocks() {
    scenario("reconciliation_nonsense", Turn::Shared, async |world| {
        let more = json!({"onFailure": "Block"});
        let bot = world.apply(bot().reconciled_by(policy(&["--nonsense"], more))).await;
        assert_blocked(&bot, Block::ReconciliationFailed, "is not the JSON that is expected").await;
    });
}

#[test]
fn report_that_kubernetes_cuts_blocks() {
    scenario("reconciliation_5000_bytes", Turn::Shared, async |world| {
        let more = json!({"onFailure": "Block"});
        let bot = world.apply(bot().reconciled_by(policy(&["--report-bytes", "5000"], more))).await;
        assert_blocked(&bot, Block::ReconciliationFailed, "was cut").await;
    });
}

#[test]
fn candidate_that_dies_while_preparing_is_replaced_under_a_new_epoch() {
    scenario("candidate_dies_preparing", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot().replicas(3).reconciled_by(policy(&["--delay", "4"], json!({})))).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("crash of the active, then of the candidate").await;
        bot.tell(&before.active.expect("one trades").pod, "crash").await;
        let preparing =
            bot.until("a candidate prepares", SOON, |s| s.phase == Phase::Preparing && s.epoch > before.epoch).await;
        let candidate = preparing.failover.current.and_then(|m| m.to).expect("the candidate has a name");
        bot.aim(&candidate).await.kill();
        let first = bot.first_order_of_next(&round).await;
        assert!(first.epoch >= Some(before.epoch + 2), "the dead candidate's epoch was used: {first:?}");
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_ne!(step.to.as_deref(), Some(candidate.as_str()), "the dead candidate trades: {step:?}");
        world.note("s to trade again", seconds_between(&round.marker, &first));
    });
}

#[test]
fn restart_that_is_to_be_reconciled_is_a_new_epoch_on_the_same_pod() {
    scenario("reconciled_restart", Turn::Shared, async |world| {
        let run_on = json!({"runOn": ["FirstStart", "Failover", "Switchover", "Restart"]});
        let bot = world.apply(bot().in_place_restarts(2).reconciled_by(policy(&[], run_on))).await;
        let before = bot.until_trading().await;
        let active = before.active.expect("one trades").pod;
        let round = bot.begin_round("crash").await;
        bot.tell(&active, "crash").await;
        let first = bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!(step.reason, Reason::RestartWanted);
        assert_eq!((step.from.as_deref(), step.to.as_deref()), (Some(active.as_str()), Some(active.as_str())));
        assert!(step.reconciliation.is_some(), "{step:?}");
        world.note("s to trade again", seconds_between(&round.marker, &first));
    });
}

#[test]
fn failover_cancels_what_the_old_active_left_open() {
    scenario("reconciliation_cleans_up", Turn::Shared, async |world| {
        let bot = world.apply(bot().reconciled()).await;
        let before = bot.until_trading().await;
        let round = bot.begin_round("crash with open orders").await;
        bot.tell(&before.active.expect("one trades").pod, "crash").await;
        let first = bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        let report = step.reconciliation.expect("a report");
        // Between the crash and the first new order nobody but the reconciliation did anything, and nothing stays open.
        let log = bot.exchange.log(round.marker.seq).await;
        let cancelled: u64 = log
            .iter()
            .filter(|e| e.seq < first.seq && e.accepted && matches!(e.kind, Kind::Cancel | Kind::CancelMany))
            .map(|e| e.count.unwrap_or(1))
            .sum();
        assert_eq!(u64::from(report.orders_cancelled), cancelled, "the report is about something else: {report:?}");
        assert!(bot.pods().await.iter().all(|p| !p.name_any().is_empty()));
        world.note("orders cancelled", cancelled);
    });
}
