//! The labels and annotations by which runs are known, beside those that all Jobs of backups have.

/// Annotation on a Job that the operator ended: why, a sentence.
pub const ANNOTATION_ENDED: &str = "tradingbot.io/ended";
/// Label on the Job of a retry: the uid of the Job that failed.
pub const LABEL_RETRY_OF: &str = "tradingbot.io/retry-of";
/// What `kubectl create job --from` writes too: no schedule made this Job.
pub const ANNOTATION_BY_HAND: &str = "cronjob.kubernetes.io/instantiate";
