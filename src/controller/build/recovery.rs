//! What an agent is told to do about checks that fail.

use k8s_openapi::api::core::v1::VolumeProjection;

use super::agent::{call, hook_secret};
use crate::api::agent_config::{RecoveryConfig, RecoveryRuleConfig, RemedyConfig};
use crate::api::bot::{ActionType, Hook, RecoveryAction, TradingBotSpec};
use crate::api::recovery::{EffectiveRule, effective};

/// The agent's part of the rules.
pub fn config(spec: &TradingBotSpec) -> RecoveryConfig {
    let rules = effective(spec);
    if rules.is_empty() {
        return RecoveryConfig::default();
    }
    let recovery = spec.recovery.clone().unwrap_or_default();
    let mut hooks = Vec::new();
    let rules = rules.into_iter().map(|EffectiveRule { rule, checks }| {
        let remedy = |action: &RecoveryAction| match action {
            RecoveryAction { type_: ActionType::RestartProcess, .. } => Some(RemedyConfig::RestartProcess),
            RecoveryAction { type_: ActionType::Hook, hook: Some(hook) } => {
                let number = u8::try_from(hooks.len()).ok()?;
                hooks.push(call(hook, &folder(number))?);
                Some(RemedyConfig::Hook(number))
            }
            _ => None,
        };
        RecoveryRuleConfig {
            remedies: rule.actions.iter().filter_map(remedy).collect(),
            name: rule.name,
            checks: checks.into_iter().map(|(place, _)| place).collect(),
        }
    });
    RecoveryConfig {
        rules: rules.collect(),
        hooks,
        pause_seconds: u64::from(recovery.pause_seconds),
        period_seconds: u64::from(recovery.period_seconds),
    }
}

/// The Secrets of its hooks.
pub fn secrets(spec: &TradingBotSpec) -> Vec<VolumeProjection> {
    let hooks = effective(spec).into_iter().flat_map(|rule| rule.rule.actions).filter_map(|action| action.hook);
    let numbered = (0..).zip(hooks).collect::<Vec<(u8, Hook)>>();
    numbered.iter().flat_map(|(number, hook)| hook_secret(hook.http.as_ref(), &folder(*number))).collect()
}

fn folder(number: u8) -> String {
    format!("recovery-{number}")
}
