//! Why somebody may do something. Each reason is one row of a table in docs/reference/privileges.md.

/// Whose rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Operator,
    Agent,
    Active,
    View,
    Edit,
    Admin,
}

/// Why somebody may do what is granted on a resource.
#[derive(Debug)]
pub struct Reason {
    pub who: Who,
    pub resource: &'static str,
    pub why: &'static str,
}

const fn of(who: Who, resource: &'static str, why: &'static str) -> Reason {
    Reason { who, resource, why }
}

pub const REASONS: &[Reason] = &[
    of(
        Who::Operator,
        "tradingbots.tradingbot.io",
        "Bots are what it works for; it writes their finalizer, so that a deleted bot stops trading first",
    ),
    of(Who::Operator, "tradingbots.tradingbot.io/status", "The ledger: who trades, written before anybody is told to"),
    of(Who::Operator, "tradingbotoperations.tradingbot.io", "What people ask for once"),
    of(Who::Operator, "tradingbotoperations.tradingbot.io/status", "What became of it"),
    of(
        Who::Operator,
        "leases.coordination.k8s.io",
        "It grants and fences with the bot's Lease, reads its agents' signs of life in it, leads by one of its own, and \
         gives agents their rights on theirs, which RBAC allows only to who holds them",
    ),
    of(Who::Operator, "pods", "Members of a bot: made, labelled with their role, replaced"),
    of(Who::Operator, "services", "One that leads to the active, and one with all members"),
    of(Who::Operator, "serviceaccounts", "The identity of a bot's agents"),
    of(Who::Operator, "persistentvolumeclaims", "Claims of the slots; none is ever deleted or changed"),
    of(Who::Operator, "nodes", "A node that is lost or about to be, and its zone"),
    of(
        Who::Operator,
        "roles.rbac.authorization.k8s.io",
        "The rights of a bot's agents on their own Lease; `escalate` and `bind`, which an admission policy holds down, to \
         give the right to read the Secret of `spec.credentials` without having it",
    ),
    of(Who::Operator, "rolebindings.rbac.authorization.k8s.io", "Who holds them"),
    of(Who::Operator, "poddisruptionbudgets.policy", "Drains take one pod of a bot at a time"),
    of(
        Who::Operator,
        "networkpolicies.networking.k8s.io",
        "Only the active reaches the exchange, where a bot asks for that",
    ),
    of(
        Who::Operator,
        "jobs.batch",
        "Reconciliations; backups that are asked for or made once more, and a backup that is ended because trading moved",
    ),
    of(Who::Operator, "cronjobs.batch", "The schedules of backups and of their verification"),
    of(Who::Operator, "events.events.k8s.io", "Every move is told in an Event"),
    of(
        Who::Operator,
        "endpointslices.discovery.k8s.io",
        "Where the API server is: a bot's NetworkPolicy has to leave the way to it open",
    ),
    of(
        Who::Agent,
        "leases.coordination.k8s.io",
        "It holds its bot's Lease, renews it, and sees at once when it is taken",
    ),
    of(Who::Active, "secrets", "The exchange's keys, for the process that may trade"),
    of(Who::View, "tradingbots.tradingbot.io", "To see bots"),
    of(Who::View, "tradingbotoperations.tradingbot.io", "To see what was asked for and what became of it"),
    of(Who::Edit, "tradingbots.tradingbot.io", "To make, change and delete bots"),
    of(Who::Edit, "tradingbotoperations.tradingbot.io", "To ask for a failover, a switchover or a backup"),
    of(Who::Edit, "tradingbots.tradingbot.io/scale", "`kubectl scale`"),
    of(Who::Admin, "tradingbotoperations.tradingbot.io", "To have a backup put back over what is there"),
];
