//! The leadership page, read by the clients of both languages as the bot's own program in the agent's container.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tradingbot::core::lease::{AgentState, OnApiServerLoss, Permit};
use tradingbot_leadership::{Leadership, Role};

use super::api::Mode;
use super::pod::{Container, PROBE_PORT, Pod, answered, in_pod, until};

#[path = "../../clients/rust/examples/check_before_order.rs"]
mod check_before_order;

/// Not a test: the example as a program, which the tests start in the container.
#[test]
#[ignore = "the bot of other tests"]
fn the_rust_example() {
    check_before_order::main().unwrap();
}

/// How the container runs the example of a language.
#[derive(Clone, Copy, Debug)]
enum Client {
    Rust,
    Python,
}

impl Client {
    fn start(self, pod: &Pod) -> Container {
        let script = match self {
            Client::Rust => {
                let own = std::env::current_exe().unwrap();
                let there = pod.root.join("tmp/bot");
                std::fs::hard_link(&own, &there).or_else(|_| std::fs::copy(&own, &there).map(drop)).unwrap();
                // Added to: a hot bot is started again after its demotion.
                "exec /tmp/bot --ignored --exact --nocapture page::the_rust_example >> /tmp/said"
            }
            Client::Python => {
                let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python");
                for file in ["tradingbot_leadership.py", "example.py"] {
                    std::fs::copy(source.join(file), pod.root.join("tmp").join(file)).unwrap();
                }
                "exec python3 -B /tmp/example.py >> /tmp/said"
            }
        };
        // A bot that is asked to stop, and does not.
        pod.start(&format!("trap '' TERM; {script}"))
    }
}

fn outside(pod: &Pod) -> Leadership {
    Leadership::open_at(pod.root.join("run/tradingbot/leadership")).unwrap()
}

/// The changes that a bot printed, without its count of orders. A reader that meets a writer which is not let go on for a
/// while says no and "unknown": that may come between any two.
fn said(pod: &Pod) -> Vec<String> {
    let text = pod.file("said");
    let changes = text.lines().filter_map(|line| line.split_once(" (orders")).map(|(said, _)| said.to_owned());
    let mut all: Vec<_> = changes.filter(|said| !said.starts_with("not trading: unknown")).collect();
    all.dedup();
    all
}

/// Waits for a change that begins so.
async fn says(pod: &Pod, begin: &str) {
    let found = until(|| said(pod).iter().any(|line| line.starts_with(begin)).then_some(())).await;
    found.unwrap_or_else(|| panic!("the bot never said '{begin}': {:?}\n{}", said(pod), pod.log()));
}

fn a_hot_bot_follows_its_whole_life(client: Client) {
    in_pod(move |mut pod| async move {
        pod.config["standbyMode"] = "Hot".into();
        pod.config["demote"] = json!({"action": {"exec": {"command": ["/bin/sleep", "0.3"]}}, "timeoutSeconds": 5});
        let _container = client.start(&pod);
        answered(PROBE_PORT, "/readyz", 200).await;
        says(&pod, "not trading: standby in epoch 0").await;
        pod.grant(3, Permit::Prepare);
        says(&pod, "not trading: candidate in epoch 3").await;
        pod.lease("taken up", |lease| lease.state == AgentState::Claimed).await;
        pod.api.change(|lease| lease.permit = Some(Permit::Trade));
        says(&pod, "trading: active in epoch 3").await;
        // Past the first deadline: renewals move it.
        let count = pod.api.stored().len();
        until(|| (pod.api.stored().len() >= count + 4).then_some(())).await.expect("renewals go on");
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        let token = 3 << 20;
        assert_eq!(
            said(&pod)[..4],
            [
                "not trading: standby in epoch 0, token 0".to_owned(),
                format!("not trading: candidate in epoch 3, token {token}"),
                format!("trading: active in epoch 3, token {token}"),
                format!("not trading: demoting in epoch 3, token {token}"),
            ],
            "{}",
            pod.log()
        );
    });
}

#[test]
fn a_hot_bot_in_rust_follows_its_whole_life() {
    a_hot_bot_follows_its_whole_life(Client::Rust);
}

#[test]
fn a_hot_bot_in_python_follows_its_whole_life() {
    a_hot_bot_follows_its_whole_life(Client::Python);
}

/// The agent and its guards are all stopped, so that nothing but the bot's own clocks is left to end it.
fn a_bot_that_nobody_guards_any_more_says_no_by_its_own_clock(client: Client) {
    in_pod(move |pod| async move {
        let container = client.start(&pod);
        pod.grant(1, Permit::Trade);
        says(&pod, "trading: active").await;
        container.signal_agent(libc::SIGSTOP);
        let guard = container.processes().into_iter().find(|(_, name)| name == "agent-guard").unwrap().0;
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::kill(guard, libc::SIGSTOP) }, 0);
        let last = pod.api.stored().last().unwrap().at;
        says(&pod, "not trading: active in epoch 1").await;
        let after = last.elapsed();
        // The deadline is 3 s; on a busy machine it takes a while until the bot's words are seen. The lease is 4 s.
        assert!((Duration::from_millis(1_900)..Duration::from_secs(4)).contains(&after), "{after:?}");
        assert!(!outside(&pod).check().may_trade);
    });
}

#[test]
fn a_rust_bot_that_nobody_guards_any_more_says_no_by_its_own_clock() {
    a_bot_that_nobody_guards_any_more_says_no_by_its_own_clock(Client::Rust);
}

#[test]
fn a_python_bot_that_nobody_guards_any_more_says_no_by_its_own_clock() {
    a_bot_that_nobody_guards_any_more_says_no_by_its_own_clock(Client::Python);
}

#[test]
fn the_page_says_no_before_the_demote_hook_and_sigterm() {
    in_pod(|mut pod| async move {
        pod.config["demote"] = json!({"action": {"exec": {"command": ["/bin/sh", "-c", "touch /tmp/hook"]}},
            "timeoutSeconds": 5});
        let _container = pod.start("trap 'touch /tmp/term; exit 0' TERM; while :; do sleep 0.02; done");
        pod.grant(1, Permit::Trade);
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        let page = outside(&pod);
        assert!(page.check().may_trade);
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        let (hook, term) = (pod.root.join("tmp/hook"), pod.root.join("tmp/term"));
        let seen = until(|| {
            // Files first, the page second: what the hook shows must already be on the page.
            let begun = hook.exists() || term.exists();
            let check = page.check();
            assert!(!begun || !check.may_trade, "the demotion began and the page says {check:?}");
            (!check.may_trade).then_some(check)
        });
        let check = seen.await.expect("the page says no");
        assert_eq!((check.role, check.epoch), (Role::Demoting, 1));
        until(|| (hook.exists() && term.exists()).then_some(())).await.expect("the demotion goes on");
    });
}

#[test]
fn a_stopped_agent_and_a_hung_api_server_leave_a_page_that_says_no_at_the_deadline() {
    in_pod(|pod| async move {
        let container = pod.start("exec sleep 1000");
        pod.grant(1, Permit::Trade);
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        let page = outside(&pod);
        pod.api.set_mode(Mode::Hang);
        container.signal_agent(libc::SIGSTOP);
        let begun = Instant::now();
        let first = page.check();
        let (earliest, latest) = (begun + first.remaining, Instant::now() + first.remaining);
        assert!(first.may_trade && first.remaining <= Duration::from_secs(3), "{first:?}");
        // The clocks of the test and of the page go at rates that differ a little.
        let slack = Duration::from_millis(2);
        // However busy the machine is: no answer is "yes" after the deadline, and none "no" before it.
        let said_no = until(|| {
            let asked = Instant::now();
            let may_trade = page.check().may_trade;
            assert!(!may_trade || asked < latest + slack, "yes {:?} after the deadline", asked - latest);
            assert!(may_trade || Instant::now() + slack > earliest, "no before the deadline");
            (!may_trade).then_some(())
        });
        said_no.await.expect("the page says no");
        assert_eq!(page.check().role, Role::Active, "the agent could not say anything");
    });
}

#[test]
fn under_continue_the_page_has_no_deadline() {
    in_pod(|pod| async move {
        let _container = pod.start("exec sleep 1000");
        let mut record = pod.grant(1, Permit::Revoke);
        record.permit = Some(Permit::Prepare);
        record.terms.as_mut().unwrap().on_api_server_loss = OnApiServerLoss::Continue;
        pod.api.set_permits(true);
        pod.api.put(&record);
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        let check = outside(&pod).check();
        assert_eq!((check.may_trade, check.remaining), (true, Duration::MAX));
    });
}

#[test]
fn the_next_container_of_a_pod_begins_with_a_page_that_says_no() {
    in_pod(|pod| async move {
        let mut first = pod.start("exec sleep 1000");
        pod.grant(1, Permit::Trade);
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        let old = outside(&pod);
        first.signal_agent(libc::SIGKILL);
        first.ended().await;
        assert!(old.check().may_trade, "the deadline of the dead boot is not reached yet");
        pod.api.set_mode(Mode::Hang);
        let second = pod.start("exec sleep 1000");
        answered(PROBE_PORT, "/healthz", 200).await;
        let new = outside(&pod);
        assert_eq!((new.check().may_trade, new.check().role), (false, Role::Standby));
        assert_eq!(new.boot(), second.termination_message());
        assert_ne!(new.boot(), old.boot());
    });
}

#[test]
fn without_a_folder_for_the_page_the_bot_trades_and_the_log_says_so() {
    in_pod(|pod| async move {
        std::fs::remove_dir(pod.root.join("run/tradingbot")).unwrap();
        let _container = pod.start("exec sleep 1000");
        pod.grant(1, Permit::Trade);
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        pod.logged("There is no leadership page for the bot: /run/tradingbot cannot be used").await;
    });
}
