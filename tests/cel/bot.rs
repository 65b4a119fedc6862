//! Bad and good `TradingBot`s.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::cluster::{Cluster, KINDS, kubectl, refused};

pub fn smallest() -> Value {
    json!({
        "apiVersion": "tradingbot.io/v1alpha1",
        "kind": "TradingBot",
        "metadata": {"name": "doge-jpy"},
        "spec": {"template": {"spec": {"containers": [{"name": "bot", "image": "example/bot:1", "command": ["/bot"]}]}}}
    })
}

type Change = fn(&mut Value);

fn pod(bot: &mut Value) -> &mut Value {
    &mut bot["spec"]["template"]["spec"]
}

fn container(bot: &mut Value) -> &mut Value {
    &mut bot["spec"]["template"]["spec"]["containers"][0]
}

#[tokio::test]
async fn bad_bots_are_refused_with_a_sentence_that_says_what_to_change() {
    let cases: &[(&str, Change, &str)] = &[
        (
            "no container of that name",
            |b| b["spec"]["containerName"] = json!("trader"),
            "spec.template has no container with the name trader: rename the container that trades, or set spec.containerName",
        ),
        (
            "no command",
            |b| drop(container(b).as_object_mut().unwrap().remove("command")),
            "needs a command, because the agent starts it: set command to what the image runs. Find it with: docker inspect -f '{{.Config.Entrypoint}} {{.Config.Cmd}}' IMAGE",
        ),
        (
            "an address of the web in place of a host",
            |b| b["spec"]["orderGate"] = json!({"allowedHosts": ["https://api.example.com/v1"]}),
            "remove schemes, paths and other wildcards",
        ),
        (
            "a wildcard in the middle",
            |b| b["spec"]["orderGate"] = json!({"standbyHosts": ["api.*.example.com"]}),
            "spec.orderGate.allowedHosts and standbyHosts take host names",
        ),
        (
            "a host of both kinds",
            |b| b["spec"]["orderGate"] = json!({"allowedHosts": ["a.example.com"], "standbyHosts": ["a.example.com"]}),
            "A host is either in spec.orderGate.allowedHosts",
        ),
        (
            "a gate on the node's own network",
            |b| {
                b["spec"]["orderGate"] = json!({});
                pod(b)["hostNetwork"] = json!(true);
            },
            "hostNetwork must not be true with spec.orderGate",
        ),
        (
            "keys for an account that all pods share",
            |b| {
                b["spec"]["credentials"] = json!({"secretName": "keys"});
                pod(b)["serviceAccountName"] = json!("trader");
            },
            "spec.template.spec.serviceAccountName must not be set with spec.credentials",
        ),
        (
            "keys in the environment of a bot that runs already",
            |b| {
                b["spec"]["standbyMode"] = json!("Hot");
                b["spec"]["credentials"] = json!({"secretName": "keys", "environment": [{"name": "A", "key": "a"}]});
            },
            "spec.credentials.environment must be empty with standbyMode Hot",
        ),
        (
            "two keys under one name",
            |b| {
                let twice = json!([{"name": "A", "key": "a"}, {"name": "A", "key": "b"}]);
                b["spec"]["credentials"] = json!({"secretName": "keys", "environment": twice});
            },
            "spec.credentials.environment has two variables of one name",
        ),
        (
            "a key under a name of the agent's",
            |b| {
                let ours = json!([{"name": "TRADINGBOT_TOKEN", "key": "a"}]);
                b["spec"]["credentials"] = json!({"secretName": "keys", "environment": ours});
            },
            "must not begin with TRADINGBOT_",
        ),
        (
            "a reload that calls nothing",
            |b| b["spec"]["credentials"] = json!({"secretName": "keys", "reload": {}}),
            "A hook calls either exec or http",
        ),
        ("an empty command", |b| container(b)["command"] = json!([]), "needs a command"),
        ("no pod at all", |b| b["spec"]["template"] = json!({}), "spec.template.spec: Required value"),
        (
            "a shared process namespace",
            |b| pod(b)["shareProcessNamespace"] = json!(true),
            "spec.template.spec.shareProcessNamespace must not be true",
        ),
        ("the host's processes", |b| pod(b)["hostPID"] = json!(true), "spec.template.spec.hostPID must not be true"),
        (
            "a pod that is not restarted",
            |b| pod(b)["restartPolicy"] = json!("Never"),
            "spec.template.spec.restartPolicy must be Always: remove it",
        ),
        (
            "a pod with a deadline",
            |b| pod(b)["activeDeadlineSeconds"] = json!(60),
            "spec.template.spec.activeDeadlineSeconds must not be set",
        ),
        (
            "a probe on the bot",
            |b| container(b)["readinessProbe"] = json!({"httpGet": {"port": 80}}),
            "must have no livenessProbe, readinessProbe or startupProbe",
        ),
        (
            "a lifecycle hook on the bot",
            |b| container(b)["lifecycle"] = json!({"preStop": {"exec": {"command": ["/x"]}}}),
            "use spec.hooks.promote, spec.lifecycle.shutdown and spec.hooks.demote",
        ),
        (
            "a container with a name of ours",
            |b| pod(b)["initContainers"] = json!([{"name": "tradingbot-agent", "image": "x"}]),
            "must not have names that begin with tradingbot-",
        ),
        (
            "no replicas",
            |b| b["spec"]["replicas"] = json!(0),
            "spec.replicas must be at least 1, the active itself. To stop trading set spec.suspend to true.",
        ),
        ("too many replicas", |b| b["spec"]["replicas"] = json!(11), "spec.replicas must be at most 10"),
        (
            "a renew deadline as long as the lease",
            |b| b["spec"]["leadership"] = json!({"leaseDurationSeconds": 10, "renewDeadlineSeconds": 10}),
            "spec.leadership.renewDeadlineSeconds must be at least 2 less than leaseDurationSeconds",
        ),
        (
            "a renew deadline within the guard",
            |b| b["spec"]["leadership"] = json!({"leaseDurationSeconds": 10, "renewDeadlineSeconds": 9}),
            "spec.leadership.renewDeadlineSeconds must be at least 2 less than leaseDurationSeconds",
        ),
        (
            "a renew period as long as the deadline",
            |b| b["spec"]["leadership"] = json!({"renewPeriodSeconds": 6}),
            "spec.leadership.renewPeriodSeconds must be less than renewDeadlineSeconds",
        ),
        (
            "a lease too short to be kept",
            |b| {
                let short = json!({"leaseDurationSeconds": 3, "renewPeriodSeconds": 1, "renewDeadlineSeconds": 2});
                b["spec"]["leadership"] = short;
            },
            "spec.leadership.leaseDurationSeconds in body should be greater than or equal to 4",
        ),
        (
            "a hook that calls nothing",
            |b| b["spec"]["hooks"] = json!({"promote": {"timeoutSeconds": 3}}),
            "A hook calls either exec or http: set exactly one of the two.",
        ),
        (
            "a hook that calls two things",
            |b| b["spec"]["hooks"] = json!({"demote": {"exec": {"command": ["/x"]}, "http": {"port": 80}}}),
            "A hook calls either exec or http: set exactly one of the two.",
        ),
        (
            "a dead-man's switch that calls nothing",
            |b| b["spec"]["hooks"] = json!({"deadMansSwitch": {"everySeconds": 10}}),
            "A hook calls either exec or http: set exactly one of the two.",
        ),
        (
            "a dead-man's switch that calls two things",
            |b| {
                let both = json!({"exec": {"command": ["/x"]}, "http": {"port": 80}, "everySeconds": 10});
                b["spec"]["hooks"] = json!({"deadMansSwitch": both});
            },
            "A hook calls either exec or http: set exactly one of the two.",
        ),
        (
            "a dead-man's switch whose call outlasts its period",
            |b| {
                let slow = json!({"exec": {"command": ["/x"]}, "everySeconds": 10, "timeoutSeconds": 11});
                b["spec"]["hooks"] = json!({"deadMansSwitch": slow});
            },
            "spec.hooks.deadMansSwitch.timeoutSeconds (5 where it is not set) must not be more than everySeconds",
        ),
        (
            "a dead-man's switch whose period is shorter than the usual timeout",
            |b| {
                let fast = json!({"exec": {"command": ["/x"]}, "everySeconds": 4});
                b["spec"]["hooks"] = json!({"deadMansSwitch": fast});
            },
            "make timeoutSeconds shorter or everySeconds longer",
        ),
        (
            "a dead-man's switch without a period",
            |b| b["spec"]["hooks"] = json!({"deadMansSwitch": {"exec": {"command": ["/x"]}}}),
            "spec.hooks.deadMansSwitch.everySeconds: Required value",
        ),
        (
            "a hook that never times out",
            |b| b["spec"]["hooks"] = json!({"demote": {"exec": {"command": ["/x"]}, "timeoutSeconds": 0}}),
            "timeoutSeconds in body should be greater than or equal to 1",
        ),
        (
            "a reconciliation of nothing",
            |b| b["spec"]["reconciliation"] = json!({"deadlineSeconds": 5}),
            "spec.reconciliation needs either a command, which runs with the image of the bot, or a jobTemplate",
        ),
        (
            "two reconciliations",
            |b| {
                let template = json!({"spec": {"template": {"spec": {"containers": [{"name": "r", "image": "r"}]}}}});
                b["spec"]["reconciliation"] = json!({"command": ["/r"], "jobTemplate": template});
            },
            "spec.reconciliation needs either a command",
        ),
        (
            "a reconciliation of many pods",
            |b| {
                let pods = json!({"spec": {"containers": [{"name": "r", "image": "r"}]}});
                b["spec"]["reconciliation"] = json!({"jobTemplate": {"spec": {"completions": 2, "template": pods}}});
            },
            "spec.reconciliation.jobTemplate must run one pod, because one report counts",
        ),
        (
            "a kind of move twice",
            |b| b["spec"]["reconciliation"] = json!({"command": ["/r"], "runOn": ["Failover", "Failover"]}),
            "spec.reconciliation.runOn[1]: Duplicate value",
        ),
        (
            "an unknown kind of move",
            |b| b["spec"]["reconciliation"] = json!({"command": ["/r"], "runOn": ["Sometimes"]}),
            "supported values: \"FirstStart\", \"Failover\", \"Switchover\", \"Restart\"",
        ),
        (
            "a rate limit beyond the history",
            |b| b["spec"]["failover"] = json!({"rateLimit": {"maxFailovers": 21}}),
            "spec.failover.rateLimit.maxFailovers in body should be less than or equal to 20",
        ),
        (
            "two claims of one name",
            |b| b["spec"]["volumeClaimTemplates"] = json!([claim("data"), claim("data")]),
            "spec.volumeClaimTemplates has two claims of one name",
        ),
        (
            "a claim and a volume of one name",
            |b| {
                pod(b)["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
                b["spec"]["volumeClaimTemplates"] = json!([claim("data")]);
            },
            "spec.volumeClaimTemplates and spec.template.spec.volumes have an entry of the same name",
        ),
        (
            "a name too long",
            |b| b["metadata"]["name"] = json!("a".repeat(41)),
            "metadata.name must be at most 40 lower-case letters, digits and '-'",
        ),
        ("a name with a dot", |b| b["metadata"]["name"] = json!("doge.jpy"), "metadata.name must be at most 40"),
        ("a name that begins with a digit", |b| b["metadata"]["name"] = json!("1doge"), "metadata.name must be"),
    ];
    let cluster = Cluster::with_namespace("bad").await;
    for (what, change, sentence) in cases {
        let mut bot = smallest();
        change(&mut bot);
        refused(what, cluster.create("TradingBot", &bot, true).await, sentence);
    }
    cluster.clean_up().await;
}

fn claim(name: &str) -> Value {
    let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
    json!({"metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn good_bots_are_accepted() {
    let cases: &[(&str, Change)] = &[
        ("only a template", |_| ()),
        ("a name of 40 characters", |b| b["metadata"]["name"] = json!("a".repeat(40))),
        ("one replica", |b| b["spec"]["replicas"] = json!(1)),
        ("the shortest lease", |b| {
            let short = json!({"leaseDurationSeconds": 4, "renewPeriodSeconds": 1, "renewDeadlineSeconds": 2});
            b["spec"]["leadership"] = short;
        }),
        ("another container's name, and a sidecar with a probe", |b| {
            b["spec"]["containerName"] = json!("trader");
            let probe = json!({"httpGet": {"port": 80}});
            pod(b)["containers"] = json!([
                {"name": "proxy", "image": "p", "readinessProbe": probe},
                {"name": "trader", "image": "t", "command": ["/t"]}
            ]);
        }),
        ("everything at once", |b| {
            b["spec"]["template"]["metadata"] = json!({"labels": {"a": "b"}, "creationTimestamp": null});
            pod(b)["terminationGracePeriodSeconds"] = json!(5);
            pod(b)["volumes"] = json!([{"name": "tmp", "emptyDir": {"sizeLimit": "10Mi"}}]);
            container(b)["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
            container(b)["resources"] = json!({"limits": {"cpu": 1, "memory": "64Mi"}});
            container(b)["ports"] = json!([{"containerPort": 80}]);
            b["spec"]["volumeClaimTemplates"] = json!([claim("data")]);
            b["spec"]["standbyMode"] = json!("Hot");
            let http = json!({"port": 8080, "path": "/api/v1/start", "basicAuthSecretRef": {"name": "api"}});
            b["spec"]["hooks"] = json!({"promote": {"http": http}, "demote": {"exec": {"command": ["/bot", "stop"]}},
                "deadMansSwitch": {"http": {"port": 8080, "path": "/alive"}, "everySeconds": 1, "timeoutSeconds": 1}});
            b["spec"]["failover"] = json!({"mode": "Manual", "rateLimit": {"maxFailovers": 0}});
            b["spec"]["leadership"] = json!({"onApiServerLoss": "Continue"});
            let reconciliation = json!({"command": ["/bot", "reconcile"], "runOn": ["Restart"], "onFailure": "Block"});
            b["spec"]["reconciliation"] = reconciliation;
        }),
    ];
    let cluster = Cluster::with_namespace("good").await;
    for (what, change) in cases {
        let mut bot = smallest();
        change(&mut bot);
        if let Err(text) = cluster.create("TradingBot", &bot, true).await {
            panic!("{what}: was refused: {text}");
        }
    }
    cluster.clean_up().await;
}

#[tokio::test]
async fn every_run_time_field_has_a_default() {
    let cluster = Cluster::with_namespace("defaults").await;
    let mut bot = smallest();
    bot["spec"]["reconciliation"] = json!({"command": ["/bot", "reconcile"]});
    bot["spec"]["hooks"] = json!({"promote": {"http": {"port": 8080}}});
    let stored = cluster.create("TradingBot", &bot, true).await.unwrap();
    let spec = &stored["spec"];
    assert_eq!((&spec["replicas"], &spec["standbyMode"], &spec["suspend"]), (&json!(2), &json!("Warm"), &json!(false)));
    assert_eq!(spec["containerName"], "bot");
    assert_eq!(
        spec["leadership"],
        json!({"leaseDurationSeconds": 10, "renewPeriodSeconds": 2, "renewDeadlineSeconds": 6, "onApiServerLoss": "Stop"})
    );
    assert_eq!(
        spec["failover"],
        json!({"mode": "Automatic", "targetSeconds": 30, "inPlaceRestarts": 1, "cooldownSeconds": 60,
            "rateLimit": {"maxFailovers": 5, "periodSeconds": 3600}})
    );
    assert_eq!(
        spec["reconciliation"],
        json!({"command": ["/bot", "reconcile"], "runOn": ["FirstStart", "Failover", "Switchover"], "onFailure": "Retry",
            "retries": 2, "onDiscrepancy": "Block", "deadlineSeconds": 60})
    );
    assert_eq!(
        spec["hooks"]["promote"],
        json!({"http": {"method": "POST", "port": 8080, "path": "/"}, "timeoutSeconds": 5})
    );
    cluster.clean_up().await;
}

#[tokio::test]
async fn two_people_apply_different_containers_of_one_template() {
    let cluster = Cluster::with_namespace("apply").await;
    let path = std::env::temp_dir().join(format!("{}.json", cluster.namespace));
    let apply = |manager: &str, bot: &Value| {
        std::fs::write(&path, bot.to_string()).unwrap();
        let manager = format!("--field-manager={manager}");
        let file = path.to_str().unwrap();
        kubectl(&["-n", &cluster.namespace, "apply", "--server-side", &manager, "-f", file])
    };
    let first = apply("one", &smallest());
    assert!(first.status.success(), "{first:?}");
    let mut sidecar = smallest();
    pod(&mut sidecar)["containers"] = json!([{"name": "log", "image": "log"}]);
    let second = apply("two", &sidecar);
    assert!(second.status.success(), "{second:?}");
    let stored = cluster.objects("TradingBot").get("doge-jpy").await.unwrap();
    let names: Vec<_> = stored.data["spec"]["template"]["spec"]["containers"].as_array().unwrap().clone();
    assert_eq!(names.len(), 2, "{names:?}");
    std::fs::remove_file(&path).unwrap();
    cluster.clean_up().await;
}

#[tokio::test]
async fn plain_kubectl_apply_works_on_the_kinds_and_on_a_bot() {
    let cluster = Cluster::with_namespace("kubectl").await;
    let _alone = KINDS.lock().await;
    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    let first = kubectl(&["apply", "-f", crds]);
    let text = String::from_utf8_lossy(&first.stdout) + String::from_utf8_lossy(&first.stderr);
    assert!(first.status.success() && !text.contains("unrecognized format"), "{text}");
    let second = String::from_utf8(kubectl(&["apply", "-f", crds]).stdout).unwrap();
    assert_eq!(second.matches(" unchanged").count(), 2, "{second}");

    let path = std::env::temp_dir().join(format!("{}.json", cluster.namespace));
    std::fs::write(&path, smallest().to_string()).unwrap();
    let apply = || kubectl(&["-n", &cluster.namespace, "apply", "-f", path.to_str().unwrap()]);
    let first = apply();
    assert!(String::from_utf8_lossy(&first.stdout).contains("created"), "{first:?}");
    let second = apply();
    assert!(String::from_utf8_lossy(&second.stdout).contains("unchanged"), "{second:?}");
    let table = kubectl(&["-n", &cluster.namespace, "get", "tbot"]);
    let header = String::from_utf8_lossy(&table.stdout).lines().next().unwrap_or_default().to_owned();
    let columns: Vec<_> = header.split_whitespace().collect();
    assert_eq!(columns, ["NAME", "PHASE", "ACTIVE", "EPOCH", "STANDBYS", "LASTFAILOVER", "AGE"]);

    let scale = |n: &str| kubectl(&["-n", &cluster.namespace, "scale", "tbot/doge-jpy", &format!("--replicas={n}")]);
    assert!(scale("3").status.success());
    let refusal = String::from_utf8(scale("0").stderr).unwrap();
    assert!(refusal.contains("To stop trading set spec.suspend to true."), "{refusal}");
    std::fs::remove_file(&path).unwrap();
    cluster.clean_up().await;
}

#[tokio::test]
async fn an_account_is_changed_only_while_nobody_trades() {
    let cluster = Cluster::with_namespace("account").await;
    let mut bot = smallest();
    bot["spec"]["account"] = json!({"name": "kraken-main"});
    let stored = cluster.create("TradingBot", &bot, false).await.expect("an account is accepted");
    assert_eq!(stored["spec"]["account"], json!({"name": "kraken-main", "sharing": "Exclusive"}));
    let api = cluster.objects("TradingBot");
    let merge = |patch: Value| Patch::Merge(patch);
    let anyone = PatchParams::default();
    let to = |name: &str| json!({"spec": {"account": {"name": name}}});
    api.patch("doge-jpy", &anyone, &merge(to("kraken-other"))).await.expect("nobody trades");

    let trading = json!({"epoch": 1, "token": 7, "pod": "doge-jpy-0", "podUID": "u", "leaseDurationSeconds": 10});
    let status = json!({"status": {"epoch": 1, "token": 7, "trading": trading}});
    api.patch_status("doge-jpy", &anyone, &merge(status)).await.expect("the operator writes its status");
    let sentence =
        "spec.account cannot be set, changed or removed while somebody may trade: set spec.suspend to true first";
    for change in [to("kraken-main"), json!({"spec": {"account": null}})] {
        let answer = api.patch("doge-jpy", &anyone, &merge(change.clone())).await;
        refused(&change.to_string(), answer.map(|_| Value::Null).map_err(|e| e.to_string()), sentence);
    }
    api.patch("doge-jpy", &anyone, &merge(json!({"spec": {"replicas": 3}}))).await.expect("anything else may change");
    api.patch_status("doge-jpy", &anyone, &merge(json!({"status": {"trading": null}}))).await.expect("nobody trades");
    let removed = api.patch("doge-jpy", &anyone, &merge(json!({"spec": {"account": null}}))).await;
    assert!(removed.expect("nobody trades").data["spec"]["account"].is_null());

    let again = json!({"status": {"trading": trading}});
    api.patch_status("doge-jpy", &anyone, &merge(again)).await.expect("the operator writes its status");
    let answer = api.patch("doge-jpy", &anyone, &merge(to("kraken-main"))).await;
    refused("an account where there was none", answer.map(|_| Value::Null).map_err(|e| e.to_string()), sentence);
    cluster.clean_up().await;
}
