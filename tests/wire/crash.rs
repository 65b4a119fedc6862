//! What is left of an operator that is gone: nothing that asks or writes.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tradingbot::controller::events::Publisher;
use tradingbot::controller::metrics::Metrics;
use tradingbot::controller::replica::Replica;
use tradingbot::controller::run::Settings;

use crate::scripted::{Tape, client};

const A_WHILE: Duration = Duration::from_secs(10);

fn settings() -> Settings {
    Settings::from_environment(|name| match name {
        "POD_NAME" => Some("operator-0".into()),
        "POD_NAMESPACE" => Some("tradingbot-system".into()),
        "OPERATOR_IMAGE" => Some("example/operator:1".into()),
        _ => None,
    })
    .unwrap()
}

fn counts(tapes: [&Tape; 2]) -> [usize; 2] {
    tapes.map(|tape| tape.requests().len())
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_dropped_asks_for_nothing_more() {
    let ((requests, asked), (watching, watched)) = (client([]), client([]));
    let mut replica = Replica::new(requests, watching, &settings(), Metrics::new().unwrap()).unwrap();
    let work = tokio::time::timeout(A_WHILE, replica.operate()).await;
    assert!(work.is_err(), "it ended: {work:?}");
    drop(replica);
    let before = counts([&asked, &watched]);
    assert!(before.iter().all(|count| *count > 10), "{before:?}");
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(counts([&asked, &watched]), before);
}

#[tokio::test(start_paused = true)]
async fn events_are_published_in_the_background_of_somebody_who_is_there() {
    let event = || Event {
        type_: EventType::Normal,
        reason: "Elected".into(),
        action: "Epoch1".into(),
        note: None,
        secondary: None,
    };
    let published = async |dropped: bool| {
        let (requests, tape) = client([]);
        let reporter = Reporter { controller: "tradingbot-operator".into(), instance: None };
        let publisher = Publisher::new(Recorder::new(requests, reporter));
        publisher.publish(&ObjectReference::default(), vec![event()]);
        let kept = (!dropped).then_some(publisher);
        tokio::time::sleep(A_WHILE).await;
        drop(kept);
        tape.requests().len()
    };
    assert_eq!(published(false).await, 1);
    assert_eq!(published(true).await, 0);
}
