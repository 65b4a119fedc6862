//! Restores among everything that faults and people may do at the same time, in orders that seeds give.

use std::time::Duration;

use super::restore_jobs::*;
use super::world::*;
use crate::core::failover::*;
use crate::core::report::Report;

/// Restores among failovers, crashes, deaths, suspensions and forced moves, in an order that a seed gives.
#[test]
fn whatever_comes_in_between_nobody_trades_while_a_backup_may_be_put_back() {
    let (mut begun, mut moved) = (0, 0);
    for seed in 0..80 {
        let mut dice = Dice(seed);
        let on_failure = dice.of(&[OnFailure::Retry, OnFailure::Block, OnFailure::Proceed]);
        let mut world = World::trading(Spec { replicas: 3, ..backed_up(reconciled(on_failure)) });
        for n in 0..25 {
            meddle(&mut world, &mut dice, n);
            world.run(Duration::from_millis(dice.below(6_000)));
        }
        begun += world.restores.begun;
        // When faults stop somebody trades again, or a person is asked for.
        heal(&mut world);
        world.run(S(500));
        let over = matches!(step(&world), None | Some(RestoreStep::Broken));
        assert!(over, "seed {seed}: {:?}: {}", world.record.restore, world.record.message);
        if world.record.blocked.is_some() {
            world.ask("end", OperationKind::Failover, None);
            world.run(S(60));
        }
        assert_eq!(world.record.phase, Phase::Active, "seed {seed}: {}", world.record.message);
        assert_eq!(world.record.restore, None, "seed {seed}");
        moved += world.record.total;
    }
    assert!(begun > 80 && moved > 240, "the schedules are about something: {begun} restores, {moved} moves");
}

fn heal(world: &mut World) {
    world.restores.check = CheckFate::Succeeds;
    world.restores.apply = ApplyFate::Succeeds;
    world.job_fate = JobFate::Succeeds(Report::default());
    (world.spec.suspend, world.mishap, world.api_up) = (false, None, true);
    let now = world.now();
    for pod in &mut world.pods {
        if pod.faults.dead {
            pod.container_dies(true);
            pod.ready_at = now;
        }
        pod.faults = super::agent::Faults::default();
    }
}

fn meddle(world: &mut World, dice: &mut Dice, n: usize) {
    let pod = dice.below(world.pods.len() as u64) as usize;
    match dice.below(16) {
        0..4 => ask(world, &format!("r{n}")),
        4 => world.restores.apply = dice.of(&[ApplyFate::Succeeds, ApplyFate::FailsChanged, ApplyFate::FailsUnchanged]),
        5 => world.restores.apply = dice.of(&[ApplyFate::Hangs, ApplyFate::Vanishes, ApplyFate::IsCutOff]),
        6 => world.restores.check = dice.of(&[CheckFate::Succeeds, CheckFate::Fails, CheckFate::Hangs]),
        7 => world.spec.suspend = !world.spec.suspend,
        8 => world.ask(&format!("f{n}"), OperationKind::Failover, None),
        9 => world.ask(&format!("s{n}"), OperationKind::Switchover, None),
        10 => {
            if let Some(name) = world.trader() {
                world.pod(&name).leaving = Some("ProcessExited: the bot ended.");
            }
        }
        11 => world.pods.get_mut(pod).into_iter().for_each(|p| p.container_dies(true)),
        12 => world.operations.clear(),
        13 => world.restart_operator(),
        14 => {
            let mishap = dice.of(&MISHAPS);
            world.mishap = Some((dice.below(6) as usize, mishap));
        }
        _ => {
            let cut = dice.below(2) == 0;
            if let Some(pod) = world.pods.get_mut(pod) {
                (pod.faults.cut, pod.faults.ignores_graceful_stop) = (cut, !cut);
            }
        }
    }
}

/// Numbers that look like chance and are the same every time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}
