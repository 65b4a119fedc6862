//! Bad and good checks.

use serde_json::{Value, json};
use tradingbot::core::health::JsonPath;

use super::bot::smallest;
use super::cluster::{Cluster, refused};

/// A bot with these checks.
fn with(checks: Value) -> Value {
    let mut bot = smallest();
    bot["spec"]["health"] = json!({"checks": checks});
    bot
}

/// One check, which has this target and these settings.
fn check(parts: Value) -> Value {
    let mut check = json!({"name": "price"});
    for (name, value) in parts.as_object().expect("an object") {
        check[name] = value.clone();
    }
    check
}

fn one(parts: Value) -> Value {
    json!([check(parts)])
}

/// A check of what a request is answered with.
fn json_of(assertion: Value) -> Value {
    one(json!({"http": {"port": 8080, "json": [assertion]}}))
}

const TARGET: &str = "A check of spec.health.checks needs exactly one target";
const PATH: &str = "A JSON path is $ and up to 16 steps, each .key, [0] or [\"any key\"]";
const FILE_PATH: &str = "begins with / and is a path in the container that trades";
const OWN_PORT: &str = "a check of the agent by itself shows nothing";
const URI: &str = "without a password, because everybody who may read the bot could read it";

#[tokio::test]
async fn bad_checks_are_refused_with_a_sentence_that_says_what_to_change() {
    let tcp = |parts: Value| {
        let mut all = json!({"tcp": {"port": 8080}});
        parts.as_object().expect("an object").iter().for_each(|(name, value)| all[name] = value.clone());
        one(all)
    };
    let file = |parts: Value| one(json!({"freshness": {"file": parts, "maxAgeSeconds": 10}}));
    let cases = [
        ("no target", one(json!({})), TARGET),
        ("two targets", one(json!({"tcp": {"port": 1}, "redis": {}})), TARGET),
        (
            "a timeout past the period",
            tcp(json!({"periodSeconds": 5, "timeoutSeconds": 6})),
            "timeoutSeconds of a check (2 where it is not set) must not be more than its periodSeconds",
        ),
        (
            "no time at all",
            tcp(json!({"timeoutSeconds": 0})),
            "timeoutSeconds in body should be greater than or equal to 1",
        ),
        (
            "a pause for one pod's sake",
            tcp(json!({"pauseTrading": true})),
            "pauseTrading of a check goes with the scope Shared",
        ),
        (
            "a pause for what standbys see",
            tcp(json!({"pauseTrading": true, "scope": "Shared", "appliesTo": "Standby"})),
            "pauseTrading needs a check that runs where the bot trades",
        ),
        ("a name with blanks", tcp(json!({"name": "the price"})), "spec.health.checks[0].name"),
        ("a long name", tcp(json!({"name": "p".repeat(41)})), "spec.health.checks[0].name: Too long"),
        (
            "one name twice",
            json!([check(json!({"tcp": {"port": 1}})), check(json!({"tcp": {"port": 2}}))]),
            "Duplicate value",
        ),
        (
            "seventeen checks",
            (0..17).map(|n| check(json!({"name": format!("c{n}"), "tcp": {"port": 1}}))).collect(),
            "must have at most 16 items",
        ),
        ("a path with wildcards", json_of(json!({"path": "$.tickers[*].price"})), PATH),
        ("a path from nowhere", json_of(json!({"path": "price"})), PATH),
        (
            "a path for freshness that cannot be followed",
            one(json!({"freshness": {"http": {"port": 1, "jsonPath": "$..time"}, "maxAgeSeconds": 1}})),
            PATH,
        ),
        ("a path into a file that cannot be followed", file(json!({"path": "/t", "jsonPath": "$["})), PATH),
        (
            "nothing to compare with",
            json_of(json!({"path": "$.price", "operator": "GreaterThan"})),
            "GreaterThan, LessThan and Equals of a JSON assertion need a value",
        ),
        (
            "a comparison with no number",
            json_of(json!({"path": "$.price", "operator": "LessThan", "value": "much"})),
            "The value of GreaterThan and LessThan in a JSON assertion is a decimal number in quotes",
        ),
        (
            "a command without a program",
            one(json!({"exec": {"command": [""]}})),
            "The first entry of a check's command",
        ),
        ("a port of the agent", one(json!({"http": {"port": 9798}})), OWN_PORT),
        ("a port of the agent by name", one(json!({"tcp": {"host": "localhost", "port": 9797}})), OWN_PORT),
        (
            "no time to look at",
            one(json!({"freshness": {"maxAgeSeconds": 10}})),
            "freshness of a check takes its time either from http or from file",
        ),
        ("a file that is anywhere", file(json!({"path": "tick"})), FILE_PATH),
        (
            "two times of one file",
            file(json!({"path": "/t", "jsonPath": "$.t", "modified": true})),
            "takes either what is in the file or when it was last written",
        ),
        (
            "a size that is none",
            one(json!({"fileSize": {"path": "/log", "maxSize": "50 MB"}})),
            "fileSize.maxSize of a check is a whole number with one of the units",
        ),
        ("a log that is anywhere", one(json!({"fileSize": {"path": "log", "maxSize": "50Mi"}})), FILE_PATH),
        (
            "a database that is nowhere",
            one(json!({"postgres": {}})),
            "postgres of a check needs to know where the server is",
        ),
        ("a password in the open", one(json!({"postgres": {"uri": "postgresql://bot:secret@db/bot"}})), URI),
        ("a password in the query", one(json!({"postgres": {"uri": "postgres://db/bot?password=x"}})), URI),
        ("another database", one(json!({"postgres": {"uri": "mysql://db/bot"}})), URI),
        (
            "a primary that lags",
            one(json!({"postgres": {"uri": "postgres://db/bot", "role": "Primary", "maxLagSeconds": 5}})),
            "a primary has no lag",
        ),
        (
            "nothing to measure",
            one(json!({"resources": {"disk": []}})),
            "resources of a check needs something to look at",
        ),
        (
            "a disk that is anywhere",
            one(json!({"resources": {"disk": [{"path": "data", "usedPercent": 90}]}})),
            "A path in resources.disk of a check begins with /",
        ),
    ];
    let cluster = Cluster::with_namespace("bad-checks").await;
    for (what, checks, sentence) in cases {
        refused(what, cluster.create("TradingBot", &with(checks), true).await, sentence);
    }
    cluster.clean_up().await;
}

#[tokio::test]
async fn every_kind_of_check_is_accepted_and_gets_its_defaults() {
    let secret = json!({"name": "db"});
    let targets = [
        json!({"http": {"scheme": "HTTPS", "host": "api.example.com", "port": 443, "path": "/ticker?pair=DOGE_JPY",
            "headers": [{"name": "X-Api", "value": "7"}], "basicAuthSecretRef": secret, "expectedStatus": 200,
            "maxLatencyMilliseconds": 500, "json": [{"path": "$.current_price", "operator": "GreaterThan", "value": "0"},
            {"path": "$.time"}]}}),
        json!({"tcp": {"host": "::1", "port": 9001}}),
        json!({"exec": {"command": ["/bot", "ping"]}}),
        json!({"freshness": {"http": {"port": 8080, "jsonPath": "$.tick"}, "maxAgeSeconds": 10}}),
        json!({"freshness": {"file": {"path": "/data/tick", "modified": true}, "maxAgeSeconds": 10}}),
        json!({"freshness": {"file": {"path": "/data/tick", "jsonPath": "$[\"last order\"]"}, "maxAgeSeconds": 10}}),
        json!({"fileSize": {"path": "/data/bot.log", "maxSize": "50Mi"}}),
        json!({"postgres": {"secretRef": secret, "role": "Replica", "maxLagSeconds": 5}}),
        json!({"postgres": {"uri": "postgresql://bot@db:5432/bot?sslmode=require"}}),
        json!({"redis": {"host": "redis", "secretRef": secret, "role": "Primary"}}),
        json!({"redis": {}}),
        json!({"resources": {"memoryPercent": 90, "cpuPercent": 95, "disk": [{"path": "/data", "usedPercent": 90}]}}),
        json!({"tcp": {"host": "api.example.com", "port": 9797}, "appliesTo": "Both", "scope": "Shared", "pauseTrading": true}),
    ];
    let checks: Vec<Value> = targets
        .into_iter()
        .enumerate()
        .map(|(n, target)| {
            let mut check = check(target);
            check["name"] = json!(format!("check-{n}"));
            check
        })
        .collect();
    let cluster = Cluster::with_namespace("good-checks").await;
    let stored = cluster.create("TradingBot", &with(json!(checks)), true).await.expect("all of them are good");
    let first = &stored["spec"]["health"]["checks"][10];
    let shown = [
        ("periodSeconds", json!(10)),
        ("timeoutSeconds", json!(2)),
        ("failureThreshold", json!(3)),
        ("successThreshold", json!(1)),
        ("startupGraceSeconds", json!(30)),
        ("critical", json!(true)),
        ("appliesTo", json!("Active")),
        ("scope", json!("Pod")),
        ("pauseTrading", json!(false)),
        ("redis", json!({"host": "127.0.0.1", "port": 6379, "role": "Any"})),
    ];
    for (name, value) in shown {
        assert_eq!(first[name], value, "{name} of {first}");
    }
    cluster.clean_up().await;
}

/// JSON paths, good and bad.
const PATHS: [&str; 34] = [
    "$",
    "$.a",
    "$.a.b",
    "$.a-b_c",
    "$.0",
    "$[0]",
    "$[10]",
    "$.a[0][1]",
    "$[\"a b\"]",
    "$[\"ä\"]",
    "$[\"[0]\"]",
    "$[\"']\"]",
    "",
    "a",
    "$a",
    "$.",
    "$..a",
    "$.a.",
    "$.*",
    "$[*]",
    "$[-1]",
    "$[01]",
    "$[00]",
    "$[1.5]",
    "$[123456]",
    "$[]",
    "$[",
    "$[\"\"]",
    "$['a']",
    "$[\"a\\n\"]",
    "$[\"a\"b\"]",
    "$.a b",
    "$.a[?(@.b)]",
    " $.a",
];

#[tokio::test]
async fn the_rule_about_json_paths_accepts_what_the_agent_can_follow_and_nothing_else() {
    let cluster = Cluster::with_namespace("json-paths").await;
    let long = [format!("${}", ".a".repeat(16)), format!("${}", ".a".repeat(17)), format!("$.{}", "a".repeat(198))];
    let longer = format!("$.{}", "a".repeat(199));
    let paths = PATHS.into_iter().chain(long.iter().map(String::as_str)).chain([longer.as_str()]);
    let mut wrong = Vec::new();
    for path in paths {
        let accepted = cluster.create("TradingBot", &with(json_of(json!({"path": path}))), true).await.is_ok();
        let read = JsonPath::parse(path).is_ok();
        if accepted != read {
            wrong.push(format!("'{path}': the rule {accepted}, the agent {read}"));
        }
    }
    cluster.clean_up().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
