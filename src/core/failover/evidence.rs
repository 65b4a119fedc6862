//! Whether an epoch in the ledger is over (design, rule 11): evidence, and nothing else.

use std::time::Duration;

use super::decide::Round;
use super::types::*;
use crate::core::ids::BootId;
use crate::core::lease::{AgentState, LeaseRecord, OnApiServerLoss, Permit, ReleaseReason, Revoke};
use crate::core::shutdown::Shutdown;
use crate::core::silence::Silence;
use crate::core::wrong::{self, Wrong};

/// What the Lease itself proves about the ledger's epoch.
pub(super) fn in_lease(ledger: &Ledger, lease: &LeaseRecord) -> Option<Evidence> {
    if lease.epoch != Some(ledger.epoch) || lease.holder.is_some() {
        return None;
    }
    let boot = lease.boot.as_ref().filter(|boot| boot.pod_uid == ledger.pod.uid)?;
    if ledger.boot.as_ref().is_some_and(|known| known != boot) {
        return None;
    }
    match lease.state {
        AgentState::Released => Some(Evidence::Released),
        AgentState::Restarted => {
            let successor = lease.successor.as_ref()?;
            (successor.pod_uid == ledger.pod.uid && successor != boot).then_some(Evidence::ContainerRestarted)
        }
        _ => None,
    }
}

/// What the kubelet proves: it saw the end of the very container that ran this boot.
pub(super) fn in_pods(ledger: &Ledger, pods: &[Pod]) -> Option<Evidence> {
    if wrong::is(Wrong::PodGoneAsEvidence) && pods.iter().all(|pod| pod.uid != ledger.pod.uid) {
        return Some(Evidence::ContainerTerminated);
    }
    let boot = ledger.boot.as_ref()?;
    let this_boot = |ended: &BootId| ended == boot || wrong::is(Wrong::TerminatedWithoutBoot);
    pods.iter()
        .any(|pod| pod.uid == ledger.pod.uid && pod.terminated_boots.iter().any(this_boot))
        .then_some(Evidence::ContainerTerminated)
}

/// Whether the Lease still names what the ledger names.
pub(super) fn agrees(ledger: &Ledger, lease: &LeaseRecord) -> bool {
    lease.epoch == Some(ledger.epoch)
        && lease.is_held_by(&ledger.pod.uid)
        && (ledger.boot.is_none() || lease.boot == ledger.boot)
}

/// After how long without a renewal the holder is in doubt.
pub(super) fn doubt_after(ledger: &Ledger, lease: &LeaseRecord) -> Duration {
    lease.terms.map_or(ledger.lease_duration / 2, |terms| terms.renew_deadline).min(ledger.lease_duration)
}

impl Round<'_> {
    /// Clears the ledger if there is evidence for exactly its record.
    ///
    /// Silence and a person's word say that the holder *should* be dead, not that it is: before they count, the Lease
    /// is taken away by a compare-and-swap on the version whose silence was waited out, so that no renewal that is
    /// still on its way can revive it.
    pub fn clear_ledger(&mut self) {
        let Some(ledger) = self.record.trading.clone() else { return };
        self.note_promotion(&ledger);
        let proven = self
            .seen
            .lease
            .as_ref()
            .and_then(|lease| in_lease(&ledger, lease))
            .or_else(|| in_pods(&ledger, &self.seen.pods));
        if let Some(evidence) = proven {
            return self.close_epoch(&ledger, evidence, None);
        }
        let Some((evidence, by)) = self.presumed_stopped(&ledger) else { return };
        // A namespace that is being deleted takes no new Lease; nothing can be renewed in one that is absent.
        let absent_for_good = self.seen.lease.is_none() && self.spec.deleting;
        if absent_for_good || self.is_fenced(&ledger) {
            return self.close_epoch(&ledger, evidence, by);
        }
        self.put_lease(
            |lease| {
                lease.holder = None;
                lease.epoch = lease.epoch.filter(|e| e.is_plausible()).max(Some(ledger.epoch));
                lease.token = lease.token.filter(|t| t.is_plausible()).max(Some(ledger.token));
                (lease.permit, lease.revoke) = (Some(Permit::Revoke), Revoke::Now);
                lease.reason = "Fenced: the operator took the Lease away.".into();
            },
            LeaseWrite::Fence { epoch: ledger.epoch },
        );
    }

    /// Whether the Lease is as our own fencing write for this epoch left it.
    fn is_fenced(&self, ledger: &Ledger) -> bool {
        let Some(lease) = &self.seen.lease else { return false };
        self.memory.fenced_version.as_ref().is_some_and(|(e, v)| *e == ledger.epoch && *v == lease.version)
    }

    fn presumed_stopped(&mut self, ledger: &Ledger) -> Option<(Evidence, Option<String>)> {
        if let Some(by) = self.confirmed_by(ledger) {
            return Some((Evidence::Confirmed, Some(by)));
        }
        if ledger.on_api_server_loss == OnApiServerLoss::Continue {
            return None;
        }
        let over = self.is_fenced(ledger) || self.silence(ledger.lease_duration) == Silence::Expired;
        over.then_some((Evidence::LeaseExpired, None))
    }

    /// Who says that the holder of this epoch has stopped. Nobody is believed while the holder itself says otherwise.
    fn confirmed_by(&self, ledger: &Ledger) -> Option<String> {
        if self.is_heard_of(ledger) {
            return None;
        }
        self.seen.operations.iter().find_map(|operation| match &operation.kind {
            OperationKind::Confirm { epoch, by } if *epoch == ledger.epoch && !by.trim().is_empty() => Some(by.clone()),
            _ => None,
        })
    }

    /// Whether the holder in the ledger holds the Lease and has renewed it within its renew deadline.
    pub fn is_heard_of(&self, ledger: &Ledger) -> bool {
        let Some(lease) = self.seen.lease.as_ref().filter(|lease| agrees(ledger, lease)) else { return false };
        self.silent_for() < doubt_after(ledger, lease)
    }

    fn close_epoch(&mut self, ledger: &Ledger, evidence: Evidence, by: Option<String>) {
        let (mut reason, message) = self.why_it_ended(ledger, evidence);
        if reason == Reason::RestartWanted && self.restarts_used_up(ledger) {
            reason = Reason::ProcessExited;
        }
        if self.wants_nobody() {
            self.record.current = None;
        } else {
            let trigger = if reason == Reason::PodDeleted { Trigger::Eviction } else { Trigger::Automatic };
            self.begin_move(trigger, reason, message.clone());
        }
        let step = if reason == Reason::HealthFailed { self.next_remedy() } else { None };
        if let Some(current) = &mut self.record.current {
            current.evidence = Some(evidence);
            current.confirmed_by = by;
            current.fenced = Some(self.seen.wall);
            let undecided =
                matches!(current.reason, Reason::LeaseNotRenewed | Reason::PodGone | Reason::LeaseDisturbed);
            let told = !matches!(evidence, Evidence::LeaseExpired | Evidence::Confirmed);
            if current.trigger == Trigger::Automatic && undecided && told && reason != Reason::Requested {
                (current.reason, current.message) = (reason, message);
            } else if current.epoch == ledger.epoch && reason == Reason::PromotionFailed {
                // An attempt of this very move: people need to know why it goes on and on.
                current.message = message;
            }
            if step.is_some() && current.trigger == Trigger::Automatic && current.reason == Reason::HealthFailed {
                current.recovery = step;
            }
            let never_traded = current.epoch == ledger.epoch || current.reason == Reason::PromotionTimedOut;
            let blameless = match reason {
                Reason::RenewDeadline | Reason::RestartWanted => true,
                Reason::Requested => evidence != Evidence::Confirmed && !never_traded,
                _ => current.reason == Reason::LeaseDisturbed,
            };
            if !blameless {
                current.remember_failure(&ledger.pod.uid);
            }
        }
        // Where somebody else meddled with the Lease, the pod's silence says nothing about the pod.
        let meddled = self.record.current.as_ref().is_some_and(|m| m.reason == Reason::LeaseDisturbed);
        if matches!(evidence, Evidence::LeaseExpired | Evidence::Confirmed) && !meddled {
            let container_id = self.pod(&ledger.pod.uid).and_then(|p| p.container_id.clone());
            self.record.lost.push(Lost { pod_uid: ledger.pod.uid.clone(), container_id });
        }
        self.note_shutdown(ledger, evidence);
        self.record.trading = None;
        self.record.active_since = None;
        self.record.fenced = self.record.fenced.max(ledger.epoch);
        self.memory.steps.clear();
        self.memory.fenced_version = None;
    }

    /// Keeps what the agent said of its promote hook, for the move that led to its epoch.
    fn note_promotion(&mut self, ledger: &Ledger) {
        let said = self.seen.lease.as_ref().filter(|lease| lease.epoch == Some(ledger.epoch));
        let current = self.record.current.as_mut().filter(|current| current.epoch == ledger.epoch);
        if let (Some(report), Some(current)) = (said.and_then(|lease| lease.promotion.clone()), current) {
            current.promote_hook = Some(report);
        }
    }

    /// Keeps what the agent said of the steps by which it stopped its bot.
    fn note_shutdown(&mut self, ledger: &Ledger, evidence: Evidence) {
        let said = self.seen.lease.as_ref().filter(|_| evidence == Evidence::Released);
        let Some(steps) = said.map(|lease| lease.shutdown.clone()).filter(|steps| !steps.is_empty()) else { return };
        // Candidates that fail in this move stop as well; people want to know how the one stopped that had traded.
        if let Some(current) = self.record.current.as_mut().filter(|current| current.shutdown.is_empty()) {
            current.shutdown.clone_from(&steps);
        }
        let (pod, epoch) = (ledger.pod.name.clone(), ledger.epoch);
        self.record.last_shutdown = Some(Shutdown { at: self.seen.wall, pod, epoch, steps });
    }

    /// Reconciled restarts on one pod, without anything else in between, are limited like those in place.
    fn restarts_used_up(&self, ledger: &Ledger) -> bool {
        let on_this_pod = |m: &&Move| m.reason == Reason::RestartWanted && m.to.as_ref() == Some(&ledger.pod);
        self.record.history.iter().take_while(on_this_pod).count() >= self.spec.restarts as usize
    }

    fn why_it_ended(&self, ledger: &Ledger, evidence: Evidence) -> (Reason, String) {
        let pod = &ledger.pod.name;
        let lease = self.seen.lease.as_ref();
        let sentence = lease
            .and_then(|l| l.reason.split_once(": "))
            .map(|(_, text)| text.to_owned())
            .unwrap_or_else(|| "it did not say why.".into());
        match evidence {
            Evidence::Released => {
                let reason = match lease.and_then(|l| ReleaseReason::parse(&l.reason)) {
                    Some(ReleaseReason::ProcessExited) => Reason::ProcessExited,
                    Some(ReleaseReason::RestartWanted) => Reason::RestartWanted,
                    Some(ReleaseReason::PromotionFailed) => Reason::PromotionFailed,
                    Some(ReleaseReason::RenewDeadline) => Reason::RenewDeadline,
                    Some(ReleaseReason::PodStopping) => Reason::PodDeleted,
                    Some(ReleaseReason::AgentRestarted) => Reason::ContainerTerminated,
                    Some(ReleaseReason::HealthFailed) => Reason::HealthFailed,
                    Some(ReleaseReason::Revoked) | None => Reason::Requested,
                };
                (reason, format!("The agent of {pod} released the Lease: {sentence}"))
            }
            Evidence::ContainerTerminated => {
                (Reason::ContainerTerminated, format!("The kubelet reported the end of the container of {pod}."))
            }
            Evidence::ContainerRestarted => {
                (Reason::ContainerTerminated, format!("The container of {pod} ended and was started again."))
            }
            Evidence::LeaseExpired => (
                Reason::LeaseNotRenewed,
                format!("{pod} did not renew its Lease for {} s and the tolerance.", ledger.lease_duration.as_secs()),
            ),
            Evidence::Confirmed => (Reason::Requested, format!("A person confirmed that {pod} has stopped.")),
        }
    }
}

impl Move {
    /// Remembers a pod that failed in this move; it is tried again only after the others.
    pub(super) fn remember_failure(&mut self, pod_uid: &str) {
        self.tried.push(pod_uid.to_owned());
        if self.tried.len() > HISTORY_LENGTH {
            self.tried.remove(0);
        }
    }
}
