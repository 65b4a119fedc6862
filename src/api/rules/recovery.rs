//! What is refused of `spec.recovery`, and of the hooks that are called when trading pauses.

use super::{EXEC, EXEC_MESSAGE, HOOK, HOOK_MESSAGE, HTTP, HTTP_MESSAGE, Rule, SPEC, rule};

const HOOKS: &str = "/properties/spec/properties/hooks";
const PAUSE: &str = "/properties/spec/properties/hooks/properties/pause";
const RESUME: &str = "/properties/spec/properties/hooks/properties/resume";
const RECOVERY: &str = "/properties/spec/properties/recovery";
const RULE: &str = "/properties/spec/properties/recovery/properties/rules/items";
const ACTION: &str = "/properties/spec/properties/recovery/properties/rules/items/properties/actions/items";
const ACTION_HOOK: &str =
    "/properties/spec/properties/recovery/properties/rules/items/properties/actions/items/properties/hook";
const ACTION_EXEC: &str = "/properties/spec/properties/recovery/properties/rules/items/properties/actions/items/properties/hook/properties/exec";
const ACTION_HTTP: &str = "/properties/spec/properties/recovery/properties/rules/items/properties/actions/items/properties/hook/properties/http";

/// The rules about `spec.recovery` and pauses.
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
    rule(
        SPEC,
        "!has(self.hooks) || !(has(self.hooks.pause) || has(self.hooks.resume)) || (has(self.health) && has(self.health.checks) && self.health.checks.exists(c, c.pauseTrading))",
        "spec.hooks.pause and spec.hooks.resume are called when trading pauses, and no check of spec.health.checks lets it pause: set pauseTrading on a check of the scope Shared, or remove the hooks.",
    ),
    rule(
        HOOKS,
        "!has(self.pause) || has(self.resume)",
        "spec.hooks.pause needs spec.hooks.resume, because a bot that was told to pause would not know when to trade on: set resume, to a command that does nothing where the bot trades on by itself.",
    ),
    rule(PAUSE, HOOK, HOOK_MESSAGE),
    rule(RESUME, HOOK, HOOK_MESSAGE),
    rule("/properties/spec/properties/hooks/properties/pause/properties/exec", EXEC, EXEC_MESSAGE),
    rule("/properties/spec/properties/hooks/properties/resume/properties/exec", EXEC, EXEC_MESSAGE),
    rule("/properties/spec/properties/hooks/properties/pause/properties/http", HTTP, HTTP_MESSAGE),
    rule("/properties/spec/properties/hooks/properties/resume/properties/http", HTTP, HTTP_MESSAGE),
];
