//! Nobody may be trading: find out whether somebody should, who, and grant the Lease.

use std::time::Duration;

use super::decide::Round;
use super::types::*;
use crate::core::ids::{Epoch, FencingToken, PodRef};
use crate::core::lease::{AgentState, LeaseRecord, OrderPath, Permit, Revoke};
use crate::core::wrong::{self, Wrong};

/// The longest pause between two grants of a move in which everyone has failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a pod that is to go on after an outage or for a restart may take to be ready.
const RETURN_TIME: Duration = Duration::from_secs(15);

impl Round<'_> {
    pub fn without_incumbent(&mut self) {
        let lease = self.seen.lease.clone();
        if lease.as_ref().is_some_and(|lease| self.adopt_stranger(lease)) || self.waits_after_restore() {
            return;
        }
        if self.wants_nobody() {
            return self.stay_stopped(lease.as_ref());
        }
        if self.waits_for_restore() {
            return;
        }
        if let Some(lease) = &lease {
            let ours = lease.epoch == Some(self.record.epoch) && lease.token == Some(self.record.token);
            if ours && self.record.epoch > self.record.fenced && self.record.current.is_some() {
                if lease.permit == Some(Permit::Prepare)
                    && let Some(holder) = lease.holder.clone()
                {
                    if self.is_from_before_restore(lease) {
                        return self.abandon_epoch();
                    }
                    return self.with_candidate(lease, &holder);
                }
                self.note_given_back(lease);
            }
        }
        self.elect();
    }

    /// Whether nobody shall trade, whatever becomes of those who do.
    pub(super) fn wants_nobody(&self) -> bool {
        self.spec.deleting || self.spec.suspend || self.restore_halts()
    }

    /// A Lease that lets someone trade whom the ledger does not know was written by someone else, or is older than a
    /// permit that a restored store has forgotten. Whoever it names counts as possibly trading, and is stopped.
    fn adopt_stranger(&mut self, lease: &LeaseRecord) -> bool {
        let may_trade = lease.permit != Some(Permit::Prepare) || self.is_claim_from_before_restore(lease);
        let Some(holder) = lease.holder.clone().filter(|_| may_trade) else { return false };
        let readable = lease.epoch.filter(|e| e.is_plausible());
        if readable.is_some_and(|epoch| epoch <= self.record.fenced) {
            return false;
        }
        // Under an epoch that cannot be read nothing can be proven but silence: the ledger names one of its own.
        let epoch = readable.unwrap_or(Epoch::next(self.record.epoch, None));
        let terms = lease.terms.unwrap_or(self.spec.terms);
        let ledger = Ledger {
            epoch,
            token: lease.token.filter(|t| t.is_plausible()).unwrap_or(self.record.token),
            pod: holder,
            boot: lease.boot.clone(),
            lease_duration: terms.lease_duration.max(self.spec.terms.lease_duration),
            on_api_server_loss: terms.on_api_server_loss,
        };
        self.record.epoch = self.record.epoch.max(epoch);
        self.record.token = self.record.token.max(ledger.token);
        let message =
            format!("The Lease names {} with a permit that the operator did not give; it is stopped.", ledger.pod.name);
        self.record.trading = Some(ledger);
        self.put_lease(|l| (l.permit, l.revoke) = (Some(Permit::Revoke), Revoke::Now), LeaseWrite::Permit);
        self.say(Phase::Fencing, message);
        true
    }

    fn stay_stopped(&mut self, lease: Option<&LeaseRecord>) {
        self.record.current = None;
        if self.spec.deleting {
            self.wake(Duration::from_secs(2));
            if self.release_account() {
                return self
                    .say(Phase::Switching, "Nobody trades; the account is given back before the resource goes.");
            }
            if !self.record.jobs.is_empty() {
                // The next bot of this name must not meet a reconciliation of this one.
                let text = "Nobody trades; the resource is being deleted when its last reconciliation has ended.";
                return self.say(Phase::Switching, text);
            }
            if self.restore_may_run() {
                let text =
                    "Nobody trades; the resource is being deleted when the Job that puts a backup back has ended.";
                return self.say(Phase::Switching, text);
            }
            self.last.push(Action::Finalize);
            return self.say(Phase::Switching, "Nobody trades; the resource is being deleted.");
        }
        if let Some(epoch) = lease.filter(|l| l.holder.is_some()).map(|l| l.epoch.unwrap_or_default()) {
            self.put_lease(|l| (l.holder, l.permit) = (None, Some(Permit::Revoke)), LeaseWrite::Fence { epoch });
        }
        self.release_account();
        if self.restore_halts() {
            return self.go_on_restoring();
        }
        self.say(Phase::Suspended, "Nobody trades, because spec.suspend is set. Set it to false to trade again.");
    }

    /// The candidate gave the Lease back before it was permitted to trade.
    fn note_given_back(&mut self, lease: &LeaseRecord) {
        let given_back = matches!(lease.state, AgentState::Released | AgentState::Restarted);
        if let (true, Some(boot), Some(current)) = (given_back, &lease.boot, &mut self.record.current)
            && current.epoch == self.record.epoch
        {
            current.remember_failure(&boot.pod_uid);
            self.record.fenced = self.record.epoch;
        }
    }

    /// Gives the candidate up; it was never permitted to trade.
    pub fn abandon_candidate(&mut self, holder: &PodRef) {
        if let Some(current) = &mut self.record.current {
            current.remember_failure(&holder.uid);
        }
        self.abandon_epoch();
    }

    /// Gives the epoch up in which nobody was permitted to trade, whoever the candidate is.
    pub fn abandon_epoch(&mut self) {
        // No permit can follow in this epoch, so it is over, also while the next grant has to wait.
        self.record.fenced = self.record.epoch;
        self.candidate = None;
        self.memory.steps.clear();
        self.elect();
    }

    pub fn elect(&mut self) {
        if self.record.epoch == Epoch(0) && self.seen.lease.as_ref().is_none_or(|l| l.epoch.is_none()) {
            self.begin_move(Trigger::FirstStart, Reason::FirstStart, "The bot is new.");
        } else {
            self.begin_move(Trigger::Resume, Reason::Resumed, "Nobody trades and somebody should.");
        }
        let Some(current) = self.record.current.clone() else { return };
        if self.waits_for_account() || self.must_wait(&current) {
            return;
        }
        match self.choose(&current) {
            Some(pod) => self.grant(pod),
            None => {
                self.say_why_nobody(&current);
                self.give_up_account();
            }
        }
    }

    /// Limits that people set, and pauses between attempts.
    fn must_wait(&mut self, current: &Move) -> bool {
        let unapproved = !current.approved;
        let automatic = current.trigger == Trigger::Automatic && unapproved;
        if self.needs_person(current) && !self.may_return(current) {
            self.block(
                Phase::Blocked,
                Block::ManualFailover,
                format!(
                    "{} Nobody trades, because spec.failover.mode is Manual. Run: kubectl tradingbot failover",
                    current.message
                ),
            );
            return true;
        }
        if automatic && self.is_held_for_people(current) {
            return true;
        }
        if automatic && let Some(left) = self.rate_limited() {
            self.wake(left);
            self.block(
                Phase::Maintenance,
                Block::RateLimited,
                format!(
                    "{} Nobody trades, because {} failovers within {} s are allowed (spec.failover.rateLimit). Look \
                     for the cause, then run: kubectl tradingbot failover",
                    current.message,
                    self.spec.max_failovers,
                    self.spec.rate_period.as_secs()
                ),
            );
            return true;
        }
        if automatic && let Some(left) = self.cooling_down(current) {
            self.wake(left);
            self.say(Phase::Electing, format!("{} The next failover waits for the cool-down.", current.message));
            return true;
        }
        if let Some(left) = self.pause_left(current) {
            self.wake(left);
            self.say(Phase::Electing, format!("{} The next attempt waits a moment.", current.message));
            return true;
        }
        if unapproved && self.waits_for_return(current) {
            self.say(Phase::Electing, format!("{} The same pod shall go on and is not ready yet.", current.message));
            return true;
        }
        false
    }

    /// Under `Manual` only people move trading to another pod.
    fn needs_person(&self, current: &Move) -> bool {
        self.spec.manual && !current.approved && matches!(current.trigger, Trigger::Automatic | Trigger::Eviction)
    }

    /// Whether the epoch can go on with a new number on the pod that gave it back.
    fn may_return(&mut self, current: &Move) -> bool {
        let here = current
            .from
            .as_ref()
            .and_then(|from| self.pod(&from.uid))
            .is_some_and(|pod| self.is_eligible(pod) || self.is_back(current, pod));
        current.returns_to_same_pod() && (here || self.waits_for_return(current))
    }

    /// A pod that gave its epoch back because of an outage, or to be restarted, is alive, and gets a moment to be ready
    /// again: the kubelet's reports are late after an outage.
    fn waits_for_return(&mut self, current: &Move) -> bool {
        let Some(from) = current.from.as_ref().filter(|_| current.returns_to_same_pod()) else { return false };
        let coming = self.pod(&from.uid).is_some_and(|pod| {
            !pod.terminating
                && !pod.finished
                && !self.is_lost(pod)
                && !self.is_eligible(pod)
                && !self.is_back(current, pod)
        });
        coming && !current.tried.contains(&from.uid) && !self.overdue(Step::Return(self.record.epoch), RETURN_TIME)
    }

    fn rate_limited(&self) -> Option<Duration> {
        let period = u64::try_from(self.spec.rate_period.as_millis()).unwrap_or(u64::MAX);
        let ages: Vec<u64> = self
            .record
            .history
            .iter()
            .filter(|m| m.trigger == Trigger::Automatic && m.reason != Reason::RenewDeadline && m.from != m.to)
            .filter_map(|m| m.active.map(|at| self.seen.wall.millis_since(at)))
            .filter(|age| *age < period)
            .collect();
        // The history is as far as we can look back. A limit of zero is none.
        let last = (self.spec.max_failovers as usize).min(HISTORY_LENGTH).checked_sub(1)?;
        // Newest first: the window has room again when the last that the limit allows has left it.
        ages.get(last).map(|age| Duration::from_millis(period - age))
    }

    fn cooling_down(&self, current: &Move) -> Option<Duration> {
        if !matches!(current.reason, Reason::PromotionFailed | Reason::PromotionTimedOut | Reason::HealthFailed) {
            return None;
        }
        let last = self.record.history.iter().find(|m| m.trigger == Trigger::Automatic)?.active?;
        let since = Duration::from_millis(self.seen.wall.millis_since(last));
        self.spec.cooldown.checked_sub(since).filter(|left| !left.is_zero())
    }

    /// When everyone has failed once, and for failed reconciliations, attempts come at growing distances.
    fn pause_left(&self, current: &Move) -> Option<Duration> {
        let rounds = current.tried.len().saturating_sub(self.seen.pods.len().max(1) - 1);
        let failures = u32::try_from(rounds).unwrap_or(5).max(current.attempts).min(6);
        let last = self.memory.last_grant?;
        let pause = (Duration::from_millis(500) * 2u32.pow(failures)).min(LONGEST_PAUSE);
        if failures == 0 {
            return None;
        }
        pause.checked_sub(self.now.surely_elapsed_since(last)).filter(|left| !left.is_zero())
    }

    /// A pod that counts towards the replicas.
    pub fn is_usable(&self, pod: &Pod) -> bool {
        !pod.terminating && !pod.finished && !pod.node_lost && !self.is_lost(pod)
    }

    fn is_lost(&self, pod: &Pod) -> bool {
        self.record.lost.iter().any(|lost| lost.pod_uid == pod.uid)
    }

    /// A pod that the Lease can be granted to.
    pub fn is_eligible(&self, pod: &Pod) -> bool {
        self.is_usable(pod) && pod.ready
    }

    /// The pod of an agent that gave its epoch back when the API server answered again: it lives, whatever kubelet and
    /// node say, which both report the outage for up to a minute longer. If it does not take the grant up after all,
    /// it counts as tried.
    pub(super) fn is_back(&self, current: &Move, pod: &Pod) -> bool {
        let spoke = current.reason == Reason::RenewDeadline && current.evidence == Some(Evidence::Released);
        let here = current.from.as_ref().is_some_and(|from| from.uid == pod.uid) && !pod.terminating && !pod.finished;
        spoke && here && !current.tried.contains(&pod.uid)
    }

    fn choose(&self, current: &Move) -> Option<PodRef> {
        let from = current.from.as_ref().map(|p| p.uid.as_str());
        let planned_away = matches!(
            current.trigger,
            Trigger::Switchover | Trigger::Failover | Trigger::RollingUpdate | Trigger::Eviction
        );
        let stays = current.returns_to_same_pod();
        let bound_to_from = self.needs_person(current);
        self.seen
            .pods
            .iter()
            .filter(|pod| self.is_eligible(pod) || self.is_back(current, pod))
            .filter(|pod| !bound_to_from || from == Some(&pod.uid))
            .filter(|pod| current.pod_to_restart().is_none_or(|failed| failed.uid != pod.uid))
            .min_by_key(|pod| {
                let is_from = from == Some(pod.uid.as_str());
                let failures = current.tried.iter().filter(|uid| **uid == pod.uid).count();
                (
                    current.wanted.as_deref().is_some_and(|wanted| wanted != pod.name),
                    failures,
                    stays && !is_from,
                    planned_away && is_from,
                    pod.revision != self.spec.revision,
                    pod.draining,
                    pod.slot,
                )
            })
            .map(|pod| PodRef { name: pod.name.clone(), uid: pod.uid.clone() })
    }

    /// Write-ahead, then the grant: the epoch is in the status before anyone can hold it (design, rule 1).
    fn grant(&mut self, pod: PodRef) {
        let in_lease = self.seen.lease.as_ref();
        let over = self.record.epoch;
        let epoch = if wrong::is(Wrong::EpochFromTransitions) {
            Epoch(in_lease.map_or(0, |l| u64::from(l.transitions) + u64::from(l.epoch.is_some())) + 1)
        } else {
            Epoch::next(self.record.epoch, in_lease.and_then(|l| l.epoch))
        };
        let in_lease_token = in_lease.and_then(|l| l.token).filter(|t| t.is_plausible());
        let previous = self.record.token.max(in_lease_token.unwrap_or_default()).max(self.account_token());
        let token = FencingToken::next(previous, self.seen.wall);
        let terms = self.spec.terms;
        self.put_lease(
            |lease| {
                lease.transitions += u32::from(lease.epoch.is_some());
                lease.holder = Some(pod.clone());
                lease.epoch = Some(epoch);
                lease.token = Some(token);
                lease.permit = Some(Permit::Prepare);
                lease.revoke = Revoke::Graceful;
                lease.boot = None;
                lease.renew = String::new();
                lease.state = AgentState::Unknown;
                lease.path = OrderPath::Unknown;
                lease.health = String::new();
                lease.recovery = String::new();
                lease.reason = String::new();
                lease.shutdown = Vec::new();
                lease.promotion = None;
                lease.successor = None;
                lease.terms = Some(terms);
            },
            LeaseWrite::Grant,
        );
        self.take_account(token, terms);
        self.record.fenced = self.record.fenced.max(over);
        (self.record.epoch, self.record.token) = (epoch, token);
        self.record.job_request = false;
        self.memory.last_grant = Some(self.now);
        self.memory.steps.clear();
        if let Some(current) = &mut self.record.current {
            current.epoch = epoch;
            current.to = Some(pod.clone());
            current.elected = Some(self.seen.wall);
            (current.reconciled, current.report) = (None, None);
        }
        self.candidate = Some(pod.uid.clone());
        self.say(Phase::Electing, format!("{} is granted the Lease.", pod.name));
    }

    fn say_why_nobody(&mut self, current: &Move) {
        let phase = if self.record.epoch == Epoch(0) { Phase::Pending } else { Phase::Electing };
        let problem = self.seen.pods.iter().find_map(|p| p.problem.clone()).or(self.seen.template_error.clone());
        let wait = problem.unwrap_or_else(|| "No pod is ready to trade yet.".into());
        self.say(phase, format!("{} {wait}", current.message));
    }
}

impl Move {
    /// An outage or a wish to restart ends an epoch and moves nothing; neither does a restore.
    pub(super) fn returns_to_same_pod(&self) -> bool {
        let goes_on = matches!(self.reason, Reason::RenewDeadline | Reason::RestartWanted | Reason::LeaseDisturbed);
        goes_on || self.trigger == Trigger::Restore
    }

    /// Which kind of move a reconciliation policy sees.
    pub(super) fn kind(&self) -> MoveKind {
        let released = matches!(self.evidence, Some(Evidence::Released) | None);
        match self.trigger {
            Trigger::FirstStart => MoveKind::FirstStart,
            Trigger::Automatic if released && self.reason == Reason::RestartWanted => MoveKind::Restart,
            Trigger::Switchover | Trigger::RollingUpdate | Trigger::Eviction | Trigger::Resume | Trigger::Restore
                if released =>
            {
                MoveKind::Switchover
            }
            _ => MoveKind::Failover,
        }
    }
}
