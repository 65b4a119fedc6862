//! What must hold after every step of every scenario, whatever the scenario is about.

use super::world::World;
use crate::core::failover::*;
use crate::core::lease::{LeaseRecord, Permit};

impl World {
    /// Nobody beside another, and never in an epoch older than one that was traded in.
    pub fn check(&mut self) {
        let trading: Vec<_> = self.pods.iter().filter_map(|p| p.trading).collect();
        assert!(trading.len() <= 1, "two trade at once: {trading:?}");
        if let Some(epoch) = trading.first() {
            assert!(*epoch >= self.last_traded, "epoch {epoch} trades after {}", self.last_traded);
            self.last_traded = *epoch;
            // A store that was restored has lost the permit with the ledger, until the operator has looked.
            let prepared = |l: &LeaseRecord| l.permit == Some(Permit::Prepare) && l.epoch == Some(*epoch);
            if self.restored_at.is_none() || !self.lease.as_ref().is_some_and(prepared) {
                assert_eq!(self.record.trading.as_ref().map(|l| l.epoch), Some(*epoch), "trading without the ledger");
            }
        }
        self.check_restores();
        if let Some(lease) = &self.lease
            && lease.effective_permit() == Permit::Trade
            && lease.holder.is_some()
            && self.pods.iter().any(|p| lease.boot.as_ref() == Some(&p.boot))
        {
            let epoch = lease.epoch.filter(|e| e.is_plausible());
            assert!(self.record.epoch >= epoch.unwrap_or_default(), "a permit that was not written ahead");
        }
    }

    pub fn check_decision(&self, seen: &Observation, decision: &Decision) {
        let (before, after) = (&self.record, &decision.record);
        assert!(after.epoch >= before.epoch && after.token >= before.token && after.fenced >= before.fenced);
        assert_eq!(after != before, decision.actions.contains(&Action::WriteStatus), "the status is written on change");
        let position = |wanted: &dyn Fn(&Action) -> bool| decision.actions.iter().position(wanted);
        let takes = |a: &Action| matches!(a, Action::WriteAccount { purpose: AccountWrite::Take, .. });
        let first = usize::from(decision.actions.first().is_some_and(takes));
        assert!(position(&|a| *a == Action::WriteStatus).is_none_or(|at| at == first), "the status comes first");
        assert!(position(&takes).is_none_or(|at| at == 0), "but for the account that a grant needs");
        self.check_account(seen, decision);
        self.check_restore_decision(decision);
        let lease_writes: Vec<_> = decision
            .actions
            .iter()
            .filter_map(|a| match a {
                Action::PutLease { lease, purpose } | Action::CreateLease { lease, purpose } => Some((lease, *purpose)),
                _ => None,
            })
            .collect();
        assert!(lease_writes.len() <= 1, "two writes name one version");
        for (lease, purpose) in lease_writes {
            match purpose {
                LeaseWrite::Grant => {
                    assert!(after.trading.is_none() && lease.permit == Some(Permit::Prepare) && lease.boot.is_none());
                    assert_eq!((Some(after.epoch), Some(after.token)), (lease.epoch, lease.token));
                    assert!(
                        seen.lease.as_ref().and_then(|l| l.epoch).is_none_or(|e| !e.is_plausible() || after.epoch > e)
                    );
                    assert!(after.epoch > before.epoch, "an epoch is used once");
                }
                LeaseWrite::Permit if lease.permit == Some(Permit::Trade) => {
                    let ledger = after.trading.as_ref().expect("the ledger before the permit");
                    assert!(Some(ledger.epoch) == lease.epoch && ledger.boot == lease.boot && ledger.boot.is_some());
                    assert_eq!(
                        seen.lease.as_ref().and_then(|l| l.permit),
                        Some(Permit::Prepare),
                        "permits only advance"
                    );
                }
                LeaseWrite::Permit | LeaseWrite::Fence { .. } => {
                    assert_eq!(lease.permit, Some(Permit::Revoke));
                }
            }
        }
        for action in &decision.actions {
            if let Action::CreateJob { token, .. } = action {
                assert!(after.jobs.contains(token), "a Job that is not written ahead");
            }
        }
        if let (Some(old), None) = (&before.trading, &after.trading) {
            assert!(after.fenced >= old.epoch, "the ledger was cleared without a word");
        }
        let active = self.pods.iter().filter(|p| p.pod.role == Some(Role::Active)).count();
        assert!(active <= 1, "two pods are labelled active");
    }
}
