//! One worker a bot, while this replica leads: wait for a reason, observe, decide, apply.

mod wait;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{Instrument, info, info_span, warn};

use self::wait::{Next, Schedule};
use super::apply::Applier;
use super::backup::{Backups, Look};
use super::board::{Board, Shown};
use super::build;
use super::call::{CallError, call, refusal};
use super::children::Children;
use super::conditions::{Troubles, ready_standbys};
use super::credentials::{self, Access};
use super::election::Leadership;
use super::events::{self, Publisher};
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
use crate::core::silence::Sighting;
use crate::core::time::Wall;
use crate::core::wrong::{self, Wrong};
use crate::runtime::clock;

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
    pub events: Publisher,
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
                biased;
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
    backups: Backups,
    /// What the backups are to be brought to where they should be on, while the worker waits.
    follow: Option<(Observed, Record)>,
    template: TemplateCheck,
    troubles: Troubles,
    failures: u32,
    schedule: Schedule,
}

impl Worker {
    fn new(operator: Operator, key: BotKey, wake: Arc<Wake>) -> Self {
        Self {
            operator,
            key,
            wake,
            memory: Memory::default(),
            children: Children::default(),
            backups: Backups::default(),
            follow: None,
            template: TemplateCheck::default(),
            troubles: Troubles::default(),
            failures: 0,
            schedule: Schedule::default(),
        }
    }

    async fn run(mut self) {
        loop {
            for trigger in self.follow_and_wait().await {
                self.operator.metrics.reconciles.with_label_values(&[trigger.as_str()]).inc();
            }
            match self.round().await {
                Ok(Next::Gone) => {
                    self.operator.policies.forget(&self.key);
                    self.operator.board.remove(&self.key, &self.operator.metrics);
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
            self.troubles.child = refusal(kept)?;
            self.troubles.policy = self.policy(&observed);
            observed.facts.template_error = self.template.error(&operator, &observed.bot).await?;
        }
        let look = self.backups.look(&observed);
        self.troubles.backup.clone_from(&look.view);
        let wake_after = look.wake_after;
        let (next, record) = self.decide_and_apply(&observed, look).await?;
        if let Some(record) = record.filter(|_| self.backups.concerns(&operator, &observed)) {
            self.follow = Some((observed, record));
        }
        Ok(next.no_later_than(wake_after))
    }

    /// Brings the right to read the exchange's keys to where the Lease is, before anything is decided: a candidate has it
    /// before it is permitted to trade, and a pod whose grant is over loses it in the round that this itself causes.
    async fn credentials(&mut self, operator: &Operator, observed: &Observed) -> Result<Option<Access>, CallError> {
        let bot = &observed.bot;
        let reader = credentials::reader(observed);
        let kept = self.children.keep_credentials(operator, bot, reader).await;
        match &bot.spec.credentials {
            Some(wanted) => Access::of(kept, &wanted.secret_name).map(Some),
            None => refusal(kept.map(|_| ())).map(|_| None),
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

    /// Answers with the record too, when all of it was carried out.
    async fn decide_and_apply(&mut self, observed: &Observed, look: Look) -> Result<(Next, Option<Record>), CallError> {
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
            events: &operator.events,
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
            Ok(outcome) if outcome.finished => return Ok((Next::Gone, None)),
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
        self.backups.tell(&self.operator, observed, look);
        if news {
            return Ok((Next::Again, None));
        }
        let next = Next::Wait(Schedule { at: None, silence: decision.silence_limit });
        let wake_after = decision.wake_after.into_iter().chain(self.template.recheck_after()).min();
        Ok((next.no_later_than(wake_after), Some(decision.record)))
    }

    /// The watch saw the Lease's version no later than this round's read did: its sighting counts. So it does for the
    /// Lease of the bot that holds our account.
    fn recall_sighting(&mut self, observed: &Observed) {
        let live = observed.facts.lease.as_ref().map(|l| l.version.clone());
        if let Some(seen) = self.operator.world.sightings.of(&self.key).filter(|s| s.version == live) {
            self.memory.sighting = Some(seen);
        }
        if wrong::is(Wrong::ExpiryByWallClock)
            && let Some(renewed) = observed.lease.as_ref().and_then(|l| l.spec.as_ref()?.renew_time.as_ref())
        {
            let renewed = Wall(u64::try_from(renewed.0.as_millisecond()).unwrap_or_default());
            let age = Duration::from_millis(observed.facts.wall.millis_since(renewed));
            self.memory.sighting = Some(Sighting { version: live, at: clock::mono().minus(age) });
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
        let backup = self.troubles.backup.as_ref().map(|view| view.status.clone());
        self.operator.board.set(self.key.clone(), Shown { record: after.clone(), ready, backup });
        self.operator.events.publish(&observed.bot.object_ref(&()), events::between(before, after));
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
