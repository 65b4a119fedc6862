//! What was reached: a model in which something never happens proves nothing about it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bounds::Bounds;
use crate::core::agent::{Process, Stage, State};
use crate::core::failover::Phase;
use crate::events::Event;
use crate::operators::Round;
use crate::world::World;

/// How often each of some things was met.
pub struct Tally<const N: usize> {
    words: [&'static str; N],
    counts: [AtomicU64; N],
}

impl<const N: usize> Tally<N> {
    fn of(words: [&'static str; N]) -> Self {
        Self { words, counts: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    fn note(&self, place: usize) {
        self.counts[place].fetch_add(1, Ordering::Relaxed);
    }

    fn never(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.words.iter().zip(&self.counts).filter(|(_, n)| n.load(Ordering::Relaxed) == 0).map(|(word, _)| *word)
    }
}

impl<const N: usize> fmt::Display for Tally<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, n) in self.words.iter().zip(&self.counts) {
            write!(f, " {word} {}", n.load(Ordering::Relaxed))?;
        }
        Ok(())
    }
}

/// Everything that is counted.
pub struct Counts {
    /// Events that changed something.
    events: Tally<41>,
    /// Decisions of operators, by the phase that they come to.
    phases: Tally<11>,
    /// States, by what an operator is at.
    rounds: Tally<4>,
    /// Different steps of agents, by what the bot's process is at after them.
    processes: Tally<9>,
    /// Different steps of agents, by how far the grant has come after them.
    stages: Tally<7>,
}

/// Policies that people choose and that the model does not: suspending, limits, and waiting for a person; and pods that
/// are not ready yet.
const LEFT_OUT_PHASES: [&str; 4] = ["Pending", "Suspended", "Maintenance", "Blocked"];
/// Hooks and restarts in place are not set up.
const LEFT_OUT_PROCESSES: [&str; 1] = ["Waiting"];

impl Default for Counts {
    fn default() -> Self {
        Self {
            events: Tally::of([
                "Tick",
                "Round",
                "GivesUp",
                "ReadsStatus",
                "ReadsRest",
                "WatchHangs",
                "Pauses",
                "Writes",
                "WriteTimesOut",
                "RoundLoses",
                "LateWrite",
                "Restarts",
                "DiesInWrite",
                "RoundDies",
                "Sees",
                "LooksLate",
                "SeesOld",
                "Looks",
                "Delays",
                "Loses",
                "Reaches",
                "Stores",
                "Answers",
                "RequestTimesOut",
                "BotStops",
                "BotExits",
                "ContainerDies",
                "KubeletReports",
                "PodDeleted",
                "KubeletEnds",
                "KubeletKills",
                "PodGone",
                "PodForced",
                "JobSucceeds",
                "JobFails",
                "JobDies",
                "JobFound",
                "LeaseDeleted",
                "SwitchoverAsked",
                "OrderArrives",
                "StepEnds",
            ]),
            phases: Tally::of([
                "Pending",
                "Electing",
                "Preparing",
                "Activating",
                "Active",
                "Suspect",
                "Fencing",
                "Switching",
                "Suspended",
                "Maintenance",
                "Blocked",
            ]),
            rounds: Tally::of(["Idle", "ReadStatus", "ReadRest", "Writing"]),
            processes: Tally::of([
                "Gone",
                "Running",
                "Terminating",
                "ShuttingDown",
                "Waiting",
                "Starting",
                "Sweeping",
                "Draining",
                "Drained",
            ]),
            stages: Tally::of(["Claiming", "Claimed", "Promoting", "Active", "Stopping", "Lost", "Clearing"]),
        }
    }
}

impl Counts {
    pub fn event(&self, event: Event) {
        self.events.note(kind(event));
    }

    pub fn phase(&self, phase: Phase) {
        self.phases.note(phase as usize);
    }

    /// A state that was not reached before.
    pub fn state(&self, world: &World) {
        for operator in &world.operators {
            self.rounds.note(match &operator.round {
                Round::Idle => 0,
                Round::ReadStatus { .. } => 1,
                Round::ReadRest { .. } => 2,
                Round::Writing(_) => 3,
            });
        }
    }

    /// What an agent is at after a step.
    pub fn agent(&self, state: &State) {
        self.processes.note(match state.process {
            Process::Gone => 0,
            Process::Running { .. } => 1,
            Process::Terminating(_) => 2,
            Process::ShuttingDown(_) => 3,
            Process::Waiting(_) => 4,
            Process::Starting => 5,
            Process::Sweeping(_) => 6,
            Process::Draining => 7,
            Process::Drained => 8,
        });
        let Some(hold) = &state.hold else { return };
        self.stages.note(match hold.stage {
            Stage::Claiming => 0,
            Stage::Claimed => 1,
            Stage::Promoting => 2,
            Stage::Active => 3,
            Stage::Stopping(_) => 4,
            Stage::Lost => 5,
            Stage::Clearing(_) => 6,
        });
    }

    /// What should have been reached within `bounds` and was not.
    pub fn never(&self, bounds: &Bounds) -> Vec<&'static str> {
        let events = self.events.never().filter(|word| is_possible(word, bounds));
        let planned = bounds.faults.asked + bounds.faults.pods + bounds.faults.overdue > 0;
        let phases = self.phases.never().filter(|word| !LEFT_OUT_PHASES.contains(word));
        let phases = phases.filter(|word| planned || *word != "Switching");
        let rounds = self.rounds.never().filter(|word| bounds.faults.late > 0 || *word == "Idle");
        let stops = bounds.faults.asked + bounds.faults.pods > 0;
        let processes = self.processes.never().filter(|word| !LEFT_OUT_PROCESSES.contains(word));
        let processes = processes.filter(|word| stops || *word != "Terminating");
        let processes = processes.filter(|word| (stops && bounds.stop_steps > 0) || *word != "ShuttingDown");
        let stages = self.stages.never().filter(|word| bounds.faults.crashes > 0 || *word != "Clearing");
        // An agent whose bot still runs sees that the Lease is another's where something was decided on what was heard late.
        let stages = stages.filter(|word| bounds.faults.late > 0 || *word != "Lost");
        events.chain(phases).chain(rounds).chain(processes).chain(stages).collect()
    }
}

/// Whether bounds allow an event of this name.
fn is_possible(word: &str, bounds: &Bounds) -> bool {
    let faults = &bounds.faults;
    match word {
        "RoundLoses" | "Loses" => faults.lost > 0,
        "WriteTimesOut" | "RequestTimesOut" => faults.lost > 0 && faults.late > 0,
        "Reaches" => faults.lost + faults.late + faults.crashes > 0,
        "LateWrite" => faults.lost + faults.crashes > 0,
        "DiesInWrite" => faults.crashes > 0 && faults.late > 0,
        "Restarts" | "RoundDies" | "BotExits" | "ContainerDies" | "KubeletReports" => faults.crashes > 0,
        "JobDies" => faults.crashes > 0 && bounds.reconciles,
        "LeaseDeleted" => faults.deleted > 0,
        "ReadsStatus" | "ReadsRest" | "WatchHangs" | "Pauses" | "Writes" | "LooksLate" | "SeesOld" | "Delays" => {
            faults.late > 0
        }
        "Stores" | "Answers" => faults.late > 1,
        "BotStops" => faults.asked + faults.pods > 0,
        "StepEnds" => bounds.stop_steps > 0 && faults.asked + faults.pods > 0,
        "JobFails" => faults.failed > 0 && bounds.reconciles,
        "JobSucceeds" | "JobFound" => bounds.reconciles,
        "PodDeleted" | "KubeletEnds" | "KubeletKills" | "PodGone" | "PodForced" => faults.pods > 0,
        "GivesUp" => faults.overdue > 0,
        "SwitchoverAsked" => faults.asked > 0,
        "OrderArrives" => !bounds.gate,
        _ => true,
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  events:{}", self.events)?;
        writeln!(f, "  decisions by phase:{}", self.phases)?;
        writeln!(f, "  states by operators' rounds:{}", self.rounds)?;
        writeln!(f, "  agents' steps by the bot's process:{}", self.processes)?;
        write!(f, "  agents' steps by the grant:{}", self.stages)
    }
}

fn kind(event: Event) -> usize {
    match event {
        Event::Tick => 0,
        Event::Round(..) => 1,
        Event::GivesUp(..) => 2,
        Event::ReadsStatus(..) => 3,
        Event::ReadsRest(..) => 4,
        Event::WatchHangs(..) => 5,
        Event::Pauses(..) => 6,
        Event::Writes(..) => 7,
        Event::WriteTimesOut(..) => 8,
        Event::RoundLoses(..) => 9,
        Event::LateWrite(..) => 10,
        Event::Restarts(..) => 11,
        Event::DiesInWrite(..) => 12,
        Event::RoundDies(..) => 13,
        Event::Sees(..) => 14,
        Event::LooksLate(..) => 15,
        Event::SeesOld(..) => 16,
        Event::Looks(..) => 17,
        Event::Delays(..) => 18,
        Event::Loses(..) => 19,
        Event::Reaches(..) => 20,
        Event::Stores(..) => 21,
        Event::Answers(..) => 22,
        Event::RequestTimesOut(..) => 23,
        Event::BotStops(..) => 24,
        Event::BotExits(..) => 25,
        Event::ContainerDies(..) => 26,
        Event::KubeletReports(..) => 27,
        Event::PodDeleted(..) => 28,
        Event::KubeletEnds(..) => 29,
        Event::KubeletKills(..) => 30,
        Event::PodGone(..) => 31,
        Event::PodForced(..) => 32,
        Event::JobSucceeds(..) => 33,
        Event::JobFails(..) => 34,
        Event::JobDies(..) => 35,
        Event::JobFound(..) => 36,
        Event::LeaseDeleted => 37,
        Event::SwitchoverAsked => 38,
        Event::OrderArrives => 39,
        Event::StepEnds(..) => 40,
    }
}
