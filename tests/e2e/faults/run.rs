//! From the table to rows: rounds are begun, proven, judged and counted.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;

use super::fault::{Fault, How, Must, Outcome, Stage, Struck};
use super::fleet::{DEFAULT, Member, Target};
use super::rows::{BotRound, Row, commit};
use crate::harness::verdict::Violation;
use crate::harness::*;
use tradingbot::api::bot_status::Evidence;

/// So much later than it has to be, trading is looked for all the same: late is another thing than never.
const LATE: Duration = Duration::from_secs(60);
/// Whatever comes late has come by then.
const QUIET: Duration = Duration::from_secs(3);
/// The whole round of one bot ends within this.
const ROUND: Duration = Duration::from_secs(420);
/// Evidence of so many bad rounds of a fault is kept.
const EVIDENCE: usize = 2;

/// Runs one fault until it has its rounds, and tells of each.
pub async fn run(stage: &Stage<'_>, fault: &Fault, wanted: usize, progress: &dyn Fn(&Row)) -> Row {
    let row = Row {
        fault: fault.name.to_owned(),
        follows: fault.follows.to_owned(),
        wanted,
        commit: commit(),
        at: Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        took_seconds: 0,
        void: Vec::new(),
        lost: Vec::new(),
        rounds: Vec::new(),
    };
    let run = Run { stage, fault, row: RefCell::new(row), evidence: Cell::new(0), began: Instant::now(), progress };
    // Who was lost to an earlier fault takes no part until it is back.
    let here: Vec<&Member> = stage.fleet.members.iter().filter(|member| stage.fleet.is_whole(member)).collect();
    match fault.how {
        How::One(_) | How::OneReconciled(_) => run.each_by_itself(&here, wanted).await,
        How::All(_) | How::Gathered(_) => run.all_at_once(&here, wanted).await,
    }
    join_all(here.iter().map(|member| run.whole(member))).await;
    run.row.into_inner()
}

struct Run<'a> {
    stage: &'a Stage<'a>,
    fault: &'a Fault,
    row: RefCell<Row>,
    evidence: Cell<usize>,
    began: Instant,
    progress: &'a dyn Fn(&Row),
}

impl Run<'_> {
    /// Members take rounds as they come, for as long as any are left. A tenth is for those with the default lease time.
    async fn each_by_itself(&self, here: &[&Member], wanted: usize) {
        let (How::One(act) | How::OneReconciled(act)) = self.fault.how else { return };
        let of_defaults = Cell::new(wanted.div_ceil(10));
        let of_others = Cell::new(wanted - wanted.div_ceil(10));
        // A round that does not count is taken again, so often.
        let spare = Cell::new(wanted);
        let number = Cell::new(0);
        let reconciled_only = matches!(self.fault.how, How::OneReconciled(_));
        let members = here.iter().filter(|member| member.bot.reconciled || !reconciled_only);
        join_all(members.map(|member| async {
            let left = if member.lease == DEFAULT { &of_defaults } else { &of_others };
            while left.get() > 0 {
                // Taken before anything is waited for, or two would take the last one.
                left.set(left.get() - 1);
                if !self.whole(member).await {
                    return left.set(left.get() + 1);
                }
                number.set(number.get() + 1);
                let number = number.get() - 1;
                let round = async {
                    let target = self.stage.fleet.begin_round(member, self.fault.name).await;
                    // A wait within the fault that was too long: what had to follow did not.
                    match caught(act(self.stage, &target, number).map(Ok)).await {
                        Ok(outcome) => Ok(self.end(&target, outcome).await),
                        Err(why) => Ok(self.end_late(&target, &why).await),
                    }
                };
                let counts = caught(round).await.unwrap_or_else(|why| self.void(&member.bot.name, &why));
                if !counts && spare.get() > 0 {
                    spare.set(spare.get() - 1);
                    left.set(left.get() + 1);
                }
            }
        }))
        .await;
    }

    async fn all_at_once(&self, here: &[&Member], wanted: usize) {
        let (How::All(act) | How::Gathered(act)) = self.fault.how else { return };
        let fleet = self.stage.fleet;
        for number in 0..2 * wanted.div_ceil(here.len().max(1)) {
            if self.row.borrow().rounds.len() >= wanted {
                return;
            }
            let whole = join_all(here.iter().map(|member| self.whole(member))).await;
            let members: Vec<&Member> = here.iter().zip(whole).filter(|(_, whole)| *whole).map(|(m, _)| *m).collect();
            if matches!(self.fault.how, How::Gathered(_))
                && let Err(why) = caught(fleet.gather(&members).map(Ok)).await
            {
                self.void("all", &why);
                continue;
            }
            let begun = members.iter().map(|member| caught(fleet.begin_round(member, self.fault.name).map(Ok)));
            let targets: Vec<Target> = join_all(begun).await.into_iter().filter_map(Result::ok).collect();
            if targets.is_empty() {
                self.void("all", "no bot is whole");
                continue;
            }
            match caught(act(self.stage, &targets, number).map(Ok)).await {
                Ok(outcomes) => {
                    join_all(targets.iter().zip(outcomes).map(|(target, outcome)| self.end(target, outcome))).await;
                }
                // One wait ended all: it is told of once, and what was broken is looked for everywhere.
                Err(why) => {
                    join_all(targets.iter().enumerate().map(async |(n, target)| match n {
                        0 => self.end_late(target, &why).await,
                        _ => self.end(target, Err(why.clone())).await,
                    }))
                    .await;
                }
            }
        }
    }

    /// Whether this bot trades and has its standby, or will within minutes.
    async fn whole(&self, member: &Member) -> bool {
        let name = &member.bot.name;
        if self.row.borrow().lost.iter().any(|lost| lost.contains(&format!(" {name} "))) {
            return false;
        }
        let Err(why) = caught(self.stage.fleet.until_whole(member).map(Ok)).await else { return true };
        say(&format!("{}: {why}", self.fault.name));
        self.row.borrow_mut().lost.push(why.clone());
        self.stage.world.keep_evidence_of(&format!("faults-{}-{name}-lost", slug(self.fault.name)), &why).await;
        false
    }

    /// Waits for what has to follow, and judges the round. Whether it counts.
    async fn end(&self, target: &Target, outcome: Outcome) -> bool {
        let name = &target.member.bot.name;
        match outcome {
            Ok(struck) => {
                let judged = self.judged(target, struck).map(Ok);
                match tokio::time::timeout(ROUND, caught(judged)).await {
                    Ok(Ok(round)) => self.count(target, round).await,
                    Ok(Err(why)) => return self.void(name, &why),
                    Err(_) => return self.void(name, "the round was not judged in time"),
                }
                self.renew_lost(target);
                true
            }
            Err(why) => {
                // What was broken meanwhile counts all the same.
                let seen = caught(self.judged(target, Struck::resumes("none", target.round.marker.clone())).map(Ok));
                match seen.await {
                    Ok(round) if !round.violations.is_empty() => {
                        self.count(target, BotRound { proof: format!("not proven: {why}"), ..round }).await;
                        true
                    }
                    _ => self.void(name, &why),
                }
            }
        }
    }

    /// A round in which something that had to follow was waited for in vain: it counts, against the product.
    async fn end_late(&self, target: &Target, why: &str) -> bool {
        let struck = Struck::resumes("what had to follow was waited for in vain", target.round.marker.clone());
        match caught(self.judged(target, struck).map(Ok)).await {
            Ok(mut round) => {
                round.shortcomings.push(why.to_owned());
                self.count(target, round).await;
                true
            }
            Err(other) => self.void(&target.member.bot.name, &format!("{why}; {other}")),
        }
    }

    /// The pod of an active that was given up on silence alone is trusted again after a minute, or at once when another
    /// container runs in it: so much time is saved between two rounds.
    fn renew_lost(&self, target: &Target) {
        let known = self.stage.fleet.view.now();
        let moves = known.status(&target.member.bot.name).map(|status| &status.failover.history);
        let mut since = moves.into_iter().flatten().take_while(|step| step.epoch > target.epoch);
        let silent = since.any(|step| step.evidence == Some(Evidence::LeaseExpired));
        // It may be the active again.
        let elsewhere = known.holder(&target.member.bot.name).is_some_and(|holder| holder != target.pod);
        if silent && elsewhere && !target.aim.processes().is_empty() {
            target.aim.kill_all();
        }
    }

    async fn judged(&self, target: &Target, struck: Struck) -> BotRound {
        let Target { member, round, .. } = target;
        let from = struck.from.as_ref().unwrap_or(&round.marker);
        let bound = member.lease_time().mul_f64(1.05) + self.fault.within;
        let above = if struck.must == Must::Move { format!("&token_above={}", round.token()) } else { String::new() };
        let filter = member.bot.at(&format!("since={}{above}", from.seq));
        let first = member.bot.exchange.try_wait(bound + LATE, &filter).await;
        let took = first.as_ref().map(|first| seconds_between(from, first));
        tokio::time::sleep(QUIET).await;
        let seen = {
            let mut judge = self.stage.fleet.judge.lock().await;
            judge.read().await;
            judge.round(round)
        };
        let mut shortcomings = Vec::new();
        match took {
            Some(took) if took <= bound.as_secs_f64() => {}
            Some(took) => {
                shortcomings.push(format!("it traded after {took:.1} s, not within {:.1} s", bound.as_secs_f64()));
            }
            None => shortcomings.push(format!("nobody traded within {:.0} s", (bound + LATE).as_secs_f64())),
        }
        match struck.must {
            Must::Move if !seen.moved => shortcomings.push("trading moved to no other pod".to_owned()),
            Must::Stay if seen.moved => shortcomings.push("trading moved to another pod".to_owned()),
            _ => {}
        }
        BotRound {
            bot: member.bot.name.clone(),
            lease_seconds: member.lease,
            proof: struck.proof,
            violations: seen
                .violations
                .iter()
                .map(|Violation { rule, seq, text, .. }| format!("{rule:?} at {seq}: {text}"))
                .collect(),
            seconds_without_trading: seen.without_trading,
            seconds_to_resume: took,
            shortcomings,
        }
    }

    async fn count(&self, target: &Target, round: BotRound) {
        let bad = !round.violations.is_empty() || !round.shortcomings.is_empty();
        if bad {
            let (bot, marker) = (&round.bot, target.round.marker.seq);
            let text = format!(
                "{}, {bot}, after entry {marker}\nproof: {}\n{}\n{}\n",
                self.fault.name,
                round.proof,
                round.shortcomings.join("\n"),
                round.violations.join("\n")
            );
            say(&text);
            if self.evidence.get() < EVIDENCE {
                self.evidence.set(self.evidence.get() + 1);
                self.stage.world.keep_evidence_of(&format!("faults-{}-{}", slug(self.fault.name), bot), &text).await;
            }
        }
        let mut row = self.row.borrow_mut();
        row.rounds.push(round);
        row.took_seconds = self.began.elapsed().as_secs();
        (self.progress)(&row);
    }

    fn void(&self, bot: &str, why: &str) -> bool {
        let mut row = self.row.borrow_mut();
        row.void.push(format!("{bot}: {why}"));
        row.took_seconds = self.began.elapsed().as_secs();
        say(&format!("not counted: {}, {bot}: {why}", self.fault.name));
        (self.progress)(&row);
        false
    }
}

/// A panic, of a wait that was too long for instance, becomes a sentence: the other rounds go on.
async fn caught<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(words_of(panic.as_ref())))
}

/// A name that a folder can have.
fn slug(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}
