//! The rules of `spec.health`.

use super::{EXEC, Rule, rule};

const CHECK: &str = "/properties/spec/properties/health/properties/checks/items";
const HTTP: &str = "/properties/spec/properties/health/properties/checks/items/properties/http";
const ASSERTION: &str =
    "/properties/spec/properties/health/properties/checks/items/properties/http/properties/json/items";
const FRESHNESS: &str = "/properties/spec/properties/health/properties/checks/items/properties/freshness";
const FRESH_HTTP: &str =
    "/properties/spec/properties/health/properties/checks/items/properties/freshness/properties/http";
const FRESH_FILE: &str =
    "/properties/spec/properties/health/properties/checks/items/properties/freshness/properties/file";
const POSTGRES: &str = "/properties/spec/properties/health/properties/checks/items/properties/postgres";
const RESOURCES: &str = "/properties/spec/properties/health/properties/checks/items/properties/resources";

/// A path as `core::health::JsonPath` reads it, which a test compares.
macro_rules! json_path {
    () => {
        r#"^[$]([.][A-Za-z0-9_-]+|[[](0|[1-9][0-9]{0,4}|"[^"\\[:cntrl:]]+")[]]){0,16}$"#
    };
}
const JSON_PATH_MESSAGE: &str = "A JSON path is $ and up to 16 steps, each .key, [0] or [\"any key\"], such as $.ticker.bids[0] or $[\"last price\"]: wildcards, filters and .. are not understood; write out where the value is.";

/// The rules of `spec.health` of a `TradingBot`.
pub const RULES: &[Rule] = &[
    rule(
        CHECK,
        "[has(self.http), has(self.tcp), has(self.exec), has(self.freshness), has(self.fileSize), has(self.postgres), has(self.redis), has(self.resources)].filter(x, x).size() == 1",
        "A check of spec.health.checks needs exactly one target: set one of http, tcp, exec, freshness, fileSize, postgres, redis and resources, and use a check of its own for each further one.",
    ),
    rule(
        CHECK,
        "self.timeoutSeconds <= self.periodSeconds",
        "timeoutSeconds of a check (2 where it is not set) must not be more than its periodSeconds (10 where it is not set), so that one run has ended when the next is due: make timeoutSeconds shorter or periodSeconds longer.",
    ),
    rule(
        CHECK,
        "!self.pauseTrading || self.scope == 'Shared'",
        "pauseTrading of a check goes with the scope Shared, because where one pod alone fails another should trade: set scope to Shared, or remove pauseTrading.",
    ),
    rule(
        CHECK,
        "!self.pauseTrading || self.appliesTo != 'Standby'",
        "pauseTrading needs a check that runs where the bot trades: set appliesTo to Active or Both, or remove pauseTrading.",
    ),
    rule(
        CHECK,
        "!has(self.fileSize) || self.fileSize.maxSize.matches('^(0|[1-9][0-9]{0,14})(Ki|Mi|Gi|Ti|k|M|G|T)?$')",
        "fileSize.maxSize of a check is a whole number with one of the units Ki, Mi, Gi, Ti, k, M, G and T, or of bytes, such as 50Mi: correct it.",
    ),
    rule(
        CHECK,
        "!has(self.fileSize) || self.fileSize.path.startsWith('/')",
        "fileSize.path of a check begins with / and is a path in the container that trades: write out the whole path.",
    ),
    rule("/properties/spec/properties/health/properties/checks/items/properties/exec", EXEC, EXEC_CHECK_MESSAGE),
    rule(HTTP, AGENT_PORT, AGENT_PORT_MESSAGE),
    rule(FRESH_HTTP, AGENT_PORT, AGENT_PORT_MESSAGE),
    rule("/properties/spec/properties/health/properties/checks/items/properties/tcp", AGENT_PORT, AGENT_PORT_MESSAGE),
    rule(ASSERTION, concat!("self.path.matches(r'", json_path!(), "')"), JSON_PATH_MESSAGE),
    rule(FRESH_HTTP, concat!("self.jsonPath.matches(r'", json_path!(), "')"), JSON_PATH_MESSAGE),
    rule(FRESH_FILE, concat!("!has(self.jsonPath) || self.jsonPath.matches(r'", json_path!(), "')"), JSON_PATH_MESSAGE),
    rule(
        ASSERTION,
        "has(self.value) == (self.operator != 'Exists')",
        "GreaterThan, LessThan and Equals of a JSON assertion need a value, and Exists has none: set value, or remove it.",
    ),
    rule(ASSERTION, DECIMAL_VALUE, DECIMAL_MESSAGE),
    rule(
        FRESHNESS,
        "has(self.http) != has(self.file)",
        "freshness of a check takes its time either from http or from file: set exactly one of the two.",
    ),
    rule(
        FRESH_FILE,
        "self.path.startsWith('/')",
        "freshness.file.path of a check begins with / and is a path in the container that trades: write out the whole path.",
    ),
    rule(
        FRESH_FILE,
        "!self.modified || !has(self.jsonPath)",
        "freshness.file of a check takes either what is in the file or when it was last written: remove jsonPath or modified.",
    ),
    rule(
        POSTGRES,
        "has(self.secretRef) != has(self.uri)",
        "postgres of a check needs to know where the server is: set either secretRef, a Secret with the key uri, or uri.",
    ),
    rule(
        POSTGRES,
        "!has(self.uri) || (self.uri.matches('^postgres(ql)?://[!-~]+$') && !self.uri.matches('^[a-z]+://[^/?@]*:[^/?@]*@') && !self.uri.matches('[?&]password='))",
        "postgres.uri of a check is postgresql://user@host:port/database, without a password, because everybody who may read the bot could read it: put one with a password into a Secret, and name that in postgres.secretRef.",
    ),
    rule(
        POSTGRES,
        "!has(self.maxLagSeconds) || self.role != 'Primary'",
        "postgres.maxLagSeconds of a check is about a replica, and a primary has no lag: set role to Replica or Any, or remove maxLagSeconds.",
    ),
    rule(
        RESOURCES,
        "has(self.memoryPercent) || has(self.cpuPercent) || (has(self.disk) && size(self.disk) > 0)",
        "resources of a check needs something to look at: set memoryPercent, cpuPercent, disk or several of them.",
    ),
    rule(
        RESOURCES,
        "!has(self.disk) || self.disk.all(d, d.path.startsWith('/'))",
        "A path in resources.disk of a check begins with /, and something is there in the container that trades: write out the whole path.",
    ),
];

const EXEC_CHECK_MESSAGE: &str =
    "The first entry of a check's command is the program, which must not be empty: set it, or remove exec.";

const AGENT_PORT: &str = "!(self.host in ['127.0.0.1', '::1', 'localhost']) || self.port < 9796 || self.port > 9799";
const AGENT_PORT_MESSAGE: &str = "The ports 9796 to 9799 of a pod are its agent's own, and a check of the agent by itself shows nothing: set the port of the check to one that the bot or a sidecar listens on.";

const DECIMAL_VALUE: &str = concat!(
    "!has(self.value) || !(self.operator in ['GreaterThan', 'LessThan']) || self.value.matches('",
    "^[-+]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]{1,5})?$",
    "')"
);
const DECIMAL_MESSAGE: &str = "The value of GreaterThan and LessThan in a JSON assertion is a decimal number in quotes, such as \"0\" or \"0.015\": correct it.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::health::JsonPath;

    /// The rules of this schema that ask for this.
    fn rules_with(text: &str) -> usize {
        RULES.iter().filter(|rule| rule.rule.contains(text)).count()
    }

    #[test]
    fn every_place_with_a_json_path_asks_for_one_that_the_agent_can_follow() {
        assert_eq!(rules_with(json_path!()), 3);
    }

    #[test]
    fn what_the_sentence_gives_as_examples_can_be_followed() {
        for path in ["$", "$.ticker.bids[0]", "$[\"last price\"]", "$.current_price"] {
            assert!(JsonPath::parse(path).is_ok(), "{path}");
        }
    }
}
