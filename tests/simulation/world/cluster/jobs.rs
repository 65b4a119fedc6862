//! The controller of Jobs, as far as Jobs of one pod go.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Due, Site, controller, text};

/// The controller of Jobs.
#[derive(Default)]
pub struct JobController {
    jobs: Vec<Value>,
    version: u64,
    known: BTreeMap<String, Known>,
    /// The next Job gets two pods, as happens when a controller loses its lead after it has made one.
    pub double: bool,
}

/// What is remembered of a Job.
struct Known {
    /// Its first pod is made then.
    make: Instant,
    made: bool,
    since: Instant,
    /// Its end is written then.
    end: Option<(Instant, Result<(), &'static str>)>,
}

impl JobController {
    pub(super) fn step(&mut self, site: &Site, pods: &[Value], now: Instant, due: &mut Due) {
        let version = site.api.changes("jobs");
        if version != self.version {
            self.jobs = site.api.all("jobs");
            self.version = version;
            let jobs = &self.jobs;
            self.known.retain(|uid, _| jobs.iter().any(|job| text(job, "/metadata/uid") == uid));
        }
        for job in &self.jobs {
            let ended = job.pointer("/status/conditions").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
            let suspended = job["spec"]["suspend"] == true;
            if ended || suspended || job.pointer("/metadata/deletionTimestamp").is_some() {
                continue;
            }
            let uid = text(job, "/metadata/uid");
            let own: Vec<&Value> = pods.iter().filter(|pod| controller(pod) == uid).collect();
            let known = self.known.entry(uid.to_owned()).or_insert_with(|| Known {
                make: now + site.random.millis(5, 50),
                made: !own.is_empty(),
                since: now,
                end: None,
            });
            if !known.made && due.reached(known.make, now) {
                known.made = true;
                make_pod(site, job);
                if std::mem::take(&mut self.double) {
                    make_pod(site, job);
                }
                continue;
            }
            known.follow(site, job, &own, now, due);
        }
    }
}

impl Known {
    fn follow(&mut self, site: &Site, job: &Value, own: &[&Value], now: Instant, due: &mut Due) {
        let seconds = job.pointer("/spec/activeDeadlineSeconds").and_then(Value::as_u64);
        if let Some(seconds) = seconds
            && self.end.is_none()
            && due.reached(self.since + Duration::from_secs(seconds), now)
        {
            for pod in own {
                site.api.delete("pods", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
            }
            self.end = Some((now, Err("DeadlineExceeded")));
        }
        let phase = |wanted: &str| own.iter().any(|pod| text(pod, "/status/phase") == wanted);
        if self.end.is_none() && self.made && now > self.make {
            let outcome = match (phase("Succeeded"), phase("Failed") || own.is_empty()) {
                (true, _) => Some(Ok(())),
                (false, true) => Some(Err("BackoffLimitExceeded")),
                (false, false) => None,
            };
            // Its conditions come seconds after the pod's end.
            self.end = outcome.map(|outcome| (now + site.random.millis(1_500, 2_500), outcome));
        }
        let Some((at, outcome)) = self.end else { return };
        if !due.reached(at, now) {
            return;
        }
        let condition = match outcome {
            Ok(()) => json!({"type": "Complete", "status": "True"}),
            Err(reason) => json!({"type": "Failed", "status": "True", "reason": reason}),
        };
        site.api.change("jobs", text(job, "/metadata/namespace"), text(job, "/metadata/name"), |job| {
            job["status"]["conditions"] = json!([condition]);
        });
    }
}

fn make_pod(site: &Site, job: &Value) {
    let name = text(job, "/metadata/name");
    let template = &job["spec"]["template"];
    let mut metadata = template["metadata"].as_object().cloned().unwrap_or_default();
    metadata.insert("name".into(), json!(format!("{name}-{:05x}", site.random.below(1 << 20))));
    metadata.insert("namespace".into(), job["metadata"]["namespace"].clone());
    let owner = json!([{
        "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"], "controller": true,
        "blockOwnerDeletion": true,
    }]);
    metadata.insert("ownerReferences".into(), owner);
    site.api.create("pods", json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}));
}
