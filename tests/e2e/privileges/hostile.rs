//! A bot's pod is taken over: what its own token is good for, with RBAC and policies as they are installed.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::merge::merge;
use crate::harness::*;

/// What refuses a request.
#[derive(Clone, Copy, Debug)]
enum Refused {
    /// The account has no right to it at all.
    ByRbac,
    /// The account may write there, and not this; the words of the policy.
    ByPolicy(&'static str),
}

use Refused::{ByPolicy, ByRbac};

/// Somebody with the token of a pod, as an intruder would find it in the pod's file system.
struct Intruder {
    client: Client,
    /// `<name>/<uid>` of the pod.
    pod: String,
    uid: String,
}

impl Intruder {
    async fn into(world: &World, pod: &Pod) -> Intruder {
        let (name, uid) = (pod.name_any(), pod.uid().expect("pods have a uid"));
        let client = client_of(&world.cluster, pod).await;
        Intruder { client, pod: format!("{name}/{uid}"), uid }
    }

    /// The answer's code and text.
    async fn asks(&self, method: &str, path: &str, body: Option<&Value>) -> Result<String, (u16, String)> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
        let body = body.map(|value| value.to_string().into_bytes()).unwrap_or_default();
        match self.client.request_text(request.body(body).expect("a request")).await {
            Ok(text) => Ok(text),
            Err(kube::Error::Api(status)) => Err((status.code, status.message.clone())),
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    async fn is_refused(&self, what: &str, method: &str, path: &str, body: Option<&Value>, how: Refused) {
        match (self.asks(method, path, body).await, how) {
            (Ok(answer), _) => panic!("{what}: was allowed: {answer}"),
            (Err((403, text)), ByRbac) if !text.contains("ValidatingAdmissionPolicy") => {}
            (Err((422, text)), ByPolicy(words)) if text.contains(words) => {}
            (Err((code, text)), _) => panic!("{what}: refused with {code} {text}, expected {how:?}"),
        }
    }
}

/// What RBAC refuses to every pod of a bot.
async fn assert_sees_nothing_else(who: &Intruder, namespace: &str) {
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
    let ours = format!("/apis/tradingbot.io/v1alpha1/namespaces/{namespace}");
    let core = format!("/api/v1/namespaces/{namespace}");
    let active = json!({"status": {"phase": "Active", "epoch": 99}});
    let another = json!({"metadata": {"name": "another", "labels": {"tradingbot.io/bot": "another"}}, "spec": {}});
    let taken = merge(Some(&who.pod), &[]);
    let done = json!({"spec": {"botName": "doge", "type": "Failover"}, "metadata": {"name": "mine"}});
    let unsuspended = json!({"spec": {"suspend": false, "replicas": 9}});
    let rows = [
        ("to read another bot's Lease", "GET", format!("{leases}/shib"), None),
        ("to write to another bot's Lease", "PATCH", format!("{leases}/shib"), Some(&taken)),
        ("to see all Leases", "GET", leases.clone(), None),
        ("to watch all Leases", "GET", format!("{leases}?watch=1&timeoutSeconds=1"), None),
        ("to delete its Lease", "DELETE", format!("{leases}/doge"), None),
        ("to make a Lease", "POST", leases.clone(), Some(&another)),
        ("to read the account's Lease", "GET", leases.replace(namespace, "tradingbot-system") + "/account-x", None),
        ("to read a Secret", "GET", format!("{core}/secrets/keys"), None),
        ("to see all Secrets", "GET", format!("{core}/secrets"), None),
        ("to read another bot", "GET", format!("{ours}/tradingbots/shib"), None),
        ("to read its own bot", "GET", format!("{ours}/tradingbots/doge"), None),
        ("to change its bot", "PATCH", format!("{ours}/tradingbots/doge"), Some(&unsuspended)),
        ("to write its bot's status", "PATCH", format!("{ours}/tradingbots/doge/status"), Some(&active)),
        ("to ask for a failover", "POST", format!("{ours}/tradingbotoperations"), Some(&done)),
        ("to see the pods", "GET", format!("{core}/pods"), None),
        ("to make a token", "POST", format!("{core}/serviceaccounts/default/token"), Some(&done)),
    ];
    for (what, method, path, body) in rows {
        who.is_refused(what, method, &path, body, ByRbac).await;
    }
}

#[test]
fn pods_that_are_taken_over_neither_promote_themselves_nor_forge_anything() {
    scenario("hostile_pods", Turn::Shared, async |world| {
        let (doge, shib) = (bot(), bot().named("shib"));
        let bot = world.apply(doge).await;
        world.apply(shib).await.until_trading().await;
        let before = bot.until_trading().await;
        let secrets: Api<Secret> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
        let secret = serde_json::from_value(json!({"metadata": {"name": "keys"}, "stringData": {"key": "x"}}));
        secrets.create(&PostParams::default(), &secret.expect("a Secret")).await.expect("the Secret is made");

        let active = Intruder::into(world, &bot.active().await).await;
        let standby = bot.pod(&bot.standby().await).await.expect("the standby's pod");
        let standby = Intruder::into(world, &standby).await;
        let lease = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases/doge", world.namespace);
        // The API server enforces new policies after some moments.
        let dry = format!("{lease}?dryRun=All");
        let note = merge(None, &[("note", "x")]);
        until("the policies of manifests/install.yaml are in force", seconds(30), async || {
            standby.asks("PATCH", &dry, Some(&note)).await.err().map(|(code, _)| assert_eq!(code, 422))
        })
        .await;

        // Both may read the Lease of their bot: that is how they learn who is to trade.
        let found = bot.lease().await.expect("the Lease is there");
        let notes = found.annotations();
        let own_boot = notes["tradingbot.io/boot"].clone();
        let epoch = notes["tradingbot.io/epoch"].clone();
        for who in [&active, &standby] {
            who.asks("GET", &lease, None).await.expect("a pod may read its bot's Lease");
        }

        let round = bot.begin_round("two of the bot's pods are hostile").await;
        for who in [&active, &standby] {
            assert_sees_nothing_else(who, &world.namespace).await;
        }
        let next = (epoch.parse::<u64>().expect("a number") + 1).to_string();
        let false_boot = format!("{}/0123456789abcdef", standby.uid);
        let renewal = format!("{own_boot}/999999");
        let stopped = [("state", "Released"), ("reason", "PodStopping: the pod is being stopped.")];
        let restarted = [("state", "Restarted"), ("successor", false_boot.as_str())];
        let alone = ByPolicy("is written by its holder alone");
        let promoted = [("epoch", next.as_str()), ("permit", "Trade"), ("boot", &false_boot), ("state", "Active")];
        for (what, body) in [
            ("the standby promotes itself", merge(Some(&standby.pod), &promoted)),
            ("the standby takes the Lease", merge(Some(&standby.pod), &[])),
            ("the standby renews for the active", merge(None, &[("renew", &renewal), ("state", "Active")])),
            ("the standby forges a release of the active", merge(Some(""), &stopped)),
            ("the standby forges a restart of the active", merge(Some(""), &restarted)),
            ("the standby revokes the active", merge(None, &[("permit", "Revoke"), ("revoke", "Now")])),
            ("the standby takes the label off", json!({"metadata": {"labels": null}})),
        ] {
            standby.is_refused(what, "PATCH", &lease, Some(&body), alone).await;
        }
        let operators = ByPolicy("An agent may not change or take away tradingbot.io/");
        let fixed = ByPolicy("the terms of a grant are fixed for the epoch");
        let token = "9007199254740991";
        for (what, body, how) in [
            ("the active moves its epoch on", merge(None, &[("epoch", &next)]), operators),
            ("the active takes a later token", merge(None, &[("token", token)]), operators),
            ("the active changes its permit", merge(None, &[("permit", "Prepare")]), operators),
            ("the active changes its terms", merge(None, &[("terms", "{}")]), operators),
            ("the active makes its lease longer", json!({"spec": {"leaseDurationSeconds": 3600}}), fixed),
            (
                "the active passes the Lease on",
                merge(Some(&standby.pod), &[]),
                ByPolicy("can be given back by its holder and not passed on"),
            ),
            (
                "the active says that it stopped, and goes on",
                merge(None, &stopped),
                ByPolicy("are written together with giving the Lease up"),
            ),
            (
                "the active renews as the standby",
                merge(None, &[("renew", &format!("{false_boot}/1"))]),
                ByPolicy("A renewal is <boot>/<counter>"),
            ),
            (
                "the active names the standby as its successor",
                merge(Some(""), &restarted),
                ByPolicy("A successor is another boot of the same pod"),
            ),
        ] {
            active.is_refused(what, "PATCH", &lease, Some(&body), how).await;
        }

        bot.assert_undisturbed_since(&round).await;
        let after = bot.until_trading().await;
        assert_eq!((after.epoch, after.token), (before.epoch, before.token), "{}", after.message);
        let lease = bot.lease().await.expect("the Lease is there");
        assert_eq!(lease.annotations()["tradingbot.io/boot"], own_boot);
        assert_eq!(lease.annotations()["tradingbot.io/epoch"], epoch);
    });
}
