//! The exchange's log, read on from round to round, and what it says of one round.

use std::collections::BTreeMap;

use crate::harness::entry::{Entry, Kind};
use crate::harness::rules::Auditor;
use crate::harness::verdict::{Options, Violation};
use crate::harness::{Bot, Exchange, Round};

/// The judge of a fleet: the auditor's rules over the whole log, each account by itself.
pub struct Judge {
    exchange: Exchange,
    read: u64,
    accounts: BTreeMap<String, Account>,
}

struct Account {
    auditor: Auditor,
    /// Accepted orders.
    orders: Vec<Order>,
}

/// What is kept of an order.
#[derive(Clone, Debug)]
struct Order {
    seq: u64,
    us: u64,
    token: u64,
    /// The address of the pod it came from.
    pod: String,
}

/// What a round looked like at the exchange.
#[derive(Clone, Debug)]
pub struct Seen {
    pub violations: Vec<Violation>,
    /// The longest time without an accepted order, in seconds.
    pub without_trading: f64,
    /// Another pod than before has traded.
    pub moved: bool,
}

impl Judge {
    /// Of these bots, which have not traded yet.
    pub fn new(exchange: Exchange, bots: &[Bot]) -> Judge {
        let account = |bot: &Bot| {
            let options =
                Options { account: Some(bot.account.clone()), reconciled: bot.reconciled, ..Options::default() };
            (bot.account.clone(), Account { auditor: Auditor::new(options), orders: Vec::new() })
        };
        Judge { exchange, read: 0, accounts: bots.iter().map(account).collect() }
    }

    /// Reads on to the end of the log.
    pub async fn read(&mut self) {
        for entry in self.exchange.log(self.read).await {
            assert_eq!(entry.seq, self.read + 1, "the exchange's log has a hole");
            self.read = entry.seq;
            let Some(account) = entry.account.as_ref().and_then(|name| self.accounts.get_mut(name)) else { continue };
            account.orders.extend(Order::of(&entry));
            account.auditor.entry(entry);
        }
    }

    /// What happened from the mark of a round until now, as far as the log was read.
    pub fn round(&self, round: &Round) -> Seen {
        let account = &self.accounts[&round.account];
        let since = round.marker.seq;
        let violations = account.auditor.violations().iter().filter(|v| v.seq > since).cloned().collect();
        let before = Order::of(&round.order).expect("an order was accepted right before the mark");
        let orders = account.orders[account.orders.partition_point(|order| order.seq <= since)..].iter();
        let moved = orders.clone().any(|order| order.pod != before.pod);
        let mut last = before.us;
        let mut longest = 0;
        for order in orders {
            longest = longest.max(order.us - last);
            last = order.us;
        }
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a test are far below 2^53")]
        Seen { violations, without_trading: longest as f64 / 1e6, moved }
    }

    /// How many orders of this round's old token came between two entries.
    pub fn of_old_between(&self, round: &Round, from: u64, to: u64) -> usize {
        let orders = self.accounts[&round.account].orders.iter();
        orders.filter(|o| o.seq > from && o.seq < to && o.token == round.token()).count()
    }
}

impl Order {
    fn of(entry: &Entry) -> Option<Order> {
        if entry.kind != Kind::Order || !entry.accepted {
            return None;
        }
        let pod = address_of(entry).unwrap_or_default();
        Some(Order { seq: entry.seq, us: entry.us, token: entry.token.unwrap_or(0), pod: pod.to_owned() })
    }
}

/// The address of the pod that an entry came from.
pub fn address_of(entry: &Entry) -> Option<&str> {
    entry.peer.as_deref()?.rsplit_once(':').map(|(address, _)| address)
}
