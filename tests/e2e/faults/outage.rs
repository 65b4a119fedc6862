//! The API server or its store stands still, comes back older than it was, or takes rights away.

use std::time::Duration;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, join_all};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, Subject};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use serde_json::json;

use super::fault::{Outcome, Stage, Struck};
use super::fleet::Target;
use crate::harness::*;

/// How many seconds it stands still, by turns.
const PAUSES: [u64; 5] = [5, 15, 30, 60, 180];
/// Long enough for any answer of an API server that lives.
const NO_ANSWER: Duration = Duration::from_secs(2);
/// Rights are away for so long.
const WITHOUT_RIGHTS: Duration = Duration::from_secs(60);
const OPERATORS_ACCOUNT: &str = "system:serviceaccount:tradingbot-system:tradingbot-operator";

/// The API server stands still: connections stay open and nothing is answered.
pub fn api_server_paused<'a>(
    stage: &'a Stage<'a>,
    targets: &'a [Target],
    number: usize,
) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move {
        let pause = Duration::from_secs(PAUSES[number % PAUSES.len()]);
        let paused = stage.world.faults().pause_apiserver();
        let began = std::time::Instant::now();
        let silent = tokio::time::timeout(NO_ANSWER, stage.world.cluster.get("/version")).await.is_err();
        tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
        paused.heal();
        after_the_pause(stage, targets, pause, silent).await
    }
    .boxed_local()
}

/// The store stands still: the API server answers what it knows and writes nothing.
pub fn etcd_paused<'a>(stage: &'a Stage<'a>, targets: &'a [Target], number: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move {
        let pause = Duration::from_secs(PAUSES[number % PAUSES.len()]);
        let paused = stage.world.faults().pause_etcd();
        let began = std::time::Instant::now();
        let maps: Api<ConfigMap> = Api::namespaced(stage.world.cluster.client.clone(), &stage.world.namespace);
        let map = ConfigMap {
            metadata: ObjectMeta { generate_name: Some("written-".into()), ..ObjectMeta::default() },
            ..ConfigMap::default()
        };
        let written = tokio::time::timeout(NO_ANSWER, maps.create(&PostParams::default(), &map)).await;
        let silent = !matches!(written, Ok(Ok(_)));
        tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
        paused.heal();
        after_the_pause(stage, targets, pause, silent).await
    }
    .boxed_local()
}

/// Nobody moves when it is back, whoever had to stop meanwhile.
async fn after_the_pause(stage: &Stage<'_>, targets: &[Target], pause: Duration, silent: bool) -> Vec<Outcome> {
    let back = until("the API server carries out what it is asked", seconds(60), async || {
        let mark = stage.fleet.exchange.try_mark(json!({"text": "the API server is back"}));
        tokio::time::timeout(NO_ANSWER, mark).await.ok()?
    })
    .await;
    let outcome = |_: &Target| {
        if !silent {
            return Err("it answered all the same".to_owned());
        }
        Ok(Struck::stays(
            format!("no answer within {} s, for {} s", NO_ANSWER.as_secs(), pause.as_secs()),
            back.clone(),
        ))
    };
    targets.iter().map(outcome).collect()
}

/// The store is lost and put back from a copy that knows nothing of the last epoch of any bot.
pub fn etcd_restored<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move {
        let faults = stage.world.faults();
        faults.save_etcd();
        // What happens now will never have happened.
        let moved = join_all(targets.iter().map(|target| async {
            target.member.bot.tell(&target.pod, "crash").await;
            target.member.bot.exchange.first_order_of_next(&target.round, SOON).await;
            stage.fleet.until_trades_beyond(&target.member, target.epoch, SOON).await.epoch
        }))
        .await;
        faults.restore_etcd();
        // Epochs are numbers in the store; what grows over its loss is the token (design, rule 2).
        let mut outcomes = Vec::new();
        for (target, epoch) in targets.iter().zip(moved) {
            let restored = until("the exchange is in reach", seconds(90), async || {
                let bot = &target.member.bot;
                let mark = json!({"text": "restored", "account": bot.account, "recreated": true});
                bot.exchange.try_mark(mark).await
            })
            .await;
            let now = target.member.bot.status().await.epoch;
            outcomes.push(if now < epoch || now == target.epoch {
                Ok(Struck::resumes(format!("epoch {epoch} traded and the store said {now} again"), restored))
            } else {
                Ok(Struck::resumes(
                    format!("epoch {epoch} traded before the store of epoch {} came back", target.epoch),
                    restored,
                ))
            });
        }
        outcomes
    }
    .boxed_local()
}

/// The operator's rights are taken away for a minute, in which every second active crashes.
pub fn operators_rights_gone<'a>(
    stage: &'a Stage<'a>,
    targets: &'a [Target],
    _: usize,
) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { without_rights(stage, targets, false).await }.boxed_local()
}

/// Those of the agents go, too.
pub fn all_rights_gone<'a>(stage: &'a Stage<'a>, targets: &'a [Target], _: usize) -> LocalBoxFuture<'a, Vec<Outcome>> {
    async move { without_rights(stage, targets, true).await }.boxed_local()
}

async fn without_rights(stage: &Stage<'_>, targets: &[Target], agents_too: bool) -> Vec<Outcome> {
    let mut all_had_them = true;
    for target in targets {
        let account = agents_account(stage, target).await;
        all_had_them &= is_allowed(stage, &account, target).await;
    }
    let began = std::time::Instant::now();
    let taken = Rights::take(stage, agents_too).await;
    let refused = !is_allowed(stage, OPERATORS_ACCOUNT, &targets[0]).await;
    let agents = agents_too && {
        let mut gone = true;
        for target in targets {
            let account = agents_account(stage, target).await;
            gone &= !is_allowed(stage, &account, target).await;
        }
        gone
    };
    let crashes = |n: usize| n.is_multiple_of(2) && !agents_too;
    for (_, target) in targets.iter().enumerate().filter(|(n, _)| crashes(*n)) {
        target.member.bot.tell(&target.pod, "crash").await;
    }
    tokio::time::sleep(WITHOUT_RIGHTS.saturating_sub(began.elapsed())).await;
    let back = stage.fleet.exchange.mark(json!({"text": "rights are given back"})).await;
    taken.give_back(stage).await;
    let outcome = |(n, _): (usize, &Target)| {
        if !all_had_them || !refused || (agents_too && !agents) {
            return Err("the API server allowed it all the same, or had never done so".to_owned());
        }
        if crashes(n) {
            return Ok(Struck {
                from: Some(back.clone()),
                ..Struck::moves("the API server refused, the active had crashed")
            });
        }
        Ok(Struck::stays("the API server refused", back.clone()))
    };
    targets.iter().enumerate().map(outcome).collect()
}

/// The account that the pod of the active runs as.
async fn agents_account(stage: &Stage<'_>, target: &Target) -> String {
    let pod = target.member.bot.pod(&target.pod).await.and_then(|pod| pod.spec?.service_account_name);
    format!("system:serviceaccount:{}:{}", stage.world.namespace, pod.expect("pods have an account"))
}

/// Whether this account may change the bot's Lease.
async fn is_allowed(stage: &Stage<'_>, user: &str, target: &Target) -> bool {
    let reviews: Api<SubjectAccessReview> = Api::all(stage.world.cluster.client.clone());
    let attributes = ResourceAttributes {
        namespace: Some(stage.world.namespace.clone()),
        verb: Some("patch".into()),
        group: Some("coordination.k8s.io".into()),
        resource: Some("leases".into()),
        name: Some(target.member.bot.name.clone()),
        ..ResourceAttributes::default()
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = reviews.create(&PostParams::default(), &review).await.expect("a review");
    answer.status.is_some_and(|status| status.allowed)
}

/// Bindings that were taken away, to be given back.
struct Rights {
    cluster: Vec<ClusterRoleBinding>,
    namespaced: Vec<RoleBinding>,
}

impl Rights {
    async fn take(stage: &Stage<'_>, agents_too: bool) -> Rights {
        let client = &stage.world.cluster.client;
        let is_operators = |subjects: &Option<Vec<Subject>>| {
            subjects.iter().flatten().any(|s| s.name == "tradingbot-operator" && s.namespace.as_deref() == Some(SYSTEM))
        };
        let all: Api<ClusterRoleBinding> = Api::all(client.clone());
        let mut cluster = all.list(&ListParams::default()).await.expect("the bindings").items;
        cluster.retain(|binding| is_operators(&binding.subjects));
        let everywhere: Api<RoleBinding> = Api::all(client.clone());
        let mut namespaced = everywhere.list(&ListParams::default()).await.expect("the bindings").items;
        namespaced.retain(|binding| {
            let ours = binding.namespace().as_ref() == Some(&stage.world.namespace);
            is_operators(&binding.subjects) || (agents_too && ours)
        });
        for binding in &cluster {
            all.delete(&binding.name_any(), &DeleteParams::default()).await.expect("the binding is deleted");
        }
        for binding in &namespaced {
            let api: Api<RoleBinding> = Api::namespaced(client.clone(), &binding.namespace().unwrap_or_default());
            api.delete(&binding.name_any(), &DeleteParams::default()).await.expect("the binding is deleted");
        }
        Rights { cluster, namespaced }
    }

    async fn give_back(self, stage: &Stage<'_>) {
        let client = &stage.world.cluster.client;
        // The agents' first: the operator would make its own of them.
        for mut binding in self.namespaced {
            let api: Api<RoleBinding> = Api::namespaced(client.clone(), &binding.namespace().unwrap_or_default());
            as_new(&mut binding.metadata);
            api.create(&PostParams::default(), &binding).await.expect("the binding is made again");
        }
        for mut binding in self.cluster {
            let api: Api<ClusterRoleBinding> = Api::all(client.clone());
            as_new(&mut binding.metadata);
            api.create(&PostParams::default(), &binding).await.expect("the binding is made again");
        }
    }
}

/// Without what the API server fills in.
fn as_new(metadata: &mut ObjectMeta) {
    (metadata.resource_version, metadata.uid) = (None, None);
    (metadata.managed_fields, metadata.creation_timestamp) = (None, None);
}
