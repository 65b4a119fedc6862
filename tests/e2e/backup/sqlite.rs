//! An SQLite database on the active's own volume, backed up while it is written fifty times a second.

use std::path::PathBuf;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use tradingbot::api::operation::OperationPhase;

use crate::harness::*;

/// The content of a backup, as a file that goes with it.
struct Copy(PathBuf);

impl Copy {
    fn of(store: &Store, id: &str) -> Copy {
        let stored = store.read(&store.key(&format!("/artefacts/{id}")));
        let content = zstd::decode_all(&stored[..]).expect("it is compressed by zstd");
        assert_eq!(content.len() as u64, store.manifest(id).content.bytes);
        let path = std::env::temp_dir().join(format!("e2e-{}-{id}.sqlite", std::process::id()));
        std::fs::write(&path, content).expect("it can be kept");
        Copy(path)
    }

    /// Token and order of every row, in the order in which they were written.
    fn rows(&self) -> Vec<(i64, String)> {
        let database = rusqlite::Connection::open(&self.0).expect("it is a database");
        let sound: String = database.query_row("pragma integrity_check", [], |row| row.get(0)).expect("it is checked");
        assert_eq!(sound, "ok");
        let mut rows = database.prepare("select token, client_order_id from orders order by id").expect("the table");
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("the rows");
        rows.map(|row| row.expect("a row")).collect()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn live_sqlite_on_another_node_is_backed_up_and_put_back() {
    scenario("backup_sqlite", Turn::Shared, async |world| {
        let nodes = world.cluster.nodes().await;
        world.exchange_on(&nodes[0]).await;
        let store = Store::start(world, "store").await;
        let source = json!({"sqlite": {"path": BOOKS}});
        let manifest =
            bot().hot().reconciled().books_on_volume(50).not_on(&nodes[0]).backed_up(source, store.destination());
        let bot = world.apply(manifest).await;
        let first = bot.until_trading().await.active.expect("one trades");
        let to = bot.standby().await;
        let round = bot.begin_round("switchover to the other node").await;
        let moved = bot.ask("Switchover", Some(&to)).await;
        bot.first_order_of_next(&round).await;
        assert_eq!(bot.until_ended(&moved).await.phase, OperationPhase::Succeeded);
        let before = bot.until_trading().await;
        let active = before.active.expect("one trades");
        assert_ne!(active.node, first.node, "both pods are on one node");

        let round = bot.begin_round("a backup while it writes").await;
        let orders = async |from: u64| bot.exchange.orders(&bot.account, from).await;
        until("it has written two hundred rows", SOON, async || {
            (orders(round.marker.seq).await.len() >= 200).then_some(())
        })
        .await;
        let id = bot.back_up().await;
        bot.assert_undisturbed_since(&round).await;
        let pause = bot.longest_pause_since(&round).await;
        assert!(pause < 1.0, "no order for {pause} s while it was backed up");
        let copy = Copy::of(&store, &id).rows();
        let begun: Timestamp = store.manifest(&id).started_time;
        let begun = u64::try_from(begun.as_millisecond()).expect("a time after 1970");
        // Committed before they were sent, so all of these were committed before the snapshot.
        let sent = orders(0).await.into_iter().filter(|o| o.token == Some(round.token()));
        let (earlier, later): (Vec<_>, Vec<_>) = sent.partition(|order| order.wall_milliseconds < begun);
        assert!(!earlier.is_empty() && !later.is_empty(), "the backup was not made while it wrote");
        let last = earlier.last().expect("there are some").client_order_id.clone().expect("orders have ids");
        let at = copy.iter().position(|(_, order)| *order == last);
        assert!(at.is_some(), "the last order before the snapshot is not in it: {last}");
        world.note("rows in the copy", copy.len());
        world.note("rows a second", format!("{:.0}", bot.rate_since(&round).await));

        let round = bot.begin_round("a restore").await;
        bot.restore().await;
        bot.first_order_of_next(&round).await;
        let after = bot.until_trading().await.active.expect("one trades");
        assert_eq!(after.pod, active.pod, "it trades where it was restored");
        let again = bot.back_up().await;
        let rows = Copy::of(&store, &again).rows();
        assert_eq!(rows[..copy.len()], copy[..], "the books are not as they were backed up");
        let token = i64::try_from(round.token()).expect("tokens fit");
        assert!(
            rows.len() > copy.len() && rows[copy.len()..].iter().all(|(later, _)| *later > token),
            "other rows follow"
        );
    });
}
