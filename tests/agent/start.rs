//! What is refused at the start, and with which words.

use std::process::Command;

use super::pod::in_pod;

const AGENT: &str = env!("CARGO_BIN_EXE_tradingbot-agent");

#[test]
fn the_agent_refuses_to_be_anything_but_pid_1() {
    let output = Command::new(AGENT).args(["run", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("must be PID 1"));
}

#[test]
fn without_a_command_there_is_nothing_to_run() {
    for words in [&["run"][..], &["run", "--"], &["run", "true"]] {
        let output = Command::new(AGENT).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(64));
        assert!(String::from_utf8_lossy(&output.stderr).contains("set 'command'"), "{words:?}");
    }
}

#[test]
fn an_incomplete_environment_is_refused_with_the_variables_name() {
    in_pod(|mut pod| async move {
        for name in ["TRADINGBOT_AGENT_CONFIG", "TRADINGBOT_POD_UID", "KUBERNETES_SERVICE_HOST"] {
            pod.without = Some(name);
            let mut container = pod.start("true");
            assert_eq!(container.ended().await.code(), Some(64));
            pod.logged(&format!("the environment variable {name} is missing")).await;
        }
    });
}

#[test]
fn without_a_certificate_to_trust_the_agent_does_not_run() {
    in_pod(|pod| async move {
        std::fs::remove_file(pod.root.join(".tradingbot-credentials/ca.crt")).unwrap();
        let mut container = pod.start("true");
        assert_eq!(container.ended().await.code(), Some(64));
        pod.logged("ca.crt").await;
    });
}

#[test]
fn a_port_that_is_taken_is_named() {
    in_pod(|pod| async move {
        let _other = std::net::TcpListener::bind("127.0.0.1:9797").unwrap();
        let mut container = pod.start("true");
        assert_eq!(container.ended().await.code(), Some(64));
        pod.logged("cannot listen on 127.0.0.1:9797").await;
    });
}
