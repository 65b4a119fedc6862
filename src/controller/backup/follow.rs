//! The writes: CronJobs, runs that are ended or made once more, and operations of the type `Backup`.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::Resource as _;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tracing::{info, warn};

use super::names::*;
use super::run::{Run, Subject};
use super::{Backups, ask, end, events, now, retry, status, wanted};
use crate::api::names::{LABEL_BOT, LABEL_OPERATION};
use crate::api::operation::TradingBotOperation;
use crate::api::record::time_from;
use crate::controller::build;
use crate::controller::call::{CallError, call, refusal};
use crate::controller::observe::{Observed, is_controlled_by};
use crate::controller::worker::Operator;
use crate::core::failover::Record;
use crate::runtime::clock;

/// Whose writes, and on what.
struct Round<'a> {
    operator: &'a Operator,
    observed: &'a Observed,
    record: &'a Record,
}

impl Backups {
    /// Whether [`Backups::follow`] has anything to look at.
    pub fn concerns(&self, operator: &Operator, observed: &Observed) -> bool {
        let asked = observed.operations.iter().any(ask::is_open);
        observed.bot.spec.backup.is_some() || asked || !self.ours(operator, observed).is_empty()
    }

    /// Brings CronJobs, Jobs and operations to where they should be, and answers whether the bot is to be looked at again
    /// because more is known now.
    ///
    /// # Errors
    /// What became of the first write that did not get through; what the API server refuses is a sentence in the next
    /// look.
    pub async fn follow(
        &mut self,
        operator: &Operator,
        observed: &Observed,
        record: &Record,
    ) -> Result<bool, CallError> {
        let round = Round { operator, observed, record };
        let (refused, known) = (self.refused.clone(), self.cron_jobs.clone());
        let wanted = wanted(observed, record, &operator.agent_image);
        let kept = self.keep(&round, &wanted).await;
        self.refused = refusal(kept)?;
        let runs = self.runs(observed);
        for run in &runs {
            if let Some(why) = end::reason(run, record) {
                round.end(run, &why).await?;
            }
        }
        if observed.bot.metadata.deletion_timestamp.is_none() {
            let retried = self.retry(&round, &wanted, &runs).await;
            self.refused = self.refused.take().or(refusal(retried)?);
        }
        self.answer(&round, &wanted).await?;
        Ok(self.refused != refused || self.cron_jobs != known)
    }

    /// Applies what is wanted and removes what is not. One that is refused holds no other up.
    async fn keep(&mut self, round: &Round<'_>, wanted: &[CronJob]) -> Result<(), CallError> {
        let Round { operator, observed, record: _ } = round;
        let bot = &observed.bot;
        let (namespace, name) = (bot.namespace().unwrap_or_default(), bot.name_any());
        let names: BTreeSet<String> = wanted.iter().map(|cron_job| cron_job.name_any()).collect();
        let mut outcome = Ok(());
        let mut cron_jobs = BTreeMap::new();
        for cron_job in wanted {
            let key = (CronJob::KIND, namespace.clone(), cron_job.name_any());
            // What a foreground deletion has taken is not made again.
            let gone = operator.world.children.of(&key).is_none();
            if bot.metadata.deletion_timestamp.is_some() && gone {
                continue;
            }
            match self.children.keep_one(operator, bot, cron_job.clone()).await {
                Err(error @ (CallError::Refused(_) | CallError::Conflict(_))) => outcome = outcome.and(Err(error)),
                other => other?,
            }
            if let Some((uid, subject)) = self.children.uid_of(&key).zip(Subject::of(cron_job, &name)) {
                cron_jobs.insert(uid, subject);
            }
        }
        self.cron_jobs = cron_jobs;
        for other in self.ours(operator, observed).difference(&names) {
            self.children.remove_one::<CronJob>(operator, bot, other).await?;
        }
        outcome
    }

    /// The CronJobs that are there by a name of ours, as far as the watch and our own writes tell.
    fn ours(&self, operator: &Operator, observed: &Observed) -> BTreeSet<String> {
        let (namespace, bot) = (observed.bot.namespace().unwrap_or_default(), observed.bot.name_any());
        let mut names = operator.world.children.names(CronJob::KIND, &namespace);
        names.extend(self.children.written(CronJob::KIND, &namespace));
        let of_schedule = build::schedule_name(&bot, "");
        names.retain(|name| name.starts_with(&of_schedule) || *name == build::verification_name(&bot));
        names
    }

    async fn retry(&self, round: &Round<'_>, wanted: &[CronJob], runs: &[Run]) -> Result<(), CallError> {
        let Round { operator, observed, record } = round;
        let Some(backup) = &observed.bot.spec.backup else { return Ok(()) };
        let before = observed.bot.status.as_ref().and_then(|status| status.backup.clone()).unwrap_or_default();
        // This round's runs may not be written down yet.
        let status = status::fold(&before, runs);
        for failed in retry::due(runs, record, backup, &status, now(observed)) {
            let Some((cron_job, uid)) = self.template(round, wanted, &failed.subject) else { continue };
            let name = retry::name_of(&failed.job);
            let label = (LABEL_RETRY_OF, failed.uid.as_str());
            let Some(job) = build::job_by_hand(cron_job, &uid, name.clone(), label) else { continue };
            if round.create(&job, &uid).await? {
                info!(job = failed.job, retry = name, "a failed backup is made once more");
                let event = vec![events::retried(failed, &name)];
                let about = kube::Resource::object_ref(&observed.bot, &());
                operator.events.publish(&about, event);
            }
        }
        Ok(())
    }

    /// The CronJob of a schedule as it was applied, and its uid.
    fn template<'a>(
        &self,
        round: &Round<'_>,
        wanted: &'a [CronJob],
        subject: &Subject,
    ) -> Option<(&'a CronJob, String)> {
        let (namespace, bot) = (round.observed.bot.namespace()?, round.observed.bot.name_any());
        let cron_job = wanted.iter().find(|cron_job| Subject::of(cron_job, &bot).as_ref() == Some(subject))?;
        let uid = self.children.uid_of(&(CronJob::KIND, namespace, cron_job.name_any()))?;
        Some((cron_job, uid))
    }

    async fn answer(&self, round: &Round<'_>, wanted: &[CronJob]) -> Result<(), CallError> {
        let Round { operator, observed, record } = round;
        let operations: Vec<&TradingBotOperation> = observed.operations.iter().filter(|o| ask::is_open(o)).collect();
        if operations.is_empty() {
            return Ok(());
        }
        let runs: Vec<(String, Run)> = observed
            .jobs
            .iter()
            .filter_map(|job| {
                let operation = job.labels().get(LABEL_OPERATION)?.clone();
                Some((operation, super::run::read(job, &observed.other_pods, &self.cron_jobs)?))
            })
            .collect();
        let bot = observed.bot.name_any();
        let situation = ask::Situation {
            bot: &bot,
            deleting: observed.bot.metadata.deletion_timestamp.is_some(),
            backup: observed.bot.spec.backup.as_ref(),
            record,
            runs: &runs,
        };
        let answers = ask::answers(&operations, &situation);
        for (operation, mut answer) in operations.into_iter().zip(answers) {
            if let ask::Answer::Begin { job, schedule } = &answer
                && let Err(refused) = self.begin(round, wanted, operation, job, schedule.as_deref()).await?
            {
                answer = ask::Answer::Failed { reason: "Refused", message: refused };
            }
            if let Some(status) = ask::status(operation, &answer, time_from(clock::wall())) {
                let mut next = operation.clone();
                next.status = Some(status);
                let api = Api::<TradingBotOperation>::namespaced(
                    operator.client.clone(),
                    &operation.namespace().unwrap_or_default(),
                );
                operator.leadership.check()?;
                match call(api.replace_status(&operation.name_any(), &PostParams::default(), &next)).await {
                    Ok(_) | Err(CallError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Makes the Job of an operation, or says why it cannot be made.
    async fn begin(
        &self,
        round: &Round<'_>,
        wanted: &[CronJob],
        operation: &TradingBotOperation,
        name: &str,
        schedule: Option<&str>,
    ) -> Result<Result<(), String>, CallError> {
        let backup = round.observed.bot.spec.backup.as_ref();
        let first = || backup.and_then(|backup| backup.schedules.first()).map(|first| first.name.as_str());
        let of = schedule.or_else(first).unwrap_or_default();
        let Some((cron_job, uid)) = self.template(round, wanted, &Subject::Schedule(of.to_owned())) else {
            let why = self.refused.clone().unwrap_or_default();
            return Ok(Err(format!("The CronJob of schedule {of} could not be made, so no Job can be. {why}")));
        };
        let label = (LABEL_OPERATION, operation.metadata.uid.as_deref().unwrap_or_default());
        let job = build::job_by_hand(cron_job, &uid, name.to_owned(), label);
        let job = if schedule.is_none() { job.and_then(build::on_demand) } else { job };
        let Some(job) = job else {
            return Ok(Err(format!("The CronJob of schedule {of} has no template that a Job could be made of.")));
        };
        match round.create(&job, &uid).await {
            Ok(_) => Ok(Ok(())),
            Err(CallError::Refused(why) | CallError::Conflict(why)) => Ok(Err(why)),
            Err(error) => Err(error),
        }
    }
}

impl Round<'_> {
    fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.operator.client.clone(), &self.observed.bot.namespace().unwrap_or_default())
    }

    /// Ends a run: the Job fails at once, and says why.
    async fn end(&self, run: &Run, why: &str) -> Result<(), CallError> {
        let Round { operator, observed, record: _ } = self;
        let patch = json!({
            "metadata": {"uid": run.uid, "annotations": {ANNOTATION_ENDED: why}},
            "spec": {"activeDeadlineSeconds": 1},
        });
        operator.leadership.check()?;
        match call(self.jobs().patch(&run.job, &PatchParams::default(), &Patch::Merge(&patch))).await {
            Ok(_) => {
                warn!(job = run.job, why, "a backup was ended");
                let about = kube::Resource::object_ref(&observed.bot, &());
                operator.events.publish(&about, vec![events::ending(run, why)]);
                Ok(())
            }
            Err(CallError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Creates a Job of ours, and answers whether it is new; one that is there already and is ours is as good.
    async fn create(&self, job: &Job, cron_job_uid: &str) -> Result<bool, CallError> {
        self.operator.leadership.check()?;
        let name = job.name_any();
        match call(self.jobs().create(&PostParams::default(), job)).await {
            Ok(_) => Ok(true),
            Err(CallError::Conflict(text)) => {
                let bot = self.observed.bot.name_any();
                let this_one = ListParams::default()
                    .labels(&format!("{LABEL_BOT}={bot}"))
                    .fields(&format!("metadata.name={name}"));
                let there = call(self.jobs().list_metadata(&this_one)).await?;
                let same = |label: &str, found: &kube::core::PartialObjectMeta<Job>| {
                    found.labels().get(label) == job.labels().get(label)
                };
                match there.items.first() {
                    Some(found)
                        if is_controlled_by(&found.metadata, cron_job_uid)
                            && same(LABEL_OPERATION, found)
                            && same(LABEL_RETRY_OF, found) =>
                    {
                        Ok(false)
                    }
                    _ => Err(CallError::Conflict(format!(
                        "Job {name} cannot be made ({text}); delete it if it is not needed."
                    ))),
                }
            }
            Err(CallError::Refused(why)) => Err(CallError::Refused(format!("Job {name} cannot be made: {why}"))),
            Err(error) => Err(error),
        }
    }
}
