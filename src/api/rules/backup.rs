//! What the API server refuses of `spec.backup`.

use super::{ROOT, Rule, SPEC, rule};

const BACKUP: &str = "/properties/spec/properties/backup";
const SOURCE: &str = "/properties/spec/properties/backup/properties/source";
const COMMAND: &str = "/properties/spec/properties/backup/properties/source/properties/command";
const DIRECTORY: &str = "/properties/spec/properties/backup/properties/source/properties/directory";
const SQLITE: &str = "/properties/spec/properties/backup/properties/source/properties/sqlite";
const DESTINATION: &str = "/properties/spec/properties/backup/properties/destination";
const COPY: &str = "/properties/spec/properties/backup/properties/copies/items";
const ENCRYPTION_AT_DESTINATION: &str =
    "/properties/spec/properties/backup/properties/destination/properties/s3/properties/serverSideEncryption";
const ENCRYPTION_AT_COPY: &str =
    "/properties/spec/properties/backup/properties/copies/items/properties/s3/properties/serverSideEncryption";
const SCHEDULE: &str = "/properties/spec/properties/backup/properties/schedules/items";
const WHEN: &str = "/properties/spec/properties/backup/properties/schedules/items/properties/schedule";
const RETENTION: &str = "/properties/spec/properties/backup/properties/schedules/items/properties/retention";
const VERIFICATION_WHEN: &str = "/properties/spec/properties/backup/properties/verification/properties/schedule";
const RUNNER: &str = "/properties/spec/properties/backup/properties/verification/properties/runner";
const RESTORE: &str = "/properties/spec/properties/backup/properties/restore";

const ONE_SOURCE: &str =
    "[has(self.command), has(self.postgresql), has(self.directory), has(self.sqlite)].filter(x, x).size() == 1";
const ONE_PLACE: &str = "[has(self.s3), has(self.googleCloudStorage), has(self.azureBlob), has(self.persistentVolumeClaim)].filter(x, x).size() == 1";
const ONE_PLACE_MESSAGE: &str = "A destination of spec.backup is one of s3, googleCloudStorage, azureBlob and persistentVolumeClaim: set exactly one of them, and further places in spec.backup.copies.";
const KMS: &str = "!has(self.kmsKeyId) || self.type == 'AwsKms'";
const KMS_MESSAGE: &str =
    "serverSideEncryption.kmsKeyId names a key for the type AwsKms: set type to AwsKms, or remove kmsKeyId.";
const PLAIN_PATH: &str = "!self.path.matches('(^|/)[.][.]?(/|$)')";
const PLAIN_PATH_MESSAGE: &str =
    "The path in spec.backup.source must not have the parts . or .. in it: write it without.";
const PROGRAM: &str = "!has(self.command) || size(self.command) == 0 || self.command[0] != ''";
const PROGRAM_MESSAGE: &str = "The first entry of a command in spec.backup is the program, which must not be empty: set it, or remove the command.";

/// A list of numbers or names, ranges of them and stars, each with a step or without.
macro_rules! field {
    ($value:expr) => {
        concat!("(([*?]|(", $value, ")(-(", $value, "))?)(/0*[1-9][0-9]{0,2})?)")
    };
}
macro_rules! list {
    ($value:expr) => {
        concat!(field!($value), "(,", field!($value), ")*")
    };
}
/// What a CronJob takes but for `@every` and time zones, and but for ranges that end before they begin, which an
/// expression cannot find; of these a condition tells.
#[rustfmt::skip]
const SCHEDULE_TEXT: &str = concat!(
    "self.matches('^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)| *",
    list!("[0-5]?[0-9]"), " +", list!("2[0-3]|[01]?[0-9]"), " +", list!("3[01]|[12][0-9]|0?[1-9]"), " +",
    list!("1[0-2]|0?[1-9]|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"), " +",
    list!("0?[0-6]|(?i:sun|mon|tue|wed|thu|fri|sat)"), " *)$')"
);
const SCHEDULE_MESSAGE: &str = "A schedule in spec.backup has the five fields minute (0 to 59), hour (0 to 23), day of the month (1 to 31), month (1 to 12 or jan to dec) and day of the week (0 to 6 or sun to sat), such as 0 2 * * *, or is one of @hourly, @daily, @weekly, @monthly and @yearly: correct it. The time zone belongs into timeZone.";

#[rustfmt::skip]
macro_rules! known {
    () => {
        concat!(
            "{'@hourly': 3600, '@daily': 86400, '@midnight': 86400, '@weekly': 604800, '@monthly': 2678400, '@yearly': 31622400, '@annually': 31622400, ",
            "'* * * * *': 60, '*/2 * * * *': 120, '*/5 * * * *': 300, '*/10 * * * *': 600, '*/15 * * * *': 900, '*/20 * * * *': 1200, '*/30 * * * *': 1800, ",
            "'0 */2 * * *': 7200, '0 */3 * * *': 10800, '0 */4 * * *': 14400, '0 */6 * * *': 21600, '0 */8 * * *': 28800, '0 */12 * * *': 43200}"
        )
    };
}
/// The longest time in seconds between two runs of a schedule, for shapes where it can be seen at once, else 0: nothing
/// is refused by guessing.
#[rustfmt::skip]
macro_rules! gap {
    ($of:expr) => {
        concat!(
            "(", $of, ".schedule in ", known!(), " ? ", known!(), "[", $of, ".schedule]",
            " : ", $of, ".schedule.matches('^[0-9]+ [*] [*] [*] [*]$') ? 3600",
            " : ", $of, ".schedule.matches('^[0-9]+ [0-9]+ [*] [*] [*]$') ? 86400",
            " : ", $of, ".schedule.matches('^[0-9]+ [0-9]+ [*] [*] [0-9A-Za-z]+$') ? 604800",
            " : ", $of, ".schedule.matches('^[0-9]+ [0-9]+ [0-9]+ [*] [*]$') ? 2678400",
            " : ", $of, ".schedule.matches('^[0-9]+ [0-9]+ [0-9]+ [0-9A-Za-z]+ [*]$') ? 31622400 : 0)"
        )
    };
}
/// The schedules that run, n of them, cannot meet the objective where each of them runs less often than every n-th of it;
/// and where one runs too seldom and the others, n times as seldom at least, fill not all of its gaps.
#[rustfmt::skip]
const OBJECTIVE: &str = concat!(
    "!has(self.recoveryPointObjectiveSeconds) || self.schedules.all(s, s.suspend) || !(",
    "self.schedules.all(s, s.suspend || ", gap!("s"), " > self.recoveryPointObjectiveSeconds * self.schedules.filter(x, !x.suspend).size())",
    " || self.schedules.exists(s, !s.suspend && ", gap!("s"), " > self.recoveryPointObjectiveSeconds && self.schedules.all(r, r.suspend || r.name == s.name || ",
    gap!("r"), " >= ", gap!("s"), " * self.schedules.filter(x, !x.suspend).size())))"
);
const OBJECTIVE_MESSAGE: &str = "spec.backup.recoveryPointObjectiveSeconds is shorter than the time between two backups: let a schedule run more often, as */15 * * * * does every 900 seconds, @hourly every 3600 and @daily every 86400, or set the objective to the longest time between two backups.";

/// Whether the bot's container mounts at or above `$path` what `$volume` says of the mount `m`.
#[rustfmt::skip]
macro_rules! mounted {
    ($path:expr, $volume:expr) => {
        concat!(
            "self.template.spec.containers.exists(c, c.name == self.containerName && has(c.volumeMounts) && c.volumeMounts.exists(m, ",
            "size(m.mountPath) <= size(", $path, ") && ", $path, ".substring(0, size(m.mountPath)) == m.mountPath && ",
            "(size(m.mountPath) == size(", $path, ") || m.mountPath.endsWith('/') || ", $path, ".substring(size(m.mountPath)).startsWith('/')) && (", $volume, ")))"
        )
    };
}
macro_rules! of_template {
    ($more:expr) => {
        concat!(
            "has(self.volumeClaimTemplates) && self.volumeClaimTemplates.exists(t, t.metadata.name == m.name",
            $more,
            ")"
        )
    };
}
#[rustfmt::skip]
macro_rules! claim {
    () => {
        concat!(
            "!has(m.subPathExpr) && ((", of_template!(""),
            ") || (has(self.template.spec.volumes) && self.template.spec.volumes.exists(v, v.name == m.name && has(v.persistentVolumeClaim))))"
        )
    };
}
#[rustfmt::skip]
macro_rules! source {
    ($kind:expr) => {
        concat!("!has(self.backup) || !has(self.backup.source.", $kind, ") || ")
    };
}
const ON_CLAIM_MESSAGE: &str = "The path in spec.backup.source must be at or below a mountPath of the container that trades whose volume is a claim, of spec.volumeClaimTemplates or a persistentVolumeClaim in spec.template.spec.volumes, and is mounted without subPathExpr. Other volumes, such as emptyDir and hostPath, cannot be shared with the pod of a backup: move the path onto a claim, or take the source command.";
const SHARED_MESSAGE: &str = "A claim of the mode ReadWriteOncePod cannot be shared with the pod of a backup: set read to Clone in spec.backup.source, where the storage driver can clone, or give the claim the mode ReadWriteOnce.";
const CLONE_MESSAGE: &str = "read: Clone in spec.backup.source needs a claim of spec.volumeClaimTemplates, whose size and class are known: set read to Shared, or move the path onto such a claim.";

/// The rules of `spec.backup`. Those at the root, where the bot's name is, are asked only where what they are about
/// changes: a write of a status is none of their business.
pub const RULES: &[Rule] = &[
    Rule {
        at: ROOT,
        rule: "(oldSelf.hasValue() && has(oldSelf.value().spec.backup) && has(self.spec.backup) && self.spec.backup.schedules == oldSelf.value().spec.backup.schedules) || !has(self.spec.backup) || self.spec.backup.schedules.all(s, size(s.name) + size(self.metadata.name) <= 47)",
        message: "The names of the bot and of a schedule in spec.backup.schedules together must have at most 47 characters, because CronJobs are named after both: shorten the name of the schedule.",
        message_expression: None,
    },
    rule(
        SOURCE,
        ONE_SOURCE,
        "spec.backup.source is one of command, postgresql, directory and sqlite: set exactly one of them.",
    ),
    rule(COMMAND, "self.command[0] != ''", PROGRAM_MESSAGE),
    rule(RUNNER, PROGRAM, PROGRAM_MESSAGE),
    rule(RESTORE, PROGRAM, PROGRAM_MESSAGE),
    rule(DIRECTORY, PLAIN_PATH, PLAIN_PATH_MESSAGE),
    rule(SQLITE, PLAIN_PATH, PLAIN_PATH_MESSAGE),
    rule(
        SPEC,
        concat!(source!("directory"), mounted!("self.backup.source.directory.path", claim!())),
        ON_CLAIM_MESSAGE,
    ),
    rule(SPEC, concat!(source!("sqlite"), mounted!("self.backup.source.sqlite.path", claim!())), ON_CLAIM_MESSAGE),
    rule(
        SPEC,
        concat!(
            source!("directory"),
            "self.backup.source.directory.read == 'Clone' || !",
            mounted!(
                "self.backup.source.directory.path",
                of_template!(" && t.spec.accessModes[0] == 'ReadWriteOncePod'")
            )
        ),
        SHARED_MESSAGE,
    ),
    rule(
        SPEC,
        concat!(
            source!("sqlite"),
            "self.backup.source.sqlite.read == 'Clone' || !",
            mounted!("self.backup.source.sqlite.path", of_template!(" && t.spec.accessModes[0] == 'ReadWriteOncePod'"))
        ),
        SHARED_MESSAGE,
    ),
    rule(
        SPEC,
        concat!(
            source!("directory"),
            "self.backup.source.directory.read != 'Clone' || ",
            mounted!("self.backup.source.directory.path", of_template!(""))
        ),
        CLONE_MESSAGE,
    ),
    rule(
        SPEC,
        concat!(
            source!("sqlite"),
            "self.backup.source.sqlite.read != 'Clone' || ",
            mounted!("self.backup.source.sqlite.path", of_template!(""))
        ),
        CLONE_MESSAGE,
    ),
    rule(DESTINATION, ONE_PLACE, ONE_PLACE_MESSAGE),
    rule(COPY, ONE_PLACE, ONE_PLACE_MESSAGE),
    rule(ENCRYPTION_AT_DESTINATION, KMS, KMS_MESSAGE),
    rule(ENCRYPTION_AT_COPY, KMS, KMS_MESSAGE),
    rule(
        BACKUP,
        COPIES_DIFFER,
        "spec.backup.destination and spec.backup.copies name one place twice, which would be lost at once: name another bucket, region or account, or remove the copy.",
    ),
    rule(ROOT, NOT_ON_SLOT, OWN_CLAIM),
    rule(SPEC, NOT_ON_SHARED, OWN_CLAIM),
    rule(
        SCHEDULE,
        "!(self.name in ['on-demand', 'verification'])",
        "The names on-demand and verification in spec.backup.schedules belong to backups that are asked for once and to spec.backup.verification: choose another name.",
    ),
    rule(WHEN, SCHEDULE_TEXT, SCHEDULE_MESSAGE),
    rule(VERIFICATION_WHEN, SCHEDULE_TEXT, SCHEDULE_MESSAGE),
    rule(
        RETENTION,
        "(!has(self.count) || self.count > 0) && (!has(self.days) || self.days > 0) && (!has(self.weeks) || self.weeks > 0) && (!has(self.months) || self.months > 0)",
        "A retention of 0 would keep nothing: set it to at least 1. To make no more backups set suspend to true.",
    ),
    rule(
        RETENTION,
        "[has(self.count), has(self.days), has(self.weeks), has(self.months)].filter(x, x).size() == 1",
        "A retention in spec.backup.schedules is one of count, days, weeks and months: set exactly one of them, or remove retention, and backups are kept for 30 days.",
    ),
    rule(BACKUP, OBJECTIVE, OBJECTIVE_MESSAGE),
    rule(
        BACKUP,
        "!has(self.verification) || self.verification.verify != 'Restore' || !has(self.source.command) || (has(self.verification.runner) && has(self.verification.runner.command) && size(self.verification.runner.command) > 0)",
        "spec.backup.verification with verify: Restore needs runner.command for what a command wrote, because only you know how it is restored: set it, or set verify to Read.",
    ),
    rule(
        BACKUP,
        "!has(self.verification) || self.verification.verify != 'Restore' || !has(self.source.postgresql) || (has(self.verification.runner) && ((has(self.verification.runner.command) && size(self.verification.runner.command) > 0) || has(self.verification.runner.secretName)))",
        "spec.backup.verification with verify: Restore needs to know into which database of PostgreSQL: set runner.secretName to a Secret with its PGHOST, PGUSER, PGPASSWORD and PGDATABASE, or runner.command, or set verify to Read.",
    ),
    rule(
        BACKUP,
        "!has(self.verification) || self.verification.verify != 'Restore' || !has(self.source.postgresql) || !has(self.verification.runner) || !has(self.verification.runner.secretName) || self.verification.runner.secretName != self.source.postgresql.secretName",
        "spec.backup.verification.runner.secretName must not be the Secret of spec.backup.source.postgresql, because every verification would overwrite the database that is backed up: name one of a scratch database.",
    ),
    rule(
        BACKUP,
        "!has(self.verification) || self.verification.verify != 'Restore' || !has(self.encryption) || has(self.encryption.identitySecretName)",
        "spec.backup.verification with verify: Restore has to decrypt: set spec.backup.encryption.identitySecretName, or set verify to Read.",
    ),
];

#[rustfmt::skip]
macro_rules! same {
    ($field:expr) => {
        concat!("(has(c.", $field, ") ? c.", $field, " : '') == (has(self.destination.", $field, ") ? self.destination.", $field, " : '')")
    };
}
#[rustfmt::skip]
const COPIES_DIFFER: &str = concat!(
    "!has(self.copies) || self.copies.all(c, self.copies.exists_one(d, d == c) && !(", same!("prefix"), " && (",
    "(has(c.s3) && has(self.destination.s3) && c.s3.bucket == self.destination.s3.bucket && ", same!("s3.endpoint"), " && ", same!("s3.region"),
    ") || (has(c.googleCloudStorage) && has(self.destination.googleCloudStorage) && c.googleCloudStorage.bucket == self.destination.googleCloudStorage.bucket && ", same!("googleCloudStorage.endpoint"),
    ") || (has(c.azureBlob) && has(self.destination.azureBlob) && c.azureBlob.account == self.destination.azureBlob.account && c.azureBlob.container == self.destination.azureBlob.container && ", same!("azureBlob.endpoint"),
    ") || (has(c.persistentVolumeClaim) && has(self.destination.persistentVolumeClaim) && c.persistentVolumeClaim.claimName == self.destination.persistentVolumeClaim.claimName))))"
);
/// Whether a destination is on the claim of a slot.
#[rustfmt::skip]
macro_rules! on_slot {
    ($of:expr) => {
        concat!(
            "(has(", $of, ".persistentVolumeClaim) && self.spec.volumeClaimTemplates.exists(t, ", $of, ".persistentVolumeClaim.claimName.matches('^' + t.metadata.name + '-.+-[0-9]+$') && ",
            $of, ".persistentVolumeClaim.claimName.substring(size(t.metadata.name) + 1, ", $of, ".persistentVolumeClaim.claimName.lastIndexOf('-')) == self.metadata.name))"
        )
    };
}
#[rustfmt::skip]
macro_rules! on_shared {
    ($of:expr) => {
        concat!(
            "(has(", $of, ".persistentVolumeClaim) && self.template.spec.volumes.exists(v, has(v.persistentVolumeClaim) && v.persistentVolumeClaim.claimName == ",
            $of, ".persistentVolumeClaim.claimName))"
        )
    };
}
#[rustfmt::skip]
const NOT_ON_SLOT: &str = concat!(
    "(oldSelf.hasValue() && has(oldSelf.value().spec.backup) && has(self.spec.backup) && self.spec.backup.destination == oldSelf.value().spec.backup.destination && has(self.spec.backup.copies) == has(oldSelf.value().spec.backup.copies) && (!has(self.spec.backup.copies) || self.spec.backup.copies == oldSelf.value().spec.backup.copies)) || !has(self.spec.backup) || !has(self.spec.volumeClaimTemplates) || !(",
    on_slot!("self.spec.backup.destination"), " || (has(self.spec.backup.copies) && self.spec.backup.copies.exists(d, ", on_slot!("d"), ")))"
);
#[rustfmt::skip]
const NOT_ON_SHARED: &str = concat!(
    "!has(self.backup) || !has(self.template.spec.volumes) || !(", on_shared!("self.backup.destination"),
    " || (has(self.backup.copies) && self.backup.copies.exists(d, ", on_shared!("d"), ")))"
);
const OWN_CLAIM: &str = "A persistentVolumeClaim in spec.backup.destination or copies must not be one of the bot's own claims, because it would be lost with what it backs up: name another claim.";
