//! What an agent may write to its bot's Lease, and what nobody but the operator may.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};
use tradingbot::agent::{Told, lease_patch};
use tradingbot::api::lease;
use tradingbot::core::agent::{Exit, Why, Write, WriteKind};
use tradingbot::core::ids::{BootId, Epoch, FencingToken, PodRef};
use tradingbot::core::lease::{AgentState, LeaseRecord, OnApiServerLoss, OrderPath, Permit, Revoke, Terms};
use tradingbot::core::shutdown::{MOST_STEPS, StepReport, StepResult};

use super::chart::{OPERATOR, SYSTEM, with_policies};
use super::cluster::{Cluster, refused};
use super::identity::{Identity, With};
use super::merge::merge;

const EPOCH: Epoch = Epoch(7);

fn pod(n: u32) -> PodRef {
    PodRef { name: format!("doge-{n}"), uid: format!("00000000-0000-0000-0000-00000000000{n}") }
}

fn boot(n: u32, nonce: &str) -> BootId {
    BootId { pod_uid: pod(n).uid, nonce: nonce.into() }
}

/// A grant to pod 0.
fn granted() -> LeaseRecord {
    LeaseRecord {
        holder: Some(pod(0)),
        epoch: Some(EPOCH),
        token: Some(FencingToken(1_838_592_000_000_123)),
        permit: Some(Permit::Prepare),
        terms: Some(Terms {
            lease_duration: Duration::from_secs(10),
            renew_period: Duration::from_secs(2),
            renew_deadline: Duration::from_secs(6),
            on_api_server_loss: OnApiServerLoss::Stop,
        }),
        transitions: 7,
        ..LeaseRecord::default()
    }
}

/// Pod 0 trades.
fn active() -> LeaseRecord {
    LeaseRecord {
        permit: Some(Permit::Trade),
        boot: Some(boot(0, "aa")),
        renew: format!("{}/5", boot(0, "aa")),
        state: AgentState::Active,
        path: OrderPath::Gated,
        health: String::new(),
        ..granted()
    }
}

/// As much as an agent ever says of the steps of a stop.
fn longest_steps() -> Vec<StepReport> {
    let step = |n| StepReport {
        name: format!("{n}{}", "x".repeat(62)),
        result: StepResult::TimedOut,
        milliseconds: 300_001,
        message: "ü\"".repeat(1_000),
    };
    (0..MOST_STEPS).map(step).collect()
}

/// All that an agent may say for people in a write.
fn longest_told() -> Told {
    Told { steps: longest_steps(), recovery: "x".repeat(2048), promotion: longest_steps().pop() }
}

/// A Lease in a test's namespace, and who writes to it.
struct Story {
    cluster: Cluster,
    path: String,
}

impl Story {
    async fn begin(name: &str) -> Story {
        let cluster = with_policies(name).await;
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/doge", cluster.namespace);
        Story { cluster, path }
    }

    /// What the operator does: the Lease is as this record says.
    async fn operator_writes(&self, record: &LeaseRecord) {
        let api: Api<Lease> = Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace);
        let found = api.get_opt("doge").await.expect("the Lease can be read");
        let record = LeaseRecord { uid: String::new(), version: String::new(), ..record.clone() };
        let mut object = Lease::default();
        object.metadata.name = Some("doge".into());
        object.metadata.labels = Some([("tradingbot.io/bot".to_owned(), "doge".to_owned())].into());
        lease::write(&record, &mut object, Some(Timestamp::UNIX_EPOCH));
        let operator = Identity::account(SYSTEM, OPERATOR);
        let object = |meta: Option<String>| {
            let mut value = serde_json::to_value(&object).expect("JSON");
            value["metadata"]["resourceVersion"] = json!(meta);
            value
        };
        let client = &self.cluster.client;
        let written = match found {
            None => operator.create(client, self.path.trim_end_matches("/doge"), &object(None)).await,
            Some(found) => operator.replace(client, &self.path, &object(found.metadata.resource_version)).await,
        };
        written.expect("the operator's own writes are not looked at");
    }

    fn agent(&self, n: u32) -> Identity {
        let pod = pod(n);
        Identity::account(&self.cluster.namespace, &format!("doge-agent-{n}")).in_pod(&pod.name, &pod.uid)
    }

    /// A write of the agent's own code.
    async fn agent_writes(&self, boot: &BootId, number: u64, kind: WriteKind) -> LeaseRecord {
        let (what, told) = (format!("{kind:?}"), longest_told());
        let body = lease_patch(
            &Write {
                number,
                epoch: EPOCH,
                kind,
                path: OrderPath::Bypassed("10.0.0.3:8080".into()),
                health: "x".repeat(tradingbot::core::health::LONGEST_NOTE),
            },
            &told,
            &pod(0),
            boot,
            Timestamp::now(),
        );
        let written = self.agent(0).change(&self.cluster.client, &self.path, With::JsonPatch, &body).await;
        let written = written.unwrap_or_else(|refusal| panic!("{what} was refused: {refusal}"));
        lease::read(&serde_json::from_value(written).expect("a Lease"))
    }

    /// A merge patch that must be refused in these words; nothing is stored in any case.
    async fn refuses(&self, who: &Identity, what: &str, patch: Value, sentence: &str) {
        let path = format!("{}?dryRun=All", self.path);
        refused(what, who.change(&self.cluster.client, &path, With::MergePatch, &patch).await, sentence);
    }
}

#[tokio::test]
async fn every_write_of_an_agent_is_accepted() {
    let story = Story::begin("agent").await;
    let (first, second) = (boot(0, "aa"), boot(0, "bb"));
    let permit = async |record: &LeaseRecord, permit| {
        story.operator_writes(&LeaseRecord { permit: Some(permit), ..record.clone() }).await;
    };
    // An epoch from its take-up to its release, with a restart in place.
    story.operator_writes(&granted()).await;
    story.agent_writes(&first, 1, WriteKind::Claim).await;
    let claimed = story.agent_writes(&first, 2, WriteKind::Renew(AgentState::Claimed)).await;
    permit(&claimed, Permit::Trade).await;
    let mut number = 2;
    let mut last = claimed;
    for state in ["Claimed", "Promoting", "Active", "Active", "Promoting", "Active", "Demoting", "Demoting"] {
        number += 1;
        last = story.agent_writes(&first, number, WriteKind::Renew(AgentState::parse(Some(state)))).await;
    }
    // A connection that broke may carry a write twice.
    let again = story.agent_writes(&first, number, WriteKind::Renew(AgentState::Demoting)).await;
    assert_eq!(again.renew, last.renew);
    let released = story.agent_writes(&first, 99, WriteKind::Release(Why::PodStopping)).await;
    assert_eq!((released.holder, released.state), (None, AgentState::Released));

    // Revoked while it trades: a renewal may have been on its way.
    story.operator_writes(&LeaseRecord { permit: Some(Permit::Revoke), revoke: Revoke::Now, ..active() }).await;
    story.agent_writes(&first, 6, WriteKind::Renew(AgentState::Active)).await;
    story.agent_writes(&first, 7, WriteKind::Renew(AgentState::Demoting)).await;
    story.agent_writes(&first, 8, WriteKind::Release(Why::Revoked)).await;

    // A bot that dies without a word before, and why takes a long text.
    story.operator_writes(&active()).await;
    let exited = Why::PromotionFailed("ü".repeat(5000));
    assert_eq!(story.agent_writes(&first, 6, WriteKind::Release(exited)).await.state, AgentState::Released);
    story.operator_writes(&active()).await;
    story.agent_writes(&first, 6, WriteKind::Release(Why::Exited(Exit::Code(1), 0))).await;

    // A candidate whose pod is stopped.
    story.operator_writes(&granted()).await;
    story.agent_writes(&first, 1, WriteKind::Claim).await;
    story.agent_writes(&first, 2, WriteKind::Renew(AgentState::Demoting)).await;
    story.agent_writes(&first, 3, WriteKind::Release(Why::PodStopping)).await;

    // The container died and was started again, as the active and as a candidate.
    for record in [active(), LeaseRecord { permit: Some(Permit::Prepare), state: AgentState::Claimed, ..active() }] {
        story.operator_writes(&record).await;
        let cleared = story.agent_writes(&second, 1, WriteKind::ReleaseFor(first.clone())).await;
        assert_eq!((cleared.state, cleared.successor), (AgentState::Restarted, Some(second.clone())));
    }
    story.cluster.clean_up().await;
}

/// The standby's pod, or the bot in it, has been taken over.
#[tokio::test]
async fn a_standby_can_neither_make_itself_active_nor_speak_for_the_active() {
    let story = Story::begin("standby").await;
    let standby = story.agent(1);
    let (me, other) = (pod(1).to_string(), boot(1, "bb").to_string());
    let only_holder = format!(
        "The Lease {}/doge is written by its holder alone. That is {}, and this is the token of pod {}.",
        story.cluster.namespace,
        pod(0),
        pod(1)
    );
    for record in [granted(), active()] {
        story.operator_writes(&record).await;
        let renew = format!("{}/6", boot(0, "aa"));
        let rows = [
            ("promotes itself", merge(Some(&me), &[("boot", &other), ("epoch", "8"), ("permit", "Trade")])),
            ("takes the Lease", merge(Some(&me), &[])),
            ("renews for another", merge(None, &[("renew", &renew), ("state", "Active")])),
            ("renews", merge(None, &[("renew", &format!("{other}/1"))])),
            ("claims the grant of another", merge(None, &[("boot", &other), ("state", "Claimed")])),
            ("takes another's boot", merge(None, &[("boot", &boot(0, "aa").to_string())])),
            ("forges a release", merge(Some(""), &[("state", "Released"), ("reason", "PodStopping: so it says.")])),
            ("forges a restart", merge(Some(""), &[("state", "Restarted"), ("successor", &other)])),
            (
                "forges a restart in the other's name",
                merge(Some(""), &[("state", "Restarted"), ("successor", &boot(0, "cc").to_string())]),
            ),
            ("revokes another", merge(None, &[("permit", "Revoke"), ("revoke", "Now")])),
            ("takes the label off", json!({"metadata": {"labels": {"tradingbot.io/bot": null}}})),
        ];
        for (what, patch) in rows {
            story.refuses(&standby, what, patch, &only_holder).await;
        }
    }
    // Nobody holds it: between two epochs it is nobody's to write but the operator's.
    story.operator_writes(&LeaseRecord { holder: None, state: AgentState::Released, ..active() }).await;
    let nobody = "is written by its holder alone. That is nobody, and this is the token of pod doge-1/";
    story.refuses(&standby, "takes what is free", merge(Some(&me), &[("state", "Claimed")]), nobody).await;
    let nobody = "is written by its holder alone. That is nobody, and this is the token of pod doge-0/";
    let back = merge(Some(&pod(0).to_string()), &[("state", "Active")]);
    story.refuses(&story.agent(0), "takes back what it gave up", back, nobody).await;
    // The same name and another uid is another pod.
    story.operator_writes(&active()).await;
    let namesake = Identity::account(&story.cluster.namespace, "doge-agent-0").in_pod("doge-0", &pod(1).uid);
    let renew = merge(None, &[("renew", &format!("{}/6", boot(0, "aa")))]);
    story.refuses(&namesake, "renews for its predecessor", renew, "this is the token of pod doge-0/").await;
    story.cluster.clean_up().await;
}

/// The active's pod has been taken over.
#[tokio::test]
async fn a_holder_changes_nothing_but_its_own_words() {
    let story = Story::begin("holder").await;
    let holder = story.agent(0);
    let own = boot(0, "aa").to_string();
    let terms = r#"{"renewPeriodSeconds":2,"renewDeadlineSeconds":6,"onApiServerLoss":"Continue"}"#;
    let written_by_operator = |what: &str| format!("may not change or take away tradingbot.io/{what} of its Lease");
    let fixed = "the terms of a grant are fixed for the epoch";
    let meta = "An agent may not change labels, owners or finalizers of its Lease";
    let together = "The states Released and Restarted are written together with giving the Lease up, and only then";
    let boot_once =
        "A grant is taken up once, by writing a boot where there is none, and only under the permit Prepare";
    let own_boot = "The boot of a Lease has to begin with the uid of the pod whose agent writes it";
    let renewal = "A renewal is <boot>/<counter>, with the boot of the agent that writes it.";
    let successor = "A successor is another boot of the same pod.";
    let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "doge-0", "uid": pod(0).uid}]);
    let another = boot(1, "bb").to_string();
    let rows: Vec<(&str, Value, String)> = vec![
        ("epoch", merge(None, &[("epoch", "8")]), written_by_operator("epoch")),
        ("token", merge(None, &[("token", "9999999999999999")]), written_by_operator("token")),
        ("permit", merge(None, &[("permit", "Trade ")]), written_by_operator("permit")),
        ("revoke", merge(None, &[("revoke", "Now")]), written_by_operator("revoke")),
        ("terms", merge(None, &[("terms", terms)]), written_by_operator("terms")),
        ("a note of its own", merge(None, &[("note", "x")]), written_by_operator("note")),
        (
            "an annotation away",
            json!({"metadata": {"annotations": {"tradingbot.io/reason": null}}}),
            written_by_operator("reason"),
        ),
        ("all annotations away", json!({"metadata": {"annotations": null}}), "may not change or take away".into()),
        ("a longer lease", json!({"spec": {"leaseDurationSeconds": 3600}}), fixed.into()),
        ("the transitions", json!({"spec": {"leaseTransitions": 0}}), fixed.into()),
        ("the time of the grant", json!({"spec": {"acquireTime": null}}), fixed.into()),
        ("the label", json!({"metadata": {"labels": {"tradingbot.io/bot": null}}}), meta.into()),
        ("another bot's label", json!({"metadata": {"labels": {"tradingbot.io/bot": "shib"}}}), meta.into()),
        ("an owner", json!({"metadata": {"ownerReferences": owner}}), meta.into()),
        ("a finalizer", json!({"metadata": {"finalizers": ["example.com/stay"]}}), meta.into()),
        (
            "the holder to another",
            merge(Some(&pod(1).to_string()), &[]),
            format!("can be given back by its holder and not passed on to {}", pod(1)),
        ),
        ("another boot", merge(None, &[("boot", &boot(0, "cc").to_string())]), boot_once.into()),
        ("another pod's boot", merge(None, &[("boot", &another)]), boot_once.into()),
        ("no boot", merge(None, &[("boot", "")]), boot_once.into()),
        ("a renewal of another", merge(None, &[("renew", &format!("{another}/9"))]), renewal.into()),
        ("a renewal of another boot", merge(None, &[("renew", &format!("{}/9", boot(0, "cc")))]), renewal.into()),
        ("a renewal without a counter", merge(None, &[("renew", &format!("{own}/soon"))]), renewal.into()),
        ("released while it holds", merge(None, &[("state", "Released")]), together.into()),
        (
            "restarted while it holds",
            merge(None, &[("state", "Restarted"), ("successor", &boot(0, "cc").to_string())]),
            together.into(),
        ),
        ("the holder away without a word", merge(Some(""), &[]), together.into()),
        ("a state back", merge(None, &[("state", "Claimed")]), "as from Active to Claimed".into()),
        ("a state of its own", merge(None, &[("state", "Immortal")]), "The state of a held Lease is Claimed".into()),
        ("no state", merge(None, &[("state", "")]), "The state of a held Lease is Claimed".into()),
        (
            "a successor of another pod",
            merge(Some(""), &[("state", "Restarted"), ("successor", &another)]),
            successor.into(),
        ),
        ("itself as successor", merge(Some(""), &[("state", "Restarted"), ("successor", &own)]), successor.into()),
        ("a successor while it goes on", merge(None, &[("successor", &boot(0, "cc").to_string())]), successor.into()),
        ("a reason while it goes on", merge(None, &[("reason", "x")]), "A reason is written together with".into()),
        (
            "a reason like a novel",
            merge(Some(""), &[("state", "Released"), ("reason", &"x".repeat(1025))]),
            "at most 1024 characters".into(),
        ),
        ("its steps while it goes on", merge(None, &[("shutdown", "[]")]), "is written together with the state".into()),
        (
            "its steps with a restart",
            merge(Some(""), &[("state", "Restarted"), ("successor", &boot(0, "cc").to_string()), ("shutdown", "[]")]),
            "is written together with the state Released".into(),
        ),
        (
            "steps like a novel",
            merge(Some(""), &[("state", "Released"), ("shutdown", &"x".repeat(4097))]),
            "has at most 4096 characters".into(),
        ),
        (
            "its promotion like a novel",
            merge(None, &[("promotion", &"x".repeat(1025))]),
            "has at most 1024 characters".into(),
        ),
        ("a path like a novel", merge(None, &[("path", &"x".repeat(1025))]), "at most 1024 characters".into()),
        ("remedies like a novel", merge(None, &[("recovery", &"x".repeat(2049))]), "at most 2048 characters".into()),
        ("checks like a novel", merge(None, &[("health", &"x".repeat(2049))]), "at most 2048 characters".into()),
    ];
    story.operator_writes(&active()).await;
    for (what, patch, sentence) in rows {
        story.refuses(&holder, &format!("The active changes {what}"), patch, &sentence).await;
    }

    story.operator_writes(&LeaseRecord { state: AgentState::Demoting, ..active() }).await;
    let restarts = merge(None, &[("state", "Active")]);
    story.refuses(&holder, "starts again after its demotion", restarts, "as from Demoting to Active").await;

    // A candidate.
    story.operator_writes(&granted()).await;
    let foreign = merge(None, &[("boot", &another), ("state", "Claimed")]);
    story.refuses(&holder, "claims with the boot of another", foreign, own_boot).await;
    story.refuses(&holder, "writes before it claims", merge(None, &[("state", "Claimed")]), own_boot).await;
    let releases = merge(Some(""), &[("state", "Released")]);
    story.refuses(&holder, "releases before it claims", releases, own_boot).await;
    let trades = merge(None, &[("boot", &own), ("state", "Active")]);
    story.refuses(&holder, "trades without the permit", trades, "Under the permit Prepare nobody trades").await;
    // A Lease that somebody wrote by hand: no agent takes up what was never prepared.
    for permit in [Permit::Trade, Permit::Revoke] {
        story.operator_writes(&LeaseRecord { permit: Some(permit), ..granted() }).await;
        let claims = merge(None, &[("boot", &own), ("state", "Claimed")]);
        story.refuses(&holder, "claims without Prepare", claims, boot_once).await;
    }
    story.cluster.clean_up().await;
}

#[tokio::test]
async fn no_other_service_account_writes_makes_or_deletes_a_bots_lease() {
    let story = Story::begin("others").await;
    let (client, ns) = (&story.cluster.client, &story.cluster.namespace);
    story.operator_writes(&active()).await;
    let ci = Identity::account(ns, "ci");
    let renew = merge(None, &[("renew", &format!("{}/6", boot(0, "aa")))]);
    let bound = format!("The token of system:serviceaccount:{ns}:ci is bound to none.");
    story.refuses(&ci, "CI renews", renew.clone(), &bound).await;
    story.refuses(&ci, "CI takes the label off", json!({"metadata": {"labels": null}}), &bound).await;
    // The account of the active's pod, and a token that was made for it without the pod.
    let unbound = Identity::account(ns, "doge-agent-0");
    story.refuses(&unbound, "an unbound token renews", renew.clone(), "is bound to none.").await;

    let dry = format!("{}?dryRun=All", story.path);
    let leases = dry.replace("/doge?", "?");
    let alone = "of a bot is made and deleted by the operator alone";
    let new = json!({"metadata": {"name": "shib", "labels": {"tradingbot.io/bot": "shib"}}, "spec": {}});
    // Also what runs in a pod of kube-system, which are not the controllers of Kubernetes.
    let system = Identity::account("kube-system", "cni").in_pod("cni-x", "u9");
    for who in [&ci, &unbound, &story.agent(0), &story.agent(1), &system] {
        refused("delete", who.delete(client, &dry).await, alone);
        refused("create", who.create(client, &leases, &new).await, alone);
        refused("delete all", who.delete(client, &leases).await, alone);
    }
    story.refuses(&system, "a pod of kube-system renews", renew, "is written by its holder alone").await;
    // Applying is creating where there is nothing yet.
    let apply = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": new["metadata"]});
    let path = leases.replace("?", "/shib?") + "&fieldManager=ci";
    refused("apply", ci.change(client, &path, With::Apply, &apply).await, alone);
    // A label that makes a Lease a bot's is refused too; other Leases are nobody's business.
    let other = json!({"metadata": {"name": "other"}, "spec": {"holderIdentity": "x"}});
    let collection = leases.trim_end_matches("?dryRun=All");
    ci.create(client, collection, &other).await.expect("a Lease that is no bot's");
    let labelled = json!({"metadata": {"labels": {"tradingbot.io/bot": "other"}}});
    let path = leases.replace("?", "/other?");
    refused("label", ci.change(client, &path, With::MergePatch, &labelled).await, "bound to none");
    ci.change(client, &path, With::MergePatch, &json!({"spec": {"holderIdentity": "y"}})).await.expect("its own Lease");
    story.cluster.clean_up().await;
}

#[tokio::test]
async fn people_and_kubernetes_itself_are_ruled_by_rbac_alone() {
    let story = Story::begin("people").await;
    let client = &story.cluster.client;
    story.operator_writes(&active()).await;
    let dry = format!("{}?dryRun=All", story.path);
    let anything = merge(Some("somebody"), &[("epoch", "99"), ("permit", "Trade")]);
    let collector = Identity::account("kube-system", "generic-garbage-collector");
    for who in [Identity::person(), Identity::account(SYSTEM, OPERATOR), collector] {
        who.change(client, &dry, With::MergePatch, &anything).await.expect("a change");
        who.delete(client, &dry).await.expect("a deletion");
    }
    // Namespaces go with what is in them.
    let namespaces = Identity::account("kube-system", "namespace-controller");
    namespaces.delete(client, story.path.trim_end_matches("/doge")).await.expect("all Leases of a namespace");
    let api: Api<Lease> = Api::namespaced(client.clone(), &story.cluster.namespace);
    assert!(api.get_opt("doge").await.expect("an answer").is_none());
    // The tests' own account is a person's.
    let lease = json!({"metadata": {"name": "doge", "labels": {"tradingbot.io/bot": "doge"}}, "spec": {}});
    let lease = serde_json::from_value(lease).expect("a Lease");
    api.create(&PostParams::default(), &lease).await.expect("made by a person");
    api.delete("doge", &DeleteParams::default()).await.expect("deleted by a person");
    story.cluster.clean_up().await;
}
