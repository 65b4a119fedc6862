//! The volume claims of a slot. Like a StatefulSet's they have no owner: they outlive the bot, and one that is made
//! again under its name finds its data.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Volume};

use super::common::{name, unowned};
use crate::api::bot::{ClaimMetadata, TradingBot, VolumeClaimTemplate};
use crate::api::names::LABEL_SLOT;

/// The claims of a slot, to be made before its pod where they are missing.
pub fn claims(bot: &TradingBot, slot: u32) -> Vec<PersistentVolumeClaim> {
    bot.spec.volume_claim_templates.iter().map(|template| claim(bot, template, slot)).collect()
}

fn claim(bot: &TradingBot, template: &VolumeClaimTemplate, slot: u32) -> PersistentVolumeClaim {
    let VolumeClaimTemplate { metadata: ClaimMetadata { name: claim, labels, annotations }, spec } = template;
    let mut metadata = unowned(bot, claim_name(claim, name(bot), slot));
    let mut all: BTreeMap<String, String> = labels.clone();
    all.extend(metadata.labels.take().unwrap_or_default());
    all.insert(LABEL_SLOT.to_owned(), slot.to_string());
    metadata.labels = Some(all);
    metadata.annotations = (!annotations.is_empty()).then(|| annotations.clone());
    PersistentVolumeClaim { metadata, spec: Some(spec.clone()), status: None }
}

fn claim_name(claim: &str, bot: &str, slot: u32) -> String {
    format!("{claim}-{bot}-{slot}")
}

/// The volumes by which a slot's containers mount its claims.
pub fn claim_volumes(bot: &TradingBot, slot: u32) -> Vec<Volume> {
    let volume = |template: &VolumeClaimTemplate| Volume {
        name: template.metadata.name.clone(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim_name(&template.metadata.name, name(bot), slot),
            read_only: None,
        }),
        ..Volume::default()
    };
    bot.spec.volume_claim_templates.iter().map(volume).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn every_slot_has_claims_of_its_own_that_outlive_the_bot() {
        let [claim] = claims(&fixtures::full(), 1).try_into().unwrap();
        assert_eq!(claim.metadata.name.as_deref(), Some("data-doge-jpy-1"));
        assert_eq!(claim.metadata.owner_references, None);
        assert_eq!(claim.metadata.labels.unwrap()["tier"], "money");
    }
}
