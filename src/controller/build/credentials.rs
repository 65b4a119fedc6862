//! The right to read the exchange's keys, and how a reconciliation Job gets them.

use k8s_openapi::api::core::v1::*;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding};

use super::access::binding;
use super::agent::{mount, value};
use super::common::{name, unowned};
use crate::api::bot::{CredentialVariable, Credentials, TradingBot};
use crate::api::names::{CREDENTIALS_DIR, CREDENTIALS_ENV};

const VOLUME: &str = "tradingbot-exchange-keys";

/// The name of the Role that reads the keys, and of its binding.
pub fn credentials_name(bot: &str) -> String {
    format!("{bot}-credentials")
}

/// May read that one Secret. Bound to nobody, or to the account of the pod that holds the grant.
pub fn credentials_role(bot: &TradingBot) -> Option<Role> {
    let credentials = bot.spec.credentials.as_ref()?;
    Some(Role {
        metadata: unowned(bot, credentials_name(name(bot))),
        rules: Some(vec![PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["secrets".into()]),
            resource_names: Some(vec![credentials.secret_name.clone()]),
            verbs: vec!["get".into()],
            non_resource_urls: None,
        }]),
    })
}

/// Gives that right to one account.
pub fn credentials_binding(bot: &TradingBot, account: String) -> RoleBinding {
    binding(bot, credentials_name(name(bot)), [account])
}

/// Gives the keys to a Job's pod, in the same places as the active has them. It belongs to the grant that it runs for,
/// and the kubelet reads the Secret, not the pod's account.
pub fn give(pod: &mut PodSpec, bot: &TradingBot) {
    let Some(Credentials { secret_name, environment, reload: _ }) = &bot.spec.credentials else { return };
    let from_key = |CredentialVariable { name, key }: &CredentialVariable| EnvVar {
        name: name.clone(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector { name: secret_name.clone(), key: key.clone(), optional: None }),
            ..EnvVarSource::default()
        }),
    };
    for container in &mut pod.containers {
        let own = container.env.take().into_iter().flatten().filter(|e| environment.iter().all(|v| v.name != e.name));
        let folder = value(CREDENTIALS_ENV, CREDENTIALS_DIR.to_owned());
        container.env = Some(own.chain([folder]).chain(environment.iter().map(from_key)).collect());
        container.volume_mounts.get_or_insert_default().push(mount(VOLUME, CREDENTIALS_DIR, true));
    }
    pod.volumes.get_or_insert_default().push(Volume {
        name: VOLUME.into(),
        secret: Some(SecretVolumeSource { secret_name: Some(secret_name.clone()), ..SecretVolumeSource::default() }),
        ..Volume::default()
    });
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::controller::build::{pod, reconciliation_job};
    use crate::core::ids::FencingToken;

    fn bot() -> TradingBot {
        let mut bot = fixtures::smallest();
        bot.spec.credentials = serde_json::from_value(serde_json::json!({
            "secretName": "keys", "environment": [{"name": "API_KEY", "key": "key"}],
            "reload": {"exec": {"command": ["/bot", "reload"]}},
        }))
        .unwrap();
        bot
    }

    #[test]
    fn one_secret_may_be_read_and_by_one_account() {
        let role = credentials_role(&bot()).unwrap();
        let [rule] = role.rules.as_deref().unwrap() else { panic!("one rule") };
        assert_eq!(
            (rule.resource_names.as_deref(), &rule.verbs[..]),
            (Some(&["keys".to_owned()][..]), &["get".to_owned()][..])
        );
        let binding = credentials_binding(&bot(), "doge-jpy-agent-1".into());
        assert_eq!((binding.role_ref.name.as_str(), binding.subjects.unwrap().len()), ("doge-jpy-credentials", 1));
        assert!(role.metadata.owner_references.is_none());
        assert_eq!(credentials_role(&fixtures::smallest()), None);
    }

    #[test]
    fn a_pod_is_told_of_the_secret_and_has_none_of_it() {
        let pod = serde_json::to_value(pod(&bot(), 1, "op:1").spec.unwrap()).unwrap();
        let config = pod["containers"][0]["env"][0]["value"].as_str().unwrap();
        assert!(config.contains(r#""secretName":"keys""#) && config.contains(r#""name":"API_KEY""#), "{config}");
        assert!(!pod["volumes"].to_string().contains("keys"), "{}", pod["volumes"]);
        assert!(!pod.to_string().contains("secretKeyRef"));
    }

    #[test]
    fn the_job_of_a_grant_has_the_keys_in_the_same_places() {
        let mut bot = bot();
        bot.spec.reconciliation =
            serde_json::from_value(serde_json::json!({"command": ["/bot", "reconcile"]})).unwrap();
        let pod = reconciliation_job(&bot, FencingToken(7), &fixtures::first_start())
            .unwrap()
            .spec
            .unwrap()
            .template
            .spec
            .unwrap();
        let container = &pod.containers[0];
        let env = |name: &str| container.env.iter().flatten().find(|e| e.name == name).unwrap().clone();
        assert_eq!(env("TRADINGBOT_CREDENTIALS").value.as_deref(), Some("/run/tradingbot/credentials"));
        assert_eq!(env("API_KEY").value_from.unwrap().secret_key_ref.unwrap().name, "keys");
        let mount =
            container.volume_mounts.iter().flatten().find(|m| m.mount_path == "/run/tradingbot/credentials").unwrap();
        assert_eq!(mount.read_only, Some(true));
        assert!(pod.volumes.unwrap().iter().any(|v| v.name == mount.name && v.secret.is_some()));
    }
}
