use std::time::Duration;

use super::world::*;
use crate::core::failover::*;

const S: fn(u64) -> Duration = Duration::from_secs;

fn exit(world: &mut World) {
    let active = world.trader().unwrap();
    world.pod(&active).leaving = Some("ProcessExited: the bot ended.");
}

#[test]
fn under_manual_trading_moves_only_when_a_person_says_so() {
    let mut world = World::trading(Spec { manual: true, ..spec() });
    assert_eq!(world.record.message, "doge-0 trades.");
    exit(&mut world);
    world.run(S(60));
    assert_eq!((world.record.phase, world.record.blocked), (Phase::Blocked, Some(Block::ManualFailover)));
    assert_eq!(world.trader(), None);
    world.assert_at_rest();
    world.ask("s", OperationKind::Switchover, None);
    world.run(S(1));
    assert!(matches!(world.last_told("s"), Some(OperationUpdate::Failed { reason: "NobodyTrades", .. })));
    world.ask("f", OperationKind::Failover, Some("doge-1"));
    world.until_active(S(5));
    world.run(S(1));
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
    assert!(matches!(world.last_told("f"), Some(OperationUpdate::Succeeded { .. })));
}

#[test]
fn under_manual_a_deleted_pod_moves_nothing_either() {
    let mut world = World::trading(Spec { manual: true, ..spec() });
    world.pod("doge-0").pod.terminating = true;
    world.run(S(20));
    assert_eq!((world.record.blocked, world.trader()), (Some(Block::ManualFailover), None));
}

#[test]
fn under_manual_a_new_template_reaches_the_standbys_and_says_what_is_left() {
    let mut world = World::trading(Spec { manual: true, ..spec() });
    world.spec.revision = "r2".into();
    world.run(S(60));
    assert_eq!((world.trader().as_deref(), world.record.epoch.0), (Some("doge-0"), 1));
    assert!(world.record.message.contains("switchover"), "{}", world.record.message);
    assert_eq!(world.pods.iter().filter(|p| p.pod.revision == "r2").count(), 1);
    world.ask("s", OperationKind::Switchover, None);
    world.until_active(S(5));
    world.run(S(30));
    assert!(world.pods.iter().all(|p| p.pod.revision == "r2"));
}

#[test]
fn failovers_beyond_the_limit_wait_until_the_window_has_room() {
    let mut world = World::trading(Spec { max_failovers: 2, rate_period: S(600), ..spec() });
    for _ in 0..2 {
        exit(&mut world);
        world.until_active(S(5));
        world.run(S(30));
    }
    exit(&mut world);
    world.run(S(60));
    assert_eq!((world.record.phase, world.record.blocked), (Phase::Maintenance, Some(Block::RateLimited)));
    let writes = world.log.len();
    world.run(S(400));
    assert_eq!(world.log.len(), writes);
    world.until_active(S(120));
    assert_eq!(world.record.total, 3);
}

#[test]
fn a_person_is_not_rate_limited() {
    let mut world = World::trading(Spec { max_failovers: 1, ..spec() });
    exit(&mut world);
    world.until_active(S(5));
    exit(&mut world);
    world.run(S(30));
    assert_eq!(world.record.blocked, Some(Block::RateLimited));
    world.ask("f", OperationKind::Failover, None);
    world.until_active(S(5));
    for _ in 0..3 {
        world.run(S(1));
        world.ask("s", OperationKind::Switchover, None);
        world.until_active(S(5));
    }
}

#[test]
fn a_limit_beyond_the_history_still_limits() {
    let mut world = World::trading(Spec { max_failovers: 500, rate_period: S(36_000), ..spec() });
    for _ in 0..HISTORY_LENGTH {
        exit(&mut world);
        world.until_active(S(30));
        world.run(S(5));
    }
    exit(&mut world);
    world.run(S(60));
    assert_eq!(world.record.blocked, Some(Block::RateLimited));
}

#[test]
fn the_cool_down_holds_back_failed_promotions_and_never_a_lost_active() {
    let mut world = World::trading(spec());
    exit(&mut world);
    world.until_active(S(5));
    exit(&mut world);
    let took = world.until_active(S(5));
    assert!(took < 1_000, "a lost active never waits: {took} ms");
    world.pod("doge-0").leaving = Some("PromotionFailed: the bot said that it cannot trade.");
    world.run(S(20));
    assert_eq!((world.record.phase, world.trader()), (Phase::Electing, None));
    world.until_active(S(60));
}
