//! The writes of one decision: in order, at the observed versions, and none after one that did not plainly succeed.

use std::time::Duration;

use http::Method;
use kube::runtime::events::{Recorder, Reporter};
use serde_json::json;
use tradingbot::api::bot::TradingBot;
use tradingbot::api::wanted::spec_from;
use tradingbot::controller::apply::Applier;
use tradingbot::controller::call::CallError;
use tradingbot::controller::conditions::Troubles;
use tradingbot::controller::election::Leadership;
use tradingbot::controller::events::Publisher;
use tradingbot::controller::observe::Observed;
use tradingbot::controller::watches::World;
use tradingbot::core::account::{AccountRecord, BotRef, Holder};
use tradingbot::core::failover::{
    AccountWrite, Action, Decision, LeaseWrite, Memory, Observation, Phase, Record, Spec,
};
use tradingbot::core::ids::{Epoch, FencingToken, PodRef};
use tradingbot::core::lease::{LeaseRecord, Permit};

use crate::scripted::{Answer, Tape, client};

const STATUS: &str = "/apis/tradingbot.io/v1alpha1/namespaces/ns/tradingbots/doge/status";
const ACCOUNT: &str = "/apis/coordination.k8s.io/v1/namespaces/tradingbot-system/leases/account-main";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/doge";

fn bot() -> TradingBot {
    serde_json::from_value(json!({
        "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBot",
        "metadata": {"name": "doge", "namespace": "ns", "uid": "bot-uid", "resourceVersion": "10"},
        "spec": {"template": {"spec": {"containers": [{"name": "bot", "image": "example/bot:1", "command": ["/bot"]}]}}}
    }))
    .unwrap()
}

/// The status written ahead, then the grant.
fn grant() -> Decision {
    let lease = LeaseRecord {
        uid: "lease-uid".into(),
        version: "20".into(),
        holder: Some(PodRef { name: "doge-1".into(), uid: "u1".into() }),
        epoch: Some(Epoch(3)),
        token: Some(FencingToken(77)),
        permit: Some(Permit::Prepare),
        ..LeaseRecord::default()
    };
    Decision {
        record: Record { phase: Phase::Electing, epoch: Epoch(3), token: FencingToken(77), ..Record::default() },
        memory: Memory::default(),
        actions: vec![Action::WriteStatus, Action::PutLease { lease, purpose: LeaseWrite::Grant }],
        wake_after: None,
        silence_limit: None,
    }
}

struct Round {
    outcome: Result<(), CallError>,
    memory: Memory,
    tape: Tape,
}

async fn apply(decision: Decision, leadership: Leadership, answers: Vec<Answer>) -> Round {
    let (client, tape) = client(answers);
    let bot = bot();
    let spec: Spec = spec_from(&bot);
    let observed = Observed {
        bot,
        lease: None,
        pods: Vec::new(),
        jobs: Vec::new(),
        other_pods: Vec::new(),
        account: None,
        operations: Vec::new(),
        facts: Observation::default(),
    };
    let applier = Applier {
        client: &client,
        leadership: &leadership,
        operator_namespace: "tradingbot-system",
        world: &World::default(),
        agent_image: "example/operator:1",
        observed: &observed,
        spec: &spec,
        troubles: Troubles::default(),
        events: &Publisher::new(Recorder::new(client.clone(), Reporter::from("test"))),
    };
    let mut memory = Memory::default();
    let outcome = applier.apply(&decision, &mut memory).await.map(|_| ());
    Round { outcome, memory, tape }
}

fn leading() -> Leadership {
    Leadership::until_further_notice(Duration::from_secs(600))
}

#[tokio::test]
async fn the_epoch_is_in_the_status_before_anyone_is_granted_it() {
    let round = apply(grant(), leading(), vec![Answer::Accepted("11"), Answer::Accepted("21")]).await;
    round.outcome.unwrap();
    assert_eq!(round.tape.lines(), [format!("PUT {STATUS}"), format!("PUT {LEASE}")]);
    let [status, lease] = round.tape.requests().try_into().unwrap();
    assert_eq!(status.method, Method::PUT);
    assert_eq!(status.body["metadata"]["resourceVersion"], "10");
    assert_eq!(status.body["status"]["epoch"], 3);
    assert_eq!(lease.body["metadata"]["resourceVersion"], "20");
    assert_eq!(lease.body["spec"]["holderIdentity"], "doge-1/u1");
    assert_eq!(lease.body["metadata"]["annotations"]["tradingbot.io/permit"], "Prepare");
}

#[tokio::test]
async fn a_status_that_somebody_else_changed_ends_the_round_before_the_grant() {
    let round = apply(grant(), leading(), vec![Answer::Refused(409, "the object has been modified")]).await;
    assert!(matches!(round.outcome, Err(CallError::Conflict(_))));
    assert_eq!(round.tape.lines(), [format!("PUT {STATUS}")]);
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_is_unknown_and_nothing_follows_it() {
    let round = apply(grant(), leading(), vec![Answer::Silence]).await;
    assert!(matches!(round.outcome, Err(CallError::Unknown(_))));
    assert_eq!(round.tape.lines(), [format!("PUT {STATUS}")]);
}

#[tokio::test]
async fn a_server_in_trouble_is_unknown_and_a_refusal_is_a_sentence() {
    let trouble = apply(grant(), leading(), vec![Answer::Refused(500, "etcd is away")]).await;
    assert!(matches!(trouble.outcome, Err(CallError::Unknown(_))));
    let refused = apply(grant(), leading(), vec![Answer::Refused(422, "status.epoch must not fall")]).await;
    let Err(CallError::Refused(why)) = refused.outcome else { panic!("not refused") };
    assert!(why.contains("must not fall"), "{why}");
}

#[tokio::test]
async fn a_replica_that_does_not_lead_sends_nothing() {
    let round = apply(grant(), Leadership::default(), vec![]).await;
    assert!(matches!(round.outcome, Err(CallError::NotLeading(_))));
    assert!(round.tape.requests().is_empty());
}

#[tokio::test]
async fn a_fencing_write_remembers_the_version_it_left_and_a_failed_one_does_not() {
    let fence = || {
        let lease = LeaseRecord { version: "20".into(), epoch: Some(Epoch(3)), ..LeaseRecord::default() };
        let purpose = LeaseWrite::Fence { epoch: Epoch(3) };
        Decision { actions: vec![Action::PutLease { lease, purpose }], ..grant() }
    };
    let done = apply(fence(), leading(), vec![Answer::Accepted("21")]).await;
    assert_eq!(done.memory.fenced_version, Some((Epoch(3), "21".into())));
    let lost = apply(fence(), leading(), vec![Answer::Refused(409, "renewed meanwhile")]).await;
    assert_eq!(lost.memory.fenced_version, None);
}

/// The account is taken with the token of the grant, before anything else.
fn grant_on_account() -> Decision {
    let account = AccountRecord {
        name: "main".into(),
        version: "30".into(),
        holder: Holder::Bot("ns/doge/bot-uid".parse().unwrap()),
        epoch: Some(Epoch(5)),
        token: Some(FencingToken(77)),
        lease_duration: Duration::from_secs(10),
        ..AccountRecord::default()
    };
    let take = Action::WriteAccount { account, purpose: AccountWrite::Take };
    let mut decision = grant();
    decision.actions.insert(0, take);
    decision
}

#[tokio::test]
async fn an_account_is_taken_before_the_status_and_the_grant() {
    let answers = vec![Answer::Accepted("31"), Answer::Accepted("11"), Answer::Accepted("21")];
    let round = apply(grant_on_account(), leading(), answers).await;
    round.outcome.unwrap();
    assert_eq!(round.tape.lines(), [format!("PUT {ACCOUNT}"), format!("PUT {STATUS}"), format!("PUT {LEASE}")]);
    let account = &round.tape.requests()[0].body;
    assert_eq!(account["metadata"]["resourceVersion"], "30");
    assert_eq!(account["metadata"]["labels"]["tradingbot.io/account"], "main");
    assert_eq!(account["spec"]["holderIdentity"], "ns/doge/bot-uid");
    assert_eq!(account["metadata"]["annotations"]["tradingbot.io/token"], "77");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_another_took_meanwhile_or_that_nobody_answered_for_is_granted_to_nobody() {
    for answer in [Answer::Refused(409, "the object has been modified"), Answer::Silence] {
        let round = apply(grant_on_account(), leading(), vec![answer]).await;
        assert!(matches!(round.outcome, Err(CallError::Conflict(_) | CallError::Unknown(_))));
        assert_eq!(round.tape.lines(), [format!("PUT {ACCOUNT}")]);
    }
}

#[tokio::test]
async fn a_lease_left_behind_is_removed_at_the_version_that_was_silent_and_remembered_only_then() {
    let remove = || {
        let bot: BotRef = "other/doge/u".parse().unwrap();
        Decision { actions: vec![Action::RemoveLeaseOf { bot, version: "40".into() }], ..grant() }
    };
    let done = apply(remove(), leading(), vec![Answer::Object(json!({"kind": "Status", "status": "Success"}))]).await;
    assert_eq!(done.tape.lines(), ["DELETE /apis/coordination.k8s.io/v1/namespaces/other/leases/doge"]);
    assert_eq!(done.tape.requests()[0].body["preconditions"]["resourceVersion"], "40");
    assert_eq!(done.memory.holder_removed.unwrap().place(), "other/doge");
    let lost = apply(remove(), leading(), vec![Answer::Refused(409, "renewed meanwhile")]).await;
    assert_eq!(lost.memory.holder_removed, None);
}

fn account() -> Answer {
    Answer::Object(json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "doge-agent-0", "uid": "sa", "labels": {"tradingbot.io/bot": "doge"}},
    }))
}

#[tokio::test]
async fn a_pod_has_the_account_of_its_slot_before_it_is_made() {
    let decision = || Decision { actions: vec![Action::CreatePod { slot: 0 }], ..grant() };
    const ACCOUNTS: &str = "/api/v1/namespaces/ns/serviceaccounts";
    let absent = Answer::Refused(404, "serviceaccounts \"doge-agent-0\" not found");
    let round = apply(decision(), leading(), vec![absent, Answer::Accepted("1"), Answer::Accepted("2")]).await;
    round.outcome.unwrap();
    let wanted =
        [format!("GET {ACCOUNTS}/doge-agent-0"), format!("POST {ACCOUNTS}"), "POST /api/v1/namespaces/ns/pods".into()];
    assert_eq!(round.tape.lines(), wanted);
    assert_eq!(round.tape.requests()[2].body["spec"]["serviceAccountName"], "doge-agent-0");

    let there = apply(decision(), leading(), vec![account(), Answer::Accepted("2")]).await;
    there.outcome.unwrap();
    assert_eq!(there.tape.lines(), [wanted[0].clone(), wanted[2].clone()]);

    let strangers = Answer::Object(json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "doge-agent-0", "uid": "other"},
    }));
    let refused = apply(decision(), leading(), vec![strangers]).await;
    assert!(matches!(refused.outcome, Err(CallError::Conflict(why)) if why.contains("doge-agent-0")));
}

#[tokio::test]
async fn a_pod_name_that_is_taken_by_something_else_is_a_sentence() {
    let decision = Decision { actions: vec![Action::CreatePod { slot: 0 }], ..grant() };
    let stranger = json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {"resourceVersion": "1"},
        "items": [{"metadata": {"name": "doge-0", "uid": "other"}}],
    });
    let answers = vec![account(), Answer::Refused(409, "pods \"doge-0\" already exists"), Answer::Object(stranger)];
    let round = apply(decision, leading(), answers).await;
    let Err(CallError::Conflict(why)) = round.outcome else { panic!("no conflict") };
    assert!(why.contains("doge-0") && why.contains("belongs to something else"), "{why}");
}
