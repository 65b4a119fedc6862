//! What the API server refuses, as CEL rules with sentences that say what to change.

mod backup;
mod health;
mod recovery;

pub use backup::RULES as BACKUP;
pub use health::RULES as HEALTH;
pub use recovery::RULES as RECOVERY;

/// One rule.
pub struct Rule {
    /// The JSON pointer, within the schema, of what the rule is about.
    pub at: &'static str,
    /// CEL: true means accepted.
    pub rule: &'static str,
    /// What is wrong and what to do.
    pub message: &'static str,
    /// CEL for a message that names what was found; `message` is taken where it fails.
    pub message_expression: Option<&'static str>,
}

const fn rule(at: &'static str, rule: &'static str, message: &'static str) -> Rule {
    Rule { at, rule, message, message_expression: None }
}

const ROOT: &str = "";
const SPEC: &str = "/properties/spec";
const LEADERSHIP: &str = "/properties/spec/properties/leadership";
const PROMOTE: &str = "/properties/spec/properties/hooks/properties/promote";
const DEMOTE: &str = "/properties/spec/properties/hooks/properties/demote";
const SHUTDOWN_STEP: &str = "/properties/spec/properties/lifecycle/properties/shutdown/items";
const DEAD_MANS_SWITCH: &str = "/properties/spec/properties/hooks/properties/deadMansSwitch";
const RECONCILIATION: &str = "/properties/spec/properties/reconciliation";

const CREDENTIALS: &str = "/properties/spec/properties/credentials";
const RELOAD: &str = "/properties/spec/properties/credentials/properties/reload";
const ORDER_GATE: &str = "/properties/spec/properties/orderGate";

const TEMPLATE: &str = "/properties/spec/properties/template/properties/metadata";
const POD: &str = "/properties/spec/properties/template/properties/spec";
const CLAIM_NAME: &str = "/properties/spec/properties/volumeClaimTemplates/items/properties/metadata";
const CLAIM: &str = "/properties/spec/properties/volumeClaimTemplates/items/properties/spec";
const JOB: &str = "/properties/spec/properties/reconciliation/properties/jobTemplate/properties/spec";
const ALLOWED_HOST: &str = "/properties/spec/properties/orderGate/properties/allowedHosts/items";
const STANDBY_HOST: &str = "/properties/spec/properties/orderGate/properties/standbyHosts/items";
const NO_PROXY: &str = "/properties/spec/properties/orderGate/properties/noProxy/items";
/// Rules of the NetworkPolicy for standbys: whom they reach, and at which ports.
const PEER: &str =
    "/properties/spec/properties/orderGate/properties/networkPolicy/properties/standbyEgress/items/properties/to/items";
const PORT: &str = "/properties/spec/properties/orderGate/properties/networkPolicy/properties/standbyEgress/items/properties/ports/items";

/// Four hexadecimal digits of an IPv6 address, and a colon after them or before.
macro_rules! group {
    () => {
        "[0-9A-Fa-f]{1,4}"
    };
    (:) => {
        "[0-9A-Fa-f]{1,4}:"
    };
    (- :) => {
        ":[0-9A-Fa-f]{1,4}"
    };
}

#[rustfmt::skip]
macro_rules! ipv6 {
    () => {
        concat!(
            "((", group!(:), "){7}", group!(), "|(", group!(:), "){1,7}:|(", group!(:), "){1,6}", group!(- :),
            "|(", group!(:), "){1,5}(", group!(- :), "){1,2}|(", group!(:), "){1,4}(", group!(- :), "){1,3}",
            "|(", group!(:), "){1,3}(", group!(- :), "){1,4}|(", group!(:), "){1,2}(", group!(- :), "){1,5}",
            "|", group!(:), "(", group!(- :), "){1,6}|:(", group!(- :), "){1,7}|::)"
        )
    };
}

macro_rules! octet {
    () => {
        "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    };
}

/// A name, of which the last part is no number: some would read `1.2.3` as an address and others as a name.
macro_rules! host_name {
    () => {
        "([A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?[.])*([0-9]*[A-Za-z_]([-A-Za-z0-9_]*[A-Za-z0-9_])?|[0-9]+-[-A-Za-z0-9_]*[A-Za-z0-9_])"
    };
}

macro_rules! port {
    () => {
        "(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
    };
}

/// A host as `core::gate::HostRule` reads it, which a test on a real API server compares. The agent looks at it again.
#[rustfmt::skip]
const HOST: &str = concat!(
    "self.matches('^(", ipv6!(), "|([[]", ipv6!(), "[]]|(", octet!(), "[.]){3}", octet!(), "|([*][.])?", host_name!(), ")", port!(), ")$')",
    " && !self.matches('[^.:]{64}') && (self.contains('[') || self.split(':')[0].size() <= (self.startsWith('*.') ? 255 : 253))"
);
const HOST_MESSAGE: &str = "spec.orderGate.allowedHosts and standbyHosts take host names, *. and a name for all names under it, or addresses, each with a port or without, such as api.example.com, *.example.com:443, 192.0.2.7 or [2001:db8::7]:443: remove schemes, paths and other wildcards.";

const EXEC: &str = "self.command[0] != ''";
const EXEC_MESSAGE: &str =
    "The first entry of a hook's command is the program, which must not be empty: set it, or remove the hook.";
const HTTP: &str = "self.port < 9796 || self.port > 9799";
const HTTP_MESSAGE: &str =
    "The ports 9796 to 9799 of a pod are its agent's own: set the hook's port to one that the bot listens on.";
const IMAGE: &str = "self.containers.all(c, has(c.image) && c.image != '') && (!has(self.initContainers) || self.initContainers.all(c, has(c.image) && c.image != ''))";

const HOOK: &str = "has(self.exec) != has(self.http)";
const HOOK_MESSAGE: &str = "A hook calls either exec or http: set exactly one of the two.";

/// The rules of `TradingBot`.
pub const BOT: &[Rule] = &[
    rule(
        ROOT,
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name must be at most 40 lower-case letters, digits and '-', begin with a letter and not end with '-', because Services are named after it: choose another name.",
    ),
    // At the root, because a server-side apply that omits a field erases it in spite of a rule at that field.
    rule(
        ROOT,
        "!has(oldSelf.status) || !has(oldSelf.status.trading) || (has(self.spec.account) == has(oldSelf.spec.account) && (!has(self.spec.account) || self.spec.account == oldSelf.spec.account))",
        "spec.account cannot be set, changed or removed while somebody may trade: set spec.suspend to true first, change it when status.phase is Suspended, and set spec.suspend to false again.",
    ),
    rule(
        ROOT,
        "!has(oldSelf.status) || !has(oldSelf.status.epoch) || (has(self.status) && has(self.status.epoch) && self.status.epoch >= oldSelf.status.epoch)",
        STATUS_EPOCH,
    ),
    rule(
        ROOT,
        "!has(oldSelf.status) || !has(oldSelf.status.token) || (has(self.status) && has(self.status.token) && self.status.token >= oldSelf.status.token)",
        STATUS_TOKEN,
    ),
    rule(
        SPEC,
        "self.replicas >= 1",
        "spec.replicas must be at least 1, the active itself. To stop trading set spec.suspend to true.",
    ),
    rule(SPEC, "self.replicas <= 10", "spec.replicas must be at most 10: one active and up to 9 standbys."),
    Rule {
        at: SPEC,
        rule: "self.template.spec.containers.exists(c, c.name == self.containerName)",
        message: "spec.template has no container with the name in spec.containerName (bot, where it is not set): rename the container that trades, or set spec.containerName to its name.",
        message_expression: Some(
            "'spec.template has no container with the name ' + self.containerName + ': rename the container that trades, or set spec.containerName to its name.'",
        ),
    },
    Rule {
        at: SPEC,
        rule: "self.template.spec.containers.all(c, c.name != self.containerName || (has(c.command) && size(c.command) > 0 && c.command[0] != ''))",
        message: COMMAND,
        message_expression: None,
    },
    rule(
        SPEC,
        "self.template.spec.containers.all(c, c.name != self.containerName || (!has(c.livenessProbe) && !has(c.readinessProbe) && !has(c.startupProbe)))",
        "The container that trades must have no livenessProbe, readinessProbe or startupProbe, because the agent in it answers the kubelet: remove them. Sidecars may have theirs.",
    ),
    rule(
        SPEC,
        "self.template.spec.containers.all(c, c.name != self.containerName || !has(c.lifecycle))",
        "The container that trades must have no lifecycle hooks, because the agent stops the bot: remove them, and use spec.hooks.promote, spec.lifecycle.shutdown and spec.hooks.demote.",
    ),
    rule(
        SPEC,
        "self.template.spec.containers.all(c, c.name != self.containerName || !has(c.restartPolicy))",
        "The container that trades must have no restartPolicy of its own, because without its agent started again a pod is no standby: remove it.",
    ),
    rule(
        SPEC,
        "self.template.spec.containers.all(c, c.name != self.containerName || !has(c.env) || c.env.all(e, !e.name.startsWith('TRADINGBOT_')))",
        "The container that trades must not set environment variables whose names begin with TRADINGBOT_, because operator and agent set these: rename or remove them.",
    ),
    rule(
        SPEC,
        "self.template.spec.containers.all(c, c.name != self.containerName || !has(c.volumeMounts) || c.volumeMounts.all(m, !m.mountPath.startsWith('/.tradingbot') && m.mountPath != '/run/tradingbot' && !m.mountPath.startsWith('/run/tradingbot/')))",
        "The container that trades must not mount anything at /.tradingbot, beside it under names that begin so, or at /run/tradingbot, where its agent is: choose another mountPath.",
    ),
    rule(POD, IMAGE, "Every container of spec.template needs an image: set image."),
    rule(
        POD,
        "self.containers.all(c, !has(c.ports) || c.ports.all(p, p.containerPort < 9796 || p.containerPort > 9799 || p.protocol != 'TCP'))",
        "Containers of spec.template must not listen on the TCP ports 9796 to 9799, because the agent does: choose other ports.",
    ),
    rule(
        TEMPLATE,
        "['tradingbot.io/account', 'tradingbot.io/bot', 'tradingbot.io/component', 'tradingbot.io/revision', 'tradingbot.io/role', 'tradingbot.io/slot', 'tradingbot.io/token'].all(k, (!has(self.labels) || !(k in self.labels)) && (!has(self.annotations) || !(k in self.annotations)))",
        "spec.template.metadata must not have labels or annotations of the operator, such as tradingbot.io/role, by which the active is found: remove those that begin with tradingbot.io/.",
    ),
    rule(
        SPEC,
        "!has(self.template.spec.shareProcessNamespace) || !self.template.spec.shareProcessNamespace",
        "spec.template.spec.shareProcessNamespace must not be true, because the bot could outlive the agent that has to stop it: remove it.",
    ),
    rule(
        SPEC,
        "!has(self.template.spec.hostPID) || !self.template.spec.hostPID",
        "spec.template.spec.hostPID must not be true, because the bot could outlive the agent that has to stop it: remove it.",
    ),
    rule(
        SPEC,
        "!has(self.template.spec.restartPolicy) || self.template.spec.restartPolicy == 'Always'",
        "spec.template.spec.restartPolicy must be Always: remove it. How often a bot is restarted on its pod is spec.failover.inPlaceRestarts.",
    ),
    rule(
        SPEC,
        "!has(self.template.spec.activeDeadlineSeconds)",
        "spec.template.spec.activeDeadlineSeconds must not be set, because it would end a bot that trades: remove it.",
    ),
    rule(
        SPEC,
        "!self.template.spec.containers.exists(c, c.name.startsWith('tradingbot-')) && (!has(self.template.spec.initContainers) || !self.template.spec.initContainers.exists(c, c.name.startsWith('tradingbot-'))) && (!has(self.template.spec.volumes) || !self.template.spec.volumes.exists(v, v.name.startsWith('tradingbot-')))",
        "Containers and volumes of spec.template must not have names that begin with tradingbot-, because the operator adds its own under such names: rename them.",
    ),
    rule(
        SPEC,
        "!has(self.volumeClaimTemplates) || self.volumeClaimTemplates.all(a, self.volumeClaimTemplates.exists_one(b, b.metadata.name == a.metadata.name))",
        "spec.volumeClaimTemplates has two claims of one name: rename one of them.",
    ),
    rule(
        SPEC,
        "!has(self.volumeClaimTemplates) || !has(self.template.spec.volumes) || self.volumeClaimTemplates.all(a, !self.template.spec.volumes.exists(v, v.name == a.metadata.name))",
        "spec.volumeClaimTemplates and spec.template.spec.volumes have an entry of the same name: rename one of them.",
    ),
    rule(
        CLAIM_NAME,
        "!self.name.startsWith('tradingbot-')",
        "A name in spec.volumeClaimTemplates must not begin with tradingbot-, because the operator's own volumes do: rename the claim.",
    ),
    rule(
        CLAIM,
        "has(self.resources.requests) && 'storage' in self.resources.requests",
        "A claim in spec.volumeClaimTemplates needs a size: set resources.requests.storage.",
    ),
    rule(
        LEADERSHIP,
        "self.renewPeriodSeconds < self.renewDeadlineSeconds",
        "spec.leadership.renewPeriodSeconds must be less than renewDeadlineSeconds, so that a renewal can fail once: make renewPeriodSeconds shorter or renewDeadlineSeconds longer.",
    ),
    rule(
        LEADERSHIP,
        "self.renewDeadlineSeconds + 1 < self.leaseDurationSeconds",
        "spec.leadership.renewDeadlineSeconds must be at least 2 less than leaseDurationSeconds, so that the active has time to stop before its lease runs out: make renewDeadlineSeconds shorter or leaseDurationSeconds longer.",
    ),
    rule(ALLOWED_HOST, HOST, HOST_MESSAGE),
    rule(STANDBY_HOST, HOST, HOST_MESSAGE),
    rule(
        NO_PROXY,
        "self != '*' && !self.contains(',') && !self.matches('[[:space:]]')",
        "spec.orderGate.noProxy takes one name, address or network an entry: write several as several entries. And with '*' nothing would go through the gate: remove spec.orderGate then.",
    ),
    rule(
        PEER,
        "has(self.ipBlock) ? (!has(self.podSelector) && !has(self.namespaceSelector) && self.ipBlock.cidr.matches('^[0-9a-fA-F:.]+/[0-9]{1,3}$')) : (has(self.podSelector) || has(self.namespaceSelector))",
        "An entry of to in spec.orderGate.networkPolicy.standbyEgress needs either an ipBlock with a prefix length, such as 192.0.2.0/24, or a podSelector, a namespaceSelector or both: set one of these.",
    ),
    rule(
        PORT,
        "(!has(self.port) || type(self.port) != int || (self.port >= 1 && self.port <= 65535)) && (!has(self.endPort) || (has(self.port) && type(self.port) == int && self.endPort >= self.port && self.endPort <= 65535))",
        "A port in spec.orderGate.networkPolicy.standbyEgress is a number from 1 to 65535 or a name, and endPort, with a number only, is not less than it: correct them.",
    ),
    rule(
        ORDER_GATE,
        "!has(self.allowedHosts) || !has(self.standbyHosts) || !self.allowedHosts.exists(h, h in self.standbyHosts)",
        "A host is either in spec.orderGate.allowedHosts, where only the active connects, or in standbyHosts, where every pod may at any time and where no order must be possible: remove it from one of the two.",
    ),
    rule(
        SPEC,
        "!has(self.orderGate) || !has(self.template.spec.hostNetwork) || !self.template.spec.hostNetwork",
        "spec.template.spec.hostNetwork must not be true with spec.orderGate, because everything on the node could use the gate: remove one of the two.",
    ),
    rule(PROMOTE, HOOK, HOOK_MESSAGE),
    rule(DEMOTE, HOOK, HOOK_MESSAGE),
    rule(DEAD_MANS_SWITCH, HOOK, HOOK_MESSAGE),
    rule("/properties/spec/properties/hooks/properties/promote/properties/exec", EXEC, EXEC_MESSAGE),
    rule("/properties/spec/properties/hooks/properties/demote/properties/exec", EXEC, EXEC_MESSAGE),
    rule("/properties/spec/properties/hooks/properties/deadMansSwitch/properties/exec", EXEC, EXEC_MESSAGE),
    rule("/properties/spec/properties/hooks/properties/promote/properties/http", HTTP, HTTP_MESSAGE),
    rule("/properties/spec/properties/hooks/properties/demote/properties/http", HTTP, HTTP_MESSAGE),
    rule("/properties/spec/properties/hooks/properties/deadMansSwitch/properties/http", HTTP, HTTP_MESSAGE),
    rule(
        SHUTDOWN_STEP,
        HOOK,
        "A step of spec.lifecycle.shutdown calls either exec or http: set exactly one of the two.",
    ),
    rule(
        SHUTDOWN_STEP,
        "has(self.timeoutSeconds) && self.timeoutSeconds >= 1",
        "A step of spec.lifecycle.shutdown needs timeoutSeconds, so that one that hangs does not hold up the next: set it to what the step takes at most, from 1 to 300.",
    ),
    rule(
        SHUTDOWN_STEP,
        "self.name != 'demote'",
        "A step of spec.lifecycle.shutdown must not be called demote, because the hook spec.hooks.demote, which follows the steps, is reported under this name: rename the step.",
    ),
    rule("/properties/spec/properties/lifecycle/properties/shutdown/items/properties/exec", EXEC, EXEC_MESSAGE),
    rule("/properties/spec/properties/lifecycle/properties/shutdown/items/properties/http", HTTP, HTTP_MESSAGE),
    rule(
        DEAD_MANS_SWITCH,
        "self.timeoutSeconds <= self.everySeconds",
        "spec.hooks.deadMansSwitch.timeoutSeconds (5 where it is not set) must not be more than everySeconds, so that one call has ended when the next is due: make timeoutSeconds shorter or everySeconds longer.",
    ),
    rule(
        SPEC,
        "!has(self.credentials) || ((!has(self.template.spec.serviceAccountName) || self.template.spec.serviceAccountName == '') && (!has(self.template.spec.serviceAccount) || self.template.spec.serviceAccount == ''))",
        "spec.template.spec.serviceAccountName must not be set with spec.credentials, because every pod would run under that account and a standby could read the keys: remove it, so that each pod gets an account of its own, or remove spec.credentials.",
    ),
    rule(
        SPEC,
        "!has(self.credentials) || !has(self.credentials.environment) || size(self.credentials.environment) == 0 || self.standbyMode != 'Hot'",
        "spec.credentials.environment must be empty with standbyMode Hot, because the process runs before it may have the keys and an environment cannot be changed: let the bot read the files in /run/tradingbot/credentials when it is promoted, or set standbyMode to Warm.",
    ),
    rule(
        CREDENTIALS,
        "!has(self.environment) || self.environment.all(a, self.environment.exists_one(b, b.name == a.name))",
        "spec.credentials.environment has two variables of one name: rename one of them.",
    ),
    rule(
        CREDENTIALS,
        "!has(self.environment) || self.environment.all(e, !e.name.startsWith('TRADINGBOT_'))",
        "The names of spec.credentials.environment must not begin with TRADINGBOT_, because the agent sets its own variables under such names: rename them.",
    ),
    rule(RELOAD, HOOK, HOOK_MESSAGE),
    rule(
        RECONCILIATION,
        "(has(self.command) && size(self.command) > 0) != has(self.jobTemplate)",
        "spec.reconciliation needs either a command, which runs with the image of the bot, or a jobTemplate of its own: set exactly one of the two.",
    ),
    rule(
        RECONCILIATION,
        "!has(self.jobTemplate) || !has(self.jobTemplate.spec) || ((!has(self.jobTemplate.spec.completions) || self.jobTemplate.spec.completions == 1) && (!has(self.jobTemplate.spec.parallelism) || self.jobTemplate.spec.parallelism == 1))",
        "spec.reconciliation.jobTemplate must run one pod, because one report counts: remove completions and parallelism.",
    ),
    rule(
        RECONCILIATION,
        "!has(self.command) || size(self.command) == 0 || self.command[0] != ''",
        "The first entry of spec.reconciliation.command is the program, which must not be empty: set it.",
    ),
    rule(
        JOB,
        "!has(self.selector) && !has(self.manualSelector) && !has(self.managedBy) && !has(self.successPolicy) && !has(self.backoffLimitPerIndex) && !has(self.maxFailedIndexes) && (!has(self.completionMode) || self.completionMode == 'NonIndexed')",
        "spec.reconciliation.jobTemplate.spec must leave selector, manualSelector, managedBy, successPolicy, backoffLimitPerIndex, maxFailedIndexes and completionMode to the operator, whose Job it is: remove them.",
    ),
    rule(
        "/properties/spec/properties/reconciliation/properties/jobTemplate/properties/spec/properties/template/properties/spec",
        IMAGE,
        "Every container of spec.reconciliation.jobTemplate needs an image: set image.",
    ),
];

const STATUS_EPOCH: &str = "status.epoch must never fall or vanish, because an epoch is never used twice. Write the status with the resourceVersion it was read at, and read it again after a conflict.";
const STATUS_TOKEN: &str = "status.token must never fall or vanish, because a fencing token is never used twice. Write the status with the resourceVersion it was read at, and read it again after a conflict.";
const COMMAND: &str = "The container that trades needs a command, because the agent starts it: set command to what the image runs. Find it with: docker inspect -f '{{.Config.Entrypoint}} {{.Config.Cmd}}' IMAGE";

/// The rules of `TradingBotOperation`.
pub const OPERATION: &[Rule] = &[
    rule(
        SPEC,
        "self == oldSelf",
        "An operation is asked for once and cannot be changed: create another TradingBotOperation.",
    ),
    rule(
        SPEC,
        "(self.type == 'ConfirmStopped') == has(self.confirm)",
        "spec.confirm belongs to the type ConfirmStopped and to no other: set confirm.epoch and confirm.by there, or remove confirm.",
    ),
    rule(
        SPEC,
        "self.type != 'ConfirmStopped' || !has(self.to)",
        "spec.to has no meaning for the type ConfirmStopped: remove it.",
    ),
    rule(
        SPEC,
        "!has(self.to) || (self.to.startsWith(self.botName + '-') && self.to.substring(size(self.botName)).matches('^-(0|[1-9][0-9]{0,8})$'))",
        "spec.to must be the name of one of the bot's pods, which is the bot's name, '-' and a number, such as doge-1 for the bot doge: see kubectl get pods -l tradingbot.io/bot=NAME.",
    ),
    rule(
        SPEC,
        "(self.type == 'Restore') == has(self.restore)",
        "spec.restore belongs to the type Restore and to no other: set restore.confirm, and restore.id or restore.before, there, or remove restore.",
    ),
    rule(
        SPEC,
        "!has(self.restore) || self.restore.confirm == self.botName",
        "A restore overwrites what the bot has now. If that is meant, set spec.restore.confirm to the name of the bot, as in spec.botName.",
    ),
    rule(
        SPEC,
        "!has(self.restore) || !has(self.restore.id) || !has(self.restore.before)",
        "spec.restore names a backup either by id or as the newest before a time: remove id or before.",
    ),
    rule(
        SPEC,
        "!has(self.backup) || self.type == 'Backup'",
        "spec.backup belongs to the type Backup and to no other: remove it.",
    ),
    rule(
        SPEC,
        "!has(self.to) || !(self.type in ['Backup', 'Restore'])",
        "spec.to has no meaning for the types Backup and Restore, which move nothing: remove it.",
    ),
    rule(
        ROOT,
        "!has(oldSelf.status) || !has(oldSelf.status.phase) || !(oldSelf.status.phase in ['Succeeded', 'Failed']) || (has(self.status) && has(self.status.phase) && self.status.phase == oldSelf.status.phase)",
        "An operation that has ended stays as it ended: create another TradingBotOperation.",
    ),
];
