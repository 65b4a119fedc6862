//! What is done about checks that fail: rules of `spec.recovery`, and what holds where none are given.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bot::TradingBotSpec;
use super::health::{AppliesTo, HealthCheck, Scope};
use super::hooks::Hook;
pub use crate::core::recovery::Remedy;

/// What is done about checks that fail. Where it is absent, every critical check of the scope Pod leads to a restart of
/// the process, then to a failover, then to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// The first rule counts that has actions left for a check that fails.
    #[schemars(length(min = 1, max = 8))]
    pub rules: Vec<RecoveryRule>,
    /// After an action the next one waits this long, in which the checks show whether it helped.
    #[serde(default = "thirty")]
    #[schemars(range(min = 1, max = 3600))]
    pub pause_seconds: u32,
    /// This long after its last action a rule begins at its first one again.
    #[serde(default = "hour")]
    #[schemars(range(min = 60, max = 604800))]
    pub period_seconds: u32,
}

fn thirty() -> u32 {
    30
}

fn hour() -> u32 {
    3600
}

impl Default for Recovery {
    fn default() -> Self {
        let action = |type_| RecoveryAction { type_, hook: None };
        Self {
            rules: vec![RecoveryRule {
                name: "default".into(),
                checks: Vec::new(),
                actions: vec![action(ActionType::RestartProcess), action(ActionType::Failover)],
            }],
            pause_seconds: thirty(),
            period_seconds: hour(),
        }
    }
}

/// A rule as it holds for the checks that there are.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveRule<'a> {
    /// The rule.
    pub rule: RecoveryRule,
    /// Its checks, with their places in the list of all.
    pub checks: Vec<(u8, &'a HealthCheck)>,
}

impl EffectiveRule<'_> {
    /// Whether standbys run all its checks, too.
    pub fn is_on_standbys(&self) -> bool {
        self.checks.iter().all(|(_, check)| check.applies_to == AppliesTo::Both)
    }
}

/// The rules that hold: those of the spec, or the usual one, without those that have no check.
pub fn effective(spec: &TradingBotSpec) -> Vec<EffectiveRule<'_>> {
    let recovery = spec.recovery.clone().unwrap_or_default();
    let all = || (0..).zip(&spec.health.checks).filter(|(_, check)| check.scope == Scope::Pod);
    let on_active = |check: &HealthCheck| check.applies_to != AppliesTo::Standby;
    let rules = recovery.rules.into_iter().map(|rule| {
        let named = |check: &HealthCheck| match rule.checks.as_slice() {
            [] => check.critical,
            names => names.contains(&check.name),
        };
        let checks = all().filter(|(_, check)| named(check) && on_active(check)).collect();
        EffectiveRule { rule, checks }
    });
    rules.filter(|rule| !rule.checks.is_empty()).collect()
}

/// What is done, one after the other, about a check that fails and goes on failing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryRule {
    /// Its name, in the status and in Events.
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The names of its checks, all of the scope Pod. Empty: all that are critical.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 40)))]
    pub checks: Vec<String>,
    /// The actions, in order. When they are used up nobody trades and people are asked.
    #[schemars(length(min = 1, max = 8))]
    pub actions: Vec<RecoveryAction>,
}

/// One action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryAction {
    /// What is done.
    #[serde(rename = "type")]
    pub type_: ActionType,
    /// For Hook: what is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<Hook>,
}

/// What can be done about a check that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ActionType {
    /// The bot's process is ended and started again on its pod, in the same epoch.
    #[default]
    RestartProcess,
    /// A hook is called at the bot, such as one that clears a cache or connects again.
    Hook,
    /// The pod is deleted and made again. Meanwhile trading moves to a ready standby, if there is one.
    RestartPod,
    /// Trading moves to another pod.
    Failover,
    /// Trading stops until a person says so.
    Suspend,
}

impl ActionType {
    /// The remedy that it is.
    pub fn remedy(self) -> Remedy {
        match self {
            ActionType::RestartProcess => Remedy::RestartProcess,
            ActionType::Hook => Remedy::Hook,
            ActionType::RestartPod => Remedy::RestartPod,
            ActionType::Failover => Remedy::Failover,
            ActionType::Suspend => Remedy::Suspend,
        }
    }
}
