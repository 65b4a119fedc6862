//! Hand-made logs: clean ones pass, and each rule is caught when it is broken.

use serde_json::{Value, json};

use super::rules::Auditor;
use super::verdict::{Options, Rule, Verdict};

/// A log written by hand; every entry is 50 ms after the one before.
#[derive(Default)]
struct Log(Vec<String>);

impl Log {
    fn add(mut self, kind: &str, fields: Value) -> Self {
        let seq = self.0.len() as u64 + 1;
        let mut entry = json!({"seq": seq, "us": seq * 50_000, "wallMilliseconds": 0, "kind": kind, "accepted": true, "account": "ns/doge"});
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.0.push(entry.to_string());
        self
    }
    fn order(self, epoch: u64, instance: &str) -> Self {
        self.add("order", json!({"token": epoch * 1000, "epoch": epoch, "instance": instance}))
    }
    fn reconciled(self, epoch: u64) -> Self {
        let fields = |state| json!({"token": epoch * 1000, "epoch": epoch, "state": state});
        self.add("reconciliation", fields("Started")).add("reconciliation", fields("Succeeded"))
    }
    fn mark(self, text: &str) -> Self {
        self.add("marker", json!({"text": text}))
    }
    fn judge(&self, options: Options) -> Verdict {
        let mut auditor = Auditor::new(options);
        self.0.iter().for_each(|line| auditor.line(line));
        auditor.finish()
    }
    fn broken(&self) -> Vec<(Rule, u64)> {
        self.judge(reconciled()).violations_by_rule.into_iter().collect()
    }
}

fn reconciled() -> Options {
    Options { reconciled: true, ..Options::default() }
}

fn clean() -> Log {
    Log::default()
        .add("start", json!({}))
        .reconciled(1)
        .order(1, "a")
        .order(1, "a")
        .mark("crash")
        .reconciled(2)
        .order(2, "b")
        .order(2, "b")
}

#[test]
fn a_clean_failover_breaks_nothing_and_is_counted() {
    let verdict = clean().judge(reconciled());
    assert!(verdict.ok, "{:?}", verdict.violations);
    assert_eq!((verdict.orders, verdict.epochs, verdict.tokens, verdict.instances), (4, 2, 2, 2));
    assert_eq!((verdict.reconciliations, verdict.rounds_counted), (2, 1));
    assert_eq!(verdict.gaps.len(), 1);
    assert!((verdict.gaps[0].seconds - 0.2).abs() < 1e-9);
    let round = &verdict.rounds[0];
    assert_eq!((round.old_token, round.new_token), (Some(1000), Some(2000)));
    assert!((round.seconds_to_first_of_new.unwrap() - 0.15).abs() < 1e-9);
    assert!((round.seconds_to_last_of_old.unwrap() + 0.05).abs() < 1e-9);
}

#[test]
fn a_restart_in_place_is_another_process_of_the_same_token() {
    let log = Log::default().reconciled(1).order(1, "a").order(1, "b").order(1, "b");
    assert_eq!(log.broken(), []);
}

#[test]
fn i1_an_older_token_after_a_later_one() {
    // The straggler comes from a process that never traded before, so that I2 has nothing to say.
    let log = clean().add("order", json!({"token": 1000, "epoch": 1, "instance": "c"}));
    assert_eq!(log.broken(), [(Rule::I1, 1)]);
}

#[test]
fn i2_two_processes_in_turn_with_one_token() {
    let log = Log::default().reconciled(1).order(1, "a").order(1, "b").order(1, "a").order(1, "b").order(1, "a");
    assert_eq!(log.broken(), [(Rule::I2, 2)]);
}

#[test]
fn i1_and_i2_a_frozen_active_thaws_and_sends_one_order() {
    let log = clean().order(1, "a").order(2, "b");
    assert_eq!(log.broken(), [(Rule::I1, 1), (Rule::I2, 1)]);
    assert!(log.judge(reconciled()).gaps[0].seconds < 0.0);
}

#[test]
fn i3_an_order_before_its_reconciliation_succeeded() {
    let started = json!({"token": 1000, "epoch": 1, "state": "Started"});
    let failed = json!({"token": 1000, "epoch": 1, "state": "Failed"});
    let log = Log::default()
        .add("reconciliation", started)
        .add("reconciliation", failed)
        .order(1, "a")
        .reconciled(1)
        .order(1, "a");
    assert_eq!(log.broken(), [(Rule::I3, 1)]);
    assert!(log.judge(Options::default()).ok, "without a reconciliation I3 has nothing to say");
    assert!(log.judge(Options { exempt: [1000].into(), ..reconciled() }).ok);
    let of_another = Log::default().reconciled(1).order(2, "a");
    assert_eq!(of_another.broken(), [(Rule::I3, 1)]);
}

#[test]
fn i5_a_token_that_is_new_but_not_later() {
    let log =
        Log::default().reconciled(2).add("reconciliation", json!({"token": 1500, "epoch": 3, "state": "Started"}));
    assert_eq!(log.broken(), [(Rule::I5, 1)]);
}

#[test]
fn i5_an_epoch_that_falls() {
    let log = Log::default().reconciled(5).add("order", json!({"token": 6000, "epoch": 4, "instance": "a"}));
    assert_eq!(log.judge(Options::default()).violations_by_rule.into_iter().collect::<Vec<_>>(), [(Rule::I5, 1)]);
}

#[test]
fn epochs_begin_anew_only_for_a_bot_that_was_made_again() {
    let again = |log: Log| log.add("order", json!({"token": 9000, "epoch": 1, "instance": "z"}));
    let plain = Options::default;
    assert_eq!(again(clean()).judge(plain()).violations_by_rule.keys().collect::<Vec<_>>(), [&Rule::I6]);
    let marked = |log: Log| log.add("marker", json!({"text": "made again", "recreated": true}));
    // The predecessor may still be stopping when it is made again.
    assert!(again(marked(clean()).order(2, "b")).judge(plain()).ok);
    let twice = again(marked(clean())).add("order", json!({"token": 9500, "epoch": 1, "instance": "z"}));
    assert_eq!(twice.judge(plain()).violations_by_rule.keys().collect::<Vec<_>>(), [&Rule::I6]);
}

#[test]
fn i6_one_cause_counted_twice() {
    assert_eq!(
        clean().add("reconciliation", json!({"token": 2000, "epoch": 2, "state": "Succeeded"})).broken(),
        [(Rule::I6, 1)]
    );
    let two_tokens =
        Log::default().reconciled(1).add("reconciliation", json!({"token": 1001, "epoch": 1, "state": "Started"}));
    assert_eq!(two_tokens.broken(), [(Rule::I6, 1)]);
    let two_epochs = Log::default().reconciled(1).add("order", json!({"token": 1000, "epoch": 2, "instance": "a"}));
    assert_eq!(two_epochs.broken(), [(Rule::I6, 1)]);
}

#[test]
fn orders_must_say_token_and_process() {
    let log = Log::default().add("order", json!({"instance": "a"})).add("order", json!({"token": 1}));
    let verdict = log.judge(Options::default());
    assert_eq!(verdict.violations_by_rule.into_iter().collect::<Vec<_>>(), [(Rule::NoToken, 1), (Rule::NoInstance, 1)]);
}

#[test]
fn refused_orders_break_nothing() {
    let log = clean().add("order", json!({"token": 1000, "epoch": 1, "instance": "a", "accepted": false}));
    assert_eq!(log.broken(), []);
}

#[test]
fn accounts_are_judged_apart() {
    let other = json!({"token": 7, "epoch": 1, "instance": "x", "account": "ns/other"});
    let log = clean().add("order", other.clone()).order(2, "b").add("order", other);
    assert!(log.judge(Options::default()).ok);
    let only = log.judge(Options { account: Some("ns/other".to_owned()), ..Options::default() });
    assert_eq!((only.orders, only.tokens), (2, 1));
}

#[test]
fn a_round_counts_only_if_the_old_active_was_trading_right_before() {
    let mut log = clean();
    for _ in 0..3 {
        log = log.add("mode", json!({}));
    }
    let log = log.mark("late").reconciled(3).order(3, "c");
    let verdict = log.judge(Options { marker: Some("late".to_owned()), ..reconciled() });
    assert_eq!((verdict.rounds.len(), verdict.rounds_counted), (1, 0));
    assert_eq!(verdict.rounds[0].new_token, Some(3000));
    let verdict = log.judge(reconciled());
    assert_eq!((verdict.rounds.len(), verdict.rounds_counted), (2, 1));
}

#[test]
fn a_log_with_a_hole_proves_nothing() {
    let mut log = clean();
    log.0.remove(4);
    assert_eq!(log.broken(), [(Rule::Log, 1)]);
    let mut log = clean();
    log.0.remove(0);
    assert_eq!(log.broken(), [(Rule::Log, 1)]);
    let mut log = clean();
    log.0.insert(3, "nonsense".to_owned());
    assert_eq!(log.broken(), [(Rule::Log, 1)]);
    let mut log = clean();
    log.0[4] = log.0[4].replace("\"us\":250000", "\"us\":1");
    assert_eq!(log.broken(), [(Rule::Log, 1)]);
}
