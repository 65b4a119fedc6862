//! What `status` prints.

use std::fmt::Write as _;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::backups;
use super::remedies;
use super::timeline::{hook_results, steps};
use super::times::{ago, seconds};
use crate::api::bot::TradingBot;
use crate::api::bot_status::{
    AccountState, AccountStatus, Block, MoveStatus, ShutdownStatus, StepReport, TradingBotStatus,
};

/// How many finished moves are shown.
const SHOWN_MOVES: usize = 5;

/// All bots of a namespace, a line each.
pub fn table(bots: &[TradingBot], now: Timestamp) -> String {
    let header = ["NAME", "PHASE", "ACTIVE", "EPOCH", "STANDBYS", "LAST MOVE"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(header)
        .chain(bots.iter().map(|bot| {
            let status = bot.status.clone().unwrap_or_default();
            [
                bot.name_any(),
                format!("{:?}", status.phase),
                status.active.map_or("-".into(), |a| a.pod),
                status.epoch.to_string(),
                format!("{}/{}", status.standbys.ready, status.standbys.desired),
                status.failover.last_time.map_or("-".into(), |t| format!("{} ago", ago(&t, now))),
            ]
        }))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// One bot in full.
pub fn detail(bot: &TradingBot, now: Timestamp) -> String {
    let status = bot.status.clone().unwrap_or_default();
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:10}{value}");
    };
    field("Bot", &format!("{} in namespace {}", bot.name_any(), bot.namespace().unwrap_or_default()));
    field("Phase", format!("{:?}  {}", status.phase, status.message).trim_end());
    field("Active", &active(&status, now));
    field("Epoch", &epoch(&status));
    if let Some(account) = &status.account {
        field("Account", &account_line(account, now));
    }
    field("Standbys", &format!("{} of {} ready", status.standbys.ready, status.standbys.desired));
    let average = status.failover.average_milliseconds.map(|a| format!(", {} on average", seconds(a)));
    field("Moves", &format!("{}{}", status.failover.total, average.unwrap_or_default()));
    if let Some(operation) = &status.operation {
        field("Operation", &format!("{} is under way", operation.name));
    }
    if let Some(restore) = &status.restore {
        field("Restore", &format!("{} by {}", backups::step(restore.step), restore.operation));
    }
    attention(bot, &status, &mut text);
    if let Some(backup) = &status.backup {
        backups::section(backup, now, &mut text);
    }
    if let Some(last) = status.last_shutdown.as_ref().filter(|last| !is_of_a_move(last, &status)) {
        let _ = writeln!(text, "\nLast stop\n  Epoch {}: {}, {} ago", last.epoch, last.pod, ago(&last.time, now));
        let _ = writeln!(text, "    {}", hook_results(&last.steps));
        step_lines(&last.steps, &mut text);
    }
    remedies::section(status.remedies(), now, &mut text);
    if let Some(current) = &status.failover.current {
        text.push_str("\nUnder way\n");
        move_lines(current, now, &mut text);
    }
    if !status.failover.history.is_empty() {
        text.push_str("\nLast moves\n");
        for of in status.failover.history.iter().take(SHOWN_MOVES) {
            move_lines(of, now, &mut text);
        }
    }
    text
}

fn active(status: &TradingBotStatus, now: Timestamp) -> String {
    let Some(active) = &status.active else { return "nobody".into() };
    let place = match (&active.node, &active.zone) {
        (Some(node), Some(zone)) => format!(" on {node} ({zone})"),
        (Some(node), None) => format!(" on {node}"),
        _ => String::new(),
    };
    let since =
        active.since_time.as_ref().map_or(", not seen trading yet".to_owned(), |t| format!(", for {}", ago(t, now)));
    format!("{}{place}{since}", active.pod)
}

fn epoch(status: &TradingBotStatus) -> String {
    match &status.trading {
        Some(trading) if trading.epoch != status.epoch => {
            format!("{} (epoch {} may still be trading)", status.epoch, trading.epoch)
        }
        Some(trading) => format!("{}, fencing token {}", trading.epoch, trading.token),
        None => status.epoch.to_string(),
    }
}

fn account_line(account: &AccountStatus, now: Timestamp) -> String {
    let since = account.since_time.as_ref().map(|t| format!(", for {}", ago(t, now))).unwrap_or_default();
    let holder = match (&account.holder, account.state) {
        (_, AccountState::Held) => "held by this bot".to_owned(),
        (Some(holder), AccountState::Waiting) => format!("held by {}/{}", holder.namespace, holder.name),
        (None, AccountState::Waiting) => "held by nobody".to_owned(),
    };
    format!("{}, {holder}{since}", account.name)
}

/// Conditions that are not as they should be, and what to do about them.
fn attention(bot: &TradingBot, status: &TradingBotStatus, text: &mut String) {
    let mut lines = Vec::new();
    if bot.metadata.generation != status.observed_generation {
        lines.push(
            "The operator has not seen the latest change yet. If this stays: kubectl -n tradingbot-system get pods"
                .to_owned(),
        );
    }
    // A phase and its conditions often say the same; each sentence once.
    let mut said = vec![status.message.as_str()];
    for condition in status.conditions.iter().filter(|c| c.status == "False" || c.status == "Unknown") {
        if condition.reason == "NoFailoverYet" {
            continue;
        }
        let again = said.contains(&condition.message.as_str());
        let message = if again { "see above" } else { condition.message.as_str() };
        said.push(&condition.message);
        lines.push(format!("{} is {} ({}): {message}", condition.type_, condition.status, condition.reason));
    }
    if let Some(advice) = status.blocked.map(|block| advice(block, bot, status)) {
        lines.push(format!("To do: {advice}"));
    }
    if !lines.is_empty() {
        text.push_str("\nNeeds attention\n");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    }
}

fn advice(block: Block, bot: &TradingBot, status: &TradingBotStatus) -> String {
    let place = format!("-n {} {}", bot.namespace().unwrap_or_default(), bot.name_any());
    let failover = format!("kubectl tradingbot failover {place}");
    match block {
        Block::ManualFailover => format!("find out why the active was lost, then run: {failover}"),
        Block::RecoveryUsedUp => format!("find out why the check failed, then run: {failover}"),
        Block::RateLimited => format!("find the cause of so many failovers, then run: {failover}"),
        Block::ReconciliationFailed => {
            format!("read the logs of the reconciliation Job, mend what failed, then run: {failover}")
        }
        Block::RestoreFailed => format!(
            "read the logs of the restore's Job, mend what failed, then restore again: kubectl tradingbot restore {place} \
             --latest --confirm {}; or, if you know that what was to be overwritten is good, run: {failover}",
            bot.name_any()
        ),
        Block::DiscrepanciesFound => format!("settle the discrepancies at the exchange, then run: {failover}"),
        Block::AccountHeld => match status.account.as_ref().and_then(|account| account.holder.as_ref()) {
            Some(holder) => format!(
                "if this bot shall trade on the account, suspend or delete the other one: kubectl tradingbot status -n {} {}",
                holder.namespace, holder.name
            ),
            None => "look at the condition AccountHeld".into(),
        },
        Block::SilentUnderContinue => format!(
            "make sure that the active has stopped, at its node and at the exchange, then run: kubectl tradingbot confirm-stopped {place} --epoch {} --by YOUR-NAME",
            status.trading.as_ref().map_or(status.epoch, |t| t.epoch)
        ),
    }
}

/// Whether the stop is told with the move that it was for.
fn is_of_a_move(stop: &ShutdownStatus, status: &TradingBotStatus) -> bool {
    let moves = status.failover.current.iter().chain(status.failover.history.first());
    moves.into_iter().any(|of| of.fenced_time.as_ref() == Some(&stop.time))
}

/// Why steps did not succeed.
fn step_lines(steps: &[StepReport], text: &mut String) {
    for step in steps.iter().filter(|step| !step.message.is_empty()) {
        let _ = writeln!(text, "    {:>11}  {}: {}", "", step.name, step.message);
    }
}

fn move_lines(of: &MoveStatus, now: Timestamp, text: &mut String) {
    let from = of.from.as_deref().unwrap_or("nobody");
    let to = of.to.as_deref().unwrap_or("?");
    let _ = writeln!(text, "  Epoch {}: {from} to {to}, {} ago", of.epoch, ago(&of.suspected_time, now));
    for step in steps(of) {
        let _ = writeln!(text, "    +{:>10}  {}", step.after, step.what);
    }
    step_lines(&of.shutdown, text);
    step_lines(of.promote_hook.as_slice(), text);
    for discrepancy in of.reconciliation.iter().flat_map(|r| &r.discrepancies) {
        let _ = writeln!(text, "    {:>11}  discrepancy: {discrepancy}", "");
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    pub fn bot(name: &str, status: serde_json::Value) -> TradingBot {
        serde_json::from_value(json!({
            "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBot",
            "metadata": {"name": name, "namespace": "money", "generation": 1},
            "spec": {"template": {"spec": {"containers": []}}},
            "status": status,
        }))
        .unwrap()
    }

    fn now() -> Timestamp {
        "2026-11-18T09:20:00Z".parse().unwrap()
    }

    fn trading() -> serde_json::Value {
        json!({
            "observedGeneration": 1, "phase": "Active", "message": "doge-1 trades.", "epoch": 7, "token": 99,
            "trading": {"epoch": 7, "token": 99, "pod": "doge-1", "podUID": "u", "leaseDurationSeconds": 10},
            "active": {"pod": "doge-1", "node": "node-b", "zone": "tokyo-a", "sinceTime": "2026-11-18T09:00:09.200000Z"},
            "standbys": {"desired": 1, "ready": 1},
            "failover": {"total": 6, "averageMilliseconds": 1900, "lastTime": "2026-11-18T09:00:09.200000Z",
                "history": [super::super::timeline::tests::finished()]},
            "conditions": [
                {"type": "Available", "status": "True", "reason": "Trading", "message": "", "lastTransitionTime": "2026-11-18T09:00:00Z"}
            ],
        })
    }

    #[test]
    fn a_namespace_is_a_table() {
        let bots = [bot("doge-jpy", trading()), bot("x", json!({}))];
        assert_eq!(
            table(&bots, now()),
            "NAME      PHASE    ACTIVE  EPOCH  STANDBYS  LAST MOVE\n\
             doge-jpy  Active   doge-1  7      1/1       19 min ago\n\
             x         Pending  -       0      0/0       -\n"
        );
    }

    #[test]
    fn a_bot_that_trades_needs_no_attention() {
        let text = detail(&bot("doge", trading()), now());
        assert!(text.contains("Active    doge-1 on node-b (tokyo-a), for 19 min\n"), "{text}");
        assert!(text.contains("Moves     6, 1.900 s on average\n"), "{text}");
        assert!(text.contains("  Epoch 7: doge-0 to doge-1, 20 min ago\n"), "{text}");
        assert!(text.contains("    +   8.000 s  doge-0 has stopped (LeaseExpired)\n"), "{text}");
        assert!(!text.contains("Needs attention"), "{text}");
    }

    #[test]
    fn a_stop_that_no_move_followed_is_shown_with_its_steps() {
        let mut status = trading();
        let steps = json!([
            {"name": "cancel-orders", "result": "Succeeded", "milliseconds": 1203},
            {"name": "flush", "result": "Failed", "milliseconds": 7, "message": "the flush hook ended with exit code 1."},
        ]);
        status["lastShutdown"] = json!({"time": "2026-11-18T09:10:00Z", "pod": "doge-1", "epoch": 8, "steps": steps});
        let text = detail(&bot("doge", status.clone()), now());
        let expected = "\nLast stop\n  Epoch 8: doge-1, 10 min ago\n    \
            cancel-orders succeeded in 1.203 s, flush failed after 0.007 s\n                 \
            flush: the flush hook ended with exit code 1.\n";
        assert!(text.contains(expected), "{text}");
        // One that is told with its move is not told twice.
        status["lastShutdown"]["time"] = status["failover"]["history"][0]["fencedTime"].clone();
        assert!(!detail(&bot("doge", status), now()).contains("Last stop"));
    }

    #[test]
    fn what_an_agent_did_about_a_check_is_shown() {
        let mut status = trading();
        let remedy = json!({"time": "2026-11-18T09:10:00Z", "pod": "doge-1", "epoch": 8, "rule": "blind",
            "type": "RestartProcess", "check": "price", "result": "Helped", "message": "$.price is missing."});
        status["health"] = json!({"remedies": [remedy]});
        let text = detail(&bot("doge", status), now());
        let expected = "\nLast remedies\n  Process restarted on doge-1 by the rule blind: it helped, 10 min ago\n    \
            price: $.price is missing.\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_move_under_way_says_why_its_promote_hook_failed() {
        let mut status = trading();
        let hook = json!({"name": "promote", "result": "Failed", "milliseconds": 9, "message": "it said no."});
        status["failover"]["current"] = json!({"epoch": 8, "trigger": "Switchover", "reason": "Requested", "message": "",
            "from": "doge-1", "to": "doge-0", "suspectedTime": "2026-11-18T09:10:00.000000Z", "promoteHook": hook});
        let text = detail(&bot("doge", status), now());
        assert!(text.contains("                 promote: it said no.\n"), "{text}");
    }

    #[test]
    fn a_bot_that_waits_for_a_person_says_what_to_do() {
        let mut status = trading();
        status["phase"] = json!("Blocked");
        status["message"] = json!("doge-1 is silent and may trade on.");
        status["blocked"] = json!("SilentUnderContinue");
        let condition = |kind: &str, message: &str| {
            json!({"type": kind, "status": "False", "reason": "SilentUnderContinue", "message": message,
                "lastTransitionTime": "2026-11-18T09:00:00Z"})
        };
        status["conditions"] = json!([
            condition("Available", "doge-1 is silent and may trade on."),
            condition("StandbyReady", "0 of 1 standbys are ready to take over."),
        ]);
        let text = detail(&bot("doge", status), now());
        assert!(text.contains("Available is False (SilentUnderContinue): see above"), "{text}");
        assert!(text.contains("0 of 1 standbys are ready to take over."), "{text}");
        assert!(text.contains("kubectl tradingbot confirm-stopped -n money doge --epoch 7 --by YOUR-NAME"), "{text}");
    }

    #[test]
    fn a_bot_that_waits_for_its_account_says_who_holds_it_and_for_how_long() {
        let mut status = trading();
        status["account"] = json!({"name": "kraken-main", "state": "Held", "holder": {"namespace": "money", "name": "doge", "uid": "u"},
            "epoch": 4, "sinceTime": "2026-11-18T09:00:00.000000Z"});
        let text = detail(&bot("doge", status.clone()), now());
        assert!(text.contains("Account   kraken-main, held by this bot, for 20 min\n"), "{text}");
        status["account"]["state"] = json!("Waiting");
        status["account"]["holder"]["namespace"] = json!("trading-a");
        (status["phase"], status["blocked"]) = (json!("Blocked"), json!("AccountHeld"));
        let text = detail(&bot("doge", status), now());
        assert!(text.contains("Account   kraken-main, held by trading-a/doge, for 20 min\n"), "{text}");
        assert!(text.contains("To do: if this bot shall trade on the account"), "{text}");
    }

    #[test]
    fn a_change_that_nobody_has_seen_is_said() {
        let mut unseen = bot("doge", trading());
        unseen.metadata.generation = Some(2);
        assert!(detail(&unseen, now()).contains("The operator has not seen the latest change yet."));
    }
}
