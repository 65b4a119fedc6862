//! Values that were planted in Secrets are found nowhere else, whatever happens to the bot that uses them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use age::secrecy::ExposeSecret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

use crate::harness::*;

/// Something that can be recognised wherever it is.
struct Planted {
    /// What it is used for.
    what: &'static str,
    value: String,
}

impl Planted {
    fn new(what: &'static str) -> Planted {
        let mut random = [0; 6];
        getrandom::fill(&mut random).expect("the kernel gives random numbers");
        // A letter first and no capitals, so that it can be part of a name.
        let value = random.iter().fold("s".to_owned(), |text, byte| format!("{text}{byte:02x}"));
        Planted { what, value }
    }

    /// How it looks as it is, and in base64, at whatever distance from the beginning of what was encoded.
    fn looks(&self) -> Vec<String> {
        let shifted = (0..3).map(|shift| {
            let bytes = [vec![0; shift], self.value.clone().into_bytes()].concat();
            let text = STANDARD_NO_PAD.encode(&bytes);
            // Only the characters whose bits are all of the value.
            text[(shift * 8).div_ceil(6)..bytes.len() * 8 / 6].to_owned()
        });
        std::iter::once(self.value.clone()).chain(shifted).collect()
    }

    fn is_in(&self, text: &str) -> bool {
        self.looks().iter().any(|look| text.contains(look.as_str()))
    }
}

/// What anybody could read, by where it is. What is gone by now stays.
#[derive(Default)]
struct Places(BTreeMap<String, String>);

impl Places {
    /// The places in which it is.
    fn with(&self, planted: &Planted) -> Vec<&str> {
        self.0.iter().filter(|(_, text)| planted.is_in(text)).map(|(place, _)| place.as_str()).collect()
    }

    /// Reads everything that there is now.
    async fn read(&mut self, world: &World) {
        for namespace in [world.namespace.as_str(), SYSTEM] {
            for kind in OBJECTS {
                let (base, resource) = kind.rsplit_once('/').expect("a path");
                let path = format!("{base}/namespaces/{namespace}/{resource}");
                let what = format!("{path} can be read");
                let text = until(&what, seconds(20), async || world.cluster.get(&path).await.ok()).await;
                self.0.entry(path).or_default().push_str(&text);
            }
            let pods: Api<Pod> = Api::namespaced(world.cluster.client.clone(), namespace);
            let pods = pods.list(&ListParams::default()).await.expect("the pods can be listed");
            for pod in pods.items {
                self.read_logs(world, &pod).await;
                self.read_pages(world, &pod).await;
            }
        }
    }

    async fn read_logs(&mut self, world: &World, pod: &Pod) {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let status = pod.status.clone().unwrap_or_default();
        let containers = status.container_statuses.into_iter().chain(status.init_container_statuses).flatten();
        for container in containers {
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/log?container={}", container.name);
            let starts = container.restart_count;
            for (start, previous) in [(starts, ""), (starts - 1, "&previous=true")] {
                // There is none of a container that has not started, and the kubelet keeps one that has ended.
                if let Ok(text) = world.cluster.get(&format!("{path}{previous}")).await {
                    let uid = pod.uid().unwrap_or_default();
                    self.0.insert(format!("log of {namespace}/{name}/{} start {start} {uid}", container.name), text);
                }
            }
        }
    }

    /// What programs serve.
    async fn read_pages(&mut self, world: &World, pod: &Pod) {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let is_bot = pod.labels().get("tradingbot.io/component").is_some_and(|component| component == "bot");
        let pages: &[&str] = match (namespace == SYSTEM, is_bot) {
            (true, _) => &["8080/metrics", "8080/ready", "8080/live"],
            (_, true) => &["9798/metrics", "9798/readyz", "9798/healthz"],
            _ => return,
        };
        for page in pages {
            let (port, page) = page.split_once('/').expect("a port and a page");
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/{page}");
            // One that is not ready says so with a status of its own, and one that ends serves nothing.
            let text = world.cluster.get(&path).await.unwrap_or_else(|refusal| refusal);
            self.0.entry(path).or_default().push_str(&text);
        }
        if is_bot && let Some(text) = local_api(&namespace, &name, "/v1/leadership") {
            self.0.entry(format!("leadership of {namespace}/{name}")).or_default().push_str(&text);
        }
    }
}

/// Everything in which a secret could end up that somebody may read who may not read Secrets.
const OBJECTS: [&str; 14] = [
    "/apis/tradingbot.io/v1alpha1/tradingbots",
    "/apis/tradingbot.io/v1alpha1/tradingbotoperations",
    "/apis/coordination.k8s.io/v1/leases",
    "/apis/events.k8s.io/v1/events",
    "/apis/batch/v1/jobs",
    "/apis/batch/v1/cronjobs",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/apps/v1/controllerrevisions",
    "/api/v1/configmaps",
    "/api/v1/services",
    "/api/v1/serviceaccounts",
    // With the termination messages in their status.
    "/api/v1/pods",
];

/// A page that only processes of the pod reach: through a port that kubectl forwards.
fn local_api(namespace: &str, pod: &str, page: &str) -> Option<String> {
    let mut command = kubectl_command();
    command.args(["--namespace", namespace, "port-forward", pod, ":9797"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut forward = Forward(command.spawn().expect("kubectl runs"));
    let mut line = String::new();
    BufReader::new(forward.0.stdout.as_mut()?).read_line(&mut line).ok()?;
    // "Forwarding from 127.0.0.1:43210 -> 9797"
    let port = line.split_once("127.0.0.1:")?.1.split(' ').next()?.parse::<u16>().ok()?;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(seconds(5))).ok()?;
    write!(stream, "GET {page} HTTP/1.0\r\nHost: 127.0.0.1:9797\r\n\r\n").ok()?;
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    Some(text)
}

struct Forward(std::process::Child);

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn make_secret(world: &World, name: &str, data: serde_json::Value) {
    let secrets: Api<Secret> = Api::namespaced(world.cluster.client.clone(), &world.namespace);
    let secret = serde_json::from_value(json!({"metadata": {"name": name}, "stringData": data})).expect("a Secret");
    secrets.create(&PostParams::default(), &secret).await.expect("the Secret is made");
}

/// A request to the paper bot's control port: one that it grants, or one that it does not know.
fn hook(path: &str) -> serde_json::Value {
    json!({"http": {"port": 9000, "path": path, "basicAuthSecretRef": {"name": "hook"}}, "timeoutSeconds": 5})
}

#[test]
fn planted_secrets_are_found_nowhere() {
    scenario("planted_secrets", Turn::Shared, async |world| {
        let secrets = ["a hook's user", "a hook's password", "a variable of the template", "the exchange's key"]
            .map(Planted::new);
        let [user, password, variable, key] = &secrets;
        make_secret(world, "hook", json!({"username": user.value, "password": password.value})).await;
        make_secret(world, "variable", json!({"key": variable.value})).await;
        make_secret(world, "credentials", json!({"key": key.value})).await;
        // No secret: the bot is called like this, and its description says so in base64.
        let control = Planted::new("the control");
        let name = format!("doge-{}", control.value);
        let encoded = STANDARD_NO_PAD.encode(format!("called {}", control.value));
        let from_secret =
            json!([{"name": "EXCHANGE_KEY", "valueFrom": {"secretKeyRef": {"name": "variable", "key": "key"}}}]);
        let bot = bot()
            .named(&name)
            .hot()
            .reconciled()
            .with("/spec/credentials", json!({"secretName": "credentials"}))
            .with("/metadata/annotations", json!({"description": encoded}))
            .with("/spec/template/spec/containers/0/env", from_secret)
            .with(
                "/spec/hooks",
                json!({"promote": hook("/control/ignore-sigterm"), "demote": hook("/control/unknown")}),
            );
        let bot = world.apply(bot).await;
        let mut places = Places::default();

        let before = bot.until_trading().await;
        places.read(world).await;
        let round = bot.begin_round("crash").await;
        bot.tell(&before.active.expect("one trades").pod, "crash").await;
        bot.first_order_of_next(&round).await;
        bot.until_trading().await;
        places.read(world).await;

        let round = bot.begin_round("switchover, with a demote hook that fails").await;
        bot.until_ended(&bot.ask("Switchover", None).await).await;
        bot.first_order_of_next(&round).await;
        bot.until_trading().await;
        places.read(world).await;

        bot.change(json!({"spec": {"hooks": {"promote": {"http": {"path": "/control/unknown"}}}}})).await;
        until("a promote hook fails", SOON, async || {
            places.read(world).await;
            let failed = |(place, text): (&String, &String)| {
                place.starts_with("log of e2e-") && text.contains("the promote hook POST")
            };
            places.0.iter().any(failed).then_some(())
        })
        .await;

        let demoted = |(place, text): (&String, &String)| {
            place.starts_with("log of e2e-") && text.contains("the demote hook POST")
        };
        assert!(places.0.iter().any(demoted), "no demote hook failed, so nothing was tried");
        let control_is_in = places.with(&control);
        let own = format!("/namespaces/{}/", world.namespace);
        for place in ["tradingbots", "tradingbotoperations", "leases", "events", "jobs", "pods"] {
            let found = control_is_in.iter().any(|p| p.contains(&own) && p.ends_with(&format!("/{place}")));
            assert!(found, "the search misses {place}: it found the control only in {control_is_in:?}");
        }
        for place in
            [format!("log of {}/{name}-", world.namespace), format!("log of {SYSTEM}/"), "leadership of".into()]
        {
            let found = control_is_in.iter().any(|p| p.starts_with(&place));
            assert!(found, "the search misses the {place}…: it found the control only in {control_is_in:?}");
        }
        for planted in &secrets {
            assert_eq!(places.with(planted), Vec::<&str>::new(), "{} is where anybody can read it", planted.what);
        }
        world.note("places searched", places.0.len());
    });
}

#[test]
fn planted_secrets_of_backups_are_found_nowhere() {
    scenario("planted_secrets_of_backups", Turn::Shared, async |world| {
        let [key, other_key, password] =
            ["the store's key", "a key that is refused", "the database's password"].map(Planted::new);
        let private = age::x25519::Identity::generate();
        let identity =
            Planted { what: "the identity that decrypts", value: private.to_string().expose_secret().to_owned() };
        let database = Database::start(world, &password.value).await;
        let store = Store::start_with(world, "store", &key.value).await;
        make_secret(world, "identity", json!({"identity": identity.value})).await;
        database.query("create database scratch").expect("there is a database for verifications");
        make_secret(world, "scratch", database.variables(&password.value, "scratch")).await;
        let encryption = json!({"recipients": [private.to_public().to_string()], "identitySecretName": "identity"});
        let verification = json!({"schedule": "0 0 1 1 *", "verify": "Restore", "runner": {"secretName": "scratch"}});
        let manifest = bot()
            .books_in_database(DATABASE_SECRET, 20)
            .backed_up(database.source(), store.destination())
            .with("/spec/backup/encryption", encryption)
            .with("/spec/backup/verification", verification);
        let bot = world.apply(manifest).await;
        let mut places = Places::default();
        bot.until_trading().await;
        let id = bot.back_up().await;
        bot.begin_run_of("doge-verify", "doge-verify-now").await;
        assert_eq!(bot.program_of("doge-verify-now").await.exit_code, 0);
        bot.until_condition("BackupVerified", "True", "restored").await;
        places.read(world).await;

        // Programs say most when something is wrong.
        put_secret(world, "store", &keys("store", &other_key.value)).await;
        bot.fail_to_back_up().await;
        places.read(world).await;
        put_secret(world, "store", &keys("store", &key.value)).await;

        let round = bot.begin_round("the database is destroyed").await;
        database.query("drop table orders").expect("the table is dropped");
        bot.restore().await;
        bot.first_order_of_next(&round).await;
        bot.until_trading().await;
        places.read(world).await;

        assert!(store.manifest(&id).recipients.len() == 1, "it was not encrypted");
        for (place, words) in
            [("/cronjobs", "doge-b-yearly"), ("/jobs", "doge-verify-now"), ("/pods", "doge-verify-now")]
        {
            let own = format!("/namespaces/{}{place}", world.namespace);
            let found = places.0.iter().any(|(name, text)| name.ends_with(&own) && text.contains(words));
            assert!(found, "the search misses {words} in {place}");
        }
        for run in ["doge-restore-", "doge-check-", "doge-verify-now"] {
            let log = format!("log of {}/{run}", world.namespace);
            assert!(places.0.keys().any(|place| place.starts_with(&log)), "the search misses the {log}…");
        }
        for planted in [&key, &other_key, &password, &identity] {
            assert_eq!(places.with(planted), Vec::<&str>::new(), "{} is where anybody can read it", planted.what);
        }
        world.note("places searched", places.0.len());
    });
}

#[test]
fn value_is_recognised_also_within_base64() {
    let planted = Planted::new("a value");
    let found = |text: &str| planted.is_in(text);
    for before in ["", "u", "us", "user:", "user: "] {
        let text = STANDARD_NO_PAD.encode(format!("{before}{} and more", planted.value));
        assert!(found(&format!("Basic {text}")), "after '{before}'");
    }
    assert!(found(&format!("it is {}!", planted.value)) && !found("Basic dXNlcjpwYXNzd29yZA"));
}
