//! The steps of an orderly stop, judged at what the bot saw of them: each succeeding, failing and hanging.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tradingbot::core::lease::{AgentState, LeaseRecord, Permit, Revoke};
use tradingbot::core::shutdown::StepResult;

use super::api::Mode;
use super::pod::{Container, Pod, in_pod, until};

/// The bot: it writes down that it was told to end.
const BOT: &str = "trap 'echo terminate >> /tmp/order; exit 0' TERM; while :; do sleep 0.05; done";
const NAMES: [&str; 4] = ["stop-new-orders", "cancel-orders", "close-positions", "flush-writes"];

/// What a step does besides writing down that it was called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Succeed,
    Fail,
    Hang,
}

fn exec(name: &str, does: Does) -> Value {
    let then = match does {
        Does::Succeed => "exit 0",
        Does::Fail => "exit 7",
        Does::Hang => "exec tail -f /dev/null",
    };
    let script = format!("echo {name} $TRADINGBOT_ROLE $TRADINGBOT_FENCING_TOKEN >> /tmp/order; {then}");
    let call = json!({"action": {"exec": {"command": ["/bin/sh", "-c", script]}}, "timeoutSeconds": 1});
    json!({"name": name, "call": call})
}

async fn trades(pod: &Pod) {
    pod.grant(1, Permit::Trade);
    pod.lease("active", |lease| lease.state == AgentState::Active).await;
}

async fn released(pod: &Pod) -> LeaseRecord {
    pod.lease("released", |lease| lease.state == AgentState::Released).await
}

/// Names and results, as the Lease says them.
fn results(lease: &LeaseRecord) -> Vec<(&str, StepResult)> {
    lease.shutdown.iter().map(|step| (step.name.as_str(), step.result)).collect()
}

/// What was called, in order.
fn order(pod: &Pod) -> Vec<String> {
    pod.file("order").lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
}

fn hangs(container: &Container) -> bool {
    container.processes().iter().any(|(_, name)| name == "tail")
}

/// Stops a bot whose step `odd` does this and whose others succeed.
async fn with_one_odd_step(mut pod: Pod, odd: usize, does: Does) {
    let step = |(n, name): (usize, &&str)| exec(name, if n == odd { does } else { Does::Succeed });
    pod.config["shutdown"] = NAMES.iter().enumerate().map(step).collect();
    let container = pod.start(BOT);
    trades(&pod).await;
    let revoked = Instant::now();
    pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
    let lease = released(&pod).await;
    let took = revoked.elapsed();
    let expected = match does {
        Does::Succeed => StepResult::Succeeded,
        Does::Fail => StepResult::Failed,
        Does::Hang => StepResult::TimedOut,
    };
    let came_to: Vec<_> = NAMES
        .into_iter()
        .enumerate()
        .map(|(n, name)| (name, if n == odd { expected } else { StepResult::Succeeded }))
        .collect();
    assert_eq!(results(&lease), came_to, "{}", pod.log());
    let all: Vec<_> = NAMES.into_iter().chain(["terminate"]).collect();
    assert_eq!(order(&pod), all, "the bot saw every step, and SIGTERM after the last");
    let told = format!(" demoting {}", 1 << 20);
    assert!(pod.file("order").lines().take(NAMES.len()).all(|line| line.ends_with(&told)), "{}", pod.file("order"));
    let wanted = if does == Does::Hang { 900..2_500 } else { 0..1_500 };
    assert!(wanted.contains(&took.as_millis()), "{took:?}");
    let message = &lease.shutdown[odd].message;
    match does {
        Does::Succeed => assert_eq!(message, ""),
        Does::Fail => assert!(message.ends_with("ended with exit code 7."), "{message}"),
        Does::Hang => assert!(message.ends_with("did not end within 1 s."), "{message}"),
    }
    assert!(!hangs(&container), "{:?}", container.processes());
}

#[test]
fn all_steps_are_taken_in_order_before_sigterm() {
    in_pod(|pod| with_one_odd_step(pod, 0, Does::Succeed));
}

#[test]
fn a_first_step_that_fails_does_not_hold_the_rest() {
    in_pod(|pod| with_one_odd_step(pod, 0, Does::Fail));
}

#[test]
fn a_second_step_that_fails_does_not_hold_the_rest() {
    in_pod(|pod| with_one_odd_step(pod, 1, Does::Fail));
}

#[test]
fn a_third_step_that_fails_does_not_hold_the_rest() {
    in_pod(|pod| with_one_odd_step(pod, 2, Does::Fail));
}

#[test]
fn a_last_step_that_fails_does_not_keep_sigterm_back() {
    in_pod(|pod| with_one_odd_step(pod, 3, Does::Fail));
}

#[test]
fn a_first_step_that_hangs_costs_its_time_alone() {
    in_pod(|pod| with_one_odd_step(pod, 0, Does::Hang));
}

#[test]
fn a_second_step_that_hangs_costs_its_time_alone() {
    in_pod(|pod| with_one_odd_step(pod, 1, Does::Hang));
}

#[test]
fn a_third_step_that_hangs_costs_its_time_alone() {
    in_pod(|pod| with_one_odd_step(pod, 2, Does::Hang));
}

#[test]
fn a_last_step_that_hangs_costs_its_time_alone() {
    in_pod(|pod| with_one_odd_step(pod, 3, Does::Hang));
}

#[test]
fn steps_that_take_longer_than_the_lease_lasts_are_waited_for_while_it_is_renewed() {
    in_pod(|mut pod| async move {
        let mut slow = exec("close-positions", Does::Succeed);
        let script = "sleep 6; echo close-positions >> /tmp/order";
        slow["call"]["action"]["exec"]["command"] = json!(["/bin/sh", "-c", script]);
        slow["call"]["timeoutSeconds"] = 20.into();
        pod.config["shutdown"] = json!([slow]);
        let _container = pod.start(BOT);
        trades(&pod).await;
        // The lease is 4 s.
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        let lease = released(&pod).await;
        assert_eq!(results(&lease), [("close-positions", StepResult::Succeeded)]);
        assert!(lease.shutdown[0].milliseconds >= 6_000, "{:?}", lease.shutdown);
        assert_eq!(order(&pod), ["close-positions", "terminate"]);
    });
}

/// What two steps come to of which the first is cut off.
const CUT_OFF: [(&str, StepResult); 2] = [("cancel-orders", StepResult::Failed), ("flush-writes", StepResult::Skipped)];

/// Starts this bot and revokes its permit; returns while the first of its two steps hangs.
async fn hangs_in_its_first_step(pod: &mut Pod, bot: &str) -> Container {
    let mut steps = [exec("cancel-orders", Does::Hang), exec("flush-writes", Does::Succeed)];
    steps[0]["call"]["timeoutSeconds"] = 300.into();
    pod.config["shutdown"] = json!(steps);
    let container = pod.start(bot);
    trades(pod).await;
    pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
    pod.wrote("order", "cancel-orders").await;
    container
}

#[test]
fn past_the_lease_deadline_the_step_and_everything_else_die_at_once() {
    in_pod(|mut pod| async move {
        let container = hangs_in_its_first_step(&mut pod, BOT).await;
        pod.api.set_mode(Mode::Hang);
        let last = pod.api.stored().last().unwrap().at;
        until(|| (!hangs(&container)).then_some(())).await.expect("the step is killed");
        let lived = last.elapsed();
        assert!(lived < Duration::from_millis(3_300), "the lease is 4 s, the guard's share 1 s: {lived:?}");
        container.emptied().await;
        pod.api.set_mode(Mode::Answer);
        let lease = released(&pod).await;
        assert_eq!(results(&lease), CUT_OFF);
        assert_eq!(order(&pod), ["cancel-orders"], "neither the next step nor SIGTERM");
    });
}

#[test]
fn revoked_at_once_in_the_middle_of_a_step_everything_dies() {
    in_pod(|mut pod| async move {
        let container = hangs_in_its_first_step(&mut pod, BOT).await;
        let forced = Instant::now();
        pod.api.change(|lease| lease.revoke = Revoke::Now);
        let lease = released(&pod).await;
        assert!(forced.elapsed() < Duration::from_millis(1_500), "{:?}", forced.elapsed());
        assert_eq!(results(&lease), CUT_OFF);
        assert!(lease.shutdown[0].message.contains("was ended, because"), "{:?}", lease.shutdown);
        assert!(!hangs(&container));
    });
}

#[test]
fn a_pod_that_is_stopped_takes_its_steps_and_then_the_demote_hook() {
    in_pod(|mut pod| async move {
        pod.config["shutdown"] = json!([exec("cancel-orders", Does::Succeed)]);
        pod.config["demote"] = exec("demote-hook", Does::Fail)["call"].clone();
        let mut container = pod.start(BOT);
        trades(&pod).await;
        container.signal_agent(libc::SIGTERM);
        assert_eq!(container.ended().await.code(), Some(0));
        let lease = pod.api.record().unwrap();
        assert_eq!(results(&lease), [("cancel-orders", StepResult::Succeeded), ("demote", StepResult::Failed)]);
        assert_eq!(order(&pod), ["cancel-orders", "demote-hook", "terminate"]);
    });
}

#[test]
fn a_bot_that_ends_in_the_middle_needs_no_further_step() {
    in_pod(|mut pod| async move {
        let container = hangs_in_its_first_step(&mut pod, "echo $$ > /tmp/pid; exec sleep 1000").await;
        let bot = container.processes().into_iter().find(|(_, name)| name == "sleep").expect("the bot runs").0;
        // SAFETY: no memory is involved.
        unsafe { libc::kill(bot, libc::SIGKILL) };
        let lease = released(&pod).await;
        assert_eq!(results(&lease), CUT_OFF);
    });
}

#[test]
fn a_bot_that_crashed_says_that_its_steps_were_skipped() {
    in_pod(|mut pod| async move {
        pod.config["shutdown"] = json!([exec("cancel-orders", Does::Succeed)]);
        let _container = pod.start("while ! test -e /tmp/crash; do sleep 0.05; done; exit 3");
        trades(&pod).await;
        std::fs::write(pod.root.join("tmp/crash"), "").unwrap();
        let lease = released(&pod).await;
        assert_eq!(results(&lease), [("cancel-orders", StepResult::Skipped)]);
        assert_eq!(order(&pod), [""; 0]);
    });
}

#[test]
fn a_candidate_that_never_traded_says_nothing_of_steps() {
    in_pod(|mut pod| async move {
        pod.config["shutdown"] = json!([exec("cancel-orders", Does::Succeed)]);
        let _container = pod.start(BOT);
        pod.grant(1, Permit::Prepare);
        pod.lease("taken up", |lease| lease.state == AgentState::Claimed).await;
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        assert_eq!(released(&pod).await.shutdown, []);
    });
}

#[test]
fn a_step_over_http_asks_the_bot_and_is_judged_by_its_answer() {
    in_pod(|mut pod| async move {
        let step = |name: &str| {
            let http = json!({"method": "POST", "port": 8080, "path": format!("/{name}"), "headers": [],
                "basic_auth_dir": null});
            json!({"name": name, "call": {"action": {"http": http}, "timeoutSeconds": 1}})
        };
        pod.config["shutdown"] = NAMES.iter().map(|name| step(name)).collect();
        let _container = pod.start(BOT);
        trades(&pod).await;
        let listener = TcpListener::bind("127.0.0.1:8080").await.unwrap();
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        let mut asked = Vec::new();
        let mut open = Vec::new();
        for answer in [Some("204 No Content"), Some("500 Internal Server Error"), None, Some("200 OK")] {
            let (mut stream, _) =
                tokio::time::timeout(Duration::from_secs(10), listener.accept()).await.unwrap().unwrap();
            let mut buffer = vec![0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            asked.push(String::from_utf8_lossy(&buffer[..read]).lines().next().unwrap().to_owned());
            if let Some(status) = answer {
                let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(text.as_bytes()).await.unwrap();
            }
            open.push(stream);
        }
        let lease = released(&pod).await;
        assert_eq!(asked, NAMES.map(|name| format!("POST /{name} HTTP/1.1")));
        use StepResult::{Failed, Succeeded, TimedOut};
        let came_to: Vec<_> = NAMES.into_iter().zip([Succeeded, Failed, TimedOut, Succeeded]).collect();
        assert_eq!(results(&lease), came_to);
        assert!(lease.shutdown[1].message.contains("was answered with 500"), "{:?}", lease.shutdown);
    });
}
