//! The bot that the account's Lease names was removed by force: what is known of it, one condition after the other.

use std::time::Duration;

use super::shared_account::ACCOUNT;
use super::world::*;
use crate::core::account::{AccountRecord, BotRef, Holder};
use crate::core::failover::*;
use crate::core::ids::{Epoch, FencingToken};
use crate::core::lease::OnApiServerLoss;
use crate::core::silence::{Link, Sighting};

const S: fn(u64) -> Duration = Duration::from_secs;

fn gone() -> BotRef {
    "trading-a/doge/uid-a".parse().unwrap()
}

/// A bot whose pods are ready, and what it sees of an account that another one held in epoch 4 of it.
struct Look {
    world: World,
    seen: Observation,
}

impl Look {
    /// Nothing has been heard of the other bot for `silent`.
    fn after(silent: Duration) -> Look {
        let mut world = World::new(Spec { account: Some(ACCOUNT.into()), ..spec() });
        world.run(S(3));
        let mut seen = world.observe();
        let now = world.now();
        seen.link = Some(Link::new(now.minus(S(100)), S(200)));
        let lease = AccountRecord {
            name: ACCOUNT.into(),
            holder: Holder::Bot(gone()),
            epoch: Some(Epoch(4)),
            token: Some(FencingToken(7)),
            lease_duration: S(10),
            ..AccountRecord::default()
        };
        let version = Some("70".to_owned());
        let holder = HolderSeen { bot: gone(), exists: false, name_taken: false, lease_version: version.clone() };
        world.memory.holder_sighting = Some((gone(), Sighting { version, at: now.minus(silent) }));
        seen.account = Some(AccountSeen {
            name: ACCOUNT.into(),
            me: "trading-b/doge/uid-b".parse().unwrap(),
            lease: Some(lease),
            claims: Some(Vec::new()),
            holder: Some(holder),
        });
        Look { world, seen }
    }

    fn with(mut self, change: impl FnOnce(&mut AccountSeen, &mut Memory)) -> Look {
        change(self.seen.account.as_mut().unwrap(), &mut self.world.memory);
        self
    }

    /// Its own Lease is not there, for as long as nothing was heard.
    fn without_lease(self) -> Look {
        self.with(|account, memory| {
            account.holder.as_mut().unwrap().lease_version = None;
            memory.holder_sighting.as_mut().unwrap().1.version = None;
        })
    }

    fn trading_on(self) -> Look {
        self.with(|account, _| account.lease.as_mut().unwrap().on_api_server_loss = OnApiServerLoss::Continue)
    }

    fn confirmed(mut self, epoch: u64, by: &str) -> Look {
        let kind = OperationKind::Confirm { epoch: Epoch(epoch), by: by.into() };
        self.seen.operations = vec![Operation { name: "c".into(), uid: "c-uid".into(), kind, to: None }];
        self
    }

    fn decide(&self) -> Decision {
        decide(&self.world.spec, &self.world.record, &self.world.memory, &self.seen, self.world.now())
    }

    /// The evidence that the account is taken on, if it is.
    fn taken(&self) -> Option<Evidence> {
        let decision = self.decide();
        assert_eq!(decision.record.epoch == Epoch(1), decision.record.blocked.is_none(), "{:?}", decision.record);
        decision.record.current.filter(|_| decision.record.epoch == Epoch(1)).and_then(|current| current.evidence)
    }

    fn removes(&self) -> bool {
        let of_gone = Action::RemoveLeaseOf { bot: gone(), version: "70".into() };
        self.decide().actions.contains(&of_gone)
    }

    /// What a person who confirms is told in this round.
    fn answer(&self) -> Option<&'static str> {
        self.decide().actions.into_iter().find_map(|action| match action {
            Action::UpdateOperation { update: OperationUpdate::Failed { reason, .. }, .. } => Some(reason),
            Action::UpdateOperation { .. } => Some("other"),
            _ => None,
        })
    }
}

#[test]
fn its_lease_is_removed_at_the_version_that_was_silent_for_long_enough() {
    let early = Look::after(Duration::from_millis(10_400));
    assert_eq!((early.taken(), early.removes()), (None, false));
    assert_eq!(early.decide().wake_after, Some(Duration::from_millis(100)));
    assert!(early.decide().record.message.contains("silent for 10 s"), "{}", early.decide().record.message);
    let due = Look::after(Duration::from_millis(10_500));
    assert_eq!((due.taken(), due.removes()), (None, true));
    assert!(due.decide().wake_after <= Some(Duration::from_millis(50)));
    // While our own link is down silence says nothing.
    let mut deaf = Look::after(S(50));
    deaf.seen.link = None;
    assert_eq!((deaf.taken(), deaf.removes(), deaf.decide().wake_after), (None, false, Some(S(1) / 2)));
}

#[test]
fn the_account_is_taken_when_its_lease_was_removed_by_us_or_was_absent_for_long_enough() {
    let removed = |look: Look| look.with(|_, memory| memory.holder_removed = Some(gone()));
    assert_eq!(removed(Look::after(S(0)).without_lease()).taken(), Some(Evidence::LeaseExpired));
    assert_eq!(removed(Look::after(S(1))).taken(), None, "it was made again");
    let another = Look::after(S(1)).without_lease();
    let another = another.with(|_, memory| memory.holder_removed = Some(BotRef { uid: "uid-0".into(), ..gone() }));
    assert_eq!(another.taken(), None, "that was another one's");
    assert_eq!(Look::after(S(10)).without_lease().taken(), None);
    assert_eq!(Look::after(S(11)).without_lease().taken(), Some(Evidence::LeaseExpired));
    // Under its name there is another bot by now, whose Lease that is.
    let taken = Look::after(S(11)).with(|account, _| account.holder.as_mut().unwrap().name_taken = true);
    assert_eq!((taken.taken(), taken.removes()), (Some(Evidence::LeaseExpired), false));
}

#[test]
fn of_one_that_may_trade_on_only_a_person_says_that_it_stopped() {
    let silent = || Look::after(S(60)).trading_on();
    assert_eq!((silent().taken(), silent().removes()), (None, false));
    let text = silent().decide().record.message;
    assert!(text.contains("ConfirmStopped on this bot for epoch 4"), "{text}");
    for (epoch, by, counts) in [(4, "mia", true), (3, "mia", false), (5, "mia", false), (4, " ", false)] {
        let said = silent().confirmed(epoch, by);
        assert_eq!((said.taken(), said.removes()), (None, counts), "epoch {epoch} by {by:?}");
        let said = silent().without_lease().confirmed(epoch, by);
        assert_eq!(said.taken(), counts.then_some(Evidence::Confirmed), "epoch {epoch} by {by:?}");
    }
    let by = silent().without_lease().confirmed(4, "mia").decide().record.current.and_then(|m| m.confirmed_by);
    assert_eq!(by.as_deref(), Some("mia"));
}

#[test]
fn a_person_is_believed_when_the_bot_is_silent_or_its_lease_is_removed() {
    let said = |silent| Look::after(silent).confirmed(4, "mia");
    assert_eq!(said(S(10)).answer(), Some("StillRenewing"));
    assert_eq!(said(S(11)).answer(), None, "it counts, and is told so when the account is taken");
    let removed = said(S(0)).without_lease().with(|_, memory| memory.holder_removed = Some(gone()));
    assert_eq!(removed.answer(), None);
    assert_eq!(Look::after(S(11)).confirmed(3, "mia").answer(), Some("NobodyTrades"));
    let there = said(S(11)).with(|account, _| account.holder.as_mut().unwrap().exists = true);
    assert_eq!(there.answer(), Some("NobodyTrades"));
}
