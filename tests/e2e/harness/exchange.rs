//! The paper exchange of a scenario: where it is decided who traded when.

use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::entry::{Entry, Kind};
use super::until;
use super::verdict::{Rule, Verdict};

/// A round counts only if the old active was seen trading so shortly before the fault.
const ROUND_MICROSECONDS: u64 = 200_000;

/// So many entries before a mark there is one of the account that is as fresh, however many trade beside it.
const RECENT: u64 = 1000;

/// One exchange, reached through the API server.
#[derive(Clone)]
pub struct Exchange {
    pub cluster: Cluster,
    /// The proxied address, without a slash at its end.
    pub base: String,
    /// What bots are told.
    pub address: String,
}

/// A moment in the log at which something is done to the active.
#[derive(Clone, Debug)]
pub struct Round {
    pub account: String,
    pub marker: Entry,
    /// The last order before it.
    pub order: Entry,
}

impl Round {
    /// The fencing token that traded then.
    pub fn token(&self) -> u64 {
        self.order.token.expect("orders carry a token")
    }
}

impl Exchange {
    /// An entry that matches, the first after `since`; waits for it.
    pub async fn wait(&self, what: &str, limit: Duration, filter: &str) -> Entry {
        let found = self.try_wait(limit, filter).await;
        found.unwrap_or_else(|| panic!("the exchange did not see it within {} s: {what} ({filter})", limit.as_secs()))
    }

    /// As [`Exchange::wait`]; `None` when it did not come. An API server that is away for a while only delays this.
    pub async fn try_wait(&self, limit: Duration, filter: &str) -> Option<Entry> {
        let end = std::time::Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            let path = format!("{}/wait?wait={}&{filter}", self.base, left.as_millis());
            match tokio::time::timeout(left + Duration::from_secs(5), self.cluster.get(&path)).await {
                Ok(Ok(text)) if text.is_empty() => return None,
                Ok(Ok(text)) => return Some(serde_json::from_str(&text).expect("an entry")),
                Ok(Err(_)) | Err(_) if left.is_zero() => return None,
                Ok(Err(_)) | Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// The last accepted order, or the last entry that matches.
    pub async fn last(&self, filter: &str) -> Option<Entry> {
        let text = self.asked("last", filter).await;
        (!text.is_empty()).then(|| serde_json::from_str(&text).expect("an entry"))
    }

    /// All entries after one.
    pub async fn log(&self, since: u64) -> Vec<Entry> {
        let text = self.asked("log", &format!("since={since}")).await;
        text.lines().map(|line| serde_json::from_str(line).expect("an entry")).collect()
    }

    /// Accepted orders of one account after an entry.
    pub async fn orders(&self, account: &str, since: u64) -> Vec<Entry> {
        let mut log = self.log(since).await;
        log.retain(|e| e.kind == Kind::Order && e.accepted && e.account.as_deref() == Some(account));
        log
    }

    async fn asked(&self, what: &str, filter: &str) -> String {
        let path = format!("{}/{what}?{filter}", self.base);
        let end = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let answer = tokio::time::timeout(Duration::from_secs(10), self.cluster.get(&path)).await;
            let why = match answer {
                Ok(Ok(text)) => return text,
                Ok(Err(refused)) => refused,
                Err(_) => "nothing within 10 s".to_owned(),
            };
            assert!(std::time::Instant::now() < end, "for 20 s the exchange did not answer {what}: {why}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Writes a line into the log.
    pub async fn mark(&self, body: Value) -> Entry {
        let text = self.cluster.post(&format!("{}/control/mark", self.base), &body).await.expect("the mark is taken");
        serde_json::from_str(&text).expect("an entry")
    }

    /// The same; `None` where the exchange cannot be reached.
    pub async fn try_mark(&self, body: Value) -> Option<Entry> {
        let text = self.cluster.post(&format!("{}/control/mark", self.base), &body).await.ok()?;
        Some(serde_json::from_str(&text).expect("an entry"))
    }

    /// Marks the moment of a fault, right after an order of the active: otherwise the round would prove nothing.
    pub async fn begin_round(&self, account: &str, text: &str) -> Round {
        until("an order right before the mark", Duration::from_secs(10), async || {
            let marker = self.mark(json!({"text": text, "account": account})).await;
            let order = self.last(&format!("account={account}")).await?;
            let order = if order.seq < marker.seq {
                order
            } else {
                let all = self.orders(account, marker.seq.saturating_sub(RECENT)).await;
                all.into_iter().rfind(|o| o.seq < marker.seq)?
            };
            let fresh = marker.us - order.us < ROUND_MICROSECONDS;
            fresh.then(|| Round { account: account.to_owned(), marker, order })
        })
        .await
    }

    /// The auditor's verdict on one account.
    pub async fn audit(&self, account: &str, reconciled: bool) -> Verdict {
        let text = self.asked("audit", &format!("account={account}&reconciled={reconciled}")).await;
        serde_json::from_str(&text).expect("a verdict")
    }

    /// The verdict must be clean, apart from rules that the scenario judges itself.
    pub async fn assert_clean(&self, account: &str, reconciled: bool, judged_elsewhere: &[Rule]) {
        let verdict = self.audit(account, reconciled).await;
        let broken: Vec<_> = verdict.violations.iter().filter(|v| !judged_elsewhere.contains(&v.rule)).collect();
        assert!(broken.is_empty(), "the auditor found on account {account}: {broken:#?}");
    }

    /// After the fault of a round somebody else traded, and the old one had stopped by then.
    pub async fn first_order_of_next(&self, round: &Round, limit: Duration) -> Entry {
        let filter = format!("account={}&since={}&token_above={}", round.account, round.marker.seq, round.token());
        let first = self.wait("the first order of the next epoch", limit, &filter).await;
        self.assert_old_stopped_before(round, &first).await;
        first
    }

    /// The last order of the old token came before `first`; looks at the log as it is now.
    pub async fn assert_old_stopped_before(&self, round: &Round, first: &Entry) {
        let last = self.last_order_of(round).await;
        assert!(
            last.seq < first.seq,
            "token {} traded on (entry {}, {} µs) after the next one had begun (entry {}, {} µs)",
            round.token(),
            last.seq,
            last.us,
            first.seq,
            first.us
        );
    }

    /// The last order of the token that traded when the round began.
    pub async fn last_order_of(&self, round: &Round) -> Entry {
        let last = self.last(&format!("account={}&token={}", round.account, round.token())).await;
        last.expect("the old token has traded")
    }
}

/// Seconds from one entry to a later one, on the exchange's clock.
pub fn seconds_between(from: &Entry, to: &Entry) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a test are far below 2^53")]
    let microseconds = to.us as f64 - from.us as f64;
    microseconds / 1e6
}
