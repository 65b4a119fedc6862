//! What got through late, counted from the exchange's own log.

use std::fmt::Write;
use std::fs;

use serde_json::{Value, json};

use crate::harness::entry::Entry;
use crate::harness::root;

/// An order of an old token that the exchange accepted after the first of a later one.
#[derive(Clone, Debug)]
pub struct Late {
    /// From the first order of the later token to its arrival, in milliseconds.
    pub after_first: f64,
    /// From when its bot says it sent it, in milliseconds.
    pub on_the_way: f64,
}

/// One bot in one round.
#[derive(Clone, Debug)]
pub struct BotRound {
    pub gated: bool,
    /// Bytes to the exchange that the old active's kernel held right before the fault was healed.
    pub held: Option<u64>,
    pub late: Vec<Late>,
}

/// The late ones among a bot's accepted orders, given in the order of their arrival. `old` traded before them.
#[expect(clippy::cast_precision_loss, reason = "times of a test are far below 2^53")]
pub fn late_orders(old: u64, orders: &[Entry]) -> Vec<Late> {
    let (mut highest, mut first_us) = (old, 0);
    let mut late = Vec::new();
    for order in orders {
        let token = order.token.expect("orders carry a token");
        if token > highest {
            (highest, first_us) = (token, order.us);
        } else if token < highest {
            let sent = order.sent_milliseconds.expect("the paper bot says when it sends");
            late.push(Late {
                after_first: (order.us - first_us) as f64 / 1000.0,
                on_the_way: order.wall_milliseconds as f64 - sent as f64,
            });
        }
    }
    late
}

/// All rounds of one fault.
#[derive(Clone, Debug)]
pub struct Row {
    pub fault: String,
    pub rounds: Vec<BotRound>,
}

/// Everything that was seen so far.
#[derive(Default)]
pub struct Tally(Vec<Row>);

impl Tally {
    /// Adds a round of all bots.
    pub fn add(&mut self, fault: &str, rounds: Vec<BotRound>) {
        match self.0.iter_mut().find(|row| row.fault == fault) {
            Some(row) => row.rounds.extend(rounds),
            None => self.0.push(Row { fault: fault.to_owned(), rounds }),
        }
    }

    /// How many rounds bots had with the gate or without it.
    pub fn rounds(&self, gated: bool) -> usize {
        self.0.iter().map(|row| Side::of(&row.rounds, gated).rounds).sum()
    }

    /// How many late orders were accepted.
    pub fn late(&self, gated: bool) -> usize {
        self.0.iter().map(|row| Side::of(&row.rounds, gated).after_first.len()).sum()
    }

    /// Writes target/bench/gate-rounds.json.
    pub fn write(&self) {
        let folder = root().join("target/bench");
        fs::create_dir_all(&folder).expect("target/bench can be made");
        let rows = self
            .0
            .iter()
            .flat_map(|row| [false, true].map(|gated| Side::of(&row.rounds, gated).json(&row.fault, gated)));
        let text = serde_json::to_string_pretty(&rows.collect::<Vec<_>>()).expect("JSON");
        fs::write(folder.join("gate-rounds.json"), text).expect("target/bench can be written");
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<26} {:>13} {:>13} {:>13} {:>13} {:>19} {:>19}\n{:<26} {:>13} {:>13} {:>13} {:>13} {:>19} {:>19}\n",
            "fault",
            "rounds",
            "rounds with",
            "late orders",
            "late orders",
            "ms after the new",
            "ms on the way",
            "",
            "with/without",
            "bytes held",
            "with the gate",
            "without",
            "one's first p50/max",
            "p50/max",
        );
        let both = |sides: [usize; 2]| format!("{}/{}", sides[0], sides[1]);
        for row in &self.0 {
            let [with, without] = [true, false].map(|gated| Side::of(&row.rounds, gated));
            let _ = writeln!(
                text,
                "{:<26} {:>13} {:>13} {:>13} {:>13} {:>19} {:>19}",
                row.fault,
                both([with.rounds, without.rounds]),
                both([with.held, without.held]),
                with.after_first.len(),
                format!("{} in {}", without.after_first.len(), without.with_late),
                middle_and_max(&without.after_first),
                middle_and_max(&without.on_the_way),
            );
        }
        text
    }
}

/// The figures of one fault with the gate, or without it.
struct Side {
    rounds: usize,
    /// Rounds in which the old active's kernel held something right before the fault was healed.
    held: usize,
    /// Rounds in which something got through.
    with_late: usize,
    after_first: Vec<f64>,
    on_the_way: Vec<f64>,
}

impl Side {
    fn of(rounds: &[BotRound], gated: bool) -> Side {
        let ours: Vec<&BotRound> = rounds.iter().filter(|round| round.gated == gated).collect();
        let sorted = |value: fn(&Late) -> f64| {
            let mut all: Vec<f64> = ours.iter().flat_map(|round| round.late.iter().map(value)).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        Side {
            rounds: ours.len(),
            held: ours.iter().filter(|round| round.held.is_some_and(|bytes| bytes > 0)).count(),
            with_late: ours.iter().filter(|round| !round.late.is_empty()).count(),
            after_first: sorted(|late| late.after_first),
            on_the_way: sorted(|late| late.on_the_way),
        }
    }

    fn json(&self, fault: &str, gate: bool) -> Value {
        let spread = |sorted: &[f64]| json!({"p50": median(sorted), "max": sorted.last()});
        json!({
            "fault": fault, "gate": gate, "rounds": self.rounds, "roundsWithBytesHeld": self.held,
            "roundsWithLateOrders": self.with_late, "lateOrders": self.after_first.len(),
            "millisecondsAfterFirstOfNew": spread(&self.after_first), "millisecondsOnTheWay": spread(&self.on_the_way),
        })
    }
}

fn median(sorted: &[f64]) -> Option<f64> {
    (!sorted.is_empty()).then(|| f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]))
}

fn middle_and_max(sorted: &[f64]) -> String {
    match (median(sorted), sorted.last()) {
        (Some(middle), Some(max)) => format!("{middle:.0}/{max:.0}"),
        _ => "-".to_owned(),
    }
}
