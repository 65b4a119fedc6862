//! What a round writes: which labels, in which order, and how soon it looks again.

use std::time::Duration;

use super::restore_jobs::backed_up;
use super::world::*;
use crate::core::failover::*;
use crate::core::ids::Epoch;

const S: fn(u64) -> Duration = Duration::from_secs;

fn look(world: &World) -> Decision {
    decide(&world.spec, &world.record, &world.memory, &world.observe(), world.now())
}

#[test]
fn a_pod_that_is_going_in_doubt_or_of_a_bot_that_goes_has_no_role() {
    let stripped = |change: fn(&mut World)| {
        let mut world = World::trading(Spec { replicas: 3, ..spec() });
        change(&mut world);
        let labels = look(&world).actions.into_iter().filter_map(|action| match action {
            Action::SetRole { pod, role } => Some((pod.name, role)),
            _ => None,
        });
        labels.map(|(name, role)| role.map_or(name, |role| format!("{role:?}"))).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    assert_eq!(stripped(|_| {}), none);
    assert_eq!(stripped(|w| w.pod("doge-1").pod.terminating = true), ["doge-1"]);
    assert_eq!(stripped(|w| w.pod("doge-1").pod.finished = true), ["doge-1"]);
    let lost = |w: &mut World| {
        let container_id = w.pod("doge-1").pod.container_id.clone();
        w.record.lost.push(Lost { pod_uid: "u2".into(), container_id });
    };
    assert_eq!(stripped(lost), ["doge-1"]);
    let deleted = |w: &mut World| {
        w.spec.suspend = true;
        w.run(S(3));
        w.spec.deleting = true;
    };
    assert_eq!(stripped(deleted), ["doge-0", "doge-1", "doge-2"]);
}

fn kinds(world: &World) -> Vec<&'static str> {
    let kind = |action: &Action| match action {
        Action::SetRole { .. } => "role",
        Action::DeletePod(_) => "delete",
        Action::Finalize => "finalize",
        Action::UpdateOperation { .. } => "operation",
        Action::CreatePod { .. } => "create",
        Action::CreateRestoreJob { .. } => "restore",
        _ => "other",
    };
    look(world).actions.iter().map(kind).collect()
}

#[test]
fn what_can_be_refused_for_long_is_written_last() {
    let mut world = World::trading(Spec { replicas: 3, ..spec() });
    world.ask("s", OperationKind::Switchover, Some("doge-9"));
    world.pod("doge-1").pod.role = None;
    world.pod("doge-2").pod.finished = true;
    assert_eq!(kinds(&world), ["role", "role", "delete", "operation", "create"]);
    // An operation that cannot be told does not keep the bot from being deleted.
    let mut world = World::trading(spec());
    world.spec.suspend = true;
    world.run(S(3));
    world.spec.deleting = true;
    world.ask("s", OperationKind::Switchover, None);
    assert_eq!(kinds(&world), ["other", "role", "role", "finalize", "operation"]);
    // Nor does a pod that cannot be made keep one from being told that it is over.
    let mut world = World::trading(backed_up(spec()));
    world.pods.retain(|pod| pod.pod.name == "doge-0");
    world.ask("s", OperationKind::Switchover, None);
    let (name, uid) = ("s".to_owned(), "s-uid".to_owned());
    world.record.operation = Some(RunningOperation { name, uid, since: Epoch(0), to: None });
    world.record.restore = Some(Restore {
        operation: "r".into(),
        operation_uid: "r-uid".into(),
        step: RestoreStep::Checking,
        id: None,
        slot: 0,
        target_changed: false,
        outcome: None,
    });
    world.ask("r", OperationKind::Restore, None);
    assert_eq!(kinds(&world), ["operation", "operation", "create", "restore"]);
}

#[test]
fn a_write_that_another_one_follows_is_looked_at_again_at_once() {
    let mut world = World::trading(reconciled(OnFailure::Block));
    world.creates_refused = true;
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.run_until("preparing", S(5), |w| w.record.phase == Phase::Preparing);
    world.run(S(1));
    let decision = look(&world);
    assert!(decision.actions.iter().any(|action| matches!(action, Action::CreateJob { .. })));
    assert_eq!(decision.wake_after, Some(Duration::from_millis(50)));
    let mut world = World::trading(spec());
    world.spec.suspend = true;
    let decision = look(&world);
    assert!(decision.actions.iter().any(|action| matches!(action, Action::PutLease { .. })));
    assert_eq!(decision.wake_after, Some(Duration::from_millis(50)));
}
