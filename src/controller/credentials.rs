//! Who may read the exchange's keys: the account of the pod that holds the grant, and nobody else.

use super::build;
use super::call::CallError;
use super::observe::Observed;
use crate::core::ids::Epoch;
use crate::core::lease::Permit;

/// What became of the right to read the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// This account has it.
    Given {
        /// The account.
        account: String,
        /// The Secret.
        secret: String,
    },
    /// Nobody has it.
    Withheld {
        /// The Secret.
        secret: String,
    },
    /// It could not be given or taken away; why, a sentence.
    Refused(String),
}

impl Access {
    /// After what `observed` asks for was done, or was not.
    ///
    /// # Errors
    /// Whatever does not come from a refusal.
    pub fn of(outcome: Result<Option<String>, CallError>, secret: &str) -> Result<Access, CallError> {
        let secret = secret.to_owned();
        match outcome {
            Ok(Some(account)) => Ok(Access::Given { account, secret }),
            Ok(None) => Ok(Access::Withheld { secret }),
            Err(CallError::Refused(why) | CallError::Conflict(why)) => Ok(Access::Refused(format!(
                "The right to read Secret {secret} cannot be given to the active or taken from it: {why} The operator \
                 needs the value credentials.enabled of its chart for this: set it to true, or remove spec.credentials."
            ))),
            Err(error) => Err(error),
        }
    }
}

/// The account that may read the keys now: of the pod that the Lease names, while its permit lets it prepare or trade in
/// the epoch that the status knows. An epoch that the status does not know was granted by somebody else.
pub fn reader(observed: &Observed) -> Option<String> {
    let bot = &observed.bot;
    let epoch = Epoch(bot.status.as_ref()?.epoch);
    if bot.spec.credentials.is_none() || bot.spec.suspend || bot.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let lease = observed.facts.lease.as_ref()?;
    let permitted = matches!(lease.effective_permit(), Permit::Prepare | Permit::Trade);
    let holder = lease.holder.as_ref().filter(|_| permitted && lease.epoch == Some(epoch))?;
    let pod = observed.pods.iter().find(|pod| pod.metadata.uid.as_ref() == Some(&holder.uid))?;
    let name = bot.metadata.name.as_deref()?;
    let slot = build::slot_of(name, pod.metadata.name.as_deref()?)?;
    // Under another account other pods run as well.
    let account = pod.spec.as_ref()?.service_account_name.clone()?;
    (account == build::slot_account_name(name, slot)).then_some(account)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Pod, PodSpec};
    use serde_json::json;

    use super::*;
    use crate::api::bot::TradingBot;
    use crate::core::failover::Observation;
    use crate::core::ids::PodRef;
    use crate::core::lease::LeaseRecord;

    fn observed() -> Observed {
        let bot: TradingBot = serde_json::from_value(json!({
            "metadata": {"name": "doge", "namespace": "money", "uid": "bot-uid"},
            "spec": {"credentials": {"secretName": "keys"}, "template": {}}, "status": {"phase": "Preparing", "epoch": 3},
        }))
        .unwrap();
        let pod = |slot: u32| {
            let spec = PodSpec { service_account_name: Some(format!("doge-agent-{slot}")), ..PodSpec::default() };
            let mut pod = Pod { spec: Some(spec), ..Pod::default() };
            pod.metadata.name = Some(format!("doge-{slot}"));
            pod.metadata.uid = Some(format!("u{slot}"));
            pod
        };
        let lease = LeaseRecord {
            holder: Some(PodRef { name: "doge-1".into(), uid: "u1".into() }),
            epoch: Some(Epoch(3)),
            permit: Some(Permit::Prepare),
            ..LeaseRecord::default()
        };
        Observed {
            bot,
            lease: None,
            pods: vec![pod(0), pod(1)],
            jobs: Vec::new(),
            other_pods: Vec::new(),
            account: None,
            operations: Vec::new(),
            facts: Observation { lease: Some(lease), ..Observation::default() },
        }
    }

    fn change(change: impl FnOnce(&mut Observed)) -> Option<String> {
        let mut observed = observed();
        change(&mut observed);
        reader(&observed)
    }

    fn lease(of: &mut Observed) -> &mut LeaseRecord {
        of.facts.lease.as_mut().unwrap()
    }

    #[test]
    fn the_holder_of_the_grant_may_read_from_its_preparation_on() {
        assert_eq!(change(|_| {}).as_deref(), Some("doge-agent-1"));
        assert_eq!(change(|o| lease(o).permit = Some(Permit::Trade)).as_deref(), Some("doge-agent-1"));
    }

    #[test]
    fn nobody_may_read_after_the_permit_the_grant_or_the_bot() {
        assert_eq!(change(|o| lease(o).permit = Some(Permit::Revoke)), None);
        assert_eq!(change(|o| lease(o).permit = None), None, "an unknown permit");
        assert_eq!(change(|o| lease(o).holder = None), None, "released");
        assert_eq!(change(|o| o.facts.lease = None), None);
        assert_eq!(change(|o| lease(o).epoch = Some(Epoch(4))), None, "not of the ledger");
        assert_eq!(change(|o| o.bot.spec.suspend = true), None);
        let deleted = json!("2026-01-01T00:00:00Z");
        assert_eq!(change(|o| o.bot.metadata.deletion_timestamp = serde_json::from_value(deleted).unwrap()), None);
        assert_eq!(change(|o| o.pods.truncate(1)), None, "its pod is gone");
        assert_eq!(change(|o| o.bot.spec.credentials = None), None);
    }

    #[test]
    fn an_account_that_several_pods_share_never_may() {
        let share = |o: &mut Observed| o.pods[1].spec.as_mut().unwrap().service_account_name = Some("trader".into());
        assert_eq!(change(share), None);
        let other =
            |o: &mut Observed| o.pods[1].spec.as_mut().unwrap().service_account_name = Some("doge-agent-0".into());
        assert_eq!(change(other), None);
    }
}
