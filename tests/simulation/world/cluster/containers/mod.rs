//! What runs in a container: an agent with its bot, or a reconciliation.

mod bot;
mod machine;
mod reconciliation;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tradingbot::agent::shell::{self, MachineEvent};
use tradingbot::api::agent_config::AgentConfig;
use tradingbot::api::names::AGENT_CONFIG_ENV;
use tradingbot::core::agent::Exit;
use tradingbot::core::ids::{BootId, PodRef};

use super::{Site, text};
use crate::world::exchange::Sender;
use crate::world::freeze::Freeze;
use crate::world::network::Wire;
pub use bot::Body;
use machine::Inside;
pub use reconciliation::Misbehaviour;

/// A container that was started.
pub struct Container {
    /// Its id, as the kubelet reports it.
    pub id: String,
    /// When it was started.
    pub started: Instant,
    /// Stops the agent, which its guard does not heed.
    pub freeze: Freeze,
    ended: Arc<Mutex<Option<Ended>>>,
    task: AbortHandle,
    site: Site,
    agent: Option<Agent>,
    message: String,
}

struct Agent {
    body: Body,
    events: mpsc::UnboundedSender<MachineEvent>,
    wire: Arc<Wire>,
}

/// How a container ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its id.
    pub id: String,
    /// Its exit code.
    pub code: u8,
    /// Its termination message.
    pub message: String,
    /// When it was started.
    pub started: Instant,
    /// When it ended.
    pub at: Instant,
}

impl Container {
    /// Starts the container of a pod; `number`: how many came before it.
    pub fn start(site: &Site, node: &str, pod: &Value, number: u64) -> Self {
        let uid = text(pod, "/metadata/uid");
        let id = format!("containerd://{uid}-{number}-{:08x}", site.random.below(1 << 32));
        match environment(pod, AGENT_CONFIG_ENV) {
            Some(config) => Self::with_agent(site, node, pod, id, &config.replace("$$", "$")),
            None => Self::with_reconciliation(site, node, pod, id),
        }
    }

    fn with_agent(site: &Site, node: &str, pod: &Value, id: String, config: &str) -> Self {
        let config: AgentConfig =
            serde_json::from_str(config).expect("the operator writes it so that the agent reads it");
        let pod = PodRef { name: text(pod, "/metadata/name").into(), uid: text(pod, "/metadata/uid").into() };
        let boot = BootId { pod_uid: pod.uid.clone(), nonce: format!("{:016x}", site.random.below(u64::MAX)) };
        let message = boot.to_string();
        let wire = Arc::new(site.network.wire(&pod.name, &pod.uid, Some(node)));
        let client = site.api.client(wire.clone());
        let (events, inbox) = mpsc::unbounded_channel();
        let body = Body::new(site, node, &config, &boot, events.clone());
        let setup = tradingbot::agent::setup(&config, pod.clone(), boot);
        let machine = Inside::new(body.clone(), inbox, site.random.clone());
        let freeze = Freeze::default();
        site.trace.line(&pod.name, format_args!("container started, boot {message}"));
        let (ended, at_end) = cell();
        let running = freeze.run(async move { shell::run(&config, setup, client, machine).await });
        let over = End { id: id.clone(), message: message.clone(), started: Instant::now(), ended: at_end };
        let (inner, dead, poke) = (body.clone(), wire.clone(), site.poke.clone());
        let task = tokio::task::spawn_local(async move {
            let code = running.await;
            // PID 1 takes everything with it.
            inner.kill();
            dead.end();
            over.note(code);
            poke.notify_one();
        });
        let agent = Some(Agent { body, events, wire });
        let (task, site) = (task.abort_handle(), site.clone());
        Self { id, started: Instant::now(), freeze, ended, task, site, agent, message }
    }

    fn with_reconciliation(site: &Site, node: &str, pod: &Value, id: String) -> Self {
        let (ended, at_end) = cell();
        let running = reconciliation::run(site.clone(), node.to_owned(), pod);
        let over = |message| End { id: id.clone(), message, started: Instant::now(), ended: at_end };
        let (mut over, poke) = (over(String::new()), site.poke.clone());
        let task = tokio::task::spawn_local(async move {
            let (code, message) = running.await;
            over.message = message;
            over.note(code);
            poke.notify_one();
        });
        let (task, site) = (task.abort_handle(), site.clone());
        let message = String::new();
        Self { id, started: Instant::now(), freeze: Freeze::default(), ended, task, site, agent: None, message }
    }

    /// How it ended; `None`: it runs.
    pub fn ended(&self) -> Option<Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// SIGTERM to its first process.
    pub fn terminate(&self) {
        match &self.agent {
            Some(agent) => {
                let _ = agent.events.send(MachineEvent::Terminate);
            }
            None => self.kill(),
        }
    }

    /// SIGKILL to its first process, which takes all others with it.
    pub fn kill(&self) {
        if self.ended().is_some() {
            return;
        }
        self.task.abort();
        if let Some(agent) = &self.agent {
            agent.body.kill();
            agent.wire.end();
        }
        let (id, message, started) = (self.id.clone(), self.message.clone(), self.started);
        End { id, message, started, ended: self.ended.clone() }.note(137);
        self.site.poke.notify_one();
    }

    /// Whether its readiness probe succeeds.
    pub fn is_ready(&self) -> bool {
        self.freeze.until().is_none() && self.agent.as_ref().is_some_and(|agent| agent.body.is_ready())
    }

    /// What its bot may write on an order at this moment; `None`: it has none that may trade.
    pub fn trader(&self) -> Option<Sender> {
        self.agent.as_ref()?.body.trader()
    }

    /// The bot's process ends by itself; answers whether it ran.
    pub fn bot_exits(&self, exit: Exit) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.body.exit(exit))
    }
}

struct End {
    id: String,
    message: String,
    started: Instant,
    ended: Arc<Mutex<Option<Ended>>>,
}

impl End {
    fn note(self, code: u8) {
        let Self { id, message, started, ended } = self;
        let end = Ended { id, code, message, started, at: Instant::now() };
        ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(end);
    }
}

type Shared<T> = Arc<Mutex<Option<T>>>;

fn cell<T>() -> (Shared<T>, Shared<T>) {
    let cell = Shared::default();
    (cell.clone(), cell)
}

/// A variable in the environment of a pod's first container.
fn environment(pod: &Value, name: &str) -> Option<String> {
    let all = pod.pointer("/spec/containers/0/env").and_then(Value::as_array).into_iter().flatten();
    let found = all.filter(|variable| text(variable, "/name") == name).map(|variable| text(variable, "/value"));
    found.map(ToOwned::to_owned).next()
}
