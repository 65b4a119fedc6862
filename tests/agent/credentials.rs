//! The exchange's keys: with the bot that trades and with nobody else, and in no log.

use std::path::PathBuf;

use serde_json::json;
use tradingbot::core::lease::{AgentState, Permit, ReleaseReason};

use super::api::Mode;
use super::pod::{PROBE_PORT, Pod, answered, in_pod, until};

/// Says what it has, in a file and in its environment.
const TELLS: &str = "echo started $API_KEY $(cat $TRADINGBOT_CREDENTIALS/key) >> /tmp/bot; exec sleep 1000";

fn with_keys(pod: &mut Pod) {
    let tells = "echo reloaded $API_KEY $(cat $TRADINGBOT_CREDENTIALS/*) >> /tmp/reloads";
    pod.config["credentials"] = json!({
        "secretName": "keys",
        "environment": [{"name": "API_KEY", "key": "key"}],
        "reload": {"action": {"exec": {"command": ["/bin/sh", "-c", tells]}}, "timeoutSeconds": 5},
    });
}

fn folder(pod: &Pod) -> PathBuf {
    pod.root.join("run/tradingbot/credentials")
}

/// Everything that could hold a value is gone.
fn assert_removed(pod: &Pod) {
    let left: Vec<_> = std::fs::read_dir(pod.root.join("run/tradingbot"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("credentials"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_keys_are_there_before_the_bot_and_gone_before_the_lease_is() {
    in_pod(|mut pod| async move {
        with_keys(&mut pod);
        pod.api.set_keys(Some(&[("key", "planted-1"), ("other", "planted-2")]));
        let _container = pod.start(TELLS);
        answered(PROBE_PORT, "/readyz", 200).await;
        pod.grant(1, Permit::Prepare);
        pod.lease("taken up", |lease| lease.state == AgentState::Claimed).await;
        assert_removed(&pod);
        pod.api.change(|lease| lease.permit = Some(Permit::Trade));
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        pod.wrote("bot", "started planted-1 planted-1\n").await;
        assert_eq!(std::fs::read_to_string(folder(&pod).join("other")).unwrap(), "planted-2");
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert_removed(&pod);
        assert!(!pod.log().contains("planted"), "{}", pod.log());
    });
}

#[test]
fn a_right_that_comes_late_is_waited_for() {
    in_pod(|mut pod| async move {
        with_keys(&mut pod);
        let _container = pod.start(TELLS);
        pod.grant(1, Permit::Trade);
        pod.lease("taken up", |lease| lease.state == AgentState::Claimed).await;
        // It renews as a candidate, and nothing was started.
        let before = pod.api.stored().len();
        until(|| (pod.api.stored().len() >= before + 2).then_some(())).await.expect("renewals go on");
        assert_eq!((pod.api.record().unwrap().state, pod.file("bot").as_str()), (AgentState::Claimed, ""));
        pod.api.set_keys(Some(&[("key", "late")]));
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        pod.wrote("bot", "started late late\n").await;
    });
}

#[test]
fn a_bot_that_cannot_have_its_keys_is_not_started_and_the_lease_goes_back_with_a_sentence() {
    in_pod(|mut pod| async move {
        with_keys(&mut pod);
        let _container = pod.start(TELLS);
        pod.grant(1, Permit::Trade);
        let released = pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert_eq!(ReleaseReason::parse(&released.reason), Some(ReleaseReason::PromotionFailed));
        for part in ["the Secret keys", "could not be read within 10 s", "is forbidden", "CredentialsWithheld"] {
            assert!(released.reason.contains(part), "{}", released.reason);
        }
        assert_eq!(pod.file("bot"), "");
    });
}

#[test]
fn a_secret_without_a_key_that_the_environment_needs_is_named() {
    in_pod(|mut pod| async move {
        with_keys(&mut pod);
        pod.api.set_keys(Some(&[("kez", "planted")]));
        let _container = pod.start(TELLS);
        pod.grant(1, Permit::Trade);
        let released = pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert!(released.reason.contains("has no key 'key'"), "{}", released.reason);
        assert_removed(&pod);
    });
}

#[test]
fn a_changed_key_reaches_the_files_and_the_bot_is_told_without_a_restart() {
    in_pod(|mut pod| async move {
        with_keys(&mut pod);
        pod.api.set_keys(Some(&[("key", "one"), ("old", "gone")]));
        let container = pod.start(TELLS);
        pod.grant(1, Permit::Trade);
        pod.wrote("bot", "started one one\n").await;
        let process = until(|| container.processes().into_iter().find(|(_, name)| name == "sleep")).await.unwrap();
        pod.api.set_keys(Some(&[("key", "two"), ("new", "three")]));
        // All files are of one set, the new one.
        pod.wrote("reloads", "reloaded two twothree\n").await;
        assert!(!folder(&pod).join("old").exists());
        assert!(container.processes().contains(&process), "the bot runs on");
        assert_eq!(pod.file("bot"), "started one one\n");
        assert!(!pod.log().contains("two"), "{}", pod.log());
    });
}

#[test]
fn a_restart_in_place_needs_no_api_server() {
    in_pod(|mut pod| async move {
        with_keys(&mut pod);
        pod.config["inPlaceRestarts"] = 1.into();
        pod.api.set_keys(Some(&[("key", "kept")]));
        let container = pod.start(TELLS);
        pod.grant(1, Permit::Trade);
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        let bot = until(|| container.processes().into_iter().find(|(_, name)| name == "sleep")).await.unwrap().0;
        pod.api.set_mode(Mode::Hang);
        // SAFETY: no memory is involved.
        unsafe { libc::kill(bot, libc::SIGKILL) };
        pod.wrote("bot", "started kept kept\nstarted kept kept\n").await;
    });
}

#[test]
fn what_a_killed_agent_left_behind_is_removed_by_the_next() {
    in_pod(|mut pod| async move {
        with_keys(&mut pod);
        pod.api.set_keys(Some(&[("key", "left")]));
        let mut container = pod.start(TELLS);
        pod.grant(1, Permit::Trade);
        pod.wrote("bot", "started left left\n").await;
        container.signal_agent(libc::SIGKILL);
        container.ended().await;
        assert!(folder(&pod).join("key").exists(), "memory of the pod outlives the container");
        let _next = pod.start(TELLS);
        answered(PROBE_PORT, "/readyz", 200).await;
        assert_removed(&pod);
    });
}

#[test]
fn a_hot_standby_has_no_keys_and_finds_them_when_its_promote_hook_is_called() {
    in_pod(|mut pod| async move {
        with_keys(&mut pod);
        pod.config["standbyMode"] = "Hot".into();
        pod.config["credentials"]["environment"] = json!([]);
        let promote = "cat $TRADINGBOT_CREDENTIALS/key > /tmp/promoted";
        pod.config["promote"] =
            json!({"action": {"exec": {"command": ["/bin/sh", "-c", promote]}}, "timeoutSeconds": 5});
        pod.api.set_keys(Some(&[("key", "hot")]));
        let _container = pod.start("ls $TRADINGBOT_CREDENTIALS > /tmp/seen 2>&1; touch /tmp/up; exec sleep 1000");
        until(|| pod.root.join("tmp/up").exists().then_some(())).await.expect("the standby runs");
        assert!(pod.file("seen").contains("No such file"), "{}", pod.file("seen"));
        pod.grant(1, Permit::Trade);
        pod.wrote("promoted", "hot").await;
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
    });
}
