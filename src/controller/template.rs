//! Whether the API server would accept a pod of the present template: asked by a dry run when the template changes, so
//! that a bad one shows at once and not at the next failover.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use tokio::time::Instant;
use tracing::debug;

use super::build;
use super::call::{CallError, call};
use super::worker::Operator;
use crate::api::bot::TradingBot;
use crate::api::wanted::{bad_host, revision, shared_credentials};

/// A refusal may have a cause outside the template, such as a quota: it is asked again after this long.
const RECHECK: Duration = Duration::from_secs(30);

/// The last answer.
#[derive(Debug, Default)]
pub struct TemplateCheck {
    answer: Option<Answer>,
}

#[derive(Debug)]
struct Answer {
    revision: String,
    error: Option<String>,
    at: Instant,
}

impl TemplateCheck {
    /// Why the API server would refuse a pod; `None`: it would not, or that is not known now.
    ///
    /// # Errors
    /// Only when this replica does not lead.
    pub async fn error(&mut self, operator: &Operator, bot: &TradingBot) -> Result<Option<String>, CallError> {
        let revision = revision(&bot.spec);
        if let Some(known) = self.answer.as_ref().filter(|a| a.revision == revision)
            && (known.error.is_none() || known.at.elapsed() < RECHECK)
        {
            return Ok(known.error.clone());
        }
        if let Some(error) = bad_host(&bot.spec).or_else(|| shared_credentials(&bot.spec)) {
            self.answer = Some(Answer { revision, error: Some(error.clone()), at: Instant::now() });
            return Ok(Some(error));
        }
        let mut pod = build::pod(bot, 0, &operator.agent_image);
        pod.metadata.name = Some(format!("{}-dry-run", bot.metadata.name.as_deref().unwrap_or_default()));
        let pods =
            Api::<Pod>::namespaced(operator.client.clone(), bot.metadata.namespace.as_deref().unwrap_or_default());
        operator.leadership.check()?;
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let error = match call(pods.create(&params, &pod)).await {
            Ok(_) => None,
            Err(CallError::Refused(why)) => Some(why),
            Err(error) => {
                debug!(%error, "the dry run of the template had no result");
                return Ok(None);
            }
        };
        self.answer = Some(Answer { revision, error: error.clone(), at: Instant::now() });
        Ok(error)
    }

    /// When a refusal is to be asked again.
    pub fn recheck_after(&self) -> Option<Duration> {
        let refused = self.answer.as_ref().filter(|a| a.error.is_some())?;
        Some(RECHECK.saturating_sub(refused.at.elapsed()))
    }
}
