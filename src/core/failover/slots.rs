//! Which pods there should be: as many as replicas say, in the lowest free slots, of the present template.

use std::collections::BTreeSet;

use super::decide::Round;
use super::types::*;
use crate::core::ids::PodRef;

/// The slot of the pod that trades, or traded last, else the lowest: its volumes hold what the bot works with.
pub fn last_slot(record: &Record, pods: &[Pod]) -> u32 {
    let traded = record.trading.as_ref().map(|ledger| &ledger.pod);
    let last = traded.or_else(|| record.history.first().and_then(|m| m.to.as_ref()));
    let slot = |pod: &PodRef| {
        let there = pods.iter().find(|p| p.uid == pod.uid).map(|p| p.slot);
        // Pods are named by their slots.
        there.or_else(|| pod.name.rsplit_once('-').and_then(|(_, slot)| slot.parse().ok()))
    };
    last.and_then(slot).or_else(|| pods.iter().map(|p| p.slot).min()).unwrap_or_default()
}

impl Round<'_> {
    /// Makes what is missing, removes what is too much, and replaces what is outdated, standbys first.
    pub fn keep_slots(&mut self) {
        if self.spec.deleting {
            return;
        }
        self.remove_finished();
        self.remove_failed();
        let desired = self.desired();
        let usable: Vec<&Pod> = self.seen.pods.iter().filter(|p| self.is_usable(p)).collect();
        if usable.len() < desired {
            return self.create(desired - usable.len());
        }
        if usable.len() > desired && self.is_settled() {
            return self.remove(usable.len() - desired, usable);
        }
        self.replace_outdated(&usable);
    }

    /// Whether no move is under way that a pod too many may be needed for.
    fn is_settled(&self) -> bool {
        matches!(
            self.record.phase,
            Phase::Pending | Phase::Active | Phase::Suspended | Phase::Blocked | Phase::Maintenance
        )
    }

    /// One more while a single active of an old template waits for a successor.
    fn desired(&self) -> usize {
        let replicas = self.spec.replicas as usize;
        let active = self.record.trading.as_ref().and_then(|l| self.pod(&l.pod.uid));
        let outdated = active.is_some_and(|p| p.revision != self.spec.revision || p.draining);
        let surge = replicas == 1 && outdated && self.seen.template_error.is_none();
        replicas + usize::from(surge)
    }

    /// Whoever may trade or is about to is never removed here, nor is the pod whose status may yet be evidence.
    fn is_protected(&self, pod: &Pod) -> bool {
        let in_ledger = self.record.trading.as_ref().is_some_and(|l| l.pod.uid == pod.uid);
        in_ledger || self.candidate.as_ref() == Some(&pod.uid) || self.active.as_ref() == Some(&pod.uid)
    }

    fn remove_finished(&mut self) {
        for pod in self.seen.pods.iter().filter(|p| p.finished && !p.terminating) {
            if !self.is_protected(pod) {
                self.last.push(delete(pod));
            }
        }
    }

    fn remove_failed(&mut self) {
        let failed = self.pod_to_restart().filter(|pod| !pod.terminating && !self.is_protected(pod)).map(delete);
        self.last.extend(failed);
    }

    fn create(&mut self, missing: usize) {
        if self.seen.template_error.is_some() {
            return;
        }
        let taken: BTreeSet<u32> = self.seen.pods.iter().map(|p| p.slot).collect();
        let free = (0..).filter(|slot| !taken.contains(slot)).take(missing);
        self.last.extend(free.map(|slot| Action::CreatePod { slot }));
    }

    fn remove(&mut self, surplus: usize, mut usable: Vec<&Pod>) {
        usable.retain(|pod| !self.is_protected(pod));
        usable.sort_by_key(|p| (p.ready, p.revision == self.spec.revision, !p.draining, std::cmp::Reverse(p.slot)));
        self.last.extend(usable.into_iter().take(surplus).map(delete));
    }

    fn replace_outdated(&mut self, usable: &[&Pod]) {
        if self.seen.template_error.is_some() {
            return;
        }
        // Where every attempt to trade fails, the new template may be the remedy: it does not wait for success.
        let failing = self.candidate.is_none() && self.record.current.as_ref().is_some_and(|m| !m.tried.is_empty());
        let settled = self.is_settled() || self.record.trading.is_none() && failing;
        let outdated = |p: &&&Pod| p.revision != self.spec.revision && !self.is_protected(p);
        let not_ready = usable.iter().filter(outdated).find(|p| !p.ready);
        let waiting = usable.iter().any(|p| !p.ready && !self.is_protected(p))
            || self.seen.pods.iter().any(|p| p.terminating && !p.node_lost);
        let next = match not_ready {
            Some(pod) => Some(*pod),
            None if settled && !waiting => usable.iter().filter(outdated).max_by_key(|p| p.slot).copied(),
            None => None,
        };
        self.last.extend(next.map(delete));
    }
}

fn delete(pod: &Pod) -> Action {
    Action::DeletePod(PodRef { name: pod.name.clone(), uid: pod.uid.clone() })
}
