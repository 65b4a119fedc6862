//! The volumes of a run's pod: that of the source, and those with the keys and claims of the destinations.

use k8s_openapi::api::core::v1::*;
use kube::core::ObjectMeta;

use crate::api::backup::{Destination, VolumeRead};
use crate::api::backup_config::{
    DESTINATION_CA_DIR, DESTINATION_CLAIMS_DIR, DESTINATION_SECRETS_DIR, IDENTITY_DIR, SCRATCH_DIR,
};
use crate::api::bot::{TradingBot, VolumeClaimTemplate};
use crate::controller::build::agent::mount;
use crate::controller::build::borrowed::bots_container;
use crate::controller::build::claims::claim_volumes;
use crate::controller::build::common::labels;

const SCRATCH: &str = "tradingbot-scratch";
const IDENTITY: &str = "tradingbot-identity";

/// Volumes, and where the container has them.
#[derive(Default)]
pub struct Mounted {
    pub volumes: Vec<Volume>,
    pub mounts: Vec<VolumeMount>,
}

impl Mounted {
    fn add(&mut self, volume: Volume, path: &str, read_only: bool) {
        self.mounts.push(mount(&volume.name, path, read_only));
        self.volumes.push(volume);
    }
}

/// Where the bot's container has a path: the deepest mount at or above it.
pub fn covering<'a>(bot: &'a TradingBot, path: &str) -> Option<&'a VolumeMount> {
    let covers = |mount: &&VolumeMount| {
        let at = mount.mount_path.trim_end_matches('/');
        path.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    bots_container(bot)?.volume_mounts.iter().flatten().filter(covers).max_by_key(|mount| mount.mount_path.len())
}

/// The volume that the bot of a slot has at a path, for another pod; `None` where it is no claim. The schema refuses
/// that, so only bots from before it are without.
pub fn of_source(bot: &TradingBot, slot: u32, path: &str, read: VolumeRead, writes: bool) -> Option<Mounted> {
    let own = covering(bot, path)?;
    let mount = VolumeMount { read_only: (!writes).then_some(true), mount_propagation: None, ..own.clone() };
    let template = bot.spec.volume_claim_templates.iter().find(|template| template.metadata.name == own.name);
    let shared = bot.spec.template.spec.as_ref()?.volumes.iter().flatten().find(|volume| volume.name == own.name);
    let claim = match template {
        Some(_) => claim_volumes(bot, slot).into_iter().find(|volume| volume.name == own.name)?,
        None => shared.filter(|volume| volume.persistent_volume_claim.is_some())?.clone(),
    };
    let volume = match (read, template) {
        (VolumeRead::Clone, Some(template)) => clone_of(bot, template, &claim)?,
        // Nobody knows the size of a claim that is not the bot's own; the schema refuses it.
        (VolumeRead::Clone, None) => return None,
        (VolumeRead::Shared, _) => claim,
    };
    Some(Mounted { volumes: vec![volume], mounts: vec![mount] })
}

/// A claim that a storage driver fills with what another one holds, and that goes with its pod.
fn clone_of(bot: &TradingBot, template: &VolumeClaimTemplate, claim: &Volume) -> Option<Volume> {
    let origin = claim.persistent_volume_claim.as_ref()?.claim_name.clone();
    let spec = PersistentVolumeClaimSpec {
        data_source: Some(TypedLocalObjectReference {
            api_group: None,
            kind: "PersistentVolumeClaim".into(),
            name: origin,
        }),
        data_source_ref: None,
        selector: None,
        volume_name: None,
        ..template.spec.clone()
    };
    let metadata = ObjectMeta { labels: Some(labels(bot)), ..ObjectMeta::default() };
    Some(Volume {
        name: claim.name.clone(),
        ephemeral: Some(EphemeralVolumeSource {
            volume_claim_template: Some(PersistentVolumeClaimTemplate { metadata: Some(metadata), spec }),
        }),
        ..Volume::default()
    })
}

/// The keys, certificate authorities and claims of the destinations, the identity that decrypts, and a place on the
/// node's disk. `mode` is that of the files with keys.
pub fn of_run(destinations: &[&Destination], identity: Option<&str>, mode: i32) -> Mounted {
    let secret = |name: String, secret: &str, keys: Option<&str>| Volume {
        name,
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            optional: Some(false),
            default_mode: Some(mode),
            items: keys.map(|key| vec![KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None }]),
        }),
        ..Volume::default()
    };
    let mut all = Mounted::default();
    for (n, destination) in destinations.iter().enumerate() {
        if let Some(name) = secret_of(destination) {
            all.add(
                secret(format!("tradingbot-secret-{n}"), name, None),
                &format!("{DESTINATION_SECRETS_DIR}/{n}"),
                true,
            );
        }
        if let Some(name) = destination.s3.as_ref().and_then(|s3| s3.ca_secret_name.as_deref()) {
            let volume = secret(format!("tradingbot-ca-{n}"), name, Some("ca.crt"));
            all.add(volume, &format!("{DESTINATION_CA_DIR}/{n}"), true);
        }
        if let Some(claim) = &destination.persistent_volume_claim {
            let volume = Volume {
                name: format!("tradingbot-claim-{n}"),
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: claim.claim_name.clone(),
                    read_only: None,
                }),
                ..Volume::default()
            };
            all.add(volume, &format!("{DESTINATION_CLAIMS_DIR}/{n}"), false);
        }
    }
    if let Some(name) = identity {
        all.add(secret(IDENTITY.to_owned(), name, Some("identity")), IDENTITY_DIR, true);
    }
    let scratch =
        Volume { name: SCRATCH.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() };
    all.add(scratch, SCRATCH_DIR, false);
    all
}

fn secret_of(destination: &Destination) -> Option<&str> {
    let Destination { prefix: _, s3, google_cloud_storage, azure_blob, persistent_volume_claim: _ } = destination;
    let s3 = s3.as_ref().and_then(|at| at.secret_name.as_deref());
    let google = google_cloud_storage.as_ref().and_then(|at| at.secret_name.as_deref());
    s3.or(google).or(azure_blob.as_ref().and_then(|at| at.secret_name.as_deref()))
}
