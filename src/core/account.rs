//! What the Lease of one account says: which bot of the cluster may grant itself trading on it.
//!
//! It is held until it is given back, not renewed: what proves that a holder has stopped is the bot's own Lease. The
//! operator alone writes it, with the version it has read, so of two bots that want it one gets it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::ids::{Epoch, FencingToken, MalformedId};
use super::lease::OnApiServerLoss;
use super::time::Wall;

/// The longest lease duration that the schema allows: what is waited for where a Lease does not say its own.
pub const LONGEST_LEASE: Duration = Duration::from_secs(3600);

/// A TradingBot by namespace, name and uid: one made again under its name is another one. Written
/// `<namespace>/<name>/<uid>` as the holder of an account's Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BotRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// Who holds an account, as its Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Nobody.
    #[default]
    Nobody,
    /// This bot.
    Bot(BotRef),
    /// Something that no operator has written; it says nothing about anybody.
    Unreadable,
}

/// An account's Lease as read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AccountRecord {
    /// The account.
    pub name: String,
    /// The object's uid.
    pub uid: String,
    /// The resource version it was read at, for equality only; empty: it is to be created.
    pub version: String,
    /// Who holds it.
    pub holder: Holder,
    /// The account's own epoch: grows by one whenever a holder is named. `None`: the Lease is blank.
    pub epoch: Option<Epoch>,
    /// The last fencing token that was handed out on this account, to whichever bot.
    pub token: Option<FencingToken>,
    /// The lease duration of the holder's grant; where it is not there, the longest that there is.
    pub lease_duration: Duration,
    /// What the holder's agent does without the API server; where it is not there, the worse.
    pub on_api_server_loss: OnApiServerLoss,
    /// Since when this bot holds it.
    pub since: Option<Wall>,
    /// How often another bot came to hold it.
    pub transitions: u32,
}

impl AccountRecord {
    /// Whether this very bot holds it.
    pub fn is_held_by(&self, bot: &BotRef) -> bool {
        matches!(&self.holder, Holder::Bot(holder) if holder == bot)
    }

    /// Whether it says what an operator has written: one that is blank or garbled says no more than one that is absent.
    pub fn is_intact(&self) -> bool {
        self.epoch.is_some() && self.holder != Holder::Unreadable
    }
}

impl BotRef {
    /// `<namespace>/<name>`, for people.
    pub fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl FromStr for BotRef {
    type Err = MalformedId;
    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [namespace, name, uid] if parts.iter().all(|part| !part.is_empty()) => {
                Ok(Self { namespace: (*namespace).into(), name: (*name).into(), uid: (*uid).into() })
            }
            _ => Err(MalformedId(text.to_owned())),
        }
    }
}

impl fmt::Display for BotRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.name, self.uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bot_is_three_parts_and_nothing_else() {
        let bot: BotRef = "ns/doge/uid-1".parse().unwrap();
        assert_eq!((bot.to_string().as_str(), bot.place().as_str()), ("ns/doge/uid-1", "ns/doge"));
        for bad in ["", "ns/doge", "ns//uid", "ns/doge/uid/more", "/doge/uid"] {
            assert!(bad.parse::<BotRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_lease_that_is_blank_or_garbled_says_nothing() {
        let intact = AccountRecord { epoch: Some(Epoch(1)), ..AccountRecord::default() };
        assert!(intact.is_intact());
        assert!(!AccountRecord { epoch: None, ..intact.clone() }.is_intact());
        assert!(!AccountRecord { holder: Holder::Unreadable, ..intact }.is_intact());
    }
}
