//! The pod of one run: what it is told, which image it has, as whom it runs and what of the bot it sees.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::core::v1::*;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::core::ObjectMeta;

use super::retention_of;
use super::volumes::{self, Mounted};
use crate::api::backup::{Backup, Destination, Runner, Source, Verify, VolumeRead};
use crate::api::backup_config::{Action, BACKUP_CONFIG_ENV, BACKUP_PATH, BackupConfig, Selection};
use crate::api::bot::TradingBot;
use crate::api::names::{AGENT_DIR, ANNOTATION_BACKUP_EPOCH, LABEL_COMPONENT, LABEL_SCHEDULE};
use crate::controller::build::agent::{USER, installer, mount, restricted, value};
use crate::controller::build::borrowed::{self, bots_container, mount_claims, stay_near};
use crate::controller::build::common::{COMPONENT_BACKUP, COMPONENT_RESTORE, labels, name, namespace};
use crate::controller::build::job::START_SECONDS;

/// How long a run may take to end in order: to take back what it has uploaded and to leave its report. With the grace that
/// decisions give a Job it is within what a restore is waited for.
const STOP_SECONDS: i64 = 30;

/// The program's name as container and volume.
const PROGRAM: &str = "tradingbot-backup";
/// The container that reports.
const CONTAINER: &str = "backup";
/// The memory limit where none is set.
const MEMORY: &str = "256Mi";

/// One run of the program.
pub struct Run<'a> {
    pub bot: &'a TradingBot,
    pub backup: &'a Backup,
    pub action: Action,
    pub schedule: &'a str,
    pub epoch: u64,
    /// Whose volumes it sees.
    pub slot: u32,
    /// The operator's image.
    pub image: &'a str,
    /// For a verification: how far it goes.
    pub verify: Verify,
    /// For a verification and a restore: the user's way.
    pub runner: Option<&'a Runner>,
    pub selection: Selection,
    /// Seconds.
    pub deadline: u32,
}

/// What a run needs of the bot's pod.
enum Needs<'a> {
    /// Nothing: it reads and writes destinations.
    Nothing,
    /// The volume under a path of the bot's container.
    Volume { path: &'a str, read: VolumeRead, writes: bool },
    /// Programs of an image, the bot's own where none is named.
    Programs { image: Option<&'a str> },
    /// A command of the user's, which runs as the bot's container would.
    Command { image: Option<&'a str> },
}

impl<'a> Run<'a> {
    /// The labels of its Job and pod.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut all = labels(self.bot);
        let component = match self.action {
            Action::Backup | Action::Verify => COMPONENT_BACKUP,
            Action::Check | Action::Restore => COMPONENT_RESTORE,
        };
        all.insert(LABEL_COMPONENT.to_owned(), component.to_owned());
        if component == COMPONENT_BACKUP {
            all.insert(LABEL_SCHEDULE.to_owned(), self.schedule.to_owned());
        }
        all
    }

    /// The annotations of its Job and pod.
    pub fn annotations(&self) -> BTreeMap<String, String> {
        [(ANNOTATION_BACKUP_EPOCH.to_owned(), self.epoch.to_string())].into()
    }

    /// The Job.
    pub fn job(&self) -> JobSpec {
        let deadline = i64::from(self.deadline);
        let mut labels = self.labels();
        if self.uses_azure_identity() {
            // Azure gives a pod its account's rights where this says so.
            labels.insert("azure.workload.identity/use".to_owned(), "true".to_owned());
        }
        let metadata =
            ObjectMeta { labels: Some(labels), annotations: Some(self.annotations()), ..ObjectMeta::default() };
        let pod = PodSpec {
            restart_policy: Some("Never".into()),
            // The kubelet enforces this one also on a node that is cut off.
            active_deadline_seconds: Some(deadline),
            termination_grace_period_seconds: Some(STOP_SECONDS),
            ..self.pod()
        };
        JobSpec {
            completions: Some(1),
            parallelism: Some(1),
            // The operator decides whether there is another attempt.
            backoff_limit: Some(0),
            active_deadline_seconds: Some(deadline + START_SECONDS),
            pod_replacement_policy: Some("Failed".into()),
            template: PodTemplateSpec { metadata: Some(metadata), spec: Some(pod) },
            ..JobSpec::default()
        }
    }

    fn pod(&self) -> PodSpec {
        let needs = self.needs();
        let mut source = Mounted::default();
        let mut container = borrowed::container(self.bot, CONTAINER, [BACKUP_PATH, "run"].map(str::to_owned).to_vec());
        container.volume_devices = None;
        let (env, env_from) = (container.env.take(), container.env_from.take());
        let mounts = container.volume_mounts.take();
        match &needs {
            Needs::Nothing | Needs::Programs { .. } => container.working_dir = None,
            Needs::Volume { path, read, writes } => {
                container.working_dir = None;
                source = volumes::of_source(self.bot, self.slot, path, *read, *writes).unwrap_or_default();
            }
            Needs::Command { .. } => {
                if self.has_the_bots_environment() {
                    (container.env, container.env_from) = (env, env_from);
                }
                container.volume_mounts = Some(self.commands_mounts(mounts, container.env.is_some()));
            }
        }
        container.env = Some(self.environment(container.env.take()));
        container.env_from.get_or_insert_default().extend(self.secret().map(|secret| EnvFromSource {
            secret_ref: Some(SecretEnvSource { name: secret.to_owned(), optional: Some(false) }),
            ..EnvFromSource::default()
        }));
        container.env_from = container.env_from.filter(|from| !from.is_empty());
        container.resources = Some(self.resources());

        let mut pod = borrowed::pod(self.bot, container);
        pod.affinity = pod
            .affinity
            .and_then(|a| a.node_affinity)
            .map(|node| Affinity { node_affinity: Some(node), ..Affinity::default() });
        mount_claims(&mut pod, self.bot, self.slot);
        pod.volumes.get_or_insert_default().extend(source.volumes);
        let sees_claims = |pod: &PodSpec| pod.volumes.iter().flatten().any(|v| v.persistent_volume_claim.is_some());
        let has_the_bots_volume = sees_claims(&pod) || matches!(needs, Needs::Volume { .. });
        if sees_claims(&pod) {
            stay_near(&mut pod, self.bot, self.slot);
        }
        self.choose_user_and_image(&mut pod, &needs, has_the_bots_volume);
        self.choose_account(&mut pod);

        let grouped = pod.security_context.as_ref().is_some_and(|context| context.fs_group.is_some());
        // Without a group of the pod's own the files would be the superuser's alone.
        let mode = if grouped { 0o440 } else { 0o444 };
        let Mounted { volumes, mounts } = volumes::of_run(&self.destinations(), self.identity(), mode);
        let program = Volume {
            name: PROGRAM.to_owned(),
            empty_dir: Some(EmptyDirVolumeSource { medium: None, size_limit: Some(Quantity("64Mi".into())) }),
            ..Volume::default()
        };
        pod.volumes.get_or_insert_default().extend([program].into_iter().chain(volumes));
        if let Some(container) = pod.containers.first_mut() {
            let all = container.volume_mounts.get_or_insert_default();
            all.extend(source.mounts);
            all.push(mount(PROGRAM, AGENT_DIR, true));
            all.extend(mounts);
        }
        pod.init_containers =
            Some(vec![installer(self.image, PROGRAM, ["/tradingbot-backup", "install", BACKUP_PATH])]);
        pod
    }

    fn needs(&self) -> Needs<'a> {
        let Source { command, postgresql, directory, sqlite } = &self.backup.source;
        let asked = self.runner.filter(|runner| !runner.command.is_empty());
        let images = || {
            let of_source = command.as_ref().and_then(|c| c.image.as_deref());
            let of_source = of_source.or(postgresql.as_ref().and_then(|p| p.image.as_deref()));
            self.runner.and_then(|runner| runner.image.as_deref()).or(of_source)
        };
        let volume = |to: Action| {
            let read = |read: VolumeRead| if to == Action::Backup { read } else { VolumeRead::Shared };
            let directory = directory.as_ref().map(|d| Needs::Volume {
                path: &d.path,
                read: read(d.read),
                writes: to == Action::Restore,
            });
            directory.or(sqlite.as_ref().map(|s| Needs::Volume { path: &s.path, read: read(s.read), writes: true }))
        };
        match self.action {
            Action::Check => Needs::Nothing,
            Action::Verify if self.verify == Verify::Read => Needs::Nothing,
            Action::Backup if command.is_some() => Needs::Command { image: images() },
            Action::Verify | Action::Restore if asked.is_some() => Needs::Command { image: images() },
            _ if postgresql.is_some() => Needs::Programs { image: images() },
            Action::Verify => Needs::Nothing,
            action @ (Action::Backup | Action::Restore) => volume(action).unwrap_or(Needs::Nothing),
        }
    }

    /// A verification must never find the way to what the bot works with. And a Secret that says where to restore to
    /// would lose against variables of the same names.
    fn has_the_bots_environment(&self) -> bool {
        match self.action {
            Action::Backup => true,
            Action::Restore => self.runner.is_none_or(|runner| runner.secret_name.is_none()),
            Action::Verify | Action::Check => false,
        }
    }

    /// What a command sees of the bot's volumes: all that another pod can have; in a verification no claim.
    fn commands_mounts(&self, mounts: Option<Vec<VolumeMount>>, with_environment: bool) -> Vec<VolumeMount> {
        let templates = &self.bot.spec.volume_claim_templates;
        let pod = self.bot.spec.template.spec.as_ref();
        let shared_claim = |name: &str| {
            let mut all = pod.iter().flat_map(|pod| pod.volumes.iter().flatten());
            all.any(|v| v.name == name && v.persistent_volume_claim.is_some())
        };
        let seen = |mount: &VolumeMount| {
            let template = templates.iter().find(|template| template.metadata.name == mount.name);
            let of_one_pod = template.is_some_and(|template| {
                template.spec.access_modes.iter().flatten().any(|mode| mode == "ReadWriteOncePod")
            });
            let claim = template.is_some() || shared_claim(&mount.name);
            let kept_away = of_one_pod || (claim && self.action == Action::Verify);
            !kept_away && (with_environment || mount.sub_path_expr.as_deref().unwrap_or_default().is_empty())
        };
        mounts.into_iter().flatten().filter(seen).collect()
    }

    fn environment(&self, own: Option<Vec<EnvVar>>) -> Vec<EnvVar> {
        // Kubernetes would put variables for $(NAME) in it, also within a command.
        let config = serde_json::to_string(&self.config()).unwrap_or_default().replace('$', "$$");
        let ours = [
            value(BACKUP_CONFIG_ENV, config),
            value("TRADINGBOT_NAME", name(self.bot).to_owned()),
            value("TRADINGBOT_NAMESPACE", namespace(self.bot).to_owned()),
            value("TRADINGBOT_EPOCH", self.epoch.to_string()),
        ];
        let own = own.into_iter().flatten().filter(|e| !e.name.starts_with("TRADINGBOT_"));
        ours.into_iter().chain(own).collect()
    }

    /// What the program is told.
    fn config(&self) -> BackupConfig {
        let Backup {
            source,
            destination: _,
            copies: _,
            schedules,
            suspend: _,
            compression,
            encryption,
            verification: _,
            restore: _,
            recovery_point_objective_seconds: _,
            deadline_seconds: _,
            take_over_from,
            service_account_name: _,
            resources: _,
        } = self.backup;
        BackupConfig {
            action: self.action,
            namespace: namespace(self.bot).to_owned(),
            bot: name(self.bot).to_owned(),
            bot_uid: self.bot.metadata.uid.clone().unwrap_or_default(),
            epoch: self.epoch,
            schedule: self.schedule.to_owned(),
            source: source.clone(),
            destinations: self.destinations().into_iter().cloned().collect(),
            compression: *compression,
            encryption: encryption.clone(),
            retention: schedules.iter().map(|s| (s.name.clone(), retention_of(s))).collect(),
            take_over_from: take_over_from.clone(),
            verify: self.verify,
            command: self.runner.map(|runner| runner.command.clone()).unwrap_or_default(),
            selection: self.selection.clone(),
        }
    }

    fn destinations(&self) -> Vec<&'a Destination> {
        [&self.backup.destination].into_iter().chain(&self.backup.copies).collect()
    }

    /// The Secret that becomes variables: where to dump from, or where to restore to. A verification never gets that of
    /// the source.
    fn secret(&self) -> Option<&'a str> {
        let runner = self.runner.and_then(|runner| runner.secret_name.as_deref());
        let source = self.backup.source.postgresql.as_ref().map(|postgresql| postgresql.secret_name.as_str());
        match self.action {
            Action::Backup => source,
            Action::Restore => runner.or(source),
            Action::Verify if self.verify == Verify::Restore => runner,
            Action::Verify | Action::Check => None,
        }
    }

    /// The Secret with what decrypts. A backup is made without.
    fn identity(&self) -> Option<&'a str> {
        let may = matches!(self.action, Action::Verify | Action::Check | Action::Restore);
        self.backup.encryption.as_ref().filter(|_| may)?.identity_secret_name.as_deref()
    }

    /// The user's images and volumes are used as the bot uses them, so that what one writes the other can read; for the
    /// rest our own image runs without rights.
    fn choose_user_and_image(&self, pod: &mut PodSpec, needs: &Needs<'_>, has_the_bots_volume: bool) {
        let Some(container) = pod.containers.first_mut() else { return };
        let own = bots_container(self.bot).map(|own| (own.image.clone(), own.image_pull_policy.clone()));
        let (own_image, own_policy) = own.unwrap_or_default();
        let ours = (Some(self.image.to_owned()), Some("IfNotPresent".to_owned()));
        let on_claim = self.destinations().iter().any(|d| d.persistent_volume_claim.is_some());
        let user = container.security_context.as_ref().and_then(|context| context.run_as_user);
        let user = user.or(pod.security_context.as_ref().and_then(|context| context.run_as_user));
        (container.image, container.image_pull_policy) = match needs {
            Needs::Programs { image: Some(image) } | Needs::Command { image: Some(image) } => {
                (Some((*image).to_owned()), None)
            }
            Needs::Programs { image: None } | Needs::Command { image: None } => (own_image, own_policy),
            // The bot runs as the user that its image names, which nobody knows here: so this runs in that image, too.
            Needs::Volume { .. } if user.is_none() => (own_image, own_policy),
            Needs::Nothing if on_claim && user.is_none() => (own_image, own_policy),
            Needs::Volume { .. } | Needs::Nothing => ours,
        };
        if matches!(needs, Needs::Nothing) && !on_claim {
            container.security_context = Some(restricted());
            pod.security_context = Some(PodSecurityContext {
                fs_group: Some(USER),
                run_as_group: Some(USER),
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), localhost_profile: None }),
                ..PodSecurityContext::default()
            });
        } else if !has_the_bots_volume {
            // Not where a volume of the bot's is: all of it would change hands.
            pod.security_context.get_or_insert_default().fs_group.get_or_insert(USER);
        }
    }

    fn choose_account(&self, pod: &mut PodSpec) {
        pod.service_account_name = self.backup.service_account_name.clone();
        pod.automount_service_account_token = pod.service_account_name.is_none().then_some(false);
    }

    fn uses_azure_identity(&self) -> bool {
        let by_account = |d: &&Destination| d.azure_blob.as_ref().is_some_and(|azure| azure.secret_name.is_none());
        self.backup.service_account_name.is_some() && self.destinations().iter().any(by_account)
    }

    fn resources(&self) -> ResourceRequirements {
        let amounts = |all: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
            all.iter().map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned()))).collect()
        };
        let mut resources = self.backup.resources.clone().unwrap_or_else(|| ResourceRequirements {
            requests: Some(amounts(&[("cpu", "50m"), ("memory", "64Mi")])),
            ..ResourceRequirements::default()
        });
        let requested = resources.requests.as_ref().and_then(|r| r.get("memory")).cloned();
        // A limit below what is requested would be refused.
        let limit = if self.backup.resources.is_some() { requested } else { None };
        let limit = limit.unwrap_or_else(|| Quantity(MEMORY.into()));
        resources.limits.get_or_insert_default().entry("memory".to_owned()).or_insert(limit);
        resources
    }
}
