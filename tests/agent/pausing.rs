//! The hooks about pauses, judged at what the bot heard: in order, one at a time, again where they failed, and never in the
//! way of a stop.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tradingbot::core::lease::{AgentState, Permit};

use super::pod::{API_PORT, Container, Pod, answered, in_pod, until};

/// How the bot answers.
#[derive(Clone, Copy, PartialEq)]
enum Answers {
    At(Duration),
    Refuses,
    Never,
}

const AT_ONCE: Answers = Answers::At(Duration::ZERO);

/// A bot that hears of pauses over HTTP alone, and writes down what it heard.
struct Bot {
    answers: Arc<Mutex<Answers>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Bot {
    async fn start(answers: Answers) -> Bot {
        let (answers, heard) = (Arc::new(Mutex::new(answers)), Arc::new(Mutex::new(Vec::new())));
        let listener = TcpListener::bind("127.0.0.1:8080").await.unwrap();
        let (how, notes) = (answers.clone(), heard.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(hear(stream, *how.lock().unwrap(), notes.clone()));
            }
        });
        Bot { answers, heard }
    }

    fn answers(&self, how: Answers) {
        *self.answers.lock().unwrap() = how;
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until it has heard exactly this.
    async fn has_heard(&self, pod: &Pod, expected: &[&str]) {
        let found = until(|| (self.heard() == expected).then_some(())).await;
        found.unwrap_or_else(|| panic!("{:?} and not {expected:?}\n{}", self.heard(), pod.log()));
    }
}

/// Writes down the path of a request when it comes, and what became of it.
async fn hear(mut stream: TcpStream, how: Answers, notes: Arc<Mutex<Vec<String>>>) {
    let mut head = vec![0; 4096];
    let read = stream.read(&mut head).await.unwrap_or(0);
    let head = String::from_utf8_lossy(&head[..read]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let note = |what: String| notes.lock().unwrap().push(what);
    note(path.clone());
    let status = match how {
        Answers::At(after) => {
            tokio::time::sleep(after).await;
            note(format!("{path} done"));
            200
        }
        Answers::Refuses => 500,
        Answers::Never => {
            let _ = stream.read(&mut [0]).await;
            return note(format!("{path} cut"));
        }
    };
    let _ = stream.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
}

fn http_hook(path: &str, seconds: u64) -> Value {
    json!({"action": {"http": {"method": "POST", "port": 8080, "path": path, "headers": [], "basic_auth_dir": null}},
        "timeoutSeconds": seconds})
}

/// A pod whose bot is told of pauses, and whose venue is away while there is a file.
fn prepare(pod: &mut Pod, seconds: u64) {
    pod.config["checks"] = json!([{"name": "venue", "probe": {"exec": {"command": ["/bin/sh", "-c", "! test -e /tmp/away"]}},
        "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1, "successThreshold": 1, "startupGraceSeconds": 0,
        "critical": true, "appliesTo": "Active", "scope": "Shared", "pauseTrading": true}]);
    pod.config["pausing"] =
        json!({"pause": http_hook("/stopentry", seconds), "resume": http_hook("/start", seconds), "againSeconds": 1});
}

fn venue(pod: &Pod, away: bool) {
    let file = pod.root.join("tmp/away");
    if away { std::fs::write(file, "").unwrap() } else { std::fs::remove_file(file).unwrap() }
}

async fn trades(pod: &Pod, script: &str) -> Container {
    pod.grant(1, Permit::Trade);
    let container = pod.start(script);
    pod.lease("active", |lease| lease.state == AgentState::Active).await;
    container
}

/// Waits until asking before an order is answered so.
async fn asked(pod: &Pod, role: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let body = super::pod::get(API_PORT, "/v1/leadership").await.map(|(_, body)| body).unwrap_or_default();
        if body.contains(&format!("\"role\":\"{role}\"")) {
            return;
        }
        assert!(Instant::now() < end, "never {role}: {body}\n{}", pod.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_bot_hears_of_a_pause_when_it_begins_and_when_it_ends() {
    in_pod(|mut pod| async move {
        prepare(&mut pod, 5);
        let bot = Bot::start(AT_ONCE).await;
        let _container = trades(&pod, "exec sleep 1000").await;
        for round in 1..3 {
            venue(&pod, true);
            let told = ["stopentry", "stopentry done", "start", "start done"].repeat(round);
            bot.has_heard(&pod, &told[..told.len() - 2]).await;
            asked(&pod, "paused").await;
            venue(&pod, false);
            bot.has_heard(&pod, &told).await;
            asked(&pod, "active").await;
        }
        pod.logged("The bot was told that trading pauses.").await;
        pod.logged("The bot was told that trading goes on.").await;
        assert_eq!(pod.api.record().unwrap().state, AgentState::Active);
    });
}

#[test]
fn a_pause_that_ends_while_it_is_being_told_is_told_to_its_end_first() {
    in_pod(|mut pod| async move {
        prepare(&mut pod, 30);
        let bot = Bot::start(Answers::At(Duration::from_secs(4))).await;
        let _container = trades(&pod, "exec sleep 1000").await;
        venue(&pod, true);
        bot.has_heard(&pod, &["stopentry"]).await;
        bot.answers(AT_ONCE);
        venue(&pod, false);
        asked(&pod, "active").await;
        assert_eq!(bot.heard(), ["stopentry"], "the other waits for it");
        bot.has_heard(&pod, &["stopentry", "stopentry done", "start", "start done"]).await;
    });
}

#[test]
fn a_bot_that_refuses_to_hear_is_told_again_for_as_long_as_trading_pauses() {
    in_pod(|mut pod| async move {
        prepare(&mut pod, 5);
        let bot = Bot::start(Answers::Refuses).await;
        let _container = trades(&pod, "exec sleep 1000").await;
        venue(&pod, true);
        bot.has_heard(&pod, &["stopentry", "stopentry", "stopentry"]).await;
        pod.logged("the pause hook POST http://127.0.0.1:8080/stopentry was answered with 500").await;
        bot.answers(AT_ONCE);
        bot.has_heard(&pod, &["stopentry", "stopentry", "stopentry", "stopentry", "stopentry done"]).await;
        bot.answers(Answers::Refuses);
        venue(&pod, false);
        until(|| (bot.heard().ends_with(&["start".into(), "start".into()])).then_some(())).await.expect("again");
        bot.answers(AT_ONCE);
        until(|| bot.heard().ends_with(&["start".into(), "start done".into()]).then_some(())).await.expect("heard");
    });
}

#[test]
fn a_process_that_starts_again_while_trading_pauses_is_promoted_and_then_told_anew() {
    in_pod(|mut pod| async move {
        prepare(&mut pod, 5);
        pod.config["inPlaceRestarts"] = 1.into();
        pod.config["promote"] = http_hook("/promote", 5);
        let bot = Bot::start(AT_ONCE).await;
        let script = "echo $TRADINGBOT_ROLE >> /tmp/roles; while ! test -e /tmp/end; do sleep 0.05; done; rm /tmp/end";
        let _container = trades(&pod, script).await;
        venue(&pod, true);
        let first = ["promote", "promote done", "stopentry", "stopentry done"];
        bot.has_heard(&pod, &first).await;
        std::fs::write(pod.root.join("tmp/end"), "").unwrap();
        bot.has_heard(&pod, &first.repeat(2)).await;
        assert_eq!(pod.file("roles"), "active\npaused\n");
        venue(&pod, false);
        bot.has_heard(&pod, &[&first.repeat(2)[..], &["start", "start done"]].concat()).await;
    });
}

#[test]
fn a_bot_that_never_answers_holds_neither_renewals_nor_a_stop_up() {
    in_pod(|mut pod| async move {
        prepare(&mut pod, 60);
        let bot = Bot::start(Answers::Never).await;
        let _container = trades(&pod, "trap 'exit 0' TERM; while :; do sleep 0.05; done").await;
        venue(&pod, true);
        bot.has_heard(&pod, &["stopentry"]).await;
        let renewed = pod.api.record().unwrap().renew;
        pod.lease("renewed", |lease| lease.renew != renewed).await;
        answered(API_PORT, "/healthz", 200).await;
        let revoked = Instant::now();
        pod.api.change(|lease| lease.permit = Some(Permit::Revoke));
        pod.lease("released", |lease| lease.state == AgentState::Released).await;
        assert!(revoked.elapsed() < Duration::from_millis(1_500), "{:?}", revoked.elapsed());
        bot.has_heard(&pod, &["stopentry", "stopentry cut"]).await;
    });
}
