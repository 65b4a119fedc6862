//! The venue: accounts, orders, balances and a price. It knows nothing of HTTP.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::decimal::Decimal;

/// The one market.
pub const SYMBOL: &str = "DOGE_JPY";
/// What every account begins with.
const START_JPY: Decimal = Decimal::from_units(1_000_000 * 100_000_000);
const START_DOGE: Decimal = Decimal::from_units(100_000 * 100_000_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    Buy,
    Sell,
}

/// An order as it is placed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub client_order_id: String,
    pub side: Side,
    pub price: Decimal,
    pub quantity: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fencing_token: Option<u64>,
}

/// An order that was executed.
struct Fill {
    client_order_id: String,
    base: Decimal,
    quote: Decimal,
}

/// One bot's account.
pub struct Account {
    open: BTreeMap<String, Order>,
    known_ids: HashSet<String>,
    fills: Vec<Fill>,
    pub jpy: Decimal,
    pub doge: Decimal,
    /// The highest token any accepted order carried, for `--fence`.
    pub highest_token: Option<u64>,
    /// Counts the settings of the dead-man timer; only the latest may fire.
    pub timer: u64,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
            known_ids: HashSet::new(),
            fills: Vec::new(),
            jpy: START_JPY,
            doge: START_DOGE,
            highest_token: None,
            timer: 0,
        }
    }
}

impl Account {
    /// Whether the id was ever used.
    pub fn knows(&self, id: &str) -> bool {
        self.known_ids.contains(id)
    }

    /// Takes an order; `true` when it was executed at once because it crosses the market at `price`, else it stays
    /// open. Balances may become negative: what is judged here is who trades, not how well.
    pub fn place(&mut self, order: Order, price: Decimal) -> bool {
        self.known_ids.insert(order.client_order_id.clone());
        self.highest_token = self.highest_token.max(order.fencing_token);
        let (crosses, base, quote) = match order.side {
            Side::Buy => (order.price >= price, order.quantity, -price.times(order.quantity)),
            Side::Sell => (order.price <= price, -order.quantity, price.times(order.quantity)),
        };
        if crosses {
            self.doge += base;
            self.jpy += quote;
            self.fills.push(Fill { client_order_id: order.client_order_id, base, quote });
        } else {
            self.open.insert(order.client_order_id.clone(), order);
        }
        crosses
    }

    /// Whether there was such an open order.
    pub fn cancel(&mut self, id: &str) -> bool {
        self.open.remove(id).is_some()
    }

    /// How many there were.
    pub fn cancel_prefix(&mut self, prefix: &str) -> u64 {
        let ids: Vec<String> = self.open_with(prefix).map(|order| order.client_order_id.clone()).collect();
        for id in &ids {
            self.open.remove(id);
        }
        ids.len() as u64
    }

    /// Open orders whose id begins with `prefix`, in the order of their ids.
    pub fn open_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Order> {
        self.open
            .range(prefix.to_owned()..)
            .map(|(_, order)| order)
            .take_while(move |order| order.client_order_id.starts_with(prefix))
    }

    /// Executed orders whose id begins with `prefix`: how many, and what they moved in DOGE and in JPY.
    pub fn fills_with(&self, prefix: &str) -> (u64, Decimal, Decimal) {
        let mut sum = (0, Decimal::default(), Decimal::default());
        for fill in self.fills.iter().filter(|fill| fill.client_order_id.starts_with(prefix)) {
            sum.0 += 1;
            sum.1 += fill.base;
            sum.2 += fill.quote;
        }
        sum
    }

    /// DOGE bought less DOGE sold.
    pub fn position(&self) -> Decimal {
        self.fills_with("").1
    }
}

/// The price of DOGE at this time: a triangle between 24 and 26 JPY with a period of 40 s.
pub fn price_at(us: u64) -> Decimal {
    let phase = (us / 1000 % 40_000) as i128;
    let up = if phase < 20_000 { phase } else { 40_000 - phase };
    Decimal::from_units(24 * 100_000_000 + up * 10_000)
}
