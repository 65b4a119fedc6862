//! What is refused of `spec.recovery`.

use super::{EXEC, EXEC_MESSAGE, HOOK, HOOK_MESSAGE, HTTP, HTTP_MESSAGE, Rule, SPEC, rule};

const RECOVERY: &str = "/properties/spec/properties/recovery";
const RULE: &str = "/properties/spec/properties/recovery/properties/rules/items";
const ACTION: &str = "/properties/spec/properties/recovery/properties/rules/items/properties/actions/items";
const ACTION_HOOK: &str =
    "/properties/spec/properties/recovery/properties/rules/items/properties/actions/items/properties/hook";
const ACTION_EXEC: &str = "/properties/spec/properties/recovery/properties/rules/items/properties/actions/items/properties/hook/properties/exec";
const ACTION_HTTP: &str = "/properties/spec/properties/recovery/properties/rules/items/properties/actions/items/properties/hook/properties/http";

/// The rules about `spec.recovery`.
pub const RULES: &[Rule] = &[
    rule(
        SPEC,
        "!has(self.recovery) || self.recovery.rules.all(r, !has(r.checks) || r.checks.all(n, has(self.health) && has(self.health.checks) && self.health.checks.exists(c, c.name == n && c.scope == 'Pod')))",
        "Every name in spec.recovery.rules.checks must be that of a check in spec.health.checks of the scope Pod, because what every pod would see alike is no reason to restart or move anything: correct the name, or the scope of the check.",
    ),
    rule(
        RECOVERY,
        "self.rules.all(r, self.pauseSeconds * size(r.actions) < self.periodSeconds)",
        "A rule of spec.recovery whose actions take longer than periodSeconds would begin at its first action again before it came to its last, and never end: make periodSeconds longer than pauseSeconds times the number of actions of each rule.",
    ),
    rule(
        RULE,
        "self.actions.map(a, a.type in ['RestartProcess', 'Hook'] ? 0 : (a.type == 'Suspend' ? 2 : 1)).isSorted() && self.actions.filter(a, a.type == 'Suspend').size() <= 1",
        "The actions of a rule of spec.recovery are those on the process first (RestartProcess, Hook), then those that move trading (RestartPod, Failover), then at most one Suspend, after which nothing follows: put them into this order.",
    ),
    rule(
        ACTION,
        "(self.type == 'Hook') == has(self.hook)",
        "An action of the type Hook needs hook, which no other has: set hook, or remove it.",
    ),
    rule(ACTION_HOOK, HOOK, HOOK_MESSAGE),
    rule(ACTION_EXEC, EXEC, EXEC_MESSAGE),
    rule(ACTION_HTTP, HTTP, HTTP_MESSAGE),
];
