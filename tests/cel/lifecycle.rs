//! Bad and good steps of a stop.

use serde_json::{Value, json};

use super::bot::smallest;
use super::cluster::{Cluster, refused};

/// A bot with this list of steps.
fn with(steps: Value) -> Value {
    let mut bot = smallest();
    bot["spec"]["lifecycle"] = json!({"shutdown": steps});
    bot
}

/// One step with something of it replaced; null takes it away.
fn step(change: Value) -> Value {
    let mut step = json!({"name": "cancel-orders", "exec": {"command": ["/bot", "cancel"]}, "timeoutSeconds": 60});
    for (name, value) in change.as_object().expect("an object") {
        match value {
            Value::Null => drop(step.as_object_mut().expect("an object").remove(name)),
            value => step[name] = value.clone(),
        }
    }
    step
}

#[tokio::test]
async fn bad_steps_are_refused_with_a_sentence_that_says_what_to_change() {
    let http = |port: u32| json!({"exec": null, "http": {"port": port}});
    let needs_timeout =
        "A step of spec.lifecycle.shutdown needs timeoutSeconds, so that one that hangs does not hold up";
    let one_of = "A step of spec.lifecycle.shutdown calls either exec or http: set exactly one of the two.";
    let named = |n: usize| step(json!({"name": format!("step-{n}")}));
    let cases = [
        ("no timeout", json!([step(json!({"timeoutSeconds": null}))]), needs_timeout),
        ("no time at all", json!([step(json!({"timeoutSeconds": 0}))]), needs_timeout),
        (
            "more time than there is",
            json!([step(json!({"timeoutSeconds": 301}))]),
            "timeoutSeconds in body should be less than or equal to 300",
        ),
        ("nothing to call", json!([step(json!({"exec": null}))]), one_of),
        ("two things to call", json!([step(json!({"http": {"port": 80}}))]), one_of),
        (
            "a command without a program",
            json!([step(json!({"exec": {"command": [""]}}))]),
            "The first entry of a hook's command is the program, which must not be empty",
        ),
        ("a port of the agent", json!([step(http(9797))]), "The ports 9796 to 9799 of a pod are its agent's own"),
        (
            "the name of the hook that follows",
            json!([step(json!({"name": "demote"}))]),
            "must not be called demote, because the hook spec.hooks.demote, which follows the steps",
        ),
        ("no name", json!([step(json!({"name": null}))]), "spec.lifecycle.shutdown[0].name: Required value"),
        ("a name with blanks", json!([step(json!({"name": "cancel orders"}))]), "spec.lifecycle.shutdown[0].name"),
        ("one name twice", json!([step(json!({})), step(json!({}))]), "spec.lifecycle.shutdown[1]: Duplicate value"),
        ("nine steps", (0..9).map(named).collect(), "must have at most 8 items"),
    ];
    let cluster = Cluster::with_namespace("bad-steps").await;
    for (what, steps, sentence) in cases {
        refused(what, cluster.create("TradingBot", &with(steps), true).await, sentence);
    }
    cluster.clean_up().await;
}

#[tokio::test]
async fn the_steps_that_the_page_recommends_are_accepted() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to/orderly-stops.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let bots: Vec<&str> = blocks.filter(|block| block.contains("kind: TradingBot")).collect();
    assert!(!bots.is_empty(), "the page has a bot to copy");
    let cluster = Cluster::with_namespace("page-steps").await;
    for text in bots {
        let bot: Value = serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
        if let Err(error) = cluster.create("TradingBot", &bot, true).await {
            panic!("it was refused: {error}\n{text}");
        }
        let steps = bot["spec"]["lifecycle"]["shutdown"].as_array().expect("steps");
        let times: Vec<_> = steps.iter().map(|step| step["timeoutSeconds"].as_u64()).collect();
        assert_eq!(times, [30, 60, 120, 30].map(Some), "the times that are recommended");
    }
    cluster.clean_up().await;
}
