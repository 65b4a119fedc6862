//! The end of a bot, once its active is known to have stopped: what carries no owner goes last, by name and uid.

use std::fmt::Debug;

use k8s_openapi::api::batch::v1::Job as JobObject;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod as PodObject, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::info;

use super::build;
use super::call::{CallError, call};
use super::election::Leadership;
use super::observe::{Observed, is_controlled_by};
use crate::api::bot::TradingBot;
use crate::api::names::{FINALIZER, LABEL_BOT};

/// Deletes Jobs and pods, then the agents' rights and the Lease, then the finalizer.
///
/// # Errors
/// What became of the first step that failed; all of it can be done again.
pub async fn finalize(client: &Client, leadership: &Leadership, observed: &Observed) -> Result<(), CallError> {
    let meta = &observed.bot.metadata;
    let end = End {
        client,
        leadership,
        namespace: meta.namespace.as_deref().unwrap_or_default(),
        bot: meta.name.as_deref().unwrap_or_default(),
        uid: meta.uid.as_deref().unwrap_or_default(),
    };
    let controlled = |meta: &ObjectMeta| is_controlled_by(meta, end.uid);
    end.delete_labelled::<JobObject>(controlled).await?;
    end.delete_labelled::<PodObject>(controlled).await?;
    let names = build::agent_access_name(end.bot);
    let credentials = build::credentials_name(end.bot);
    end.delete_named::<RoleBinding>(&credentials).await?;
    end.delete_named::<Role>(&credentials).await?;
    end.delete_named::<RoleBinding>(&names).await?;
    end.delete_named::<Role>(&names).await?;
    let unowned = |meta: &ObjectMeta| meta.owner_references.iter().flatten().next().is_none();
    end.delete_labelled::<ServiceAccount>(unowned).await?;
    end.delete_named::<Lease>(end.bot).await?;
    end.remove_finalizer(&observed.bot).await
}

struct End<'a> {
    client: &'a Client,
    leadership: &'a Leadership,
    namespace: &'a str,
    bot: &'a str,
    uid: &'a str,
}

impl End<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    /// Deletes those of a kind that carry the bot's label and are `its` own.
    async fn delete_labelled<K>(&self, its: impl Fn(&ObjectMeta) -> bool) -> Result<(), CallError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let labelled = ListParams::default().labels(&format!("{LABEL_BOT}={}", self.bot));
        for object in call(self.api::<K>().list_metadata(&labelled)).await?.items {
            let meta = &object.metadata;
            if its(meta) && meta.deletion_timestamp.is_none() {
                self.delete::<K>(meta.name.as_deref().unwrap_or_default(), meta.uid.clone()).await?;
            }
        }
        Ok(())
    }

    /// Deletes what belongs to this bot without an owner: it carries the bot's label.
    async fn delete_named<K>(&self, name: &str) -> Result<(), CallError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let Some(found) = call(self.api::<K>().get_metadata_opt(name)).await? else { return Ok(()) };
        let label = found.metadata.labels.as_ref().and_then(|l| l.get(LABEL_BOT));
        if label.map(String::as_str) == Some(self.bot) {
            self.delete::<K>(name, found.metadata.uid).await?;
        }
        Ok(())
    }

    async fn delete<K>(&self, name: &str, uid: Option<String>) -> Result<(), CallError>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        self.leadership.check()?;
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid, resource_version: None }),
            ..DeleteParams::background()
        };
        match call(self.api::<K>().delete(name, &params)).await {
            Ok(_) | Err(CallError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn remove_finalizer(&self, bot: &TradingBot) -> Result<(), CallError> {
        self.leadership.check()?;
        let Some(at) = bot.metadata.finalizers.iter().flatten().position(|f| f == FINALIZER) else { return Ok(()) };
        // By its place and name and not by the version, which the status has just moved on.
        let path = format!("/metadata/finalizers/{at}");
        let patch = serde_json::from_value(json!([
            {"op": "test", "path": "/metadata/uid", "value": self.uid},
            {"op": "test", "path": path, "value": FINALIZER},
            {"op": "remove", "path": path},
        ]))
        .map_err(|error| CallError::Refused(format!("the patch of the finalizer cannot be written: {error}")))?;
        let bots = self.api::<TradingBot>();
        match call(bots.patch(self.bot, &PatchParams::default(), &Patch::Json::<()>(patch))).await {
            Ok(_) | Err(CallError::NotFound(_)) => {
                info!(namespace = self.namespace, bot = self.bot, "the bot is gone, its active had stopped before");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
