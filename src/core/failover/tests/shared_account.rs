//! What the bots of one account share: its Lease, and what each says of itself. And what must hold of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::world::World;
use crate::core::account::{AccountRecord, BotRef, Holder};
use crate::core::failover::*;
use crate::core::ids::FencingToken;
use crate::core::lease::Permit;

pub const ACCOUNT: &str = "kraken-main";

/// One bot's share.
#[derive(Clone, Debug)]
pub struct SharedAccount {
    pub me: BotRef,
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    lease: Option<AccountRecord>,
    versions: u64,
    /// What each TradingBot that is there says of itself.
    bots: BTreeMap<BotRef, (Option<AccountView>, bool)>,
    /// The version of each bot's own Lease, also of those that are gone.
    own_leases: BTreeMap<BotRef, Option<String>>,
    traded: FencingToken,
}

impl SharedAccount {
    /// The first bot's share of a new account.
    pub fn new(me: &str) -> Self {
        let shared = Self { me: me.parse().unwrap(), state: Rc::default() };
        shared.join(me)
    }

    /// Another bot's share.
    pub fn join(&self, me: &str) -> Self {
        let shared = Self { me: me.parse().unwrap(), state: self.state.clone() };
        shared.state.borrow_mut().bots.insert(shared.me.clone(), (None, false));
        shared
    }

    pub fn lease(&self) -> Option<AccountRecord> {
        self.state.borrow().lease.clone()
    }

    /// Somebody else changes or deletes the account's Lease.
    pub fn tamper(&self, change: impl FnOnce(&mut Option<AccountRecord>)) {
        let mut state = self.state.borrow_mut();
        change(&mut state.lease);
        state.versions += 1;
        let version = state.versions.to_string();
        if let Some(lease) = &mut state.lease {
            lease.version = version;
        }
    }

    /// Another bot's status says that it holds the account and may be trading on it, whatever its operator does.
    pub fn claim(&self, bot: &str, view: &AccountView) {
        let claim = AccountView { state: AccountState::Held, ..view.clone() };
        self.state.borrow_mut().bots.insert(bot.parse().unwrap(), (Some(claim), true));
    }

    /// The TradingBot is gone, finalizer and all, whatever its agents do.
    pub fn vanish(&self) {
        self.state.borrow_mut().bots.remove(&self.me);
    }

    pub fn publish(&self, world: &World) {
        let mut state = self.state.borrow_mut();
        if let Some(bot) = state.bots.get_mut(&self.me) {
            *bot = (world.record.account.clone(), world.record.trading.is_some());
        }
    }

    /// What the watch of Leases sees of this bot's own one; one that another bot removed is gone.
    pub fn note_lease(&self, world: &mut World) {
        let mut state = self.state.borrow_mut();
        if state.own_leases.get(&self.me) == Some(&None) && !state.bots.contains_key(&self.me) {
            world.lease = None;
        }
        state.own_leases.insert(self.me.clone(), world.lease.as_ref().map(|l| l.version.clone()));
    }

    pub fn observed(&self, world: &World) -> Option<AccountSeen> {
        let held = world.record.account.as_ref().filter(|v| v.state == AccountState::Held).map(|v| v.name.clone());
        let name = held.or(world.spec.account.clone())?;
        let state = self.state.borrow();
        let lease = state.lease.clone().filter(|_| name == ACCOUNT);
        let named = match lease.as_ref().filter(|l| l.is_intact()).map(|l| l.holder.clone()) {
            Some(Holder::Bot(bot)) => Some(bot),
            Some(_) => None,
            None => world.record.account.as_ref().and_then(|view| view.holder.clone()),
        };
        let claims = || {
            let others = state.bots.iter().filter(|(bot, _)| **bot != self.me);
            let holds = |view: &&AccountView| view.state == AccountState::Held && view.name == name;
            let claiming = others.filter(|(_, (view, _))| view.as_ref().filter(holds).is_some());
            claiming.map(|(bot, (_, trading))| Claim { bot: bot.clone(), trading: *trading }).collect::<Vec<_>>()
        };
        let look = needs_claims(&world.record, &self.me, lease.as_ref(), world.lease.as_ref());
        let holder = named.filter(|bot| *bot != self.me).map(|bot| HolderSeen {
            exists: state.bots.contains_key(&bot),
            name_taken: false,
            lease_version: state.own_leases.get(&bot).cloned().flatten(),
            bot,
        });
        Some(AccountSeen { claims: look.then(claims), name, me: self.me.clone(), lease, holder })
    }

    /// A compare-and-swap; answers whether it succeeded.
    pub fn write(&self, account: &AccountRecord) -> bool {
        let mut state = self.state.borrow_mut();
        let there = state.lease.as_ref().map(|l| l.version.clone()).unwrap_or_default();
        if there != account.version {
            return false;
        }
        let before = state.lease.as_ref().and_then(|l| l.token).unwrap_or_default();
        assert!(account.token.unwrap_or_default() >= before, "the account's token fell");
        state.versions += 1;
        state.lease = Some(AccountRecord { version: state.versions.to_string(), ..account.clone() });
        true
    }

    pub fn remove_lease_of(&self, bot: &BotRef, version: &str) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(found) = state.own_leases.get_mut(bot).filter(|found| found.as_deref() == Some(version)) else {
            return false;
        };
        *found = None;
        true
    }

    /// One more look at who trades: of all bots of the account one at most, and with tokens that only grow.
    pub fn check<'a>(worlds: impl Iterator<Item = &'a World>) {
        let on_it = |world: &&World| {
            let held = world.record.account.as_ref().filter(|view| view.state == AccountState::Held);
            let holds = held.is_some_and(|view| view.name == ACCOUNT);
            let trades = world.trader().is_some();
            assert!(!trades || holds || world.spec.account.as_deref() != Some(ACCOUNT), "trading without the account");
            trades && holds
        };
        let trading: Vec<&World> = worlds.filter(on_it).collect();
        assert!(trading.len() <= 1, "two bots trade on one account");
        let Some(world) = trading.first() else { return };
        let token = world.record.trading.as_ref().map(|ledger| ledger.token).unwrap_or_default();
        let mut state = world.shared.as_ref().unwrap().state.borrow_mut();
        assert!(token >= state.traded, "token {token} trades after {}", state.traded);
        state.traded = token;
    }
}

impl World {
    /// Nobody is permitted on an account that is not held, by the Lease and by the status that was read.
    pub fn check_account(&self, seen: &Observation, decision: &Decision) {
        let Some(wanted) = &self.spec.account else { return };
        for action in &decision.actions {
            match action {
                Action::PutLease { lease, purpose: LeaseWrite::Permit } if lease.permit == Some(Permit::Trade) => {
                    let account = seen.account.as_ref().expect("the account was read");
                    let held = account.lease.as_ref().expect("there is a Lease of the account");
                    assert!(held.is_held_by(&account.me) && held.name == *wanted && held.token == lease.token);
                    assert_eq!(account.claims, Some(Vec::new()), "another bot claims the account");
                    let view = self.record.account.as_ref().expect("the status names the account");
                    assert_eq!(view.state, AccountState::Held, "the claim was not written before");
                }
                Action::PutLease { lease, purpose: LeaseWrite::Grant }
                | Action::CreateLease { lease, purpose: LeaseWrite::Grant } => {
                    let taken = decision.actions.iter().find_map(|action| match action {
                        Action::WriteAccount { account, purpose: AccountWrite::Take } => Some(account),
                        _ => None,
                    });
                    assert_eq!(
                        taken.and_then(|account| account.token),
                        lease.token,
                        "the account's token is handed on"
                    );
                }
                Action::WriteAccount { purpose: AccountWrite::Release, .. } => {
                    assert!(decision.record.trading.is_none(), "given back with somebody in the ledger");
                    assert!(seen.lease.as_ref().is_none_or(|l| l.holder.is_none()), "a permit may still come");
                }
                _ => {}
            }
        }
    }
}
