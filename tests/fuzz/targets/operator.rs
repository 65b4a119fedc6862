//! The operator's decisions under any sequence of observations: Leases that somebody has changed, pods that say anything,
//! writes that are lost, clocks and links that stand still. What the operator wrote is true, and so is what it was told
//! about its own link; everything else is made up.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cluster::{self, Cluster};
use crate::product::api::record::{Seen, record_from, status_from};
use crate::product::core::failover::*;

use crate::product::core::lease::{AgentState, LeaseRecord, OnApiServerLoss, Permit};
use crate::product::core::silence::required_silence;
use crate::source::{Source, trace};

/// More rounds tell no more.
const ROUNDS: usize = 60;

pub fn run(data: &[u8]) {
    let mut s = Source::new(data);
    let mut cluster = Cluster::new(&mut s);
    let mut spec = cluster::spec(&mut s);
    let mut record = Record::default();
    let mut memory = Memory::default();
    for _ in 0..ROUNDS {
        if s.is_used_up() {
            break;
        }
        if s.seldom(8) {
            spec = Spec { deleting: spec.deleting || s.seldom(8), ..cluster::spec(&mut s) };
        }
        cluster.pass(&mut s);
        let seen = cluster.observe(&mut s);
        trace("seen", &(cluster.now, &seen));
        let decision = decide(&spec, &record, &memory, &seen, cluster.now);
        trace("decision", &decision);
        let again = decide(&spec, &record, &memory, &seen, cluster.now);
        assert_eq!(decision, again, "one observation is decided in two ways");
        let round = Round { spec: &spec, before: &record, memory: &memory, seen: &seen, cluster: &cluster };
        round.check(&decision);
        memory = decision.memory.clone();
        // All writes, or as many as succeed before one does not; an operator that ends remembers nothing.
        let carried_out = s.one_of(&[usize::MAX, usize::MAX, usize::MAX, 0, 1, 2, 3]);
        cluster.carry_out(&decision, carried_out, &mut record, &mut memory);
        if s.seldom(12) {
            memory = Memory::default();
            cluster.restart_operator();
        }
    }
}

/// One round, as it is seen from outside.
struct Round<'a> {
    spec: &'a Spec,
    before: &'a Record,
    memory: &'a Memory,
    seen: &'a Observation,
    cluster: &'a Cluster,
}

impl Round<'_> {
    fn check(&self, decision: &Decision) {
        let after = &decision.record;
        assert!(after.epoch >= self.before.epoch, "the epoch falls from {} to {}", self.before.epoch, after.epoch);
        assert!(after.token >= self.before.token, "the token falls from {} to {}", self.before.token, after.token);
        assert!(after.fenced >= self.before.fenced, "an epoch that was over is not over any more");
        assert!(after.fenced <= after.epoch, "an epoch is over that was never granted");
        self.evidence_clears_the_ledger(after);
        self.writes_are_in_order(decision);
        for action in &decision.actions {
            match action {
                Action::CreateLease { lease, purpose } | Action::PutLease { lease, purpose } => {
                    self.lease(lease, *purpose, after);
                }
                Action::Finalize => {
                    assert!(self.spec.deleting && after.trading.is_none(), "a bot goes while somebody may trade");
                }
                _ => {}
            }
        }
        self.pods(decision);
        self.sizes(decision);
        // Nothing of it is lost when the operator restarts.
        assert_eq!(&record_from(&status_from(after, Seen::default())), after);
    }

    /// The ledger is cleared, or names another one, only by what the rules call evidence.
    fn evidence_clears_the_ledger(&self, after: &Record) {
        let Some(ledger) = &self.before.trading else { return };
        let kept = after.trading.as_ref().is_some_and(|l| l.epoch == ledger.epoch && l.pod == ledger.pod);
        if kept {
            let longer = after.trading.as_ref().is_some_and(|l| l.lease_duration >= ledger.lease_duration);
            return assert!(longer, "the wait for {} became shorter", ledger.pod.name);
        }
        let lease = self.seen.lease.as_ref();
        let given_back = lease.is_some_and(|lease| {
            let boot = lease.boot.as_ref().filter(|boot| boot.pod_uid == ledger.pod.uid);
            let its = boot.is_some() && (ledger.boot.is_none() || lease.boot == ledger.boot);
            let said = match lease.state {
                AgentState::Released => true,
                AgentState::Restarted => lease.successor.as_ref().is_some_and(|s| s.pod_uid == ledger.pod.uid),
                _ => false,
            };
            its && said && lease.epoch == Some(ledger.epoch) && lease.holder.is_none()
        });
        let ended = self.seen.pods.iter().any(|pod| {
            pod.uid == ledger.pod.uid && ledger.boot.as_ref().is_some_and(|boot| pod.terminated_boots.contains(boot))
        });
        // Silence and a person's word count once the Lease is taken away.
        let fenced = self.memory.fenced_version.as_ref().is_some_and(|(epoch, version)| {
            *epoch == ledger.epoch && lease.is_some_and(|lease| lease.version == *version)
        });
        let gone = self.spec.deleting && lease.is_none() && self.may_be_fenced(ledger);
        assert!(given_back || ended || fenced || gone, "{ledger:?} is forgotten without evidence");
    }

    fn may_be_fenced(&self, ledger: &Ledger) -> bool {
        let confirmed = self.seen.operations.iter().any(|operation| {
            matches!(&operation.kind, OperationKind::Confirm { epoch, by } if *epoch == ledger.epoch && !by.trim().is_empty())
        });
        let stops = ledger.on_api_server_loss == OnApiServerLoss::Stop;
        confirmed || stops && self.cluster.silent_for() >= required_silence(ledger.lease_duration)
    }

    fn lease(&self, lease: &LeaseRecord, purpose: LeaseWrite, after: &Record) {
        let seen_version = self.seen.lease.as_ref().map(|lease| lease.version.clone()).unwrap_or_default();
        assert_eq!(lease.version, seen_version, "a version is replaced that was not looked at");
        match purpose {
            LeaseWrite::Grant => self.grant(lease, after),
            LeaseWrite::Permit if lease.permit == Some(Permit::Trade) => self.permit(lease, after),
            LeaseWrite::Permit => assert_eq!(lease.effective_permit(), Permit::Revoke),
            LeaseWrite::Fence { epoch } => {
                assert!(lease.holder.is_none() && lease.effective_permit() == Permit::Revoke, "{lease:?}");
                if let Some(ledger) = after.trading.as_ref().filter(|ledger| ledger.epoch == epoch) {
                    let again = self.memory.fenced_version.as_ref().is_some_and(|(fenced, _)| *fenced == epoch);
                    assert!(
                        self.may_be_fenced(ledger) || again,
                        "the Lease is taken from {} too soon",
                        ledger.pod.name
                    );
                }
            }
        }
    }

    fn grant(&self, lease: &LeaseRecord, after: &Record) {
        assert!(after.trading.is_none(), "the Lease is granted while {:?} may trade", after.trading);
        assert!(!self.spec.deleting && !self.spec.suspend, "the Lease is granted and nobody shall trade");
        assert_eq!((lease.permit, &lease.boot), (Some(Permit::Prepare), &None));
        assert_eq!((lease.epoch, lease.token), (Some(after.epoch), Some(after.token)));
        assert!(after.epoch > self.before.epoch && after.token > self.before.token, "a grant repeats its numbers");
        assert_eq!(lease.terms, Some(self.spec.terms));
        let holder = lease.holder.as_ref().expect("a grant names a holder");
        let pod = self.seen.pods.iter().find(|pod| pod.uid == holder.uid).expect("the holder is there");
        assert!(!pod.terminating && !pod.finished, "the Lease is granted to a pod that goes");
    }

    fn permit(&self, lease: &LeaseRecord, after: &Record) {
        let ledger = after.trading.as_ref().expect("who may trade is in the ledger");
        assert_eq!((lease.epoch, lease.holder.as_ref()), (Some(ledger.epoch), Some(&ledger.pod)));
        assert!(lease.boot.is_some() && lease.boot == ledger.boot, "a boot may trade that is not in the ledger");
        assert!(!self.spec.deleting && !self.spec.suspend, "somebody may trade and nobody shall");
        let account = after.account.as_ref().map(|view| view.state);
        assert!(self.spec.account.is_none() || account == Some(AccountState::Held), "without its account");
        if self.before.trading.is_some() {
            return;
        }
        let Some(policy) = &self.spec.reconciliation else { return };
        let current = self.before.current.as_ref().or(after.current.as_ref());
        let asked = current.is_some_and(|m| m.trigger == Trigger::FirstStart || m.trigger == Trigger::Restore);
        if asked && policy.run_on.contains(&MoveKind::FirstStart) && policy.on_failure != OnFailure::Proceed {
            let done = |job: &Job| job.token == ledger.token && matches!(job.state, JobState::Succeeded(_));
            assert!(self.seen.jobs.iter().any(done), "somebody may trade before the reconciliation has succeeded");
        }
    }

    /// What has to be known before a write is written before it.
    fn writes_are_in_order(&self, decision: &Decision) {
        let at = |wanted: fn(&Action) -> bool| decision.actions.iter().position(wanted);
        let lease = at(|action| matches!(action, Action::CreateLease { .. } | Action::PutLease { .. }));
        let job = at(|action| matches!(action, Action::CreateJob { .. }));
        let status = at(|action| *action == Action::WriteStatus);
        assert_eq!(status.is_some(), decision.record != *self.before, "the status is not written when it changes");
        for later in [lease, job].into_iter().flatten() {
            assert!(status.is_none_or(|status| status < later), "a write comes before what it relies on");
        }
        let taken = at(|action| matches!(action, Action::WriteAccount { purpose: AccountWrite::Take, .. }));
        assert!(taken.is_none_or(|taken| taken == 0), "an account is taken after something else was written");
        let leases = |action: &&Action| matches!(action, Action::CreateLease { .. } | Action::PutLease { .. });
        assert!(decision.actions.iter().filter(leases).count() <= 1, "two writes to one version of the Lease");
    }

    fn pods(&self, decision: &Decision) {
        let mut taken: BTreeSet<u32> = self.seen.pods.iter().map(|pod| pod.slot).collect();
        let mut active = 0;
        for action in &decision.actions {
            match action {
                Action::CreatePod { slot } => assert!(taken.insert(*slot), "slot {slot} is taken twice"),
                Action::SetRole { role, .. } => active += usize::from(*role == Some(Role::Active)),
                _ => {}
            }
        }
        assert!(active <= 1, "{active} pods are labelled active");
    }

    fn sizes(&self, decision: &Decision) {
        let seen = self.seen;
        let objects = seen.pods.len() + seen.operations.len() + self.spec.replicas as usize;
        assert!(decision.actions.len() <= 3 * objects + 8, "{} writes in one round", decision.actions.len());
        assert!(
            decision.wake_after.is_none_or(|after| after >= Duration::from_millis(10)),
            "{:?}",
            decision.wake_after
        );
        let after = &decision.record;
        assert!(after.history.len() <= HISTORY_LENGTH && after.message.len() < 6000);
        assert!(after.current.as_ref().is_none_or(|m| m.tried.len() <= HISTORY_LENGTH));
    }
}
