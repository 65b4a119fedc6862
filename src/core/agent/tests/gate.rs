//! How far the gate is open, and that it closes before anything else happens.

use super::*;
use crate::core::gate::Passage;

/// Feeds an input and returns how far the gate is open afterwards; checks that this was told before everything else but
/// the guards' deadline.
fn passage_after(world: &mut World, input: Input) -> Passage {
    let before = passage(&world.state);
    let (state, effects) = step(&world.setup, std::mem::take(&mut world.state), input, world.now);
    world.state = state;
    let now = passage(&world.state);
    let told = effects.iter().position(|effect| *effect == Effect::Gate(now));
    if now != before {
        let first = effects.iter().position(|effect| !matches!(effect, Effect::Guard(_))).unwrap();
        assert_eq!(told, Some(first), "{effects:?}");
    } else {
        assert_eq!(told, None);
    }
    world.effects.extend(effects);
    now
}

#[test]
fn a_standby_and_a_candidate_reach_only_what_standbys_may() {
    let mut world = World::new(true);
    assert_eq!(passage(&world.state), Passage::Standby);
    world.grant(1, Permit::Prepare);
    let lease = world.lease.clone();
    assert_eq!(passage_after(&mut world, Input::Seen(Some(lease))), Passage::Standby);
    world.feed(Input::Started);
    world.answer();
    assert_eq!(passage(&world.state), Passage::Standby);
}

#[test]
fn the_gate_opens_with_the_permit_and_every_renewal_moves_its_end() {
    let mut world = World::new(false).active();
    let first = Mono::both(START).plus(Duration::from_secs(9));
    assert_eq!(passage(&world.state), Passage::Open(Some(first)));
    world.pass(2_000);
    world.effects.clear();
    assert_eq!(passage(&world.state), Passage::Open(Some(first)));
    world.pass(10);
    world.feed(Input::Tick);
    let world_write = world.state.in_flight.unwrap();
    let mut stored = world.lease.clone();
    stored.renew = format!("{}/{world_write}", world.setup.boot);
    let after = passage_after(&mut world, Input::Wrote(world_write, Outcome::Answered(stored)));
    assert_eq!(after, Passage::Open(Some(first.plus(Duration::from_secs(2)))));
}

#[test]
fn a_bot_that_is_stopped_may_cancel_its_orders_and_nothing_passes_once_it_is_killed() {
    let mut world = World::new(false).with(|setup| setup.stop_steps = 1).active();
    world.lease.permit = Some(Permit::Revoke);
    let lease = world.lease.clone();
    assert!(matches!(passage_after(&mut world, Input::Seen(Some(lease))), Passage::Open(Some(_))));
    world.feed(Input::Stepped(0));
    assert_eq!(passage_after(&mut world, Input::Exited(Exit::Code(0))), Passage::Ending);
    assert_eq!(passage_after(&mut world, Input::Swept), Passage::Ending, "what is on its way may be acknowledged");
    assert_eq!(passage_after(&mut world, Input::Drained), Passage::Closed, "the release is not stored yet");
    world.answer();
    assert_eq!(passage(&world.state), Passage::Standby);
}

#[test]
fn a_bot_that_crashed_leaves_nothing_behind_and_trades_again_after_its_restart() {
    let mut world = World::new(false).with(|setup| setup.in_place_restarts = 1).active();
    assert_eq!(passage_after(&mut world, Input::Exited(Exit::Code(1))), Passage::Ending);
    assert!(matches!(passage_after(&mut world, Input::Swept), Passage::Open(Some(_))));
}

#[test]
fn a_candidate_that_is_stopped_was_never_let_through() {
    let mut world = World::new(true).claimed();
    world.now = world.now.plus(Duration::from_secs(7));
    // The permit comes with the very step in which the renew deadline passes.
    world.lease.permit = Some(Permit::Trade);
    let lease = world.lease.clone();
    assert_eq!(passage_after(&mut world, Input::Seen(Some(lease))), Passage::Standby);
    assert_eq!(world.role(), Role::Demoting);
}

#[test]
fn another_holder_closes_it_at_once() {
    let mut world = World::new(false).active();
    world.lease.holder = Some(PodRef { name: "doge-1".into(), uid: "u1".into() });
    world.lease.epoch = Some(Epoch(2));
    let lease = world.lease.clone();
    assert_eq!(passage_after(&mut world, Input::Seen(Some(lease))), Passage::Closed);
}

#[test]
fn without_a_deadline_the_gate_stays_open_under_continue() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.lease.terms = Some(terms(OnApiServerLoss::Continue));
    world.seen();
    world.answer();
    world.permit(Permit::Trade);
    assert_eq!(passage(&world.state), Passage::Open(None));
}
