//! The kind `TradingBotOperation`: what somebody asked for once.

#![expect(clippy::duplicated_attributes, reason = "printer columns repeat their types")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::CustomResource;
use kube::ResourceExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::backup_config::Selection;
use crate::core::failover::{Operation, OperationKind};
use crate::core::ids::Epoch;

/// A one-shot action on a TradingBot.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "tradingbot.io",
    version = "v1alpha1",
    kind = "TradingBotOperation",
    plural = "tradingbotoperations",
    shortname = "tbop",
    namespaced,
    derive = "PartialEq",
    doc = "Something that a person asked of a TradingBot once, and how it went.",
    status = "TradingBotOperationStatus",
    printcolumn(name = "Bot", type_ = "string", json_path = ".spec.botName"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "To", type_ = "string", json_path = ".spec.to"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct TradingBotOperationSpec {
    /// The TradingBot, in the same namespace.
    #[schemars(length(max = 40), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub bot_name: String,
    /// What is asked for.
    #[serde(rename = "type")]
    pub type_: OperationType,
    /// The pod that shall trade. Absent: the operator chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub to: Option<String>,
    /// Why, for those who read it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub reason: Option<String>,
    /// For ConfirmStopped: what is confirmed, and who does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<Confirmation>,
    /// For Backup: which schedule it counts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupRequest>,
    /// For Restore: which backup is put back, and the word that it shall be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreRequest>,
}

/// What an operation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OperationType {
    /// A planned move: the active stops gracefully, and only if someone can take over.
    Switchover,
    /// A forced move: also when the active does not answer, and in spite of limits.
    Failover,
    /// A person confirms that the active of an epoch has stopped, where nothing else can prove it.
    ConfirmStopped,
    /// A backup now, beside those of the schedules.
    Backup,
    /// A backup is put back while nobody trades; afterwards reconciliation, then trading.
    Restore,
}

impl OperationType {
    /// The word in the field `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            OperationType::Switchover => "Switchover",
            OperationType::Failover => "Failover",
            OperationType::ConfirmStopped => "ConfirmStopped",
            OperationType::Backup => "Backup",
            OperationType::Restore => "Restore",
        }
    }
}

/// A person's word that an active has stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Confirmation {
    /// The epoch in status.trading that is meant; on a bot that waits for its account, the one in status.account.
    #[schemars(range(min = 1))]
    pub epoch: u64,
    /// Who says so.
    #[schemars(length(max = 200), regex(pattern = r"[^\s]"))]
    pub by: String,
}

/// A backup that is wanted now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupRequest {
    /// The schedule of spec.backup whose retention it falls under. Absent: it belongs to none and is never removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub schedule: Option<String>,
}

/// A backup that is to be put back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreRequest {
    /// Its id. Absent: the newest good one, before the time in `before` where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100), regex(pattern = r"^[0-9]{8}T[0-9]{6}Z-[a-z0-9]([-a-z0-9]*[a-z0-9])?-[0-9a-f]{4}$"))]
    pub id: Option<String>,
    /// The newest good one that was begun before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Time>,
    /// The bot's name once more: what is there now is overwritten.
    #[schemars(length(max = 40))]
    pub confirm: String,
}

/// How an operation stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TradingBotOperationStatus {
    /// One word.
    pub phase: OperationPhase,
    /// The outcome, one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The outcome and what to do, a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_time: Option<MicroTime>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_time: Option<MicroTime>,
    /// What was done, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<OperationStep>,
    /// The contract: Complete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// How an operation stands, one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OperationPhase {
    /// It was not begun.
    #[default]
    Pending,
    /// It is being carried out.
    Running,
    /// It did what was asked.
    Succeeded,
    /// It did not.
    Failed,
}

impl OperationPhase {
    /// Whether it never changes again.
    pub fn has_ended(self) -> bool {
        matches!(self, OperationPhase::Succeeded | OperationPhase::Failed)
    }
}

/// One step of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationStep {
    /// What was done, one word.
    pub name: String,
    /// When it began.
    pub started_time: MicroTime,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_time: Option<MicroTime>,
    /// How it ended, a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

impl TradingBotOperation {
    /// Which backup a restore asks for.
    pub fn selection(&self) -> Selection {
        let Some(RestoreRequest { id, before, confirm: _ }) = &self.spec.restore else { return Selection::default() };
        // The schema lets only ids in.
        Selection { id: id.as_ref().and_then(|id| id.parse().ok()), before: before.as_ref().map(|time| time.0) }
    }

    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        !self.status.as_ref().is_some_and(|status| status.phase.has_ended())
    }

    /// The operation as decisions see it; `None` when it has ended.
    pub fn to_decide(&self) -> Option<Operation> {
        if !self.is_open() {
            return None;
        }
        let TradingBotOperationSpec { bot_name: _, type_, to, reason: _, confirm, backup: _, restore: _ } = &self.spec;
        let kind = match type_ {
            OperationType::Switchover => OperationKind::Switchover,
            OperationType::Failover => OperationKind::Failover,
            OperationType::ConfirmStopped => {
                // The schema demands `confirm` here; without it nothing is confirmed, because nobody's name is given.
                let Confirmation { epoch, by } = confirm.clone().unwrap_or_default();
                OperationKind::Confirm { epoch: Epoch(epoch), by }
            }
            // It moves nothing, so no decision about trading depends on it.
            OperationType::Backup => return None,
            OperationType::Restore => OperationKind::Restore,
        };
        Some(Operation { name: self.name_any(), uid: self.uid().unwrap_or_default(), kind, to: to.clone() })
    }
}
