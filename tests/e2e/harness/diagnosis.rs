//! What is kept of a scenario that failed: under target/e2e/<scenario>/.

use std::fs;
use std::path::Path;

use super::cluster::{OPERATOR, SYSTEM};
use super::exchange::Exchange;
use super::scenario::say;
use super::shell::{kubectl, root};

/// Writes everything; what cannot be read is left out.
pub async fn write(scenario: &str, namespace: &str, exchange: Option<Exchange>, failure: &str) {
    let folder = root().join("target/e2e").join(scenario);
    let _ = fs::remove_dir_all(&folder);
    if fs::create_dir_all(&folder).is_err() {
        return;
    }
    let put = |name: &str, text: &[u8]| {
        let _ = fs::write(folder.join(name), text);
    };
    put("failure.txt", failure.as_bytes());
    if let Some(exchange) = exchange
        && let Ok(Ok(log)) =
            tokio::time::timeout(super::seconds(20), exchange.cluster.get(&format!("{}/log", exchange.base))).await
    {
        put("exchange.jsonl", log.as_bytes());
        put("timeline.txt", timeline(&log).as_bytes());
    }
    for (file, arguments) in [
        ("bots.yaml", "get tbot,tbop -o yaml"),
        ("leases.yaml", "get leases -o yaml"),
        ("pods.txt", "get pods -o wide"),
        ("pods.yaml", "get pods -o yaml"),
        ("jobs.yaml", "get jobs,cronjobs -o yaml"),
        ("events.txt", "get events --sort-by=.lastTimestamp"),
    ] {
        let mut all = vec!["-n", namespace];
        all.extend(arguments.split(' '));
        put(file, &kubectl(&all).stdout);
    }
    logs(namespace, "", &folder);
    logs(SYSTEM, &format!("app.kubernetes.io/name={OPERATOR}"), &folder);
    say(&format!("{scenario} failed: {}\n  see {}", failure.lines().next().unwrap_or_default(), folder.display()));
}

/// The end of the logs of all pods, also of containers that ended before.
fn logs(namespace: &str, selector: &str, folder: &Path) {
    let listed = kubectl(&["-n", namespace, "get", "pods", "-l", selector, "-o", "name"]);
    for pod in String::from_utf8_lossy(&listed.stdout).lines() {
        let name = pod.trim_start_matches("pod/");
        for (suffix, previous) in [("", "--previous=false"), (".previous", "--previous=true")] {
            let arguments =
                ["-n", namespace, "logs", pod, "--all-containers", "--prefix", "--timestamps", "--tail=3000", previous];
            let log = kubectl(&arguments);
            if !log.stdout.is_empty() {
                let _ = fs::write(folder.join(format!("{name}{suffix}.log")), log.stdout);
            }
        }
    }
}

/// The exchange's log with runs of orders of one process folded into their first and last.
fn timeline(log: &str) -> String {
    let mut lines = Vec::new();
    let mut run: Option<(String, u64, String)> = None;
    let flush = |run: &mut Option<(String, u64, String)>, lines: &mut Vec<String>| {
        if let Some((_, n, last)) = run.take()
            && n > 1
        {
            lines.push(format!("    … {n} orders, the last: {last}"));
        }
    };
    for text in log.lines() {
        let Ok(entry) = serde_json::from_str::<super::entry::Entry>(text) else { continue };
        let who = format!("{:?} {:?} {:?} {:?}", entry.kind, entry.accepted, entry.instance, entry.token);
        if let Some((same, n, last)) = &mut run
            && *same == who
        {
            *n += 1;
            text.clone_into(last);
            continue;
        }
        flush(&mut run, &mut lines);
        lines.push(format!("{:>10.3} s  {text}", entry.us as f64 / 1e6));
        run = Some((who, 1, text.to_owned()));
    }
    flush(&mut run, &mut lines);
    lines.join("\n")
}
