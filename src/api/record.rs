//! [`Record`] to and from the status: nothing that decisions depend on is lost when the operator restarts.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};

use super::account_status::{account_from, account_status};
use super::backup_status::{restore_from, restore_status};
use super::bot_status::*;
use super::move_status::{duration, move_from, move_status};
use super::names::LABEL_BOT;
use crate::core::failover::{Ledger, Lost, Move, Record, RunningOperation, Trigger};
use crate::core::ids::{Epoch, FencingToken, PodRef};
use crate::core::shutdown::Shutdown;
use crate::core::time::Wall;

/// What the status says besides the [`Record`]: seen, not decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// The bot's name.
    pub bot: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// `spec.replicas`.
    pub desired_replicas: u32,
    /// How many pods there are, terminating ones not counted.
    pub replicas: u32,
    /// How many standbys could take over now.
    pub ready_standbys: u32,
    /// The node of the pod in the ledger.
    pub node: Option<String>,
    /// That node's zone.
    pub zone: Option<String>,
    /// `spec.failover.targetSeconds`: history is judged by the present objective.
    pub target: Duration,
    /// What is known of the backups.
    pub backup: Option<BackupStatus>,
    /// How the active's checks stand.
    pub health: Option<HealthStatus>,
    /// The conditions.
    pub conditions: Vec<Condition>,
}

/// How many of the last moves the mean duration is taken of.
const AVERAGED_MOVES: usize = 5;

/// The status that says all of `record` and of `seen`.
pub fn status_from(record: &Record, seen: Seen) -> TradingBotStatus {
    let Record {
        phase,
        message,
        blocked,
        epoch,
        token,
        fenced,
        trading,
        active_since,
        lost,
        jobs,
        job_request,
        current,
        history,
        total,
        operation,
        account,
        restore,
        last_shutdown,
    } = record;
    let Seen {
        bot,
        generation,
        desired_replicas,
        replicas,
        ready_standbys,
        node,
        zone,
        target,
        backup,
        health,
        conditions,
    } = seen;
    let desired = desired_replicas.saturating_sub(1);
    TradingBotStatus {
        observed_generation: generation,
        phase: *phase,
        message: message.clone(),
        blocked: *blocked,
        epoch: epoch.0,
        token: token.0,
        fenced_epoch: fenced.0,
        trading: trading.as_ref().map(trading_from),
        active: trading.as_ref().map(|ledger| ActivePod {
            pod: ledger.pod.name.clone(),
            node,
            zone,
            since_time: active_since.map(time_from),
        }),
        standbys: Standbys { desired, ready: ready_standbys, summary: format!("{ready_standbys}/{desired}") },
        lost: lost
            .iter()
            .map(|l| LostPod { pod_uid: l.pod_uid.clone(), container_id: l.container_id.clone() })
            .collect(),
        jobs: jobs.iter().map(|token| token.0).collect(),
        job_request: *job_request,
        failover: FailoverStatus {
            total: *total,
            average_milliseconds: average(history),
            last_time: history.iter().find(|m| m.trigger != Trigger::FirstStart).and_then(|m| m.active).map(time_from),
            current: current.as_ref().map(|m| move_status(m, target)),
            history: history.iter().map(|m| move_status(m, target)).collect(),
        },
        operation: operation.as_ref().map(|o| RunningOperationStatus {
            name: o.name.clone(),
            uid: o.uid.clone(),
            since_epoch: o.since.0,
            to: o.to.clone(),
        }),
        account: account.as_ref().map(account_status),
        backup,
        restore: restore.as_ref().map(restore_status),
        last_shutdown: last_shutdown.as_ref().map(|Shutdown { at, pod, epoch, steps }| ShutdownStatus {
            time: time_from(*at),
            pod: pod.clone(),
            epoch: epoch.0,
            steps: steps.clone(),
        }),
        health,
        replicas,
        selector: format!("{LABEL_BOT}={bot},{}=bot", super::names::LABEL_COMPONENT),
        conditions,
    }
}

/// What a status says about the past. What it does not say never happened: a new resource gives the default.
pub fn record_from(status: &TradingBotStatus) -> Record {
    let TradingBotStatus {
        observed_generation: _,
        phase,
        message,
        blocked,
        epoch,
        token,
        fenced_epoch,
        trading,
        active,
        standbys: _,
        lost,
        jobs,
        job_request,
        failover,
        operation,
        account,
        backup: _,
        restore,
        last_shutdown,
        health: _,
        replicas: _,
        selector: _,
        conditions: _,
    } = status;
    Record {
        phase: *phase,
        message: message.clone(),
        blocked: *blocked,
        epoch: Epoch(*epoch),
        token: FencingToken(*token),
        fenced: Epoch(*fenced_epoch),
        trading: trading.as_ref().map(ledger_from),
        // Only who is in the ledger is ever seen trading: another's time would be taken for that of the next one.
        active_since: trading.as_ref().and(active.as_ref()).and_then(|a| a.since_time.as_ref()).map(wall_from),
        lost: lost.iter().map(|l| Lost { pod_uid: l.pod_uid.clone(), container_id: l.container_id.clone() }).collect(),
        jobs: jobs.iter().map(|token| FencingToken(*token)).collect(),
        job_request: *job_request,
        current: failover.current.as_ref().map(move_from),
        history: failover.history.iter().map(move_from).collect(),
        total: failover.total,
        operation: operation.as_ref().map(|o| RunningOperation {
            name: o.name.clone(),
            uid: o.uid.clone(),
            since: Epoch(o.since_epoch),
            to: o.to.clone(),
        }),
        account: account.as_ref().map(account_from),
        restore: restore.as_ref().map(restore_from),
        last_shutdown: last_shutdown.as_ref().map(|ShutdownStatus { time, pod, epoch, steps }| Shutdown {
            at: wall_from(time),
            pod: pod.clone(),
            epoch: Epoch(*epoch),
            steps: steps.clone(),
        }),
    }
}

/// Rounded up: a wait may be too long, never too short.
pub(super) fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

fn trading_from(ledger: &Ledger) -> Trading {
    let Ledger { epoch, token, pod, boot, lease_duration, on_api_server_loss } = ledger;
    Trading {
        epoch: epoch.0,
        token: token.0,
        pod: pod.name.clone(),
        pod_uid: pod.uid.clone(),
        boot: boot.as_ref().map(ToString::to_string),
        lease_duration_seconds: whole_seconds(*lease_duration),
        on_api_server_loss: *on_api_server_loss,
    }
}

fn ledger_from(trading: &Trading) -> Ledger {
    let Trading { epoch, token, pod, pod_uid, boot, lease_duration_seconds, on_api_server_loss } = trading;
    Ledger {
        epoch: Epoch(*epoch),
        token: FencingToken(*token),
        pod: PodRef { name: pod.clone(), uid: pod_uid.clone() },
        boot: boot.as_ref().and_then(|text| text.parse().ok()),
        lease_duration: Duration::from_secs(u64::from(*lease_duration_seconds)),
        on_api_server_loss: *on_api_server_loss,
    }
}

fn average(history: &[Move]) -> Option<u64> {
    let last: Vec<u64> =
        history.iter().filter(|m| m.trigger != Trigger::FirstStart).filter_map(duration).take(AVERAGED_MOVES).collect();
    let sum: u64 = last.iter().sum();
    sum.checked_div(last.len() as u64)
}

/// Milliseconds as the API writes them.
pub fn time_from(wall: Wall) -> MicroTime {
    let millis = i64::try_from(wall.0).unwrap_or(i64::MAX);
    MicroTime(Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX))
}

/// Milliseconds since the Unix epoch; 0 for anything before it.
pub fn wall_from(time: &MicroTime) -> Wall {
    Wall(u64::try_from(time.0.as_millisecond()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::failover::{
        AccountView, Block, Evidence, Phase, Reason, RecoveryStep, RestoreOutcome, RestoreStep,
    };
    use crate::core::ids::BootId;
    use crate::core::lease::OnApiServerLoss;
    use crate::core::report::{Balance, Report};

    fn pod(n: u64) -> PodRef {
        PodRef { name: format!("doge-{n}"), uid: format!("uid-{n}") }
    }

    fn some_steps() -> Vec<StepReport> {
        let step = |name: &str, result, message: &str| StepReport {
            name: name.into(),
            result,
            milliseconds: 1_203,
            message: message.into(),
        };
        vec![step("cancel-orders", StepResult::Succeeded, ""), step("flush", StepResult::TimedOut, "It hung.")]
    }

    /// A move whose optional parts are there or not by the bits of `seed`.
    fn some_move(seed: u64) -> Move {
        let has = |bit: u64| seed & (1 << bit) != 0;
        let wall = |n: u64| Wall(1_795_000_000_123 + n * 1_001);
        Move {
            epoch: Epoch(seed),
            trigger: [Trigger::FirstStart, Trigger::Automatic, Trigger::Resume, Trigger::Eviction][(seed % 4) as usize],
            reason: [Reason::FirstStart, Reason::PodGone, Reason::ProcessExited][(seed % 3) as usize],
            message: if has(0) { "Why.".into() } else { String::new() },
            evidence: has(1).then_some(Evidence::LeaseExpired),
            confirmed_by: has(2).then(|| "mia".into()),
            from: has(3).then(|| pod(1)),
            to: has(4).then(|| pod(2)),
            wanted: has(5).then(|| "doge-2".into()),
            approved: has(6),
            attempts: u32::from(has(7)) * 3,
            tried: if has(8) { vec!["uid-1".into(), "uid-1".into()] } else { Vec::new() },
            suspected: wall(0),
            fenced: has(0).then(|| wall(1)),
            elected: has(3).then(|| wall(2)),
            reconciled: has(5).then(|| wall(3)),
            active: has(7).then(|| wall(4)),
            shutdown: if has(4) { some_steps() } else { Vec::new() },
            promote_hook: if has(7) { some_steps().pop() } else { None },
            report: has(2).then(|| Report {
                open_orders_found: 3,
                balances: vec![Balance { asset: "JPY".into(), drift: "-0.5".into() }],
                ..Report::default()
            }),
            recovery: has(9).then(|| RecoveryStep {
                rule: "blind".into(),
                check: "price".into(),
                remedy: Remedy::Escalate,
                all_failed: has(10),
            }),
        }
    }

    fn some_record(seed: u64) -> Record {
        let has = |bit: u64| seed & (1 << bit) != 0;
        let trading = has(0).then(|| Ledger {
            epoch: Epoch(seed),
            token: FencingToken(1_795_000_000_123 << 10),
            pod: pod(0),
            boot: has(1).then(|| BootId { pod_uid: "uid-0".into(), nonce: "n".into() }),
            lease_duration: Duration::from_secs(10),
            on_api_server_loss: if has(2) { OnApiServerLoss::Continue } else { OnApiServerLoss::Stop },
        });
        Record {
            phase: if has(3) { Phase::Blocked } else { Phase::Active },
            message: format!("Round {seed}."),
            blocked: has(3).then_some(Block::RateLimited),
            epoch: Epoch(seed + 1),
            token: FencingToken((1 << 53) - 1),
            fenced: Epoch(seed),
            // Only who is in the ledger is ever seen trading.
            active_since: trading.as_ref().and_then(|_| has(4).then_some(Wall(1_795_000_000_999))),
            trading,
            lost: (0..seed % 3)
                .map(|n| Lost {
                    pod_uid: format!("uid-{n}"),
                    container_id: has(5).then(|| format!("containerd://{n}")),
                })
                .collect(),
            jobs: (0..seed % 4).map(FencingToken).collect(),
            job_request: has(11),
            current: has(6).then(|| some_move(seed)),
            history: (0..seed % 21).map(|n| some_move(seed.wrapping_mul(31).wrapping_add(n) % 512)).collect(),
            total: seed * 7,
            restore: has(4).then(|| crate::core::failover::Restore {
                operation: "put-back".into(),
                operation_uid: "op-2".into(),
                step: if has(1) { RestoreStep::Broken } else { RestoreStep::Checking },
                id: has(2).then(|| "20261124T020000Z-daily-003f".parse().unwrap()),
                slot: 1,
                target_changed: has(3),
                outcome: [
                    None,
                    Some(RestoreOutcome::Succeeded("It was put back.".into())),
                    Some(RestoreOutcome::Failed("It was not.".into())),
                ][(seed % 3) as usize]
                    .clone(),
            }),
            account: has(5).then(|| AccountView {
                name: "kraken-main".into(),
                state: if has(1) { AccountState::Held } else { AccountState::Waiting },
                holder: has(2).then(|| "ns/doge/uid".parse().unwrap()),
                epoch: Epoch(seed),
                since: has(3).then_some(Wall(1_795_000_000_123)),
                lease_duration: Duration::from_secs(seed),
                on_api_server_loss: if has(4) { OnApiServerLoss::Continue } else { OnApiServerLoss::Stop },
            }),
            last_shutdown: has(6).then(|| Shutdown {
                at: Wall(1_795_000_000_777),
                pod: "doge-0".into(),
                epoch: Epoch(seed),
                steps: some_steps(),
            }),
            operation: has(7).then(|| RunningOperation {
                name: "move-it".into(),
                uid: "op-uid".into(),
                since: Epoch(seed),
                to: has(8).then(|| "doge-1".into()),
            }),
        }
    }

    #[test]
    fn nothing_is_lost_between_record_and_status() {
        for seed in 0..512 {
            let record = some_record(seed);
            let status = status_from(&record, Seen { bot: "doge".into(), ..Seen::default() });
            let text = serde_json::to_string(&status).unwrap();
            let read: TradingBotStatus = serde_json::from_str(&text).unwrap();
            assert_eq!(read, status, "seed {seed}");
            assert_eq!(record_from(&read), record, "seed {seed}");
        }
    }

    #[test]
    fn a_new_resource_has_no_past() {
        assert_eq!(record_from(&serde_json::from_str("{}").unwrap()), Record::default());
    }

    #[test]
    fn who_is_in_no_ledger_was_not_seen_trading() {
        let text = r#"{"active": {"pod": "doge-0", "sinceTime": "2026-11-24T02:00:00.000000Z"}}"#;
        assert_eq!(record_from(&serde_json::from_str(text).unwrap()), Record::default());
    }

    #[test]
    fn moves_are_counted_without_the_first_start_and_judged_by_the_objective() {
        let took = |trigger, millis: u64| Move {
            trigger,
            suspected: Wall(1_000),
            active: Some(Wall(1_000 + millis)),
            ..some_move(0)
        };
        let history =
            vec![took(Trigger::Automatic, 9_000), took(Trigger::Switchover, 400), took(Trigger::FirstStart, 1)];
        let record = Record { history, ..Record::default() };
        let seen = Seen { target: Duration::from_secs(5), desired_replicas: 3, ready_standbys: 1, ..Seen::default() };
        let status = status_from(&record, seen);
        assert_eq!(status.failover.average_milliseconds, Some(4_700));
        assert_eq!(status.failover.last_time, Some(time_from(Wall(10_000))));
        let met: Vec<_> = status.failover.history.iter().map(|m| m.target_met).collect();
        assert_eq!(met, [Some(false), Some(true), Some(true)]);
        assert_eq!(status.standbys, Standbys { desired: 2, ready: 1, summary: "1/2".into() });
    }
}
