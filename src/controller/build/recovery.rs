//! What an agent is told to do about checks that fail, and when trading pauses for them.

use k8s_openapi::api::core::v1::VolumeProjection;

use super::agent::{call, hook_secret};
use crate::api::agent_config::{PausingConfig, RecoveryConfig};
use crate::api::bot::{ActionType, Hook, Hooks, Recovery, RecoveryAction, TradingBotSpec};
use crate::api::recovery::{EffectiveRule, effective};
use crate::core::agent::{OwnRemedy, Rule};

/// The agent's part of the rules.
pub fn config(spec: &TradingBotSpec) -> RecoveryConfig {
    let rules = effective(spec);
    if rules.is_empty() {
        return RecoveryConfig::default();
    }
    let recovery = spec.recovery.clone().unwrap_or_default();
    let hooks = hooks(&rules).filter_map(|(number, hook)| call(hook, &folder(number))).collect();
    let mut numbers = 0..;
    let rules = rules.iter().map(|EffectiveRule { rule, checks }| {
        let remedy = |action: &RecoveryAction| match action.type_ {
            ActionType::RestartProcess => Some(OwnRemedy::RestartProcess),
            ActionType::Hook => numbers.next().map(OwnRemedy::Hook),
            ActionType::RestartPod | ActionType::Failover | ActionType::Suspend => None,
        };
        Rule {
            name: rule.name.clone(),
            checks: checks.iter().map(|(place, _)| *place).collect(),
            remedies: rule.actions.iter().filter_map(remedy).collect(),
        }
    });
    RecoveryConfig {
        rules: rules.collect(),
        hooks,
        pause_seconds: u64::from(recovery.pause_seconds),
        period_seconds: u64::from(recovery.period_seconds),
    }
}

/// The hooks about pauses, where there are any.
pub fn pausing(spec: &TradingBotSpec) -> Option<PausingConfig> {
    let Hooks { promote: _, pause, resume, demote: _, dead_mans_switch: _ } = &spec.hooks;
    let of = |hook: &Option<Hook>, folder| hook.as_ref().and_then(|hook| call(hook, folder));
    let (pause, resume) = (of(pause, "pause"), of(resume, "resume"));
    let again = spec.recovery.as_ref().map_or(Recovery::default().pause_seconds, |recovery| recovery.pause_seconds);
    let any = pause.is_some() || resume.is_some();
    any.then(|| PausingConfig { pause, resume, again_seconds: u64::from(again) })
}

/// The Secrets of its hooks.
pub fn secrets(spec: &TradingBotSpec) -> Vec<VolumeProjection> {
    let rules = effective(spec);
    hooks(&rules).filter_map(|(number, hook)| hook_secret(hook.http.as_ref(), &folder(number))).collect()
}

/// The hooks of all rules by their numbers. The schema lets no action of the type Hook through without one, nor one that
/// calls nothing.
fn hooks<'a>(rules: &'a [EffectiveRule<'_>]) -> impl Iterator<Item = (u8, &'a Hook)> {
    let actions = rules.iter().flat_map(|rule| &rule.rule.actions);
    (0..).zip(actions.filter_map(|action| action.hook.as_ref()))
}

fn folder(number: u8) -> String {
    format!("recovery-{number}")
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::api::agent_config::HookAction;
    use crate::api::wanted::spec_from;
    use crate::core::recovery::Remedy;
    use serde_json::{Value, json};

    fn bot(checks: Value, recovery: Value) -> crate::api::bot::TradingBot {
        let mut bot = fixtures::smallest();
        bot.spec.health = serde_json::from_value(json!({"checks": checks})).unwrap();
        bot.spec.recovery = serde_json::from_value(recovery).unwrap();
        bot
    }

    #[test]
    fn without_rules_the_usual_one_is_about_the_critical_checks_of_the_pod() {
        let checks = json!([
            {"name": "venue", "tcp": {"port": 1}, "scope": "Shared"},
            {"name": "log", "tcp": {"port": 2}, "critical": false},
            {"name": "price", "tcp": {"port": 3}},
            {"name": "wait", "tcp": {"port": 4}, "appliesTo": "Standby"},
        ]);
        let bot = bot(checks, Value::Null);
        let RecoveryConfig { rules, hooks, pause_seconds, period_seconds } = config(&bot.spec);
        let rule = Rule { name: "default".into(), checks: vec![2], remedies: vec![OwnRemedy::RestartProcess] };
        assert_eq!((rules, hooks, pause_seconds, period_seconds), (vec![rule], vec![], 30, 3600));
        let operators = &spec_from(&bot).recovery.rules[0];
        assert_eq!((operators.remedies.as_slice(), operators.on_standbys), (&[Remedy::Failover][..], false));
    }

    #[test]
    fn without_checks_there_is_nothing_to_do() {
        let bot = bot(json!([]), Value::Null);
        assert_eq!((config(&bot.spec), spec_from(&bot).recovery.rules.len()), (RecoveryConfig::default(), 0));
    }

    #[test]
    fn hooks_about_pauses_are_repeated_after_the_pause_of_the_rules_also_where_there_are_none() {
        let shared = json!([{"name": "venue", "tcp": {"port": 1}, "scope": "Shared", "pauseTrading": true}]);
        let mut bot = bot(shared, Value::Null);
        assert_eq!(pausing(&bot.spec), None);
        let http = |path: &str| json!({"http": {"port": 8080, "path": path, "basicAuthSecretRef": {"name": "api"}}});
        bot.spec.hooks =
            serde_json::from_value(json!({"pause": http("/stopentry"), "resume": http("/start")})).unwrap();
        let PausingConfig { pause, resume, again_seconds } = pausing(&bot.spec).unwrap();
        assert_eq!((pause.unwrap().timeout_seconds, again_seconds), (5, 30));
        let HookAction::Http { path, basic_auth_dir, .. } = resume.unwrap().action else { panic!("over HTTP") };
        assert_eq!((path.as_str(), basic_auth_dir.as_deref()), ("/start", Some("/.tradingbot-hooks/resume")));
        bot.spec.recovery = Some(Recovery { pause_seconds: 7, ..Recovery::default() });
        assert_eq!(pausing(&bot.spec).unwrap().again_seconds, 7);
    }

    #[test]
    fn each_hook_has_a_number_and_its_secret_a_folder() {
        let hook = |secret: &str| json!({"type": "Hook", "hook": {"http": {"port": 8080, "path": "/x", "basicAuthSecretRef": {"name": secret}}}});
        let checks = json!([{"name": "a", "tcp": {"port": 1}, "appliesTo": "Both"}, {"name": "b", "tcp": {"port": 2}}]);
        let rules = json!([
            {"name": "first", "checks": ["b"], "actions": [hook("one"), {"type": "RestartPod"}]},
            {"name": "second", "checks": ["a"], "actions": [{"type": "RestartProcess"}, hook("two"), {"type": "Suspend"}]},
        ]);
        let bot = bot(checks, json!({"rules": rules, "pauseSeconds": 5}));
        let told = config(&bot.spec);
        assert_eq!((told.hooks.len(), told.pause_seconds), (2, 5));
        assert_eq!((&told.rules[0].checks, &told.rules[0].remedies), (&vec![1], &vec![OwnRemedy::Hook(0)]));
        assert_eq!(told.rules[1].remedies, [OwnRemedy::RestartProcess, OwnRemedy::Hook(1)]);
        let folders: Vec<_> = secrets(&bot.spec)
            .into_iter()
            .filter_map(|projection| projection.secret)
            .map(|secret| (secret.name, secret.items.unwrap()[0].path.clone()))
            .collect();
        let of = |name: &str, path: &str| (name.to_owned(), path.to_owned());
        assert_eq!(folders, [of("one", "recovery-0/username"), of("two", "recovery-1/username")]);
        let operators = spec_from(&bot).recovery.rules;
        assert_eq!((&operators[0].remedies, operators[0].on_standbys), (&vec![Remedy::RestartPod], false));
        assert_eq!((&operators[1].remedies, operators[1].on_standbys), (&vec![Remedy::Suspend], true));
    }
}
