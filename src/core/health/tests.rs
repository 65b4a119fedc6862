//! Runs of checks and what they come to.

use super::*;

/// A check of the active's pod.
pub fn check(name: &str) -> Check {
    Check {
        name: name.into(),
        period: Duration::from_secs(10),
        timeout: Duration::from_secs(2),
        failure_threshold: 3,
        success_threshold: 2,
        startup_grace: Duration::from_secs(30),
        critical: true,
        applies_to: AppliesTo::Active,
        scope: Scope::Pod,
        pause_trading: false,
    }
}

fn ok() -> Result<Duration, String> {
    Ok(Duration::from_millis(3))
}

fn failed(run: u64) -> Result<Duration, String> {
    Err(format!("It is {run} s old."))
}

/// What these runs come to, one a second; `true`: it succeeded.
fn after(runs: &[bool]) -> CheckState {
    let numbered = (1..).zip(runs);
    numbered.fold(CheckState::new(Wall(0)), |state, (second, succeeded)| {
        let result = if *succeeded { ok() } else { failed(second) };
        probed(&check("price"), state, result, false, Wall(second * 1_000))
    })
}

#[test]
fn one_success_shows_that_a_bot_is_up_and_a_row_of_failures_that_it_fails() {
    assert_eq!(after(&[]).standing, Standing::Unknown);
    let up = after(&[true]);
    assert_eq!((up.standing, up.since, up.latency), (Standing::Passing, Wall(1_000), Some(Duration::from_millis(3))));
    assert_eq!(after(&[true, false, false]).standing, Standing::Passing);
    let down = after(&[true, false, false, false]);
    assert_eq!((down.standing, down.since), (Standing::Failing, Wall(4_000)));
    assert_eq!(after(&[false, false, false]).standing, Standing::Failing, "one that never came up");
}

#[test]
fn a_success_in_between_begins_the_count_anew_on_either_side() {
    assert_eq!(after(&[true, false, false, true, false, false]).standing, Standing::Passing);
    let down = [true, false, false, false];
    let then = |more: &[bool]| after(&[&down[..], more].concat());
    assert_eq!(then(&[true, false, true]).standing, Standing::Failing);
    assert_eq!(then(&[true, false, true]).since, Wall(4_000), "since when it fails stays");
    let up = then(&[true, true]);
    assert_eq!((up.standing, up.since, up.error), (Standing::Passing, Wall(6_000), None));
}

#[test]
fn until_the_first_success_failures_in_the_grace_do_not_count_and_later_ones_do() {
    let run = |state, result, in_grace| probed(&check("price"), state, result, in_grace, Wall(1));
    let mut state = CheckState::new(Wall(0));
    for second in 0..100 {
        state = run(state, failed(second), true);
        assert_eq!((state.standing, state.run), (Standing::Unknown, 0));
    }
    assert_eq!(state.error.as_deref(), Some("It is 99 s old."), "but they are told");
    let mut failing = state.clone();
    for second in 0..3 {
        assert_eq!(failing.standing, Standing::Unknown);
        failing = run(failing, failed(second), false);
    }
    assert_eq!(failing.standing, Standing::Failing);
    let mut came_up = run(state, ok(), true);
    for second in 0..3 {
        came_up = run(came_up, failed(second), true);
    }
    assert_eq!(came_up.standing, Standing::Failing, "a bot that was up and is not any more needs no grace");
}

#[test]
fn what_is_in_doubt_is_looked_at_again_sooner() {
    let (period, soon) = (Duration::from_secs(10), Duration::from_secs(2));
    let due = |runs: &[bool]| due_after(&check("price"), &after(runs));
    assert_eq!((due(&[]), due(&[true])), (soon, period));
    assert_eq!((due(&[true, false]), due(&[true, false, false, false])), (soon, soon));
    assert_eq!(due(&[true, false, false, false, true, true]), period);
    let hasty = Check { timeout: Duration::from_millis(1), ..check("x") };
    assert_eq!(due_after(&hasty, &CheckState::default()), Duration::from_secs(1));
    let often = Check { period: Duration::from_secs(1), ..check("x") };
    assert_eq!(due_after(&often, &CheckState::default()), Duration::from_secs(1), "never after the period");
}

#[test]
fn a_verdict_that_stays_is_the_same_whatever_the_next_run_says() {
    let first = after(&[true, false, false, false]);
    let later = after(&[true, false, false, false, false, true, false]);
    assert_ne!(first, later);
    let told = verdicts([(7, &first)]);
    assert_eq!(told, verdicts([(7, &later)]), "nothing is written again");
    assert_eq!(
        told,
        [Verdict { check: 7, failing: true, doubted: false, since: Wall(4_000), error: "It is 4 s old.".into() }]
    );
    assert_eq!(verdicts([(0, &CheckState::default())]), []);
}

/// A sequence of numbers that looks random and is the same in every run.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed.wrapping_mul(2) + 1), |last| {
        Some(last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    })
    .map(|number| number >> 33)
}

#[test]
fn whatever_the_runs_the_verdict_follows_rows_as_long_as_the_thresholds_and_nothing_else() {
    for seed in 0..500 {
        let mut random = numbers(seed);
        let mut next = |below: u64| random.next().unwrap_or_default() % below;
        let check = Check {
            failure_threshold: u32::try_from(1 + next(4)).unwrap(),
            success_threshold: u32::try_from(1 + next(4)).unwrap(),
            ..check("price")
        };
        let grace = next(10);
        let (mut state, mut row, mut last) = (CheckState::new(Wall(0)), 0u32, None);
        for second in 0..60 {
            let succeeded = next(2) == 0;
            let counts = succeeded || second >= grace || state.standing != Standing::Unknown;
            row = match counts {
                true if last == Some(succeeded) => row + 1,
                true => 1,
                false => 0,
            };
            last = counts.then_some(succeeded);
            let before = state.clone();
            let result = if succeeded { ok() } else { failed(second) };
            state = probed(&check, state, result, second < grace, Wall(second));
            let expected = match (before.standing, succeeded) {
                (Standing::Unknown, true) => Standing::Passing,
                (Standing::Failing, true) if row >= check.success_threshold => Standing::Passing,
                (Standing::Unknown | Standing::Passing, false) if counts && row >= check.failure_threshold => {
                    Standing::Failing
                }
                (standing, _) => standing,
            };
            assert_eq!(state.standing, expected, "seed {seed}, second {second}");
            assert_eq!(state.since == before.since, state.standing == before.standing || second == 0, "seed {seed}");
            assert!(state.run < check.failure_threshold.max(check.success_threshold));
            assert!(due_after(&check, &state) <= check.period);
        }
    }
}

fn health(duty: Duty, verdicts: Vec<Verdict>) -> Health {
    Health { duty: Some(duty), round: 1, verdicts }
}

fn fails(check: u8, error: &str) -> Verdict {
    Verdict { check, failing: true, doubted: false, since: Wall(1_795_521_600_000), error: error.into() }
}

fn passes(check: u8) -> Verdict {
    Verdict { check, failing: false, doubted: false, since: Wall(0), error: String::new() }
}

#[test]
fn a_note_names_what_does_not_pass_and_is_empty_where_everything_does() {
    let ping = Check { applies_to: AppliesTo::Standby, ..check("ping") };
    let checks = [check("price"), ping, check("log")];
    let all = vec![passes(0), passes(2)];
    assert_eq!(note(&checks, &health(Duty::Active, all)), "");
    let one = health(Duty::Active, vec![fails(0, "No \"price\".")]);
    let text = note(&checks, &one);
    let read = noted(&text).unwrap();
    assert_eq!(
        read.iter().map(|entry| (&*entry.name, entry.standing())).collect::<Vec<_>>(),
        [("price", Standing::Failing), ("log", Standing::Unknown)]
    );
    assert_eq!((&*read[0].since, &*read[0].error), ("2026-11-24T12:00:00Z", "No \"price\"."));
    assert_eq!(note(&checks, &Health::default()), "", "a bot that starts or stops is not checked");
    assert_eq!(noted(&note(&checks, &health(Duty::Standby, Vec::new()))).unwrap()[0].name, "ping");
    assert_eq!((noted(""), noted("nonsense")), (Some(Vec::new()), None));
    let novel = format!(r#"[{{"name":"price","error":"{}"}}]"#, "x".repeat(LONGEST_NOTE));
    assert_eq!(noted(&novel), None, "no agent of ours has written that");
}

#[test]
fn a_note_of_everything_failing_with_long_words_still_fits() {
    let checks: Vec<Check> = (0..MOST_CHECKS).map(|number| check(&format!("{}{number:02}", "x".repeat(38)))).collect();
    for error in ["\u{1}\"\\".repeat(300), "ß".repeat(5_000), "word ".repeat(100), String::new()] {
        let verdicts = (0..16).map(|index| fails(index, &error)).collect();
        let text = note(&checks, &health(Duty::Active, verdicts));
        assert!(text.len() <= LONGEST_NOTE, "{} bytes", text.len());
        assert_eq!(noted(&text).unwrap().len(), MOST_CHECKS);
    }
}

#[test]
fn no_text_of_anybodys_is_too_strange_to_be_read_or_refused() {
    let signs = [
        "$", ".", "[", "]", "\"", "0", "17", "-", "e", "E", "+", "a", "\\", "ü", "{", "}", ":", ",", "T", "Z", " ",
        "null",
    ];
    let document = r#"{"a": [{"0": 17}, [[]], "-1.5e3"], "": null}"#;
    for seed in 0..20_000 {
        let mut random = numbers(seed);
        let mut next = |below: usize| usize::try_from(random.next().unwrap_or_default()).unwrap() % below;
        let text: String = (0..next(12)).map(|_| signs[next(signs.len())]).collect();
        if let Ok(path) = JsonPath::parse(&text) {
            assert!(path.find(document).is_ok(), "{text}");
            let _ = path.find(&text);
        }
        if let Some(number) = Decimal::parse(&text) {
            assert_eq!(number, number.clone(), "{text}");
            assert!(number > Decimal::parse("-1e100000").unwrap() || text.contains("00000"), "{text}");
        }
        if let Some(millis) = moment(&text) {
            let _ = age(millis, Wall(seed));
        }
        let _ = noted(&text);
    }
}

#[test]
fn a_verdict_about_a_check_that_is_not_there_is_of_no_consequence() {
    let strange = health(Duty::Active, vec![fails(200, "?")]);
    assert_eq!(strange.failing(&[check("price")]).count(), 0);
    assert_eq!(noted(&note(&[check("price")], &strange)).unwrap()[0].standing(), Standing::Unknown);
}

#[test]
fn why_a_check_speaks_against_a_pod_is_a_sentence() {
    let at = Wall(1_795_521_600_000);
    let sentence = super::fails("price", at, "$.price is missing.");
    assert_eq!(sentence, "Check price fails since 2026-11-24T12:00:00Z: $.price is missing.");
    assert_eq!(super::has_not_passed("price"), "Check price has not passed yet.");
}
