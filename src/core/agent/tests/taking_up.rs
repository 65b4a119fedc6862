//! Taking a grant up, and clearing one that a dead boot left.

use super::*;

#[test]
fn a_grant_is_taken_up_at_once_and_trades_only_with_the_permit() {
    let mut world = World::new(false).claimed();
    assert_eq!(world.role(), Role::Candidate);
    world.expect_nothing();
    world.permit(Permit::Trade);
    let guard = world.expect(|effect| matches!(effect, Effect::Guard(Some(_))), "guard");
    assert_eq!(guard, Effect::Guard(Some(Mono::both(START).plus(Duration::from_secs(9)))));
    let start = world.expect(is_start, "start");
    assert_eq!(start, Effect::Start(Leadership { role: Role::Active, epoch: Epoch(1), token: FencingToken(1 << 20) }));
    world.feed(Input::Started);
    assert_eq!(world.answer().kind, WriteKind::Renew(AgentState::Promoting));
    assert_eq!(world.answer().kind, WriteKind::Renew(AgentState::Active));
}

#[test]
fn the_guards_are_armed_before_the_process_starts() {
    let mut world = World::new(false).claimed();
    world.permit(Permit::Trade);
    assert!(matches!(world.effects[0], Effect::Guard(Some(_))), "{:?}", world.effects);
}

#[test]
fn only_the_own_pod_takes_a_grant_up() {
    let mut world = World::new(false);
    world.grant(1, Permit::Trade);
    world.lease.holder = Some(PodRef { name: "doge-0".into(), uid: "another".into() });
    world.seen();
    world.expect_nothing();
}

#[test]
fn a_revoked_or_untenable_grant_is_not_taken_up() {
    let untenable = Terms { renew_deadline: Duration::from_secs(10), ..terms(OnApiServerLoss::Stop) };
    for (permit, terms) in [
        (Permit::Revoke, Some(terms(OnApiServerLoss::Stop))),
        (Permit::Prepare, Some(untenable)),
        (Permit::Prepare, None),
    ] {
        let mut world = World::new(false);
        world.grant(1, permit);
        world.lease.terms = terms;
        world.seen();
        world.expect_nothing();
        assert_eq!(world.state.hold, None);
    }
}

#[test]
fn a_claim_is_repeated_while_the_lease_names_this_pod_and_given_up_when_it_is_revoked() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.seen();
    let claim = world.expect_write();
    // By a webhook, say: nothing speaks against it in the Lease.
    world.feed(Input::Wrote(claim.number, Outcome::Refused(Some(world.lease.clone()))));
    world.pass(500);
    let again = world.expect_write();
    assert_eq!(again.kind, WriteKind::Claim);
    world.feed(Input::Wrote(again.number, Outcome::Unknown));
    world.permit(Permit::Revoke);
    world.pass(500);
    world.expect_nothing();
    assert_eq!(world.state.hold, None);
}

#[test]
fn a_grant_that_is_revoked_while_the_claim_is_under_way_is_released() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.seen();
    let claim = world.expect_write();
    let stored = world.store(&claim);
    world.grant(1, Permit::Revoke);
    world.seen();
    let Outcome::Answered(mut lease) = stored else { panic!("{stored:?}") };
    lease.permit = Some(Permit::Revoke);
    world.lease = lease.clone();
    world.feed(Input::Wrote(claim.number, Outcome::Answered(lease)));
    world.everything_dies();
    assert_eq!(world.released(), Some(ReleaseReason::Revoked));
}

#[test]
fn terms_can_be_kept_where_each_time_leaves_room_for_the_next() {
    let fit = |period: u64, deadline: u64, lease: u64| {
        let [renew_period, renew_deadline, lease_duration] = [period, deadline, lease].map(Duration::from_millis);
        can_be_kept(&Terms { lease_duration, renew_period, renew_deadline, on_api_server_loss: OnApiServerLoss::Stop })
    };
    assert!(fit(2_000, 6_000, 10_000));
    for (period, deadline, lease) in
        [(0, 6_000, 10_000), (6_000, 6_000, 10_000), (2_000, 10_000, 10_000), (200, 600, 1_000)]
    {
        assert!(!fit(period, deadline, lease), "{period} {deadline} {lease}");
    }
}

#[test]
fn there_is_no_epoch_before_the_first() {
    let mut world = World::new(false);
    world.grant(0, Permit::Prepare);
    world.seen();
    world.expect_nothing();
}

#[test]
fn a_candidate_whose_lease_is_deleted_gives_it_up() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.seen();
    let claim = world.expect_write();
    world.feed(Input::Wrote(claim.number, Outcome::Unknown));
    world.feed(Input::Seen(None));
    world.pass(2_000);
    world.expect_nothing();
    assert_eq!(world.state.hold, None);
}

/// Its answer was lost, and the agent died: the next one meets the claim when it makes its own.
#[test]
fn a_claim_that_meets_one_of_a_dead_boot_of_its_pod_clears_it_at_once() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.seen();
    let claim = world.expect_write();
    world.lease.boot = Some(boot("dead"));
    let outcome = world.store(&claim);
    world.feed(Input::Wrote(claim.number, outcome));
    world.expect(|effect| *effect == Effect::Drain, "wait for unsent bytes");
    world.feed(Input::Drained);
    assert_eq!(world.answer().kind, WriteKind::ReleaseFor(boot("dead")));
}

#[test]
fn a_claim_that_meets_the_boot_of_another_pod_clears_nothing() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.seen();
    let claim = world.expect_write();
    world.lease.boot = Some(BootId { pod_uid: "u1".into(), nonce: "x".into() });
    let outcome = world.store(&claim);
    world.feed(Input::Wrote(claim.number, outcome));
    world.expect_nothing();
    assert_eq!(world.state.hold, None);
}

#[test]
fn a_lease_that_names_this_boot_in_an_epoch_that_it_never_held_was_written_by_a_stranger() {
    let mut world = World::new(false);
    world.grant(5, Permit::Trade);
    world.lease.boot = Some(boot("mine"));
    world.seen();
    world.expect_nothing();
    assert_eq!(world.state.hold, None);
}

#[test]
fn a_permit_to_trade_that_names_no_boot_was_written_by_a_stranger_and_is_not_taken_up() {
    let mut world = World::new(false);
    world.grant(1, Permit::Trade);
    world.seen();
    world.expect_nothing();
    // Nor one that turns up while the claim is not known to be stored.
    world.grant(2, Permit::Prepare);
    world.seen();
    let claim = world.expect_write();
    world.lease.permit = Some(Permit::Trade);
    world.feed(Input::Wrote(claim.number, Outcome::Unknown));
    world.seen();
    world.pass(2_000);
    assert!(!world.effects.iter().any(is_start));
    assert!(!world.effects.iter().any(|effect| matches!(effect, Effect::Write(_))));
}

#[test]
fn a_claim_whose_answer_was_lost_is_recognised() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.seen();
    let write = world.expect_write();
    world.store(&write);
    world.feed(Input::Wrote(write.number, Outcome::Unknown));
    // The watch shows the value that was sent: as good as an answer.
    world.seen();
    assert_eq!(world.state.hold.as_ref().unwrap().renewed, Some(Mono::both(START)));
}

#[test]
fn a_second_claim_that_meets_the_first_renews_before_it_may_trade() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.seen();
    let first = world.expect_write();
    world.feed(Input::Wrote(first.number, Outcome::Unknown));
    world.pass(600);
    let second = world.expect_write();
    world.store(&first);
    world.lease.permit = Some(Permit::Trade);
    let outcome = world.store(&second);
    world.feed(Input::Wrote(second.number, outcome));
    assert!(!world.effects.iter().any(is_start), "no deadline is known yet");
    world.answer();
    world.expect(is_start, "start after the renewal");
}

#[test]
fn a_hot_candidate_that_is_passed_over_keeps_its_process() {
    let mut world = World::new(true).claimed();
    world.effects.clear();
    world.lease.epoch = Some(Epoch(2));
    world.lease.holder = Some(PodRef { name: "doge-1".into(), uid: "u1".into() });
    world.seen();
    world.expect_nothing();
    assert_eq!((world.role(), matches!(world.state.process, Process::Running { .. })), (Role::Standby, true));
}

#[test]
fn a_later_boot_releases_for_the_dead_one_and_for_no_other_pod() {
    for hot in [false, true] {
        let mut world = World::new(hot);
        world.grant(4, Permit::Trade);
        world.lease.boot = Some(boot("dead"));
        world.seen();
        assert!(!world.effects.iter().any(is_start), "no process before the release");
        world.expect(|effect| *effect == Effect::Drain, "wait for unsent bytes");
        world.seen();
        let nothing = Leadership { role: Role::Standby, epoch: Epoch(0), token: FencingToken(0) };
        assert_eq!(leadership(&world.state), nothing, "what it clears is not its own");
        world.feed(Input::Drained);
        assert_eq!(world.answer().kind, WriteKind::ReleaseFor(boot("dead")));
        assert_eq!(world.lease.state, AgentState::Restarted);
        assert_eq!(world.lease.successor, Some(boot("mine")));
        assert_eq!(world.lease.boot, Some(boot("dead")));
        assert_eq!(world.effects.iter().any(is_start), hot);
    }
    let mut world = World::new(false);
    world.grant(4, Permit::Trade);
    world.lease.boot = Some(BootId { pod_uid: "u1".into(), nonce: "x".into() });
    world.seen();
    world.expect_nothing();
}

#[test]
fn what_is_to_be_cleared_can_be_gone_or_another_boots_by_then() {
    let mut world = World::new(true);
    world.feed(Input::Seen(None));
    world.expect(is_start, "start of the standby");
    world.feed(Input::Started);
    world.grant(4, Permit::Trade);
    world.lease.boot = Some(boot("dead"));
    world.seen();
    world.feed(Input::Seen(None));
    world.everything_dies();
    world.expect(is_start, "start of the standby");

    let mut world = World::new(false);
    world.grant(4, Permit::Trade);
    world.lease.boot = Some(boot("dead"));
    world.seen();
    world.lease.boot = Some(boot("third"));
    world.seen();
    assert_eq!(world.state.hold, None);
}

#[test]
fn a_new_grant_that_is_seen_during_a_kill_is_taken_up_after_it() {
    let mut world = World::new(false).active();
    world.grant(2, Permit::Prepare);
    world.seen();
    world.everything_dies();
    world.expect(|effect| *effect == Effect::Read, "read");
    world.feed(Input::Read(Some(world.lease.clone())));
    assert_eq!(world.answer().kind, WriteKind::Claim);
}

#[test]
fn an_agent_with_nothing_to_do_sleeps() {
    let mut world = World::new(false);
    world.seen();
    assert_eq!(wake_at(&world.state), None);
    let mut world = World::new(false).active();
    // A renewal every two seconds, and never a moment in the past.
    for _ in 0..10 {
        let at = wake_at(&world.state).unwrap();
        assert!(at.first > world.now.first);
        world.now = at;
        world.feed(Input::Tick);
        world.answer();
        world.expect_nothing();
    }
    assert_eq!(world.now, Mono::both(START).plus(Duration::from_secs(20)));
}

/// The operator permits a boot that it knows. Where somebody else writes `Trade` into a grant that nobody has taken up
/// yet, and takes it back, the claim that is under way must not find a permit that was remembered.
#[test]
fn a_permit_that_was_seen_before_the_claim_is_none() {
    let mut world = World::new(false);
    world.grant(1, Permit::Prepare);
    world.seen();
    let claim = world.expect_write();
    world.permit(Permit::Trade);
    world.lease.permit = Some(Permit::Prepare);
    let outcome = world.store(&claim);
    world.feed(Input::Wrote(claim.number, outcome));
    assert!(!world.effects.iter().any(is_start), "{:?}", world.effects);
    assert_eq!(world.role(), Role::Standby, "a grant that was tampered with is given up");
}
