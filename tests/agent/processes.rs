//! Processes: started, reaped, signalled, swept, and guarded when the agent itself is stopped.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tradingbot::core::lease::{AgentState, Permit, ReleaseReason};
use tradingbot::core::shutdown::StepResult;

use super::pod::{Container, PROBE_PORT, Pod, answered, in_pod, until};

fn runs(container: &Container, name: &str) -> bool {
    container.processes().iter().any(|(_, found)| found == name)
}

async fn trading(pod: &Pod, epoch: u64) {
    pod.grant(epoch, Permit::Trade);
    pod.lease("active", |lease| lease.state == AgentState::Active).await;
}

fn zombies(container: &Container) -> usize {
    let agent = container.agent();
    let children = std::fs::read_to_string(format!("/proc/{agent}/task/{agent}/children")).unwrap();
    let is_zombie =
        |pid: &&str| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    children.split_ascii_whitespace().filter(is_zombie).count()
}

#[test]
fn orphans_are_reaped() {
    in_pod(|pod| async move {
        let container =
            pod.start("for i in 1 2 3 4 5 6 7 8; do (setsid sh -c 'exit 3' &); done; touch /tmp/made; exec sleep 1000");
        trading(&pod, 1).await;
        until(|| pod.root.join("tmp/made").exists().then_some(())).await.unwrap();
        until(|| runs(&container, "sleep").then_some(())).await.unwrap();
        until(|| (zombies(&container) == 0).then_some(())).await.expect("orphans stay zombies");
    });
}

#[test]
fn a_daemonised_child_in_another_session_dies_with_the_demotion() {
    in_pod(|pod| async move {
        let script = "setsid sh -c 'setsid sh -c \"trap \\\"\\\" TERM HUP; touch /tmp/daemon; exec tail -f /dev/null\" &' & \
            exec sleep 1000";
        let container = pod.start(script);
        trading(&pod, 1).await;
        until(|| runs(&container, "tail").then_some(())).await.expect("the daemon runs");
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert!(!runs(&container, "tail"), "{:?}", container.processes());
    });
}

#[test]
fn what_a_crashed_bot_leaves_behind_is_swept_before_it_starts_again() {
    in_pod(|mut pod| async move {
        pod.config["inPlaceRestarts"] = 1.into();
        let script = "mkfifo /tmp/pipe; echo start >> /tmp/starts; pgrep -c -r R,S,D tail >> /tmp/left; setsid tail -f /dev/null & sleep 0.2; \
            [ $(wc -l < /tmp/starts) = 2 ] && exec cat /tmp/pipe; exit 7";
        let container = pod.start(script);
        trading(&pod, 1).await;
        pod.wrote("starts", "start\nstart\n").await;
        until(|| runs(&container, "cat").then_some(())).await.unwrap();
        assert_eq!(pod.file("left"), "0\n0\n");
        let released = {
            let bot = container.processes().into_iter().find(|(_, name)| name == "cat").unwrap().0;
            // SAFETY: no memory is involved.
            unsafe { libc::kill(bot, libc::SIGKILL) };
            pod.lease("released", |lease| lease.state == AgentState::Released).await
        };
        assert_eq!(ReleaseReason::parse(&released.reason), Some(ReleaseReason::ProcessExited));
        assert!(released.reason.contains("signal 9 again after 1 restart"), "{}", released.reason);
    });
}

#[test]
fn a_bot_that_ignores_sigterm_is_killed_after_its_time() {
    in_pod(|pod| async move {
        let mut container = pod.start("trap 'echo heard > /tmp/heard' TERM; while :; do sleep 0.1; done");
        trading(&pod, 1).await;
        until(|| runs(&container, "sleep").then_some(())).await.unwrap();
        let stopped = Instant::now();
        container.signal_agent(libc::SIGTERM);
        let status = container.ended().await;
        let took = stopped.elapsed();
        assert!((Duration::from_millis(1_900)..Duration::from_secs(4)).contains(&took), "{took:?}");
        pod.wrote("heard", "heard").await;
        assert_eq!(status.code(), Some(128 + libc::SIGKILL));
        assert_eq!(pod.api.record().unwrap().state, AgentState::Released);
    });
}

#[test]
fn the_agent_ends_with_the_bots_code() {
    in_pod(|pod| async move {
        let mut container = pod.start("trap 'exit 42' TERM; touch /tmp/ready; while :; do sleep 0.1; done");
        trading(&pod, 1).await;
        until(|| pod.root.join("tmp/ready").exists().then_some(())).await.unwrap();
        container.signal_agent(libc::SIGTERM);
        assert_eq!(container.ended().await.code(), Some(42));
        let record = pod.api.record().unwrap();
        assert_eq!(ReleaseReason::parse(&record.reason), Some(ReleaseReason::PodStopping));
    });
}

#[test]
fn signals_are_passed_on() {
    in_pod(|pod| async move {
        let script = "for s in HUP INT QUIT USR1 USR2 WINCH; do trap \"echo $s >> /tmp/signals\" $s; done; touch /tmp/ready; \
            while :; do sleep 0.05; done";
        let container = pod.start(script);
        trading(&pod, 1).await;
        until(|| pod.root.join("tmp/ready").exists().then_some(())).await.unwrap();
        for (name, number) in [
            ("HUP", libc::SIGHUP),
            ("INT", libc::SIGINT),
            ("QUIT", libc::SIGQUIT),
            ("USR1", libc::SIGUSR1),
            ("USR2", libc::SIGUSR2),
            ("WINCH", libc::SIGWINCH),
        ] {
            container.signal_agent(number);
            pod.wrote("signals", name).await;
        }
    });
}

#[test]
fn when_the_agent_is_stopped_the_guard_process_kills_the_bot_at_the_deadline() {
    in_pod(|pod| async move {
        let container = pod.start("setsid tail -f /dev/null & exec sleep 1000");
        trading(&pod, 1).await;
        until(|| runs(&container, "tail").then_some(())).await.unwrap();
        container.signal_agent(libc::SIGSTOP);
        let last = pod.api.stored().last().unwrap().at;
        let end = until(|| (!runs(&container, "sleep") && !runs(&container, "tail")).then(Instant::now)).await;
        let lived = end.expect("the guard kills").duration_since(last);
        // The lease is 4 s, the guard's share 1 s.
        assert!(lived < Duration::from_millis(3_300), "{lived:?}");
        assert!(lived > Duration::from_millis(1_900), "killed long before the deadline: {lived:?}");
        container.signal_agent(libc::SIGCONT);
        let released = pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert_eq!(ReleaseReason::parse(&released.reason), Some(ReleaseReason::RenewDeadline));
        pod.logged("A guard killed every process").await;
    });
}

#[test]
fn a_guard_process_that_is_killed_is_replaced() {
    in_pod(|pod| async move {
        let container = pod.start("exec sleep 1000");
        trading(&pod, 1).await;
        let guard = |container: &Container| {
            container.processes().into_iter().find(|(_, name)| name == "agent-guard").map(|(pid, _)| pid)
        };
        let first = guard(&container).expect("a guard runs");
        // SAFETY: no memory is involved.
        unsafe { libc::kill(first, libc::SIGKILL) };
        let second = until(|| guard(&container).filter(|pid| *pid != first)).await.expect("a new guard runs");
        // SAFETY: no memory is involved.
        unsafe { libc::kill(second, libc::SIGTERM) };
        container.signal_agent(libc::SIGSTOP);
        until(|| (!runs(&container, "sleep")).then_some(())).await.expect("the new guard guards");
    });
}

#[test]
fn a_command_that_does_not_exist_is_named_in_the_lease() {
    in_pod(|pod| async move {
        let _container = pod.start_command(&["/bott", "--fast"]);
        pod.grant(1, Permit::Trade);
        let released = pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert_eq!(ReleaseReason::parse(&released.reason), Some(ReleaseReason::PromotionFailed));
        assert!(released.reason.contains("'/bott' does not exist"), "{}", released.reason);
    });
}

#[test]
fn a_hot_standby_that_cannot_start_is_not_ready_and_says_why() {
    in_pod(|mut pod| async move {
        pod.config["standbyMode"] = "Hot".into();
        let _container = pod.start_command(&["/bott"]);
        let body = answered(PROBE_PORT, "/readyz", 503).await;
        let found = until(|| pod.log().contains("'/bott' does not exist").then_some(())).await;
        assert!(found.is_some(), "{body}");
        let body = answered(PROBE_PORT, "/readyz", 503).await;
        assert!(body.contains("'/bott' does not exist"), "{body}");
    });
}

/// Answers one request after the other with `status`, and notes what was asked.
async fn hook_server(port: u16, status: u16) -> std::sync::Arc<std::sync::Mutex<Vec<String>>> {
    let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let notes = asked.clone();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 4096];
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            notes.lock().unwrap().push(String::from_utf8_lossy(&buffer[..read]).into_owned());
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    asked
}

fn http_hook(path: &str, seconds: u64) -> serde_json::Value {
    json!({"action": {"http": {"method": "POST", "port": 8080, "path": path, "headers": [["X-Desk", "tokyo"]],
        "basic_auth_dir": "/tmp/auth"}}, "timeoutSeconds": seconds})
}

#[test]
fn a_hot_standby_is_promoted_and_demoted_by_http_and_comes_back_as_a_standby() {
    in_pod(|mut pod| async move {
        pod.config["standbyMode"] = "Hot".into();
        pod.config["promote"] = http_hook("/start?now=1", 10);
        pod.config["demote"] = http_hook("/stop", 10);
        std::fs::create_dir(pod.root.join("tmp/auth")).unwrap();
        std::fs::write(pod.root.join("tmp/auth/username"), "admin\n").unwrap();
        std::fs::write(pod.root.join("tmp/auth/password"), "pässword").unwrap();
        let _container = pod.start("echo $TRADINGBOT_ROLE $TRADINGBOT_EPOCH >> /tmp/roles; exec sleep 1000");
        answered(PROBE_PORT, "/readyz", 200).await;
        pod.wrote("roles", "standby 0").await;
        // The bot does not listen yet: the hook tries until it does.
        pod.grant(1, Permit::Trade);
        pod.lease("promoting", |lease| lease.state == AgentState::Promoting).await;
        let body = answered(PROBE_PORT, "/readyz", 503).await;
        assert!(body.contains("promoted"), "{body}");
        let asked = hook_server(8080, 200).await;
        pod.lease("active", |lease| lease.state == AgentState::Active).await;
        let first = asked.lock().unwrap()[0].clone();
        assert!(first.starts_with("POST /start?now=1 HTTP/1.1\r\n"), "{first}");
        let lower = first.to_lowercase();
        let promotion = pod.lease("promoted", |lease| lease.promotion.is_some()).await.promotion.unwrap();
        assert_eq!((promotion.name.as_str(), promotion.result), ("promote", StepResult::Succeeded));
        assert_eq!(promotion.message, "");
        assert!(lower.contains("host: 127.0.0.1:8080\r\n") && lower.contains("x-desk: tokyo\r\n"), "{first}");
        assert!(first.contains("Basic YWRtaW46cMOkc3N3b3Jk"), "{first}");
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert!(asked.lock().unwrap()[1].starts_with("POST /stop "));
        pod.wrote("roles", "standby 0\nstandby 0\n").await;
        answered(PROBE_PORT, "/readyz", 200).await;
    });
}

#[test]
fn a_promote_hook_that_is_refused_gives_the_lease_back_with_its_answer() {
    in_pod(|mut pod| async move {
        pod.config["promote"] = http_hook("/start", 5);
        std::fs::create_dir(pod.root.join("tmp/auth")).unwrap();
        std::fs::write(pod.root.join("tmp/auth/username"), "a").unwrap();
        std::fs::write(pod.root.join("tmp/auth/password"), "b").unwrap();
        let _asked = hook_server(8080, 401).await;
        let _container = pod.start("exec sleep 1000");
        pod.grant(1, Permit::Trade);
        let released = pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert_eq!(ReleaseReason::parse(&released.reason), Some(ReleaseReason::PromotionFailed));
        assert!(
            released.reason.contains("POST http://127.0.0.1:8080/start was answered with 401"),
            "{}",
            released.reason
        );
        let promotion = released.promotion.expect("told with the release");
        assert_eq!((promotion.result, promotion.message.contains("401")), (StepResult::Failed, true));
    });
}

#[test]
fn hooks_that_never_return_are_ended_at_their_time() {
    in_pod(|mut pod| async move {
        let never = json!({"action": {"exec": {"command": ["/bin/sh", "-c", "trap '' TERM; tail -f /dev/null"]}},
            "timeoutSeconds": 1});
        pod.config["demote"] = never.clone();
        let container = pod.start("trap 'exit 0' TERM; touch /tmp/ready; while :; do sleep 0.1; done");
        trading(&pod, 1).await;
        until(|| pod.root.join("tmp/ready").exists().then_some(())).await.unwrap();
        let revoked = Instant::now();
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        let took = revoked.elapsed();
        assert!((Duration::from_millis(950)..Duration::from_millis(2_500)).contains(&took), "{took:?}");
        pod.logged("did not end within 1 s").await;
        assert!(!runs(&container, "tail"));
        drop(container);

        pod.config["promote"] = never;
        let container = pod.start("exec sleep 1000");
        pod.grant(2, Permit::Trade);
        let released = pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert_eq!(ReleaseReason::parse(&released.reason), Some(ReleaseReason::PromotionFailed));
        let promotion = released.promotion.expect("told with the release");
        assert_eq!(promotion.result, StepResult::TimedOut);
        assert!((1_000..2_000).contains(&promotion.milliseconds), "{promotion:?}");
        assert!(!runs(&container, "tail"));
    });
}

#[test]
fn no_program_of_the_bot_gains_rights() {
    in_pod(|pod| async move {
        let _container = pod.start("grep NoNewPrivs /proc/self/status > /tmp/rights; exec sleep 1000");
        trading(&pod, 1).await;
        pod.wrote("rights", "NoNewPrivs:\t1").await;
    });
}

#[test]
fn nothing_is_released_while_the_kernel_still_sends_for_the_dead_bot() {
    in_pod(|pod| async move {
        let exchange = TcpListener::bind("127.0.0.1:7000").await.unwrap();
        let script = "exec 3<>/dev/tcp/127.0.0.1/7000; exec cat /dev/zero >&3";
        std::fs::write(pod.root.join("dev/zero"), vec![b'0'; 64 << 20]).unwrap();
        let container = pod.start_command(&["/bin/bash", "-c", script]);
        trading(&pod, 1).await;
        let (mut connection, _) = exchange.accept().await.unwrap();
        // The exchange does not read, so the bot soon cannot send any more.
        until(|| runs(&container, "cat").then_some(())).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        container.emptied().await;
        pod.logged("bytes of the bot are on their way to 127.0.0.1:7000").await;
        assert_ne!(pod.api.record().unwrap().state, AgentState::Released);
        let mut sink = vec![0; 1 << 20];
        while connection.read(&mut sink).await.unwrap() > 0 {}
        let released = pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert_eq!(ReleaseReason::parse(&released.reason), Some(ReleaseReason::Revoked));
    });
}

#[test]
fn a_process_of_another_user_that_survives_takes_the_container_with_it() {
    in_pod(|mut pod| async move {
        pod.user = 65532;
        let mut container = pod.start("exec sleep 1000");
        trading(&pod, 1).await;
        let mut intruder = container.exec(&["sleep", "2000"]);
        until(|| (container.processes().iter().filter(|(_, name)| name == "sleep").count() == 2).then_some(()))
            .await
            .expect("both run");
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        assert_eq!(container.ended().await.code(), Some(137));
        assert!(!intruder.wait().unwrap().success());
        assert_ne!(pod.api.record().unwrap().state, AgentState::Released);
        pod.logged("A process survives SIGKILL").await;
    });
}

#[test]
fn a_bot_with_a_terminal_reads_it_and_gets_its_signals() {
    in_pod(|mut pod| async move {
        let (mut master, slave) = terminal();
        pod.terminal = Some(slave);
        let script = "trap 'echo interrupted >> /tmp/heard' INT; read line; echo \"line $line\" >> /tmp/heard; \
            while :; do sleep 0.05; done";
        let _container = pod.start(script);
        trading(&pod, 1).await;
        std::io::Write::write_all(&mut master, b"hello\n").unwrap();
        pod.wrote("heard", "line hello").await;
        // Control-C.
        std::io::Write::write_all(&mut master, &[3]).unwrap();
        pod.wrote("heard", "interrupted").await;
        assert_eq!(pod.api.record().unwrap().state, AgentState::Active);
    });
}

fn terminal() -> (std::fs::File, std::os::fd::OwnedFd) {
    use std::os::fd::FromRawFd;
    let (mut master, mut slave) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: both descriptors are valid to write to, and ours from then on.
    unsafe {
        assert_eq!(libc::openpty(&raw mut master, &raw mut slave, none, std::ptr::null(), std::ptr::null()), 0);
        (std::fs::File::from_raw_fd(master), std::os::fd::OwnedFd::from_raw_fd(slave))
    }
}
