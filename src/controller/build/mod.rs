//! The objects that a bot wants, made from its resource alone: client-free and pure.

mod access;
mod agent;
mod backup;
mod borrowed;
mod claims;
mod common;
mod credentials;
mod health;
mod job;
mod pod;
mod policy;
mod recovery;
mod services;

#[cfg(test)]
pub(super) mod fixtures;

pub use access::{agent_access_name, slot_account, slot_account_name, slot_of_account, template_account};
pub use backup::{
    BackupContext, backup_cron_jobs, job_by_hand, on_demand, restore_job, restore_job_name, retention_of,
    schedule_name, verification_name,
};
pub use claims::claims;
pub use common::{COMPONENT_BACKUP, COMPONENT_RESTORE};
pub use credentials::{credentials_binding, credentials_name, credentials_role};
pub use job::{job_name, reconciliation_job};
pub use pod::{pod, pod_name, slot_of};
pub use policy::{policy_name, policy_wanted};
pub use services::{active_service_name, members_service_name};

use std::collections::BTreeSet;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

use crate::api::bot::TradingBot;

/// What belongs to a bot apart from its pods, claims, Jobs and Lease.
#[derive(Clone, Debug, PartialEq)]
pub struct Children {
    /// One for the active and one for all members.
    pub services: Vec<Service>,
    /// The agents' identities, one a slot, for pods whose template names none.
    pub service_accounts: Vec<ServiceAccount>,
    /// What agents may do: read and patch their own Lease.
    pub role: Role,
    /// Who may.
    pub role_binding: RoleBinding,
    /// How many pods may be evicted at a time.
    pub budget: PodDisruptionBudget,
    /// What pods that are not active may reach, where that is restricted.
    pub policy: Option<NetworkPolicy>,
}

/// What belongs to a bot apart from its pods.
///
/// `accounts`: the service accounts of the pods that exist. They keep their rights while pods are replaced by ones of
/// another account, or the active would lose its Lease in the middle of a rolling update.
///
/// `api_server`: every address that leads to the API server; empty while it is not known.
pub fn children(bot: &TradingBot, accounts: &BTreeSet<String>, api_server: &BTreeSet<SocketAddr>) -> Children {
    Children {
        services: services::services(bot),
        service_accounts: access::account_slots(bot, accounts)
            .into_iter()
            .map(|slot| access::slot_account(bot, slot))
            .collect(),
        role: access::role(bot),
        role_binding: access::role_binding(bot, accounts),
        budget: services::budget(bot),
        policy: policy::policy(bot, api_server),
    }
}
