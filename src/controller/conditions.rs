//! The conditions of a bot: the contract for programs, with sentences for people.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::core::failover::{AccountState, Block, Observation, Phase, Record, Spec, Trigger};

/// One condition, before it is known whether it has changed.
struct Verdict {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

/// What only the shell knows and a condition tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// A child object that could not be made or kept up, a sentence.
    pub child: Option<String>,
    /// A write that the API server refused, a sentence.
    pub refused: Option<String>,
}

/// All conditions, with the times of those that did not change kept.
pub fn conditions(
    spec: &Spec,
    record: &Record,
    seen: &Observation,
    troubles: &Troubles,
    generation: Option<i64>,
    before: &[Condition],
    now: Timestamp,
) -> Vec<Condition> {
    let verdicts = [
        available(record),
        standby_ready(spec, record, seen),
        reconciled(spec, record),
        target_met(spec, record),
        template_accepted(seen),
        progressing(record, troubles),
    ];
    verdicts
        .into_iter()
        .chain(account_held(record))
        .map(|v| {
            let old = before.iter().find(|c| c.type_ == v.kind && c.status == v.status);
            Condition {
                type_: v.kind.into(),
                status: v.status.into(),
                reason: v.reason.into(),
                message: v.message,
                observed_generation: generation,
                last_transition_time: old.map_or(Time(now), |c| c.last_transition_time.clone()),
            }
        })
        .collect()
}

fn available(record: &Record) -> Verdict {
    let (status, reason) = match record.phase {
        Phase::Active => ("True", "Trading"),
        Phase::Suspended => ("False", "Suspended"),
        Phase::Blocked | Phase::Maintenance => ("False", record.blocked.map_or("Blocked", block_word)),
        Phase::Suspect if record.trading.is_some() => ("Unknown", "Suspect"),
        Phase::Pending => ("False", "Pending"),
        _ => ("False", "Moving"),
    };
    Verdict { kind: "Available", status, reason, message: record.message.clone() }
}

fn standby_ready(spec: &Spec, record: &Record, seen: &Observation) -> Verdict {
    let kind = "StandbyReady";
    let desired = spec.replicas.saturating_sub(1);
    if desired == 0 {
        let message = "spec.replicas is 1, so there is no standby to fail over to. Set it to 2 or more.";
        return Verdict { kind, status: "False", reason: "NoneWanted", message: message.into() };
    }
    let ready = ready_standbys(record, seen);
    if ready >= desired {
        return Verdict { kind, status: "True", reason: "Ready", message: format!("{ready} of {desired} are ready.") };
    }
    let problem = seen.pods.iter().find_map(|p| p.problem.clone());
    let reason = if problem.is_some() { "PodProblem" } else { "NotReady" };
    let message = problem.unwrap_or_else(|| {
        let count = format!("{ready} of {desired} standbys are ready to take over.");
        // Its agent knows why, for instance that the command does not exist, and says so in the log.
        match seen.pods.iter().find(|p| !p.ready && !p.terminating && p.container_id.is_some()) {
            Some(pod) => format!("{count} {0} runs and is not ready. Run: kubectl logs {0}", pod.name),
            None => count,
        }
    });
    Verdict { kind, status: "False", reason, message }
}

/// Pods that could take over now.
pub fn ready_standbys(record: &Record, seen: &Observation) -> u32 {
    let active = record.trading.as_ref().map(|l| l.pod.uid.as_str());
    let count = seen
        .pods
        .iter()
        .filter(|p| p.ready && !p.terminating && !p.finished && !p.node_lost && active != Some(&p.uid))
        .filter(|p| !record.lost.iter().any(|l| l.pod_uid == p.uid))
        .count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn reconciled(spec: &Spec, record: &Record) -> Verdict {
    let kind = "Reconciled";
    if spec.reconciliation.is_none() {
        let message =
            "spec.reconciliation is not set, so nothing is cleaned up at the exchange before a new active trades.";
        return Verdict { kind, status: "True", reason: "NotConfigured", message: message.into() };
    }
    match record.blocked {
        Some(Block::ReconciliationFailed) => {
            return Verdict { kind, status: "False", reason: "Failed", message: record.message.clone() };
        }
        Some(Block::DiscrepanciesFound) => {
            return Verdict { kind, status: "False", reason: "DiscrepanciesFound", message: record.message.clone() };
        }
        _ => {}
    }
    if record.current.as_ref().is_some_and(|m| m.reconciled.is_none()) && record.trading.is_none() {
        let message = "The reconciliation of the present epoch has not ended yet.".into();
        return Verdict { kind, status: "Unknown", reason: "Running", message };
    }
    let found = record.history.first().and_then(|m| m.report.as_ref());
    let message = found.map_or_else(
        || "The last move needed no reconciliation.".to_owned(),
        |r| format!("{} open orders were found and {} cancelled.", r.open_orders_found, r.orders_cancelled),
    );
    Verdict { kind, status: "True", reason: "Succeeded", message }
}

fn target_met(spec: &Spec, record: &Record) -> Verdict {
    let kind = "FailoverTargetMet";
    let last = record.history.iter().find(|m| m.trigger != Trigger::FirstStart);
    let Some((last, active)) = last.and_then(|m| m.active.map(|at| (m, at))) else {
        return Verdict { kind, status: "Unknown", reason: "NoFailoverYet", message: "Trading never moved.".into() };
    };
    let took = active.millis_since(last.suspected);
    let target = spec.target.as_millis();
    let met = u128::from(took) <= target;
    let message = format!("The last move took {took} ms; the target is {target} ms.");
    let (status, reason) = if met { ("True", "Met") } else { ("False", "Missed") };
    Verdict { kind, status, reason, message }
}

/// Absent where the bot has no account.
fn account_held(record: &Record) -> Option<Verdict> {
    let kind = "AccountHeld";
    let view = record.account.as_ref()?;
    let (status, reason, message) = match (view.state, record.blocked) {
        (AccountState::Held, _) => ("True", "Held", view.sentence()),
        (AccountState::Waiting, Some(Block::AccountHeld)) => ("False", "HeldByAnother", record.message.clone()),
        (AccountState::Waiting, _) if view.holder.is_some() => ("False", "HeldByAnother", view.sentence()),
        (AccountState::Waiting, _) => ("False", "NotTaken", view.sentence()),
    };
    Some(Verdict { kind, status, reason, message })
}

fn template_accepted(seen: &Observation) -> Verdict {
    let kind = "TemplateAccepted";
    match &seen.template_error {
        Some(error) => Verdict {
            kind,
            status: "False",
            reason: "Refused",
            message: format!("The API server would refuse a pod of spec.template: {error} Pods stay as they are."),
        },
        None => {
            let message = "A dry run of a pod of spec.template was accepted.".into();
            Verdict { kind, status: "True", reason: "DryRun", message }
        }
    }
}

fn progressing(record: &Record, troubles: &Troubles) -> Verdict {
    let kind = "Progressing";
    if let Some(message) = troubles.refused.clone() {
        return Verdict { kind, status: "False", reason: "WriteRefused", message };
    }
    if let Some(message) = troubles.child.clone() {
        return Verdict { kind, status: "False", reason: "ChildRefused", message };
    }
    if let Some(block) = record.blocked {
        return Verdict { kind, status: "False", reason: block_word(block), message: record.message.clone() };
    }
    Verdict { kind, status: "True", reason: "AsWanted", message: "Nothing waits for a person.".into() }
}

fn block_word(block: Block) -> &'static str {
    match block {
        Block::ManualFailover => "ManualFailover",
        Block::RateLimited => "RateLimited",
        Block::ReconciliationFailed => "ReconciliationFailed",
        Block::DiscrepanciesFound => "DiscrepanciesFound",
        Block::SilentUnderContinue => "SilentUnderContinue",
        Block::AccountHeld => "AccountHeld",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::failover::AccountView;
    use crate::core::ids::Epoch;
    use crate::core::lease::{OnApiServerLoss, Terms};
    use crate::core::time::Wall;
    use std::time::Duration;

    fn spec() -> Spec {
        Spec {
            replicas: 2,
            suspend: false,
            deleting: false,
            manual: false,
            terms: Terms {
                lease_duration: Duration::from_secs(10),
                renew_period: Duration::from_secs(2),
                renew_deadline: Duration::from_secs(6),
                on_api_server_loss: OnApiServerLoss::Stop,
            },
            max_failovers: 5,
            rate_period: Duration::from_secs(3600),
            cooldown: Duration::from_secs(60),
            target: Duration::from_secs(30),
            restarts: 1,
            stop_time: Duration::from_secs(30),
            promotion_time: Duration::from_secs(10),
            reconciliation: None,
            revision: "r".into(),
            account: None,
        }
    }

    #[test]
    fn whoever_waits_for_an_account_says_who_holds_it_and_without_one_nothing_is_said() {
        let find = |record: &Record| {
            let (seen, none) = (Observation::default(), Troubles::default());
            let all = conditions(&spec(), record, &seen, &none, Some(1), &[], Timestamp::UNIX_EPOCH);
            all.into_iter().find(|c| c.type_ == "AccountHeld").map(|c| (c.status, c.reason, c.message))
        };
        assert_eq!(find(&Record::default()), None);
        let view = AccountView {
            name: "main".into(),
            state: AccountState::Waiting,
            holder: Some("trading-a/doge/u".parse().unwrap()),
            epoch: Epoch(3),
            since: Some(Wall(1_795_521_600_000)),
            lease_duration: Duration::from_secs(10),
            on_api_server_loss: OnApiServerLoss::Stop,
        };
        let (status, reason, message) = find(&Record { account: Some(view), ..Record::default() }).unwrap();
        assert_eq!((status.as_str(), reason.as_str()), ("False", "HeldByAnother"));
        assert_eq!(
            message,
            "Account main is held by trading-a/doge since 2026-11-24T12:00:00Z; this bot trades when it is given back: \
             suspend or delete trading-a/doge."
        );
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let (seen, none) = (Observation::default(), Troubles::default());
        let (early, late) = (Timestamp::from_second(1).unwrap(), Timestamp::from_second(2).unwrap());
        let mut record = Record { phase: Phase::Active, ..Record::default() };
        let first = conditions(&spec(), &record, &seen, &none, Some(1), &[], early);
        record.message = "doge-0 trades.".into();
        let second = conditions(&spec(), &record, &seen, &none, Some(1), &first, late);
        assert!(second.iter().all(|c| c.last_transition_time.0 == early));
        record.phase = Phase::Blocked;
        let third = conditions(&spec(), &record, &seen, &none, Some(1), &second, late);
        let available = third.iter().find(|c| c.type_ == "Available").unwrap();
        assert_eq!((available.status.as_str(), available.last_transition_time.0), ("False", late));
    }
}
