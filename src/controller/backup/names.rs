//! The labels and annotations by which runs are known.

/// Label on Jobs and pods of backups: the schedule, `on-demand` or `verification`.
pub const LABEL_SCHEDULE: &str = "tradingbot.io/schedule";
/// The value of [`LABEL_SCHEDULE`] on verifications.
pub const VERIFICATION: &str = "verification";
/// The value of `LABEL_COMPONENT` on Jobs and pods of backups and verifications.
pub const COMPONENT_BACKUP: &str = "backup";
/// Annotation on Jobs and pods of backups: the epoch in which they were made.
pub const ANNOTATION_EPOCH: &str = "tradingbot.io/backup-epoch";
/// Annotation on a Job that the operator ended: why, a sentence.
pub const ANNOTATION_ENDED: &str = "tradingbot.io/ended";
/// Label on the Job of a retry: the uid of the Job that failed.
pub const LABEL_RETRY_OF: &str = "tradingbot.io/retry-of";
/// Label on a Job that an operation asked for: the operation's uid.
pub const LABEL_OPERATION: &str = "tradingbot.io/operation";
/// What `kubectl create job --from` writes too: no schedule made this Job.
pub const ANNOTATION_BY_HAND: &str = "cronjob.kubernetes.io/instantiate";
