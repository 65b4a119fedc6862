//! The loop around a machine that is none, in virtual time.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body as Answer, Bytes};
use futures::stream;
use http::{Method, Request, Response};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::api::agent_config::AgentConfig;
use crate::api::lease;
use crate::core::agent::{OwnRemedy, Plan, Rule, Setup};
use crate::core::ids::{BootId, Epoch, FencingToken, PodRef};
use crate::core::lease::{AgentState, LeaseRecord, OnApiServerLoss, Permit, Terms};
use crate::core::recovery::{Remedy, RemedyResult, heard};
use crate::core::shutdown::StepResult;
use crate::core::time::Wall;

/// An API server with one Lease. It counts the patches that were stored; its watches never say anything.
#[derive(Clone)]
struct Server(Arc<Mutex<(Value, u64)>>);

impl Server {
    fn new(record: &LeaseRecord) -> Server {
        let mut object = Lease::default();
        lease::write(record, &mut object, None);
        Server(Arc::new(Mutex::new((serde_json::to_value(object).unwrap(), 0))))
    }

    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let watches = request.uri().query().is_some_and(|query| query.contains("watch"));
                let (parts, body) = request.into_parts();
                let (status, body) = if parts.method == Method::PATCH {
                    server.patch(&body.collect_bytes().await?)
                } else if watches {
                    (200, Answer::from_stream(stream::pending::<Result<Bytes, Infallible>>()))
                } else {
                    (200, server.0.lock().unwrap().0.to_string().into_bytes().into())
                };
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Response::builder().status(status).body(body)?)
            }
        });
        Client::new(service, "ns")
    }

    fn patch(&self, patch: &[u8]) -> (u16, Answer) {
        let patch: json_patch::Patch = serde_json::from_slice(patch).unwrap();
        let (object, writes) = &mut *self.0.lock().unwrap();
        match json_patch::patch(object, &patch) {
            Ok(()) => {
                *writes += 1;
                (200, object.to_string().into_bytes().into())
            }
            Err(error) => {
                let status = json!({"kind": "Status", "code": 422, "status": "Failure", "reason": "Invalid", "message": error.to_string()});
                (422, status.to_string().into_bytes().into())
            }
        }
    }

    fn lease(&self) -> LeaseRecord {
        lease::read(&serde_json::from_value(self.0.lock().unwrap().0.clone()).unwrap())
    }

    fn writes(&self) -> u64 {
        self.0.lock().unwrap().1
    }

    fn permit(&self) {
        let mut object: Lease = serde_json::from_value(self.0.lock().unwrap().0.clone()).unwrap();
        lease::write(&LeaseRecord { permit: Some(Permit::Trade), ..self.lease() }, &mut object, None);
        self.0.lock().unwrap().0 = serde_json::to_value(object).unwrap();
    }

    /// Until the agent reports this.
    async fn reports(&self, state: AgentState) {
        let reported = async {
            while self.lease().state != state {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(10), reported).await.unwrap_or_else(|_| panic!("{:?}", self.lease()));
    }
}

/// A bot that is only written about.
struct Bot {
    begun: Instant,
    did: Arc<Mutex<Vec<&'static str>>>,
    tell: mpsc::UnboundedSender<MachineEvent>,
    events: mpsc::UnboundedReceiver<MachineEvent>,
}

impl Bot {
    fn new() -> Bot {
        let (tell, events) = mpsc::unbounded_channel();
        Bot { begun: Instant::now(), did: Arc::default(), tell, events }
    }

    fn does(&self, what: &'static str) {
        self.did.lock().unwrap().push(what);
    }
}

impl Machine for Bot {
    fn now(&self) -> Mono {
        Mono::both(1_000_000_000).plus(self.begun.elapsed())
    }

    async fn next(&mut self) -> MachineEvent {
        self.events.recv().await.expect("it holds a sender itself")
    }

    fn reap(&mut self) -> Option<Exit> {
        None
    }

    fn start(&mut self, _: Leadership) -> Result<i32, String> {
        self.does("start");
        Ok(7)
    }

    fn terminate(&mut self) {
        self.does("terminate");
        let _ = self.tell.send(MachineEvent::Exited(Exit::Code(3)));
    }

    fn sweep(&mut self, _: bool) -> Option<BoxFuture<'static, ()>> {
        Some(Box::pin(sleep(Duration::from_millis(1))))
    }

    fn drain(&mut self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(sleep(Duration::from_millis(1)))
    }

    fn call(&mut self, hook: Hook, _: Leadership) -> BoxFuture<'static, Result<(), HookFailure>> {
        self.does("hook");
        Box::pin(async move {
            sleep(Duration::from_millis(1)).await;
            match hook {
                Hook::Promote | Hook::Step(0) => Ok(()),
                Hook::Step(1) => Err(HookFailure { timed_out: true, sentence: "the cancel hook hung.".into() }),
                Hook::Recovery(_) => {
                    Err(HookFailure { timed_out: false, sentence: "the recovery hook said no.".into() })
                }
                Hook::Pause(_) => Ok(()),
                Hook::Step(_) => std::future::pending().await,
            }
        })
    }

    fn call_switch(&mut self, _: Leadership) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn read_credentials(&mut self) {}
    fn drop_credentials(&mut self) {}
    fn guard(&mut self, _: Option<Mono>) {}

    fn fired(&self) -> u32 {
        0
    }

    fn gate(&mut self, _: Passage) {}
    fn show(&mut self, _: Leadership, _: Validity) {}
    fn publish(&mut self, _: Board) {}
}

/// A pod that was granted the Lease and is to be promoted by a hook.
fn granted() -> (Server, impl Future<Output = u8>, Hold) {
    granted_with(&[])
}

/// The same where stops have steps of these names.
fn granted_with(steps: &[&str]) -> (Server, impl Future<Output = u8>, Hold) {
    granted_as(steps, |_| {})
}

/// The same, set up otherwise.
fn granted_as(steps: &[&str], change: impl FnOnce(&mut Setup)) -> (Server, impl Future<Output = u8>, Hold) {
    let call = json!({"action": {"exec": {"command": ["/step"]}}, "timeoutSeconds": 5});
    let steps: Vec<_> = steps.iter().map(|name| json!({"name": name, "call": call})).collect();
    let pod = PodRef { name: "doge-0".into(), uid: "u0".into() };
    let config: AgentConfig = serde_json::from_value(json!({
        "namespace": "ns", "bot": "doge", "standbyMode": "Warm", "inPlaceRestarts": 0, "reconcileRestarts": false,
        "stopSeconds": 5, "promote": {"action": {"exec": {"command": ["/promote"]}}, "timeoutSeconds": 5}, "demote": null,
        "shutdown": steps,
        "apiPort": 9797, "probePort": 9798,
    }))
    .unwrap();
    let server = Server::new(&LeaseRecord {
        uid: "l".into(),
        version: "1".into(),
        holder: Some(pod.clone()),
        epoch: Some(Epoch(1)),
        token: Some(FencingToken(1)),
        permit: Some(Permit::Prepare),
        terms: Some(Terms {
            lease_duration: Duration::from_secs(10),
            renew_period: Duration::from_secs(2),
            renew_deadline: Duration::from_secs(6),
            on_api_server_loss: OnApiServerLoss::Stop,
        }),
        ..LeaseRecord::default()
    });
    let mut setup = crate::agent::setup(&config, pod, BootId { pod_uid: "u0".into(), nonce: "n".into() });
    change(&mut setup);
    let bot = Bot::new();
    let outside = Hold { did: bot.did.clone(), tell: bot.tell.clone() };
    let client = server.client();
    let agent = async move { run(&config, setup, client, bot).await };
    (server, agent, outside)
}

/// What a test holds of a [`Bot`].
struct Hold {
    did: Arc<Mutex<Vec<&'static str>>>,
    tell: mpsc::UnboundedSender<MachineEvent>,
}

#[tokio::test(start_paused = true)]
async fn a_pod_takes_its_grant_up_trades_renews_and_gives_the_lease_back() {
    let (server, agent, bot) = granted();
    let story = async {
        server.reports(AgentState::Claimed).await;
        assert!(bot.did.lock().unwrap().is_empty(), "nothing is permitted yet");
        server.permit();
        server.reports(AgentState::Active).await;
        let before = server.writes();
        sleep(Duration::from_secs(60)).await;
        assert!((25..=35).contains(&(server.writes() - before)), "every two seconds");
        bot.tell.send(MachineEvent::Terminate).unwrap();
    };
    let (code, ()) = tokio::join!(agent, story);
    assert_eq!(*bot.did.lock().unwrap(), ["start", "hook", "terminate"]);
    let lease = server.lease();
    assert_eq!((code, lease.holder, lease.state), (3, None, AgentState::Released));
    assert!(lease.reason.starts_with("PodStopping: "), "{}", lease.reason);
}

#[tokio::test(start_paused = true)]
async fn the_release_says_what_the_steps_of_the_stop_came_to() {
    let (server, agent, bot) = granted_with(&["pause", "cancel", "close", "flush"]);
    let story = async {
        server.reports(AgentState::Claimed).await;
        server.permit();
        server.reports(AgentState::Active).await;
        bot.tell.send(MachineEvent::Terminate).unwrap();
        server.reports(AgentState::Demoting).await;
        // The third step hangs, and the bot ends.
        sleep(Duration::from_secs(3)).await;
        bot.tell.send(MachineEvent::Exited(Exit::Code(0))).unwrap();
    };
    tokio::join!(agent, story);
    assert_eq!(*bot.did.lock().unwrap(), ["start", "hook", "hook", "hook", "hook"]);
    let steps = server.lease().shutdown;
    let came_to: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.result)).collect();
    let expected = [
        ("pause", StepResult::Succeeded),
        ("cancel", StepResult::TimedOut),
        ("close", StepResult::Failed),
        ("flush", StepResult::Skipped),
    ];
    assert_eq!(came_to, expected);
    assert_eq!(steps[1].message, "the cancel hook hung.");
    assert!((2_900..3_100).contains(&steps[2].milliseconds), "{steps:?}");
}

#[tokio::test(start_paused = true)]
async fn the_lease_says_what_was_done_about_a_check_and_whether_it_helped() {
    let rule =
        Rule { name: "blind".into(), checks: vec![0], remedies: vec![OwnRemedy::Hook(0), OwnRemedy::RestartProcess] };
    let plan = Plan { rules: vec![rule], pause: Duration::from_secs(30), period: Duration::from_secs(3600) };
    let check = crate::core::health::tests::check("price");
    let (server, agent, bot) = granted_as(&[], |setup| (setup.plan, setup.checks) = (plan, vec![check]));
    // A round ends with what the checks are about: a standby, a bot that starts, one that trades, and so on.
    let says = |round, failing| {
        let error = if failing { "It is missing." } else { "" };
        let verdict = Verdict { check: 0, failing, doubted: false, since: Wall(0), error: error.into() };
        bot.tell.send(MachineEvent::Health(round, vec![verdict])).unwrap();
    };
    let told = || heard(&server.lease().recovery).into_iter().map(|of| (of.remedy, of.result)).collect::<Vec<_>>();
    let story = async {
        server.reports(AgentState::Claimed).await;
        server.permit();
        server.reports(AgentState::Active).await;
        says(3, true);
        sleep(Duration::from_secs(10)).await;
        assert_eq!(told(), [(Remedy::Hook, RemedyResult::Unknown)]);
        // Still so after the pause, and the restart helps.
        sleep(Duration::from_secs(25)).await;
        let hook = (Remedy::Hook, RemedyResult::DidNotHelp);
        assert_eq!(told(), [hook, (Remedy::RestartProcess, RemedyResult::Unknown)]);
        says(5, false);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(told(), [hook, (Remedy::RestartProcess, RemedyResult::Helped)]);
        sleep(Duration::from_secs(60)).await;
        // Nothing is left to do: the Lease is given back, with all that was done.
        says(5, true);
        server.reports(AgentState::Released).await;
        bot.tell.send(MachineEvent::Terminate).unwrap();
    };
    tokio::join!(agent, story);
    assert_eq!(*bot.did.lock().unwrap(), ["start", "hook", "hook", "terminate", "start", "hook", "terminate"]);
    assert_eq!(told().len(), 2);
    let first = &heard(&server.lease().recovery)[0];
    assert_eq!((first.rule.as_str(), first.check.as_str()), ("blind", "price"));
    assert_eq!(first.message, "It is missing. Then the recovery hook said no.");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_dropped_writes_nothing_more() {
    let (server, agent, bot) = granted();
    let mut agent = Box::pin(agent);
    let traded = async {
        server.reports(AgentState::Claimed).await;
        server.permit();
        server.reports(AgentState::Active).await;
    };
    tokio::select! {
        biased;
        code = &mut agent => panic!("it ended with {code}"),
        () = traded => {}
    }
    drop(agent);
    let before = server.writes();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(server.writes(), before);
    assert_eq!(*bot.did.lock().unwrap(), ["start", "hook"]);
}
