//! One line of the exchange's log.

use serde::{Deserialize, Serialize};

/// What a line of the log is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// The exchange started; always the first entry.
    Start,
    /// An order was placed, or refused.
    Order,
    /// One order was cancelled, or could not be.
    Cancel,
    /// All orders with a prefix were cancelled.
    CancelMany,
    /// The dead-man timer was armed or disarmed.
    CancelAllAfter,
    /// The dead-man timer ran out and orders were cancelled.
    DeadMan,
    /// A reconciliation reported what it is doing.
    Reconciliation,
    /// Somebody told the exchange to misbehave, or to behave again.
    Mode,
    /// Somebody put a mark into the log, mostly the moment of a fault.
    Marker,
}

/// One line of the log. Everything but the first four fields depends on the kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Grows by one from entry to entry; the first is 1.
    pub seq: u64,
    /// Microseconds since the exchange started, on its own monotonic clock.
    pub us: u64,
    /// Wall clock in milliseconds since 1970, for people.
    pub wall_milliseconds: u64,
    /// What the entry is about.
    pub kind: Kind,
    /// Whether the request was carried out.
    pub accepted: bool,
    /// The trading account: everything of one bot, and of nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The process that sent it: one id for each process start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The fencing token that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// The epoch that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The first four characters of the API key that came with it: enough to tell two keys apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The id that the client gave the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_order_id: Option<String>,
    /// When the client says that it sent the order: its own wall clock, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_milliseconds: Option<u64>,
    /// Where the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// An order's or reconciliation's state after the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// How many orders the request changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// A marker's text, a mode, the reason of a refusal, an order in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A marker that says: this account's bot was deleted and made again, so its epochs may begin anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recreated: bool,
}
