//! One worker a bot, while this replica leads: wait for a reason, observe, decide, apply.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::runtime::events::Recorder;
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{Instrument, debug, info, info_span, warn};

use super::apply::Applier;
use super::build;
use super::call::{CallError, call};
use super::children::Children;
use super::conditions::{Troubles, ready_standbys};
use super::credentials::{self, Access};
use super::election::Leadership;
use super::events;
use super::metrics::Metrics;
use super::observe::{Observed, Revisions, observe};
use super::policy_probe::{self, Enforcement, Policies};
use super::registry::{BotKey, Trigger, Wake};
use super::scope::Scope;
use super::template::TemplateCheck;
use super::watches::World;
use crate::api::bot::TradingBot;
use crate::api::names::FINALIZER;
use crate::api::record::record_from;
use crate::api::wanted::{revision, spec_from};
use crate::core::failover::{Action, Memory, Record, decide};
use crate::runtime::clock;

/// After a round that did not get through, the first pause; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Between two looks at one silence.
const SILENCE_PAUSE: Duration = Duration::from_millis(100);

/// Everything that workers share.
#[derive(Clone)]
pub struct Operator {
    /// For requests that end in time.
    pub client: Client,
    /// Asked before every write.
    pub leadership: Leadership,
    /// What the watches know.
    pub world: World,
    /// Notices a restored store.
    pub revisions: Arc<Revisions>,
    /// What Prometheus sees.
    pub metrics: Metrics,
    /// Publishes Events.
    pub recorder: Recorder,
    /// The image that agents are copied from.
    pub agent_image: String,
    /// Its namespace, where the Leases of accounts are.
    pub namespace: String,
    /// Whose bots it looks after.
    pub scope: Scope,
    /// The last record of every bot, for the gauges.
    pub board: Arc<Board>,
    /// What is known of the NetworkPolicies of standbys.
    pub policies: Arc<Policies>,
}

/// What was last decided for every bot.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<BotKey, (Record, u32)>>);

impl Board {
    /// Sets the gauges.
    pub fn show(&self, metrics: &Metrics) {
        metrics.set_bots(self.lock().values().map(|(record, ready)| (record, *ready)));
    }

    /// Forgets all bots: another replica leads.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<BotKey, (Record, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Operator {
    /// Runs a worker for every bot, until dropped.
    pub async fn lead(&self) {
        let mut workers = JoinSet::new();
        let mut started: BTreeMap<BotKey, Arc<Wake>> = BTreeMap::new();
        // Ends with this future. It only measures, so no round waits for it.
        let mut probes = JoinSet::new();
        probes.spawn(policy_probe::run(self.policies.clone(), self.world.clone()));
        loop {
            started.retain(|key, wake| self.world.registry.knows(key, wake));
            for (key, wake) in self.world.registry.all() {
                if !started.contains_key(&key) {
                    started.insert(key.clone(), wake.clone());
                    let span = info_span!("bot", namespace = key.namespace, name = key.name);
                    let worker = Worker::new(self.clone(), key.clone(), wake);
                    workers.spawn(worker.run().instrument(span));
                    self.world.registry.wake(&key, Trigger::Start);
                }
            }
            tokio::select! {
                () = self.world.registry.arrival() => {}
                Some(ended) = workers.join_next() => {
                    if let Err(error) = ended {
                        warn!(%error, "a worker ended unexpectedly; its bot is looked after again");
                        started.clear();
                        workers.abort_all();
                        self.world.registry.wake_all(Trigger::Start);
                    }
                }
            }
        }
    }
}

struct Worker {
    operator: Operator,
    key: BotKey,
    wake: Arc<Wake>,
    memory: Memory,
    children: Children,
    template: TemplateCheck,
    troubles: Troubles,
    failures: u32,
    schedule: Schedule,
}

/// When to look again if nothing is reported.
#[derive(Clone, Copy, Debug, Default)]
struct Schedule {
    at: Option<(Instant, Trigger)>,
    /// Look when the Lease has not been renewed for this long.
    silence: Option<Duration>,
}

enum Next {
    Wait(Schedule),
    Again,
    Gone,
}

impl Worker {
    fn new(operator: Operator, key: BotKey, wake: Arc<Wake>) -> Self {
        Self {
            operator,
            key,
            wake,
            memory: Memory::default(),
            children: Children::default(),
            template: TemplateCheck::default(),
            troubles: Troubles::default(),
            failures: 0,
            schedule: Schedule::default(),
        }
    }

    async fn run(mut self) {
        loop {
            for trigger in self.wait().await {
                self.operator.metrics.reconciles.with_label_values(&[trigger.as_str()]).inc();
            }
            match self.round().await {
                Ok(Next::Gone) => {
                    self.operator.policies.forget(&self.key);
                    self.operator.board.lock().remove(&self.key);
                    return;
                }
                Ok(Next::Again) => {
                    self.schedule = Schedule { at: Some((Instant::now(), Trigger::Retry)), silence: None }
                }
                Ok(Next::Wait(schedule)) => {
                    self.failures = 0;
                    self.schedule = schedule;
                }
                Err(CallError::NotLeading(_)) => return,
                Err(error) => self.retry_after(&error),
            }
        }
    }

    fn retry_after(&mut self, error: &CallError) {
        let pause = (FIRST_PAUSE * 2u32.saturating_pow(self.failures.min(10))).min(LONGEST_PAUSE);
        self.failures += 1;
        match error {
            // Somebody else wrote in between: nothing out of the ordinary.
            CallError::Conflict(_) if self.failures < 3 => debug!(%error, "looking again"),
            CallError::Unknown(_) => debug!(%error, ?pause, "looking again"),
            _ => warn!(%error, ?pause, "a round did not get through, trying again"),
        }
        self.schedule = Schedule { at: Some((Instant::now() + pause, Trigger::Retry)), silence: None };
    }

    /// Waits for a reason to look. Renewals move the silence alarm and are none.
    async fn wait(&self) -> BTreeSet<Trigger> {
        let at = async {
            match self.schedule.at {
                Some((at, trigger)) => {
                    tokio::time::sleep_until(at).await;
                    trigger
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            reasons = self.wake.reasons() => reasons,
            trigger = at => BTreeSet::from([trigger]),
            () = self.silence() => BTreeSet::from([Trigger::Silence]),
        }
    }

    /// Ends when the Lease has not changed for as long as the last decision named.
    async fn silence(&self) {
        let Some(limit) = self.schedule.silence else { return std::future::pending().await };
        // A silence that was looked at already is looked at again, but not in a circle.
        tokio::time::sleep(SILENCE_PAUSE).await;
        while let Some(left) = limit.checked_sub(self.silent_for()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left).await;
        }
    }

    /// Since the last change of the Lease that the watch or a round has seen.
    fn silent_for(&self) -> Duration {
        let now = clock::mono();
        let watched = self.operator.world.sightings.of(&self.key);
        let seen = watched.iter().chain(&self.memory.sighting);
        seen.map(|s| now.surely_elapsed_since(s.at)).min().unwrap_or_default()
    }

    async fn round(&mut self) -> Result<Next, CallError> {
        let operator = self.operator.clone();
        // Its resource is gone; one that was made again under the name has a worker of its own.
        if !operator.world.registry.knows(&self.key, &self.wake) {
            return Ok(Next::Gone);
        }
        let observed = observe(
            &operator.client,
            &operator.namespace,
            &operator.scope,
            &self.key,
            &operator.world,
            &operator.leadership,
            &operator.revisions,
        );
        let mut observed = match observed.await {
            Ok(observed) => observed,
            // The watch says so too in a moment.
            Err(CallError::NotFound(_)) => return Ok(Next::Wait(Schedule::default())),
            Err(error) => return Err(error),
        };
        let finalizers = observed.bot.metadata.finalizers.iter().flatten();
        let held = finalizers.into_iter().any(|f| f == FINALIZER);
        let deleting = observed.bot.metadata.deletion_timestamp.is_some();
        match (held, deleting) {
            (false, true) => return Ok(Next::Wait(Schedule::default())),
            (false, false) => {
                self.add_finalizer(&observed.bot).await?;
                return Ok(Next::Again);
            }
            (true, _) => {}
        }
        self.troubles.credentials = self.credentials(&operator, &observed).await?;
        if !deleting {
            let kept = self.children.keep(&operator, &observed).await;
            self.troubles.child = trouble(kept)?;
            self.troubles.policy = self.policy(&observed);
            observed.facts.template_error = self.template.error(&operator, &observed.bot).await?;
        }
        self.decide_and_apply(&observed).await
    }

    /// Brings the right to read the exchange's keys to where the Lease is, before anything is decided: a candidate has it
    /// before it is permitted to trade, and a pod whose grant is over loses it in the round that this itself causes.
    async fn credentials(&mut self, operator: &Operator, observed: &Observed) -> Result<Option<Access>, CallError> {
        let bot = &observed.bot;
        let reader = credentials::reader(observed);
        let kept = self.children.keep_credentials(operator, bot, reader).await;
        match &bot.spec.credentials {
            Some(wanted) => Access::of(kept, &wanted.secret_name).map(Some),
            None => trouble(kept.map(|_| ())).map(|_| None),
        }
    }

    /// What is known of the bot's NetworkPolicy; `None`: it asks for none.
    fn policy(&self, observed: &Observed) -> Option<Enforcement> {
        let Operator { policies, world, .. } = &self.operator;
        if build::policy_wanted(&observed.bot).is_none() {
            policies.forget(&self.key);
            return None;
        }
        let name = build::policy_name(&self.key.name);
        if world.children.of(&("NetworkPolicy", self.key.namespace.clone(), name)).is_none() {
            policies.forget(&self.key);
            let why =
                "The NetworkPolicy is not made yet: the addresses of the API server, which agents need, are not known.";
            let unknown = world.api_server.addresses().is_empty();
            return Some(if unknown { Enforcement::Unknown("NotMade", why.into()) } else { Enforcement::NotMeasured });
        }
        let target = policy_probe::target(observed, &revision(&observed.bot.spec));
        Some(policies.note(&self.key, target))
    }

    async fn decide_and_apply(&mut self, observed: &Observed) -> Result<Next, CallError> {
        self.recall_sighting(observed);
        let operator = &self.operator;
        let spec = spec_from(&observed.bot);
        let before = record_from(&observed.bot.status.clone().unwrap_or_default());
        let decision = decide(&spec, &before, &self.memory, &observed.facts, clock::mono());
        let mut memory = decision.memory.clone();
        let applier = Applier {
            client: &operator.client,
            leadership: &operator.leadership,
            operator_namespace: &operator.namespace,
            world: &operator.world,
            agent_image: &operator.agent_image,
            observed,
            spec: &spec,
            troubles: self.troubles.clone(),
        };
        let applied = applier.apply(&decision, &mut memory).await;
        self.memory = memory;
        let refused = match &applied {
            Err(CallError::Refused(why)) => Some(format!("The API server refused a write for this bot: {why}")),
            _ => None,
        };
        let news = self.troubles.refused != refused;
        self.troubles.refused = refused;
        let applier = Applier { troubles: self.troubles.clone(), ..applier };
        let status_written = decision.actions.contains(&Action::WriteStatus);
        match applied {
            Ok(outcome) if outcome.finished => return Ok(Next::Gone),
            Ok(_) if status_written => {}
            Ok(_) => applier.write_status(&decision.record).await?,
            Err(error) => {
                // What was refused is said at once, unless the status itself was what could not be written.
                if news && !status_written {
                    applier.write_status(&before).await?;
                }
                return Err(error);
            }
        }
        self.tell(&before, &decision.record, observed);
        if news {
            return Ok(Next::Again);
        }
        let wake_after = decision.wake_after.into_iter().chain(self.template.recheck_after()).min();
        Ok(Next::Wait(Schedule {
            at: wake_after.map(|after| (Instant::now() + after, Trigger::Timer)),
            silence: decision.silence_limit,
        }))
    }

    /// The watch saw the Lease's version no later than this round's read did: its sighting counts. So it does for the
    /// Lease of the bot that holds our account.
    fn recall_sighting(&mut self, observed: &Observed) {
        let live = observed.facts.lease.as_ref().map(|l| l.version.clone());
        if let Some(seen) = self.operator.world.sightings.of(&self.key).filter(|s| s.version == live) {
            self.memory.sighting = Some(seen);
        }
        let Some(holder) = observed.facts.account.as_ref().and_then(|account| account.holder.as_ref()) else { return };
        let key = BotKey::new(holder.bot.namespace.clone(), holder.bot.name.clone());
        if let Some(seen) = self.operator.world.sightings.of(&key).filter(|s| s.version == holder.lease_version) {
            self.memory.holder_sighting = Some((holder.bot.clone(), seen));
        }
    }

    fn tell(&self, before: &Record, after: &Record, observed: &Observed) {
        let metrics = &self.operator.metrics;
        if before.phase != after.phase {
            info!(from = ?before.phase, to = ?after.phase, epoch = %after.epoch, after.message, "phase");
        }
        if let Some(done) = after.history.first()
            && before.history.first().map(|m| m.epoch) != Some(done.epoch)
        {
            metrics.moved(done);
        }
        if let Some(stuck) = &after.current
            && after.blocked.is_some()
            && before.blocked != after.blocked
        {
            metrics.blocked(stuck);
        }
        let ready = ready_standbys(after, &observed.facts);
        self.operator.board.lock().insert(self.key.clone(), (after.clone(), ready));
        events::publish(&self.operator.recorder, &observed.bot.object_ref(&()), events::between(before, after));
    }

    async fn add_finalizer(&self, bot: &TradingBot) -> Result<(), CallError> {
        let mut finalizers = bot.metadata.finalizers.clone().unwrap_or_default();
        finalizers.push(FINALIZER.into());
        let patch = json!({"metadata": {"resourceVersion": bot.metadata.resource_version, "finalizers": finalizers}});
        let bots = Api::<TradingBot>::namespaced(self.operator.client.clone(), &self.key.namespace);
        self.operator.leadership.check()?;
        call(bots.patch(&self.key.name, &PatchParams::default(), &Patch::Merge(&patch))).await.map(|_| ())
    }
}

/// What the API server refuses becomes a sentence and holds nothing else up; everything else ends the round.
fn trouble(outcome: Result<(), CallError>) -> Result<Option<String>, CallError> {
    match outcome {
        Ok(()) => Ok(None),
        Err(CallError::Refused(why) | CallError::Conflict(why)) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}
