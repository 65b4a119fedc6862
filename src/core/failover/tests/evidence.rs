use std::time::Duration;

use super::world::*;
use crate::core::failover::*;
use crate::core::lease::OnApiServerLoss;

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn crashed_active_is_replaced_and_never_trades_again() {
    let mut world = World::trading(spec());
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended with code 1.");
    let took = world.until_active(S(5));
    assert!(took <= 200, "{took} ms");
    world.run(S(60));
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
    assert_eq!(world.record.epoch.0, 2);
    world.assert_at_rest();
}

#[test]
fn the_end_of_the_container_that_ran_this_boot_is_evidence() {
    let mut world = World::trading(spec());
    world.pod("doge-0").container_dies(true);
    // The next agent of that pod is slower than the kubelet's report.
    world.pod("doge-0").faults.cut = true;
    let took = world.until_active(S(5));
    assert!(took <= 300, "{took} ms");
    let done = world.last_move();
    assert_eq!((done.evidence, done.reason), (Some(Evidence::ContainerTerminated), Reason::ContainerTerminated));
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
}

#[test]
fn the_end_of_another_boot_is_no_evidence() {
    let mut world = World::trading(spec());
    let mut boot = world.pod("doge-0").boot.clone();
    boot.nonce = "b-earlier".into();
    world.pod("doge-0").pod.terminated_boots = vec![boot];
    world.run(S(60));
    assert_eq!((world.record.phase, world.record.epoch.0), (Phase::Active, 1));
}

#[test]
fn a_later_boot_of_the_same_pod_is_evidence() {
    let mut world = World::trading(spec());
    world.pod("doge-0").container_dies(false);
    world.until_active(S(5));
    assert_eq!(world.last_move().evidence, Some(Evidence::ContainerRestarted));
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
}

#[test]
fn a_silent_active_is_replaced_after_exactly_the_wait() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.dead = true;
    let last_renewal = world.memory_sighting_at();
    world.run_until("suspicion", S(10), |w| w.record.phase == Phase::Suspect);
    assert_eq!(world.pod("doge-0").pod.role, None, "the label goes at the moment of suspicion");
    world.until_active(S(20));
    let done = world.last_move();
    let waited = done.fenced.unwrap().0 - last_renewal;
    assert!((10_500..=10_600).contains(&waited), "{waited} ms");
    assert_eq!((done.evidence, done.reason), (Some(Evidence::LeaseExpired), Reason::LeaseNotRenewed));
    assert!(world.millis - last_renewal < 11_200);
}

#[test]
fn a_cut_off_active_has_stopped_before_the_next_one_trades() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.cut = true;
    world.run_until("the old one stops", S(12), |w| w.trader().is_none());
    assert_eq!(world.record.epoch.0, 1, "nobody was granted anything yet");
    world.until_active(S(10));
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
    // A third pod takes the place of the lost one; when that is back, one too many goes.
    world.run(S(10));
    assert_eq!(world.pods.len(), 3);
    world.pod("doge-0").faults.cut = false;
    world.run(S(90));
    assert_eq!(world.pods.len(), 2);
    assert!(world.record.lost.is_empty());
    assert_eq!((world.trader().as_deref(), world.record.epoch.0), (Some("doge-1"), 2));
    world.assert_at_rest();
}

#[test]
fn a_renewal_that_arrives_before_the_fence_starts_the_wait_again() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.cut = true;
    world.run_until("suspicion", S(10), |w| w.record.phase == Phase::Suspect);
    world.run(S(4));
    // Delayed on the way and committed now: the version has changed.
    world.tamper(|l| l.renew = "u1/b0/99".into());
    world.run(S(3));
    assert_eq!(world.record.epoch.0, 1);
    world.until_active(S(20));
    assert_eq!(world.trader().as_deref(), Some("doge-1"));
}

#[test]
fn a_force_deleted_pod_whose_container_still_runs_keeps_its_epoch_until_it_stops() {
    let mut world = World::trading(spec());
    let mut ghost = world.pods.remove(0);
    let mut ghost_traded_until = 0;
    for _ in 0..300 {
        let now = world.now();
        let lease = world.lease.clone();
        // Its token dies with the object: it cannot write, and it cannot read either.
        ghost.faults.cut = true;
        ghost.step(lease.as_ref(), now);
        if ghost.trading.is_some() {
            ghost_traded_until = world.millis;
            assert_eq!(world.trader(), None, "the next one trades beside the ghost");
        }
        world.run(Duration::from_millis(100));
    }
    assert!(ghost_traded_until > 0);
    let done = world.last_move();
    assert_eq!((done.reason, done.evidence), (Reason::PodGone, Some(Evidence::LeaseExpired)));
    assert!(world.trader().is_some());
}

fn trading_on() -> Spec {
    let mut spec = spec();
    spec.terms.on_api_server_loss = OnApiServerLoss::Continue;
    spec
}

#[test]
fn silence_is_never_evidence_when_the_active_may_trade_on() {
    let mut world = World::trading(trading_on());
    world.pod("doge-0").faults.dead = true;
    world.run(S(600));
    assert_eq!(world.record.phase, Phase::Blocked);
    assert_eq!(world.record.blocked, Some(Block::SilentUnderContinue));
    assert_eq!(world.record.epoch.0, 1);
    world.assert_at_rest();

    world.ask("c", OperationKind::Confirm { epoch: world.record.epoch, by: " ".into() }, None);
    world.run(S(5));
    assert!(matches!(world.last_told("c"), Some(OperationUpdate::Failed { reason: "NameMissing", .. })));
    assert_eq!(world.record.epoch.0, 1, "an unnamed person confirms nothing");

    world.ask("d", OperationKind::Confirm { epoch: world.record.epoch, by: "kate".into() }, None);
    world.until_active(S(5));
    let done = world.last_move();
    assert_eq!((done.evidence, done.confirmed_by.as_deref()), (Some(Evidence::Confirmed), Some("kate")));
    assert_eq!(world.trader().as_deref(), Some("doge-1"), "not the silent one, which still looks ready");
    assert!(matches!(world.last_told("d"), Some(OperationUpdate::Succeeded { .. })));
    world.assert_at_rest();
}

#[test]
fn nobody_can_confirm_the_end_of_an_active_that_renews() {
    for spec in [spec(), trading_on()] {
        let mut world = World::trading(spec);
        world.ask("c", OperationKind::Confirm { epoch: world.record.epoch, by: "kate".into() }, None);
        world.run(S(30));
        assert!(matches!(world.last_told("c"), Some(OperationUpdate::Failed { reason: "StillRenewing", .. })));
        assert_eq!((world.record.phase, world.record.epoch.0), (Phase::Active, 1));
    }
}

#[test]
fn an_active_that_may_trade_on_and_is_heard_of_again_goes_on() {
    let mut world = World::trading(trading_on());
    world.tamper(|l| l.reason.clear());
    world.pod("doge-0").faults.cut = true;
    world.run(S(6));
    world.pod("doge-0").faults.cut = false;
    world.run(S(5));
    assert_eq!((world.record.phase, world.record.epoch.0), (Phase::Active, 1));
    assert!(world.record.current.is_none(), "the suspicion is forgotten");
    world.assert_at_rest();
}

/// The version says that nobody renewed since, and the epoch whose silence that was.
#[test]
fn a_fence_counts_at_the_version_that_it_left_and_for_the_epoch_that_it_was_for() {
    for (epoch, as_left) in [(1, false), (2, true)] {
        let mut world = World::trading(spec());
        let version = if as_left { world.lease.clone().unwrap().version } else { "another".into() };
        world.memory.fenced_version = Some((crate::core::ids::Epoch(epoch), version));
        world.round();
        assert_eq!((world.record.phase, world.record.fenced.0), (Phase::Active, 0));
    }
}

#[test]
fn what_an_agent_says_in_the_end_takes_the_place_of_a_suspicion() {
    let mut world = World::trading(spec());
    world.pod("doge-0").faults.cut = true;
    world.run_until("suspicion", S(10), |w| w.record.phase == Phase::Suspect);
    world.pod("doge-0").faults.cut = false;
    world.pod("doge-0").leaving = Some("ProcessExited: the bot ended.");
    world.until_active(S(1));
    assert_eq!(world.last_move().reason, Reason::ProcessExited);
    assert!(world.last_move().message.ends_with("the bot ended."), "{}", world.last_move().message);
}

#[test]
fn a_move_keeps_the_sentence_that_it_began_with_unless_an_attempt_of_it_cannot_be_promoted() {
    for (leaving, says) in [
        ("PromotionFailed: the hook answered 500.", "the hook answered 500."),
        ("ProcessExited: the second bot ended.", "the first bot ended."),
    ] {
        let mut world = World::trading(Spec { replicas: 3, ..spec() });
        world.pod("doge-1").faults.hangs_in_promotion = true;
        world.pod("doge-0").leaving = Some("ProcessExited: the first bot ended.");
        world.run_until("activating", S(5), |w| w.record.phase == Phase::Activating);
        world.pod("doge-1").leaving = Some(leaving);
        world.until_active(S(5));
        assert!(world.last_move().message.ends_with(says), "{}", world.last_move().message);
    }
}

#[test]
fn of_the_pods_that_failed_in_a_move_the_last_ones_are_remembered() {
    let mut current = World::trading(spec()).last_move().clone();
    (0..HISTORY_LENGTH + 5).for_each(|n| current.remember_failure(&format!("u{n}")));
    assert_eq!((current.tried.len(), current.tried[0].as_str()), (HISTORY_LENGTH, "u5"));
}
