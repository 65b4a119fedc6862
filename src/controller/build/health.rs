//! What the agent is told of the checks that it runs, and the Secrets that these need.

use k8s_openapi::api::core::v1::{SecretProjection, VolumeProjection};

use super::agent::file;
use crate::api::bot::{ExecHook, TradingBotSpec};
use crate::api::health::*;
use crate::api::health_config::{Assertion, CheckConfig, Probe, Request, TimeSource};
use crate::api::wanted::check_secret;

/// The agent's checks, in the order of the spec.
pub fn checks(spec: &TradingBotSpec) -> Vec<CheckConfig> {
    spec.health.checks.iter().filter_map(check).collect()
}

/// The schema lets no check through that has no target.
fn check(check: &HealthCheck) -> Option<CheckConfig> {
    let HealthCheck {
        name,
        http,
        tcp,
        exec,
        freshness,
        file_size,
        postgres,
        redis,
        resources,
        period_seconds,
        timeout_seconds,
        failure_threshold,
        success_threshold,
        startup_grace_seconds,
        critical,
        applies_to,
        scope,
        pause_trading,
    } = check;
    let probe = http
        .as_ref()
        .map(http_probe)
        .or_else(|| tcp.as_ref().map(|TcpCheck { host, port }| Probe::Tcp { host: host.clone(), port: *port }))
        .or_else(|| exec.as_ref().map(|ExecHook { command }| Probe::Exec { command: command.clone() }))
        .or_else(|| freshness.as_ref().and_then(freshness_probe))
        .or_else(|| {
            let FileSize { path, max_size } = file_size.as_ref()?;
            Some(Probe::FileSize { path: path.clone(), max_bytes: bytes(max_size)? })
        })
        .or_else(|| {
            let PostgresCheck { secret_ref: _, uri, role, max_lag_seconds } = postgres.as_ref()?;
            let max_lag_seconds = max_lag_seconds.map(u64::from);
            Some(Probe::Postgres { uri: uri.clone(), role: *role, max_lag_seconds })
        })
        .or_else(|| {
            let RedisCheck { host, port, secret_ref, role } = redis.as_ref()?;
            let authenticate = secret_ref.is_some();
            Some(Probe::Redis { host: host.clone(), port: *port, authenticate, role: *role })
        })
        .or_else(|| {
            let ResourcesCheck { memory_percent, cpu_percent, disk } = resources.as_ref()?;
            let disk = disk.iter().map(|DiskUse { path, used_percent }| (path.clone(), *used_percent)).collect();
            Some(Probe::Resources { memory_percent: *memory_percent, cpu_percent: *cpu_percent, disk })
        })?;
    Some(CheckConfig {
        name: name.clone(),
        probe,
        period_seconds: u64::from(*period_seconds),
        timeout_seconds: u64::from(*timeout_seconds),
        failure_threshold: *failure_threshold,
        success_threshold: *success_threshold,
        startup_grace_seconds: u64::from(*startup_grace_seconds),
        critical: *critical,
        applies_to: *applies_to,
        scope: *scope,
        pause_trading: *pause_trading,
    })
}

fn http_probe(check: &HttpCheck) -> Probe {
    let HttpCheck { request: asked, expected_status, max_latency_milliseconds, json } = check;
    Probe::Http {
        request: request(asked),
        expected_status: *expected_status,
        max_latency_milliseconds: max_latency_milliseconds.map(u64::from),
        json: json
            .iter()
            .map(|JsonAssertion { path, operator, value }| Assertion {
                path: path.clone(),
                operator: *operator,
                value: value.clone().unwrap_or_default(),
            })
            .collect(),
    }
}

fn freshness_probe(freshness: &Freshness) -> Option<Probe> {
    let Freshness { http, file, max_age_seconds } = freshness;
    let source = match (http, file) {
        (Some(HttpFreshness { request: asked, json_path }), _) => {
            TimeSource::Http { request: request(asked), json_path: json_path.clone() }
        }
        (None, Some(FileFreshness { path, json_path: _, modified: true })) => {
            TimeSource::Modified { path: path.clone() }
        }
        (None, Some(FileFreshness { path, json_path, modified: false })) => {
            TimeSource::File { path: path.clone(), json_path: json_path.clone() }
        }
        (None, None) => return None,
    };
    Some(Probe::Freshness { source, max_age_seconds: u64::from(*max_age_seconds) })
}

fn request(request: &HttpRequest) -> Request {
    let HttpRequest { scheme, host, port, path, headers, basic_auth_secret_ref } = request;
    Request {
        scheme: *scheme,
        host: host.clone(),
        port: *port,
        path: path.clone(),
        headers: headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect(),
        authenticate: basic_auth_secret_ref.is_some(),
    }
}

/// `50Mi` and the like, as the schema lets it through.
fn bytes(amount: &str) -> Option<u64> {
    let digits = amount.find(|c: char| !c.is_ascii_digit()).unwrap_or(amount.len());
    let (number, unit) = amount.split_at(digits);
    let factor: u64 = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()?.saturating_mul(factor))
}

/// The Secrets of checks, each in a folder of the check's name.
pub fn secrets(spec: &TradingBotSpec) -> Vec<VolumeProjection> {
    let of = |check: &HealthCheck| {
        let secret = check_secret(check)?;
        // One key that need not be there: a Redis server without users.
        let keys: &[(&str, bool)] = match check {
            HealthCheck { postgres: Some(_), .. } => &[("uri", true)],
            HealthCheck { redis: Some(_), .. } => &[("password", true), ("username", false)],
            _ => &[("username", true), ("password", true)],
        };
        Some(keys.iter().map(|(key, needed)| projection(secret, &check.name, key, *needed)).collect::<Vec<_>>())
    };
    spec.health.checks.iter().filter_map(of).flatten().collect()
}

fn projection(secret: &str, check: &str, key: &str, needed: bool) -> VolumeProjection {
    VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.to_owned(),
            items: Some(vec![file(key, format!("{check}/{key}"))]),
            optional: (!needed).then_some(true),
        }),
        ..VolumeProjection::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;
    use crate::api::health_config::{Comparison, Scheme, ServerRole};

    fn spec(checks: serde_json::Value) -> TradingBotSpec {
        let mut spec = fixtures::smallest().spec;
        spec.health = serde_json::from_value(serde_json::json!({"checks": checks})).unwrap();
        spec
    }

    #[test]
    fn every_target_of_a_check_becomes_what_the_agent_does() {
        let spec = spec(serde_json::json!([
            {"name": "price", "http": {"port": 8080, "path": "/ticker", "basicAuthSecretRef": {"name": "api"},
                "json": [{"path": "$.price", "operator": "GreaterThan", "value": "0"}, {"path": "$.at"}]}},
            {"name": "ws", "tcp": {"port": 1}},
            {"name": "ping", "exec": {"command": ["/ping"]}},
            {"name": "tick", "freshness": {"file": {"path": "/t", "modified": true}, "maxAgeSeconds": 10}},
            {"name": "log", "fileSize": {"path": "/log", "maxSize": "50Mi"}},
            {"name": "db", "postgres": {"secretRef": {"name": "pg"}, "role": "Primary"}},
            {"name": "cache", "redis": {"secretRef": {"name": "cache"}}},
            {"name": "memory", "resources": {"memoryPercent": 90, "disk": [{"path": "/data", "usedPercent": 95}]}},
        ]));
        let checks = checks(&spec);
        let Probe::Http { request, json, .. } = &checks[0].probe else { panic!("{checks:?}") };
        assert_eq!((request.scheme, request.host.as_str(), request.authenticate), (Scheme::Http, "127.0.0.1", true));
        assert_eq!((json[0].operator, json[1].operator), (Comparison::GreaterThan, Comparison::Exists));
        assert_eq!((checks[0].period_seconds, checks[0].timeout_seconds, checks[0].failure_threshold), (10, 2, 3));
        assert_eq!(checks[4].probe, Probe::FileSize { path: "/log".into(), max_bytes: 50 << 20 });
        let Probe::Freshness { source: TimeSource::Modified { .. }, .. } = checks[3].probe else {
            panic!("{checks:?}")
        };
        let uri = None;
        assert_eq!(checks[5].probe, Probe::Postgres { uri, role: ServerRole::Primary, max_lag_seconds: None });
        assert_eq!(checks.len(), 8);
        let folders: Vec<_> = secrets(&spec)
            .into_iter()
            .filter_map(|projection| projection.secret)
            .map(|secret| (secret.name, secret.items.unwrap()[0].path.clone(), secret.optional))
            .collect();
        let has = |name: &str, path: &str, optional| folders.contains(&(name.into(), path.into(), optional));
        assert!(has("api", "price/username", None) && has("api", "price/password", None));
        assert!(has("pg", "db/uri", None) && has("cache", "cache/password", None));
        assert!(has("cache", "cache/username", Some(true)) && folders.len() == 5);
    }

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them() {
        assert_eq!((bytes("50Mi"), bytes("1k"), bytes("7")), (Some(52_428_800), Some(1_000), Some(7)));
        assert_eq!((bytes("1Ei"), bytes("Mi"), bytes("")), (None, None, None));
        assert_eq!(bytes("999999999999999Ti"), Some(u64::MAX));
    }
}
