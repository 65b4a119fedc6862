//! The objects that a bot wants, made from its resource alone: client-free and pure.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};

use crate::api::bot::TradingBot;
use crate::core::failover::JobContext;
use crate::core::ids::FencingToken;

/// What belongs to a bot apart from its pods.
pub struct Children {
    pub services: Vec<Service>,
    pub service_account: Option<ServiceAccount>,
    pub role: Role,
    pub role_binding: RoleBinding,
    pub budget: PodDisruptionBudget,
}

pub fn children(_: &TradingBot) -> Children {
    todo!()
}
pub fn pod(_: &TradingBot, _: u32, _: &str) -> Pod {
    todo!()
}
pub fn claims(_: &TradingBot, _: u32) -> Vec<PersistentVolumeClaim> {
    todo!()
}
pub fn reconciliation_job(_: &TradingBot, _: FencingToken, _: &JobContext) -> Option<Job> {
    todo!()
}
pub fn agent_access_name(_: &str) -> String {
    todo!()
}
