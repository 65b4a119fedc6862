//! The part of the model that takes a minute or two, and the proof that it can find anything.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use model::bounds::{Bounds, Faults};
use model::core::silence::TOLERANCE_PERCENT;
use model::core::wrong::{self, Wrong};
use model::dead;
use model::events::Model;
use model::exchange::Rule;
use model::fair::digest;
use model::report;
use model::search::{Limits, search, search_each};
use stateright::{Checker, Model as _};

/// Deliberate mistakes are made by the whole process, so tests take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

const NONE: Faults =
    Faults { crashes: 0, lost: 0, deleted: 0, late: 0, failed: 0, pods: 0, overdue: 0, asked: 0, grants: 0 };

fn bounds(grants: u8, agents: usize, faults: Faults) -> Bounds {
    let faults = Faults { grants, ..faults };
    Bounds {
        agents,
        faults,
        reconciles: true,
        stop_steps: 0,
        faster: TOLERANCE_PERCENT,
        overrun: 0,
        gate: true,
        reduced: true,
    }
}

fn limits() -> Limits {
    Limits { threads: 2, time: Duration::from_secs(1800), memory: 4 << 30, progress: None }
}

/// Explores all of it. Answers what was never reached of all that some bounds allow.
fn explore(bounds: Bounds, one_in: u64) -> Vec<&'static str> {
    let mut model = Model::new(bounds);
    model.fair.one_in = one_in;
    report::begins(&model);
    let found = search(&model, limits());
    report::ends(&model, &found);
    if let Some((rule, world)) = &found.broken {
        report::shortest_way(&Bounds { faults: world.spent, ..bounds }, one_in);
        panic!("{rule}");
    }
    assert_eq!(found.unfinished, None);
    let two = Faults { crashes: 2, lost: 2, deleted: 2, late: 2, failed: 2, pods: 2, overdue: 2, asked: 2, grants: 2 };
    model.counts.never(&Bounds { faults: two, stop_steps: 1, ..bounds })
}

/// Some kinds of faults at a time; all at once is what `make model` is for.
#[test]
fn every_rule_holds_and_everything_happens() {
    let _turn = turn();
    let runs = [
        bounds(2, 3, Faults { crashes: 1, lost: 1, deleted: 1, ..NONE }),
        bounds(3, 2, Faults { lost: 2, ..NONE }),
        bounds(2, 2, Faults { late: 1, deleted: 1, ..NONE }),
        bounds(2, 2, Faults { pods: 1, asked: 1, failed: 1, overdue: 1, ..NONE }),
        Bounds { stop_steps: 1, ..bounds(2, 2, Faults { pods: 1, asked: 1, ..NONE }) },
        bounds(1, 2, Faults { crashes: 1, lost: 1, late: 1, ..NONE }),
        bounds(1, 2, Faults { late: 2, ..NONE }),
        bounds(3, 3, NONE),
    ];
    let never = runs.map(|bounds| explore(bounds, 8));
    let in_none: Vec<_> = never[0].iter().filter(|word| never.iter().all(|run| run.contains(word))).collect();
    assert!(in_none.is_empty(), "never reached: {in_none:?}");
}

#[test]
fn without_faults_stateright_finds_the_same_states() {
    let _turn = turn();
    // Here a state is one with how many grants there were.
    let bounds = Bounds { reduced: false, ..bounds(2, 2, NONE) };
    let model = Model::new(bounds);
    let found = search(&model, limits());
    let checker = Model::new(bounds).checker().spawn_dfs().join();
    checker.assert_properties();
    println!("{} states here, {} there", found.states, checker.unique_state_count());
    assert_eq!(found.states, checker.unique_state_count() as u64);
}

/// For each state that is reached where all are told apart, the one that stands for it is reached where they are not:
/// nothing is left out.
#[test]
fn what_is_taken_for_one_leaves_nothing_out() {
    let _turn = turn();
    let runs = [
        bounds(3, 3, NONE),
        bounds(2, 2, Faults { crashes: 1, ..NONE }),
        bounds(1, 2, Faults { crashes: 2, ..NONE }),
        bounds(2, 2, Faults { crashes: 1, lost: 1, ..NONE }),
        bounds(2, 2, Faults { lost: 1, deleted: 1, ..NONE }),
        bounds(1, 2, Faults { late: 1, failed: 1, ..NONE }),
        bounds(2, 2, Faults { pods: 1, asked: 1, ..NONE }),
        Bounds { stop_steps: 1, ..bounds(2, 2, Faults { asked: 1, ..NONE }) },
    ];
    for bounds in runs {
        let mut reduced = Model::new(bounds);
        let mut whole = Model::new(Bounds { reduced: false, ..bounds });
        (reduced.fair.one_in, whole.fair.one_in) = (0, 0);
        let known = Mutex::new(HashSet::new());
        let found = search_each(&reduced, limits(), &|world| {
            known.lock().expect("no panic").insert(digest(world));
        });
        let known = known.into_inner().expect("no panic");
        let missing = Mutex::new(None);
        let all = search_each(&whole, limits(), &|world| {
            let mut stands = *world;
            dead::forget_in_all(&mut stands);
            reduced.stands_for(&mut stands);
            if !known.contains(&digest(&stands)) {
                missing.lock().expect("no panic").get_or_insert((*world, stands));
            }
        });
        println!("{} states stand for {} within {bounds}", found.states, all.states);
        assert_eq!((found.broken, found.unfinished), (all.broken, all.unfinished));
        if let Some((world, stands)) = missing.into_inner().expect("no panic") {
            panic!("{world:#?}\nis reached, and not what stands for it:\n{stands:#?}");
        }
    }
}

/// Whoever lets clocks differ by more than was agreed, or does without the gate, gets what the model must find, or it
/// would prove nothing.
#[test]
fn beyond_what_was_agreed_the_violation_is_found() {
    let _turn = turn();
    let agreed = bounds(2, 2, NONE);
    let cases = [
        ("clocks differ by 110 %, guard 1 s", Bounds { faster: 110, ..agreed }, Rule::I2),
        ("processes end a tick after the guard", Bounds { overrun: 1, ..agreed }, Rule::I2),
        ("no order gate", Bounds { gate: false, ..agreed }, Rule::I1),
    ];
    for (name, bounds, rule) in cases {
        let (states, found) = report::shortest(bounds, 0, Some(rule));
        let (broken, path) = found.unwrap_or_else(|| panic!("{name}: {rule} was not broken in {states} states"));
        println!("{name:40} {broken:48} {states:8} states, {:2} events", path.len());
    }
}

/// The bounds within which the model sees a mistake; `None`: it does not.
fn sees(wrong: Wrong) -> Option<Bounds> {
    let with = |faults: Faults| Some(bounds(2, 2, faults));
    match wrong {
        Wrong::ExpiryByWallClock | Wrong::PermitBeforeJob | Wrong::GuardOnProcessGroup | Wrong::JobNameWithoutEpoch => {
            with(NONE)
        }
        Wrong::DeadlineFromReply => with(Faults { lost: 2, ..NONE }),
        Wrong::RenewalRepeatsValue | Wrong::RenewalWithoutTest | Wrong::UnknownWriteRetried => {
            with(Faults { lost: 1, ..NONE })
        }
        Wrong::PermitReplayed => with(Faults { crashes: 1, lost: 1, ..NONE }),
        Wrong::PodGoneAsEvidence => with(Faults { pods: 1, ..NONE }),
        Wrong::ExpiryGrantWithFreshVersion => with(Faults { late: 1, ..NONE }),
        Wrong::TerminatedWithoutBoot => Some(bounds(3, 2, Faults { crashes: 1, ..NONE })),
        Wrong::TimerKeptOverRestart => with(Faults { crashes: 1, ..NONE }),
        Wrong::EpochFromTransitions => with(Faults { deleted: 1, ..NONE }),
        Wrong::GrantWithoutVersion => Some(bounds(3, 2, Faults { late: 1, ..NONE })),
        // A write that depends on the version of an old Lease is refused, whatever it was decided on.
        Wrong::DecisionFromCache => None,
    }
}

#[test]
fn every_mistake_that_shows_here_is_found() {
    let _turn = turn();
    let mut missed = Vec::new();
    for mistake in Wrong::ALL {
        let Some(bounds) = sees(mistake) else {
            println!("{:32} is left to the simulation and the cluster", mistake.as_str());
            continue;
        };
        wrong::choose(Some(mistake));
        let began = Instant::now();
        let (states, found) = report::shortest(bounds, 0, None);
        wrong::choose(None);
        let seconds = began.elapsed().as_secs_f32();
        match found {
            Some((rule, path)) => {
                let (name, events) = (mistake.as_str(), path.len());
                println!("{name:32} {rule:56} {states:8} states, {events:2} events, {seconds:4.1} s");
            }
            None => {
                println!("{:32} NOT FOUND in {states} states, {seconds:.1} s", mistake.as_str());
                missed.push(mistake);
            }
        }
    }
    assert_eq!(missed, []);
}
