//! The conditions of a bot: the contract for programs, with sentences for people.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::backup::{self, View};
use super::credentials::Access;
use super::health;
use super::policy_probe::Enforcement;
use crate::api::bot::Health;
use crate::api::bot_status::HealthStatus;
use crate::api::names::CANARY_PORT;
use crate::core::failover::{AccountState, Block, Observation, Phase, Record, Spec, Trigger};
use crate::core::lease::OrderPath;

/// One condition, before it is known whether it has changed.
pub(super) struct Verdict {
    pub kind: &'static str,
    pub status: &'static str,
    pub reason: &'static str,
    pub message: String,
}

/// What only the shell knows and a condition tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Troubles {
    /// A child object that could not be made or kept up, a sentence.
    pub child: Option<String>,
    /// A write that the API server refused, a sentence.
    pub refused: Option<String>,
    /// What is known of the NetworkPolicy for standbys; `None`: none is asked for.
    pub policy: Option<Enforcement>,
    /// Who may read the exchange's keys; `None`: there are none.
    pub credentials: Option<Access>,
    /// What is known of the backups; `None`: none are wanted.
    pub backup: Option<View>,
    /// What is checked where the bot trades, and how it stands; `None`: nothing.
    pub health: Option<(Health, HealthStatus)>,
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
        orders_fenced(record, seen),
    ];
    verdicts
        .into_iter()
        .chain(troubles.policy.as_ref().map(|known| policy_enforced(known, before)))
        .chain(account_held(record))
        .chain(troubles.credentials.as_ref().map(credentials_withheld))
        .chain(troubles.health.as_ref().map(|(health, status)| health::condition(health, status)))
        .chain(troubles.backup.iter().flat_map(|view| backup::conditions::verdicts(view, now)))
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

/// Absent where the bot has no credentials.
fn credentials_withheld(access: &Access) -> Verdict {
    let (status, reason, message) = match access {
        Access::Given { account, secret } => {
            ("True", "ActiveOnly", format!("Of this bot's accounts only {account} may read Secret {secret}."))
        }
        Access::Withheld { secret } => (
            "True",
            "Nobody",
            format!("Nobody holds the grant, so none of this bot's accounts may read Secret {secret}."),
        ),
        Access::Refused(why) => ("False", "Refused", why.clone()),
    };
    Verdict { kind: "CredentialsWithheld", status, reason, message }
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

/// What keeps the orders of an old epoch from the exchange, as the agent that trades reports it.
fn orders_fenced(record: &Record, seen: &Observation) -> Verdict {
    let kind = "OrdersFenced";
    let trading = record.trading.as_ref();
    let Some((ledger, lease)) = trading
        .zip(seen.lease.as_ref())
        .filter(|(ledger, lease)| lease.is_held_by(&ledger.pod.uid) && lease.epoch == Some(ledger.epoch))
    else {
        let message = "Nobody trades, or it is not known who does.".into();
        return Verdict { kind, status: "Unknown", reason: "NobodyTrades", message };
    };
    let pod = &ledger.pod.name;
    let (status, reason, message) = match &lease.path {
        OrderPath::Gated => (
            "True",
            "Gated",
            format!(
                "Every connection of {pod} goes through its gate, as far as is seen. When its time is over, nothing more \
                 reaches the exchange: not what the kernel holds, nor what a process sends that was frozen meanwhile."
            ),
        ),
        OrderPath::Bypassed(peers) => (
            "False",
            "GateBypassed",
            format!(
                "{pod} has connections past its gate, to {peers}. An order on these can still arrive when its time is \
                 over. Make the bot use the proxy of HTTPS_PROXY or ALL_PROXY, or list the peers in \
                 spec.orderGate.noProxy if no order is possible there."
            ),
        ),
        OrderPath::SocketsDestroyed => (
            "False",
            "SocketsDestroyed",
            format!(
                "When the time of {pod} is over, its processes are killed and their connections destroyed: what the \
                 kernel holds is not delivered later. But a process that was frozen between its check and its send can \
                 still send one order after it thaws; set spec.orderGate."
            ),
        ),
        OrderPath::Killed => (
            "False",
            "KilledOnly",
            format!(
                "When the time of {pod} is over, its processes are killed. But what the kernel holds for a killed process \
                 is still delivered when a link heals (measured: 16 s, 53 s and 60 s later), and a process that was \
                 frozen between its check and its send can still send one order after it thaws; set spec.orderGate."
            ),
        ),
        OrderPath::Unknown => {
            let message = format!("The agent of {pod} does not say how its orders are fenced.");
            ("Unknown", "NotReported", message)
        }
    };
    Verdict { kind, status, reason, message }
}

/// Only where a policy is asked for. As long as this process has not measured, what was known before stays.
fn policy_enforced(known: &Enforcement, before: &[Condition]) -> Verdict {
    let kind = "NetworkPolicyEnforced";
    let (status, reason, message) = match known {
        Enforcement::Enforced(pod) => (
            "True",
            "Enforced",
            format!(
                "The operator does not reach port {CANARY_PORT} of {pod}, which the policy closes; all others it does."
            ),
        ),
        Enforcement::NotEnforced(pod) => (
            "False",
            "NotEnforced",
            format!(
                "The cluster's network plugin lets through what the policy forbids: the operator reached port \
                 {CANARY_PORT} of {pod}. So the policy keeps no standby from the exchange. Use a network plugin that \
                 enforces policies; until then only the gate holds."
            ),
        ),
        Enforcement::Unknown(reason, message) => ("Unknown", *reason, message.clone()),
        Enforcement::NotMeasured => {
            let words = [("True", "Enforced"), ("False", "NotEnforced")];
            let old = before.iter().find(|c| c.type_ == kind);
            let kept =
                old.and_then(|c| words.into_iter().find(|(s, r)| c.status == *s && c.reason == *r).map(|w| (w, c)));
            kept.map_or_else(
                || ("Unknown", "NotMeasured", "The policy was not tried out yet.".to_owned()),
                |((status, reason), old)| (status, reason, old.message.clone()),
            )
        }
    };
    Verdict { kind, status, reason, message }
}

fn block_word(block: Block) -> &'static str {
    match block {
        Block::ManualFailover => "ManualFailover",
        Block::RateLimited => "RateLimited",
        Block::ReconciliationFailed => "ReconciliationFailed",
        Block::DiscrepanciesFound => "DiscrepanciesFound",
        Block::SilentUnderContinue => "SilentUnderContinue",
        Block::AccountHeld => "AccountHeld",
        Block::RestoreFailed => "RestoreFailed",
        Block::RecoveryUsedUp => "RecoveryUsedUp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::failover::{AccountView, Ledger};
    use crate::core::ids::{Epoch, FencingToken, PodRef};
    use crate::core::lease::{LeaseRecord, OnApiServerLoss, Terms};
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
            restore: None,
            recovery: Default::default(),
        }
    }

    fn told(record: &Record, seen: &Observation, troubles: &Troubles, kind: &str) -> Option<Condition> {
        let all = conditions(&spec(), record, seen, troubles, Some(1), &[], Timestamp::UNIX_EPOCH);
        all.into_iter().find(|c| c.type_ == kind)
    }

    fn trading_by(path: OrderPath) -> (Record, Observation) {
        let pod = PodRef { name: "doge-0".into(), uid: "u0".into() };
        let ledger = Ledger {
            epoch: Epoch(3),
            token: FencingToken(7),
            pod: pod.clone(),
            boot: None,
            lease_duration: Duration::from_secs(10),
            on_api_server_loss: OnApiServerLoss::Stop,
        };
        let lease = LeaseRecord { holder: Some(pod), epoch: Some(Epoch(3)), path, ..LeaseRecord::default() };
        (
            Record { trading: Some(ledger), ..Record::default() },
            Observation { lease: Some(lease), ..Observation::default() },
        )
    }

    #[test]
    fn what_is_guaranteed_of_orders_is_said_and_what_to_do() {
        for (path, status, reason, words) in [
            (OrderPath::Gated, "True", "Gated", "nothing more reaches the exchange"),
            (OrderPath::Bypassed("10.0.0.3:443".into()), "False", "GateBypassed", "past its gate, to 10.0.0.3:443."),
            (OrderPath::SocketsDestroyed, "False", "SocketsDestroyed", "set spec.orderGate"),
            (OrderPath::Killed, "False", "KilledOnly", "set spec.orderGate"),
            (OrderPath::Unknown, "Unknown", "NotReported", "doge-0"),
        ] {
            let (record, seen) = trading_by(path);
            let told = told(&record, &seen, &Troubles::default(), "OrdersFenced").unwrap();
            assert_eq!((told.status.as_str(), told.reason.as_str()), (status, reason));
            assert!(told.message.contains(words), "{}", told.message);
        }
    }

    #[test]
    fn what_a_lease_of_somebody_else_says_is_not_said_of_the_active() {
        let (record, mut seen) = trading_by(OrderPath::Gated);
        seen.lease.as_mut().unwrap().epoch = Some(Epoch(2));
        let unknown = told(&record, &seen, &Troubles::default(), "OrdersFenced").unwrap();
        assert_eq!((unknown.status.as_str(), unknown.reason.as_str()), ("Unknown", "NobodyTrades"));
        let nobody = told(&Record::default(), &seen, &Troubles::default(), "OrdersFenced").unwrap();
        assert_eq!(nobody.status, "Unknown");
    }

    #[test]
    fn a_policy_is_spoken_of_only_where_one_is_asked_for_and_a_new_leader_keeps_what_was_known() {
        let (record, seen) = (Record::default(), Observation::default());
        let with = |policy| Troubles { policy, ..Troubles::default() };
        let kind = "NetworkPolicyEnforced";
        assert!(told(&record, &seen, &with(None), kind).is_none());
        let open = told(&record, &seen, &with(Some(Enforcement::NotEnforced("doge-1".into()))), kind).unwrap();
        assert_eq!((open.status.as_str(), open.reason.as_str()), ("False", "NotEnforced"));
        let fresh = with(Some(Enforcement::NotMeasured));
        assert_eq!(told(&record, &seen, &fresh, kind).unwrap().reason, "NotMeasured");
        let later = conditions(&spec(), &record, &seen, &fresh, Some(1), std::slice::from_ref(&open), Timestamp::now());
        assert_eq!(later.into_iter().find(|c| c.type_ == kind).unwrap(), open);
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
