//! What the rounds showed: a row for each fault, in target/bench/faults.json and as the table of docs/reliability.md.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::fleet::{DEFAULT, SHORT};
use crate::harness::root;

/// The table is between these lines of the page; everything around it is written by people.
const BEGIN: &str = "<!-- faults: begin -->";
const END: &str = "<!-- faults: end -->";

/// One bot in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BotRound {
    pub bot: String,
    /// Its lease time.
    pub lease_seconds: u32,
    /// What showed that the fault took effect on this very bot.
    pub proof: String,
    /// Breaks of I1 to I6 that the exchange's log shows from the fault on.
    pub violations: Vec<String>,
    /// The longest time between two accepted orders from the fault on.
    pub seconds_without_trading: f64,
    /// From the fault, or where that is what counts from its end, to trading as it has to follow.
    pub seconds_to_resume: Option<f64>,
    /// What did not follow that had to; empty: all is well.
    pub shortcomings: Vec<String>,
}

/// All rounds of one fault.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub fault: String,
    pub follows: String,
    pub wanted: usize,
    /// The commit and the time of the run.
    pub commit: String,
    pub at: String,
    pub took_seconds: u64,
    /// Rounds that were not counted, because the fault was not seen to take effect.
    pub void: Vec<String>,
    /// Bots that did not come back with a standby for minutes.
    #[serde(default)]
    pub lost: Vec<String>,
    pub rounds: Vec<BotRound>,
}

impl Row {
    pub fn violations(&self) -> usize {
        self.rounds.iter().map(|round| round.violations.len()).sum()
    }

    pub fn shortcomings(&self) -> usize {
        self.rounds.iter().filter(|round| !round.shortcomings.is_empty()).count()
    }

    fn of_lease(&self, lease: u32) -> Vec<&BotRound> {
        self.rounds.iter().filter(|round| round.lease_seconds == lease).collect()
    }

    /// Its line in the table.
    fn line(&self) -> String {
        let Row { fault, follows, rounds, .. } = self;
        let [short, default] = [SHORT, DEFAULT].map(|lease| middle_and_max(&self.of_lease(lease)));
        let (all, defaults) = (rounds.len(), self.of_lease(DEFAULT).len());
        let (broken, short_of) = (self.violations(), self.shortcomings());
        format!("| {fault} | {follows} | {all} | {defaults} | {broken} | {short_of} | {short} | {default} |")
    }

    /// What makes the run fail; `None`: everything is as it has to be.
    pub fn failure(&self) -> Option<String> {
        let Row { fault, wanted, .. } = self;
        let defaults = self.of_lease(DEFAULT).len();
        let mut wrong = Vec::new();
        if self.violations() > 0 {
            wrong.push(format!("{} violations", self.violations()));
        }
        if self.shortcomings() > 0 {
            wrong.push(format!("{} rounds in which not all followed that has to", self.shortcomings()));
        }
        if !self.lost.is_empty() {
            wrong.push(format!("bots that were not whole again: {}", self.lost.join("; ")));
        }
        if self.rounds.len() < *wanted {
            wrong.push(format!("only {} of {wanted} rounds", self.rounds.len()));
        }
        if defaults * 10 < self.rounds.len() {
            wrong.push(format!("only {defaults} of {} rounds with the default lease time", self.rounds.len()));
        }
        (!wrong.is_empty()).then(|| format!("{fault}: {}", wrong.join(", ")))
    }
}

/// All rows, with those of earlier runs.
#[derive(Default, Serialize, Deserialize)]
pub struct Rows(Vec<Row>);

fn file() -> PathBuf {
    root().join("target/bench/faults.json")
}

impl Rows {
    /// What earlier runs left, of the faults that there still are.
    pub fn of_before(names: &[&str]) -> Rows {
        let text = fs::read_to_string(file()).unwrap_or_default();
        let mut rows: Rows = serde_json::from_str(&text).unwrap_or_default();
        rows.0.retain(|row| names.contains(&row.fault.as_str()));
        rows
    }

    /// Puts a row in the place of what was known of its fault, in the order of the table, and writes it all down.
    pub fn put(&mut self, row: Row, names: &[&str]) {
        self.0.retain(|other| other.fault != row.fault);
        self.0.push(row);
        self.0.sort_by_key(|row| names.iter().position(|name| *name == row.fault));
        let path = file();
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("target/bench can be made");
        fs::write(path, serde_json::to_string_pretty(&self.0).expect("JSON")).expect("target/bench can be written");
    }

    /// Writes the table into the page. Faults that were not tried here keep the lines that they have.
    pub fn write_page(&self, names: &[&str]) {
        let path = root().join("docs/reliability.md");
        let page = fs::read_to_string(&path).expect("docs/reliability.md can be read");
        let (before, rest) = page.split_once(BEGIN).expect("the page says where the table begins");
        let (earlier, after) = rest.split_once(END).expect("the page says where the table ends");
        let page = format!("{before}{BEGIN}\n{}\n{END}{after}", self.table(names, earlier));
        fs::write(path, page).expect("docs/reliability.md can be written");
    }

    /// The table for people, with lines of an earlier one for faults that are not among these rows.
    pub fn table(&self, names: &[&str], earlier: &str) -> String {
        let mut text = format!(
            "| fault | what has to follow | rounds | with lease {DEFAULT} s | violations | not as it has to be | s without \
             trading, lease {SHORT} s: p50 / max | lease {DEFAULT} s: p50 / max |\n|---|---|--:|--:|--:|--:|--:|--:|\n"
        );
        let mut sums = [0; 4];
        for name in names {
            let new = self.0.iter().find(|row| row.fault == *name).map(Row::line);
            let old = || earlier.lines().find(|line| line.starts_with(&format!("| {name} |"))).map(str::to_owned);
            let Some(line) = new.or_else(old) else { continue };
            for (sum, column) in sums.iter_mut().zip(line.split('|').skip(3)) {
                *sum += column.trim().parse::<usize>().expect("the column is a number");
            }
            let _ = writeln!(text, "{line}");
        }
        let [all, defaults, broken, short_of] = sums;
        let _ = write!(text, "| **in all** | | **{all}** | **{defaults}** | **{broken}** | **{short_of}** | | |");
        text
    }
}

fn middle_and_max(rounds: &[&BotRound]) -> String {
    let mut all: Vec<f64> = rounds.iter().map(|round| round.seconds_without_trading).collect();
    all.sort_by(f64::total_cmp);
    match all.last() {
        None => "-".to_owned(),
        Some(max) => format!("{:.1} / {max:.1}", f64::midpoint(all[(all.len() - 1) / 2], all[all.len() / 2])),
    }
}

/// The commit that is tried, with a `+` where files differ from it.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root()).args(arguments).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
    };
    let changed = !git(&["status", "--porcelain", "--", "src", "examples", "Cargo.lock"]).is_empty();
    format!("{}{}", git(&["rev-parse", "--short=12", "HEAD"]), if changed { "+" } else { "" })
}
