//! Labels, annotations, ports and paths that more than one program must agree on.

/// The API group of our kinds, and the prefix of our labels and annotations.
pub const GROUP: &str = "tradingbot.io";

/// What Kubernetes takes as the name of a Secret, a claim or a service account, as a pattern for schemas.
#[cfg(feature = "schema")]
pub(super) const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// Label: the bot a child belongs to.
pub const LABEL_BOT: &str = "tradingbot.io/bot";
/// Label: the pod's role, `active`, `candidate` or `standby`; absent while the pod's role is in doubt.
pub const LABEL_ROLE: &str = "tradingbot.io/role";
/// Label: the slot a pod or claim belongs to.
pub const LABEL_SLOT: &str = "tradingbot.io/slot";
/// Label: what a child is for: `bot`, `reconciliation`, `backup` or `restore`.
pub const LABEL_COMPONENT: &str = "tradingbot.io/component";
/// Annotation: the hash of everything a pod was made from; another hash means the pod is outdated.
pub const ANNOTATION_REVISION: &str = "tradingbot.io/revision";
/// Label on reconciliation Jobs and their pods: the fencing token they were made for.
pub const LABEL_TOKEN: &str = "tradingbot.io/token";
/// Label on the CronJobs and Jobs of backups and their pods: the schedule, `on-demand` or `verification`.
pub const LABEL_SCHEDULE: &str = "tradingbot.io/schedule";
/// Its value where the newest backup is proven again.
pub const SCHEDULE_VERIFICATION: &str = "verification";
/// Annotation on the Jobs of backups and restores and on their pods: the epoch in which they were made.
pub const ANNOTATION_BACKUP_EPOCH: &str = "tradingbot.io/backup-epoch";
/// Label on the Jobs of restores and their pods: the uid of the operation that asked for it.
pub const LABEL_OPERATION: &str = "tradingbot.io/operation";
/// Label on the Jobs of restores and their pods: `check` or `apply`.
pub const LABEL_RESTORE_RUN: &str = "tradingbot.io/restore-run";
/// Its value on the Job that reads the backup while the bot trades on.
pub const RESTORE_RUN_CHECK: &str = "check";
/// Its value on the Job that puts the backup back.
pub const RESTORE_RUN_APPLY: &str = "apply";
/// Label on the Lease of an account: the account.
pub const LABEL_ACCOUNT: &str = "tradingbot.io/account";
/// The finalizer of a TradingBot: nothing goes before the active is known to have stopped.
pub const FINALIZER: &str = "tradingbot.io/fencing";

/// Lease annotations, written by the operator.
pub mod lease {
    /// The epoch of the last grant.
    pub const EPOCH: &str = "tradingbot.io/epoch";
    /// Its fencing token.
    pub const TOKEN: &str = "tradingbot.io/token";
    /// `Prepare`, `Trade` or `Revoke`.
    pub const PERMIT: &str = "tradingbot.io/permit";
    /// `Graceful` or `Now`: how a revoked holder stops.
    pub const REVOKE: &str = "tradingbot.io/revoke";
    /// On an account's Lease: what the holder's agent does without the API server.
    pub const ON_API_SERVER_LOSS: &str = "tradingbot.io/on-api-server-loss";
    /// The terms of the grant, as JSON.
    pub const TERMS: &str = "tradingbot.io/terms";
    /// The boot that took the grant up; written by the agent, like all below.
    pub const BOOT: &str = "tradingbot.io/boot";
    /// `<boot>/<counter>`, new at every renewal.
    pub const RENEW: &str = "tradingbot.io/renew";
    /// What the agent reports.
    pub const STATE: &str = "tradingbot.io/state";
    /// How it says that orders are fenced.
    pub const PATH: &str = "tradingbot.io/path";
    /// Which of its checks do not pass.
    pub const HEALTH: &str = "tradingbot.io/health";
    /// What it did about checks that failed, as JSON.
    pub const RECOVERY: &str = "tradingbot.io/recovery";
    /// Why it released.
    pub const REASON: &str = "tradingbot.io/reason";
    /// What the steps of the stop came to, as JSON.
    pub const SHUTDOWN: &str = "tradingbot.io/shutdown";
    /// What the promote hook came to, as JSON.
    pub const PROMOTION: &str = "tradingbot.io/promotion";
    /// The later boot that found the Lease held by an earlier one of its pod.
    pub const SUCCESSOR: &str = "tradingbot.io/successor";
}

/// Where the agent's binary is in the bot's container.
pub const AGENT_PATH: &str = "/.tradingbot/tradingbot-agent";
/// The folder it is in: an `emptyDir`, mounted read-only in the bot's container.
pub const AGENT_DIR: &str = "/.tradingbot";
/// Where the agent finds its own token and the cluster's CA.
pub const AGENT_CREDENTIALS_DIR: &str = "/.tradingbot-credentials";
/// Where the agent puts what the bot reads from memory: an `emptyDir` of its container.
pub const RUN_DIR: &str = "/run/tradingbot";
/// The file in it that says what the bot may do.
pub const LEADERSHIP_PAGE: &str = "leadership";
/// Where the bot that trades finds the keys of the exchange, one file a key; not there otherwise.
pub const CREDENTIALS_DIR: &str = "/run/tradingbot/credentials";
/// The environment variable that names it.
pub const CREDENTIALS_ENV: &str = "TRADINGBOT_CREDENTIALS";
/// Where the Secrets of hooks are mounted: `<dir>/<promote|pause|resume|demote|dead-mans-switch|reload|shutdown-STEP>/{username,password}`.
pub const HOOK_SECRETS_DIR: &str = "/.tradingbot-hooks";
/// The environment variable with the agent's configuration, as JSON.
pub const AGENT_CONFIG_ENV: &str = "TRADINGBOT_AGENT_CONFIG";
/// The local API, on loopback.
pub const API_PORT: u16 = 9797;
/// `/healthz` and `/readyz` for the kubelet, on all addresses of the pod.
pub const PROBE_PORT: u16 = 9798;
/// The gate, on loopback.
pub const GATE_PORT: u16 = 9796;
/// Open on all addresses of a pod with a NetworkPolicy of ours, which lets nobody reach it.
pub const CANARY_PORT: u16 = 9799;
