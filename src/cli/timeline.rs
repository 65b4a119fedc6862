//! The steps of moves, as lines: of one move, and as they happen.

use std::slice::from_ref;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::remedies::sentence;
use super::times::{between, clock, seconds};
use crate::api::bot_status::{MoveStatus, StepReport, StepResult, TradingBotStatus};

/// One step of a move that was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: MicroTime,
    /// Since the move began.
    pub after: String,
    /// What was reached, a part of a sentence.
    pub what: String,
}

/// The steps that a move has reached, in their order.
pub fn steps(of: &MoveStatus) -> Vec<Step> {
    let from = of.from.as_deref().unwrap_or("nobody");
    let to = of.to.as_deref().unwrap_or("nobody");
    let evidence = match (of.evidence, &of.confirmed_by) {
        (Some(evidence), Some(by)) => format!("{from} has stopped ({evidence:?} by {by})"),
        (Some(evidence), None) => format!("{from} has stopped ({evidence:?})"),
        (None, _) => format!("{from} has stopped"),
    };
    let evidence = match of.shutdown.as_slice() {
        [] => evidence,
        steps => format!("{evidence}: {}", hook_results(steps)),
    };
    let report = of.reconciliation.as_ref().map_or("no reconciliation was needed".to_owned(), |r| {
        let more = match r.discrepancies.len() {
            0 => String::new(),
            n => format!(", {n} discrepancies"),
        };
        format!("reconciled: {} open orders found, {} cancelled{more}", r.open_orders_found, r.orders_cancelled)
    });
    let took = of.duration_milliseconds.map(seconds).unwrap_or_default();
    let judged = match of.target_met {
        Some(false) => ", later than the target",
        _ => "",
    };
    let promoted = of.promote_hook.as_ref().map(|hook| format!(": {}", hook_results(from_ref(hook))));
    let promoted = promoted.unwrap_or_default();
    let begun = format!("{} ({:?}): {}", words(&format!("{:?}", of.reason)), of.trigger, of.message);
    [
        (Some(&of.suspected_time), begun),
        (of.fenced_time.as_ref(), evidence),
        (of.elected_time.as_ref(), format!("{to} is granted epoch {}", of.epoch)),
        (of.reconciled_time.as_ref(), report),
        (of.active_time.as_ref(), format!("{to} trades, after {took}{judged}{promoted}")),
    ]
    .into_iter()
    .filter_map(|(at, what)| {
        let at = at?.clone();
        Some(Step { after: between(&of.suspected_time, &at), at, what: what.trim_end_matches(": ").to_owned() })
    })
    .collect()
}

/// What the steps of a stop or a hook came to, a part of a sentence.
pub fn hook_results(steps: &[StepReport]) -> String {
    let text = |step: &StepReport| match step.result {
        StepResult::Skipped => format!("{} skipped", step.name),
        StepResult::Succeeded => format!("{} succeeded in {}", step.name, seconds(step.milliseconds)),
        StepResult::Failed => format!("{} failed after {}", step.name, seconds(step.milliseconds)),
        StepResult::TimedOut => format!("{} timed out after {}", step.name, seconds(step.milliseconds)),
    };
    steps.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// `ContainerTerminated` as `Container terminated`.
fn words(name: &str) -> String {
    let mut text = String::new();
    for (n, letter) in name.chars().enumerate() {
        if n > 0 && letter.is_uppercase() {
            text.push(' ');
            text.extend(letter.to_lowercase());
        } else {
            text.push(letter);
        }
    }
    text
}

/// What happened between two readings of a status, one line each. Without an earlier reading, what is going on now.
pub fn news(bot: &str, before: Option<&TradingBotStatus>, now: &TradingBotStatus, read_at: Timestamp) -> Vec<String> {
    let none = TradingBotStatus::default();
    let first = before.is_none();
    let before = before.unwrap_or(&none);
    let mut lines = Vec::new();
    let past = if first { &[][..] } else { &now.failover.history[..] };
    // The oldest first, and what is under way last.
    for of in past.iter().rev().chain(&now.failover.current) {
        let known = same_move(before, of).map(steps).unwrap_or_default();
        for step in steps(of).into_iter().filter(|s| !known.contains(s)) {
            lines.push((step.at.0, format!("{}  {bot}  +{}  {}", clock(step.at.0), step.after, step.what)));
        }
    }
    for of in now.remedies().iter().filter(|of| !first && !before.remedies().contains(of)) {
        lines.push((read_at, format!("{}  {bot}  {} ({}: {})", clock(read_at), sentence(of), of.check, of.message)));
    }
    if first || before.phase != now.phase || before.blocked != now.blocked {
        let told = lines.iter().map(|(at, _)| *at).max().unwrap_or(read_at);
        let line = format!("{}  {bot}  {:?}  {}", clock(read_at), now.phase, now.message);
        lines.push((told.max(read_at), line.trim_end().to_owned()));
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect()
}

/// A move keeps its beginning, whatever else becomes of it.
fn same_move<'a>(status: &'a TradingBotStatus, of: &MoveStatus) -> Option<&'a MoveStatus> {
    let all = status.failover.current.iter().chain(&status.failover.history);
    all.into_iter().find(|m| m.suspected_time == of.suspected_time)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::api::bot_status::{Phase, Report};
    use crate::api::record::time_from;
    use crate::core::time::Wall;

    /// 09:00:00 and so many milliseconds.
    fn at(millis: u64) -> MicroTime {
        time_from(Wall(1_794_992_400_000 + millis))
    }

    pub fn finished() -> MoveStatus {
        serde_json::from_value(serde_json::json!({
            "epoch": 7, "trigger": "Automatic", "reason": "LeaseNotRenewed", "message": "The Lease was not renewed.",
            "evidence": "LeaseExpired", "from": "doge-0", "to": "doge-1",
            "suspectedTime": at(0), "fencedTime": at(8_000), "electedTime": at(8_100), "reconciledTime": at(9_000),
            "activeTime": at(9_200), "durationMilliseconds": 9_200, "targetMet": true,
            "reconciliation": Report { open_orders_found: 3, orders_cancelled: 3, ..Report::default() },
        }))
        .unwrap()
    }

    fn under_way(until: u64) -> MoveStatus {
        let reached = |time: Option<MicroTime>| time.filter(|t| *t <= at(until));
        let of = finished();
        MoveStatus {
            fenced_time: reached(of.fenced_time),
            elected_time: reached(of.elected_time),
            reconciled_time: reached(of.reconciled_time),
            active_time: None,
            duration_milliseconds: None,
            target_met: None,
            ..finished()
        }
    }

    fn status(phase: Phase, current: Option<MoveStatus>, history: Vec<MoveStatus>) -> TradingBotStatus {
        let mut status = TradingBotStatus { phase, message: "So it is.".into(), ..TradingBotStatus::default() };
        status.failover.current = current;
        status.failover.history = history;
        status
    }

    #[test]
    fn what_an_agent_does_about_a_check_scrolls_by_once_and_again_when_it_has_helped() {
        let with = |result: &str| {
            let remedy = serde_json::json!({"time": "2026-11-18T09:00:00Z", "pod": "doge-0", "epoch": 7, "rule": "blind",
                "type": "Hook", "check": "price", "result": result, "message": "It is missing."});
            let mut status = status(Phase::Active, None, vec![]);
            status.health = Some(serde_json::from_value(serde_json::json!({"remedies": [remedy]})).unwrap());
            status
        };
        let (quiet, done, helped) = (status(Phase::Active, None, vec![]), with("Unknown"), with("Helped"));
        let told = |before, now| news("doge", Some(before), now, at(1_000).0);
        let line = |what: &str| {
            format!("09:00:01.000  doge  Hook called on doge-0 by the rule blind: {what} (price: It is missing.)")
        };
        assert_eq!(told(&quiet, &done), [line("not known whether it helped")]);
        assert_eq!(told(&done, &helped), [line("it helped")]);
        assert!(told(&helped, &helped).is_empty());
        assert!(news("doge", None, &helped, at(1_000).0).iter().all(|line| !line.contains("Hook")), "that is the past");
    }

    #[test]
    fn a_failover_scrolls_by_step_by_step() {
        let readings = [
            status(Phase::Active, None, Vec::new()),
            status(Phase::Suspect, Some(under_way(0)), Vec::new()),
            status(Phase::Preparing, Some(under_way(8_100)), Vec::new()),
            status(Phase::Active, None, vec![finished()]),
        ];
        let mut lines = Vec::new();
        let mut before = None;
        for (n, reading) in readings.iter().enumerate() {
            lines.extend(news("doge", before, reading, at(n as u64 * 5_000).0));
            before = Some(reading);
        }
        assert_eq!(
            lines,
            [
                "09:00:00.000  doge  Active  So it is.",
                "09:00:00.000  doge  +0.000 s  Lease not renewed (Automatic): The Lease was not renewed.",
                "09:00:05.000  doge  Suspect  So it is.",
                "09:00:08.000  doge  +8.000 s  doge-0 has stopped (LeaseExpired)",
                "09:00:08.100  doge  +8.100 s  doge-1 is granted epoch 7",
                "09:00:10.000  doge  Preparing  So it is.",
                "09:00:09.000  doge  +9.000 s  reconciled: 3 open orders found, 3 cancelled",
                "09:00:09.200  doge  +9.200 s  doge-1 trades, after 9.200 s",
                "09:00:15.000  doge  Active  So it is.",
            ]
        );
    }

    #[test]
    fn a_stop_says_what_its_steps_came_to() {
        let step = |name: &str, result: StepResult, milliseconds: u64| {
            serde_json::from_value(serde_json::json!({"name": name, "result": result, "milliseconds": milliseconds}))
                .unwrap()
        };
        let of = MoveStatus {
            shutdown: vec![
                step("cancel-orders", StepResult::Succeeded, 1_203),
                step("flush", StepResult::TimedOut, 30_000),
                step("ping", StepResult::Failed, 4),
                step("demote", StepResult::Skipped, 0),
            ],
            ..finished()
        };
        assert_eq!(
            steps(&of)[1].what,
            "doge-0 has stopped (LeaseExpired): cancel-orders succeeded in 1.203 s, flush timed out after 30.000 s, \
             ping failed after 0.004 s, demote skipped"
        );
    }

    #[test]
    fn a_move_says_what_the_promote_hook_came_to() {
        let hook = serde_json::json!({"name": "promote", "result": "Succeeded", "milliseconds": 140});
        let of = MoveStatus { promote_hook: serde_json::from_value(hook).unwrap(), ..finished() };
        assert_eq!(steps(&of)[4].what, "doge-1 trades, after 9.200 s: promote succeeded in 0.140 s");
    }

    #[test]
    fn nothing_new_says_nothing() {
        let same = status(Phase::Active, None, vec![finished()]);
        assert!(news("doge", Some(&same), &same, Timestamp::UNIX_EPOCH).is_empty());
    }

    #[test]
    fn the_past_is_not_told_again_at_the_start() {
        let lines = news("doge", None, &status(Phase::Active, None, vec![finished()]), Timestamp::UNIX_EPOCH);
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}
