//! A pod as its kubelet runs it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::containers::{Container, Ended};
use super::status::{self, Report};
use super::{Due, Site, text};

/// Between two readiness probes; two that fail in a row make a pod unready.
const PROBE: Duration = Duration::from_secs(1);
/// The first pause after a container that ends again and again; it doubles up to the longest.
const BACKOFF: Duration = Duration::from_secs(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);
/// Between two attempts to report.
const RETRY: Duration = Duration::from_secs(1);

/// A pod on its node.
pub struct Local {
    /// Its uid.
    pub uid: String,
    node: String,
    object: Arc<Value>,
    stage: Stage,
    last: Option<Ended>,
    restarts: u64,
    started: Option<Instant>,
    ready: bool,
    failed_probes: u32,
    probe: Instant,
    stop: Option<Stop>,
    /// Why it has failed as a whole.
    failed: Option<&'static str>,
    /// A change that is to be reported.
    report: Option<Instant>,
    written: Value,
    object_gone: bool,
    forgotten: bool,
}

#[expect(clippy::large_enum_variant, reason = "there are few pods")]
enum Stage {
    /// The container is started then.
    Waiting(Instant),
    Running {
        container: Container,
        /// The container has ended; the kubelet learns it then.
        noticed: Option<Instant>,
    },
    /// It is not started again.
    Over,
}

struct Stop {
    kill: Instant,
    told: bool,
}

impl Local {
    pub(super) fn new(site: &Site, node: &str, object: &Value, now: Instant) -> Self {
        let restarts = object.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_u64);
        let uid = text(object, "/metadata/uid").to_owned();
        site.network.renew_token(&uid);
        let mut local = Self {
            uid,
            node: node.to_owned(),
            object: Arc::new(object.clone()),
            // Sandbox, init container, container.
            stage: Stage::Waiting(now + site.random.millis(500, 1500)),
            last: None,
            restarts: restarts.unwrap_or_default(),
            started: None,
            ready: false,
            failed_probes: 0,
            probe: now,
            stop: None,
            failed: None,
            report: None,
            written: Value::Null,
            object_gone: false,
            forgotten: false,
        };
        local.seen(site, object, now);
        local
    }

    /// The bot's or the Job's container, while it runs.
    pub fn container(&self) -> Option<&Container> {
        match &self.stage {
            Stage::Running { container, .. } if container.ended().is_none() => Some(container),
            _ => None,
        }
    }

    /// Whether it is a Job's.
    pub fn is_of_job(&self) -> bool {
        text(&self.object, "/spec/restartPolicy") == "Never"
    }

    /// Its node lost its power: everything ends without a word.
    pub(super) fn lose_power(&mut self) {
        if let Stage::Running { container, .. } = &self.stage {
            container.kill();
        }
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.forgotten
    }

    /// The API server shows its object.
    pub(super) fn seen(&mut self, site: &Site, object: &Value, now: Instant) {
        self.object_gone = false;
        self.object = Arc::new(object.clone());
        if object.pointer("/metadata/deletionTimestamp").is_some() && self.stop.is_none() {
            let grace = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_u64);
            self.stop_within(Duration::from_secs(grace.unwrap_or(30)), now);
        }
        if !self.written.is_null() && object["status"] != self.written {
            self.changed(site, now);
        }
    }

    /// Its object is gone: it is stopped all the same.
    pub(super) fn gone(&mut self, site: &Site, now: Instant) {
        if self.object_gone {
            return;
        }
        self.object_gone = true;
        // Authenticators keep what they know for some seconds.
        site.network.revoke_token(&self.uid, now + site.random.millis(4_000, 10_000));
        let grace = self.object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
        if self.stop.is_none() {
            self.stop_within(Duration::from_secs(grace.unwrap_or(30)), now);
        }
    }

    fn stop_within(&mut self, grace: Duration, now: Instant) {
        self.stop = Some(Stop { kill: now + grace, told: false });
    }

    fn changed(&mut self, site: &Site, now: Instant) {
        self.report.get_or_insert(now + site.random.millis(10, 250));
    }

    pub(super) fn step(&mut self, site: &Site, linked: bool, now: Instant, due: &mut Due) {
        self.run_container(site, now, due);
        self.heed_deadline(site, now, due);
        self.heed_stop(now, due);
        self.look_whether_ready(site, now, due);
        if matches!(self.stage, Stage::Over) && self.is_deleted() && !self.object_gone {
            self.changed(site, now);
        }
        if let Some(at) = self.report
            && due.reached(at, now)
        {
            self.report = None;
            if linked {
                self.write(site);
            } else {
                self.report = Some(now + RETRY);
                due.by(now + RETRY);
            }
        }
        // What has ended and is gone is forgotten.
        self.forgotten = self.object_gone && matches!(self.stage, Stage::Over);
    }

    fn run_container(&mut self, site: &Site, now: Instant, due: &mut Due) {
        match &mut self.stage {
            Stage::Waiting(_) if self.stop.is_some() || self.failed.is_some() => {
                self.stage = Stage::Over;
                self.changed(site, now);
            }
            Stage::Waiting(at) => {
                if due.reached(*at, now) {
                    let container = Container::start(site, &self.node, &self.object, self.restarts);
                    self.stage = Stage::Running { container, noticed: None };
                    self.started.get_or_insert(now);
                    self.probe = now;
                    due.by(now);
                    self.changed(site, now);
                }
            }
            Stage::Running { container, noticed } => {
                let Some(ended) = container.ended() else { return };
                let at = *noticed.get_or_insert_with(|| ended.at.max(now) + site.random.millis(100, 950));
                if due.reached(at, now) {
                    self.note_end(site, ended, now, due);
                }
            }
            Stage::Over => {}
        }
    }

    fn note_end(&mut self, site: &Site, ended: Ended, now: Instant, due: &mut Due) {
        self.ready = false;
        self.last = Some(ended);
        let again = !self.is_of_job() && self.stop.is_none() && self.failed.is_none();
        self.stage = if again {
            let doublings = u32::try_from(self.restarts).unwrap_or(u32::MAX).min(5);
            let pause = if doublings == 0 { Duration::ZERO } else { BACKOFF * 2u32.pow(doublings - 1) };
            self.restarts += 1;
            let at = now + pause.min(LONGEST_BACKOFF) + site.random.millis(20, 120);
            due.by(at);
            Stage::Waiting(at)
        } else {
            Stage::Over
        };
        self.changed(site, now);
        due.by(now);
    }

    /// The kubelet enforces `activeDeadlineSeconds`, also where nobody else hears of it.
    fn heed_deadline(&mut self, site: &Site, now: Instant, due: &mut Due) {
        let seconds = self.object.pointer("/spec/activeDeadlineSeconds").and_then(Value::as_u64);
        let (Some(seconds), Some(started), None) = (seconds, self.started, self.failed) else { return };
        if matches!(self.stage, Stage::Over) {
            return;
        }
        if due.reached(started + Duration::from_secs(seconds), now) {
            self.failed = Some("DeadlineExceeded");
            let grace = self.object.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
            if self.stop.is_none() {
                self.stop_within(Duration::from_secs(grace.unwrap_or(10)), now);
            }
            self.changed(site, now);
        }
    }

    fn heed_stop(&mut self, now: Instant, due: &mut Due) {
        let (Some(stop), Stage::Running { container, .. }) = (&mut self.stop, &self.stage) else { return };
        if !stop.told {
            stop.told = true;
            container.terminate();
        }
        if container.ended().is_none() && due.reached(stop.kill, now) {
            container.kill();
            due.by(now);
        }
    }

    fn look_whether_ready(&mut self, site: &Site, now: Instant, due: &mut Due) {
        let Stage::Running { container, noticed: None } = &self.stage else { return };
        if !due.reached(self.probe, now) {
            return;
        }
        let answered = container.is_ready();
        self.probe = now + PROBE;
        due.by(self.probe);
        self.failed_probes = if answered { 0 } else { self.failed_probes + 1 };
        let ready = answered || (self.ready && self.failed_probes < 2);
        if ready != self.ready {
            self.ready = ready;
            self.changed(site, now);
        }
    }

    fn write(&mut self, site: &Site) {
        let (namespace, name) = (text(&self.object, "/metadata/namespace"), text(&self.object, "/metadata/name"));
        let report = Report {
            object: &self.object,
            running: match &self.stage {
                Stage::Running { container, .. } => Some(container),
                _ => None,
            },
            over: matches!(self.stage, Stage::Over),
            last: self.last.as_ref(),
            restarts: self.restarts,
            ready: self.ready,
            failed: self.failed,
        };
        let status = status::of(&report);
        let uid = &self.uid;
        site.api.change("pods", namespace, name, |pod| {
            if text(pod, "/metadata/uid") == uid {
                pod["status"] = status.clone();
            }
        });
        self.written = status;
        if matches!(self.stage, Stage::Over) && self.is_deleted() {
            let there = site.api.get("pods", namespace, name);
            if there.is_some_and(|pod| text(&pod, "/metadata/uid") == self.uid) {
                site.api.remove("pods", namespace, name);
            }
            self.object_gone = true;
        }
    }

    fn is_deleted(&self) -> bool {
        self.object.pointer("/metadata/deletionTimestamp").is_some()
    }
}
