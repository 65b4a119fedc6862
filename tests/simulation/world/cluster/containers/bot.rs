//! The inside of a bot's container: its process, which trades, and the guard.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::sleep;
use tradingbot::agent::shell::{Board, MachineEvent, Validity};
use tradingbot::api::agent_config::AgentConfig;
use tradingbot::core::agent::{Exit, Leadership, Role};
use tradingbot::core::ids::BootId;
use tradingbot::core::time::Mono;
use tradingbot::simulation::Clock;

use crate::world::cluster::Site;
use crate::world::exchange::Sender;

/// SIGKILL, as a bot's end says it.
pub const SIGKILL: i32 = 9;

/// The inside. Clones share it.
#[derive(Clone)]
pub struct Body(Arc<Mutex<Parts>>);

struct Parts {
    site: Site,
    node: String,
    account: String,
    boot: BootId,
    clock: Clock,
    events: mpsc::UnboundedSender<MachineEvent>,
    process: Option<Process>,
    /// How it ended, as long as nobody was told.
    exit: Option<Exit>,
    pids: i32,
    guard: Option<AbortHandle>,
    fired: u32,
    shown: Option<(Leadership, Validity)>,
    board: Option<Board>,
}

struct Process {
    sender: Sender,
    /// It asks before every order.
    asks: bool,
    tasks: Vec<AbortHandle>,
}

impl Body {
    /// A container in which nothing runs yet.
    pub fn new(
        site: &Site,
        node: &str,
        config: &AgentConfig,
        boot: &BootId,
        events: mpsc::UnboundedSender<MachineEvent>,
    ) -> Self {
        let mut clock = Clock::new();
        clock.set_rate(site.agent_rate());
        Self(Arc::new(Mutex::new(Parts {
            site: site.clone(),
            node: node.to_owned(),
            account: config.bot.clone(),
            boot: boot.clone(),
            clock,
            events,
            process: None,
            exit: None,
            pids: 1,
            guard: None,
            fired: 0,
            shown: None,
            board: None,
        })))
    }

    /// What the machine's clocks show.
    pub fn now(&self) -> Mono {
        Mono::both(self.lock().clock.now())
    }

    /// Starts the bot's process, which trades from then on as long as it lives, unless it is a standby's: that one asks
    /// before every order.
    pub fn start(&self, role: Leadership) -> i32 {
        let mut parts = self.lock();
        parts.pids += 1;
        let (pid, site, node) = (parts.pids, parts.site.clone(), parts.node.clone());
        let sender = Sender {
            account: parts.account.clone(),
            instance: format!("{}/{pid}", parts.boot),
            token: role.token.0,
            epoch: role.epoch.0,
        };
        let asks = role.role != Role::Active;
        let body = self.clone();
        let trading = spawn_local(async move {
            sleep(site.random.millis(20, 300)).await;
            loop {
                if let Some(sender) = body.trader().filter(|_| site.network.node_reaches_exchange(&node)) {
                    site.exchange.order(&sender);
                }
                sleep(site.order_every).await;
            }
        });
        parts.exit = None;
        parts.process = Some(Process { sender, asks, tasks: vec![trading.abort_handle()] });
        pid
    }

    /// What the process writes on an order at this moment; `None`: none runs that may trade.
    pub fn trader(&self) -> Option<Sender> {
        let parts = self.lock();
        let Process { sender, asks, .. } = parts.process.as_ref()?;
        if !asks {
            return Some(sender.clone());
        }
        let (leadership, validity) = parts.shown?;
        let now = Mono::both(parts.clock.now());
        let allowed = match validity {
            Validity::None => false,
            Validity::Until(end) => !now.has_possibly_reached(end),
            Validity::AtLeast(_) => true,
        };
        let Leadership { role, epoch, token } = leadership;
        (allowed && role == Role::Active).then(|| Sender { token: token.0, epoch: epoch.0, ..sender.clone() })
    }

    /// SIGTERM to the process: most end soon.
    pub fn terminate(&self) {
        let body = self.clone();
        let mut parts = self.lock();
        let patience = parts.site.random.millis(2, 300);
        if parts.site.deaf || parts.site.random.percent(4) {
            return;
        }
        let Some(process) = &mut parts.process else { return };
        let ending = spawn_local(async move {
            sleep(patience).await;
            body.exit(Exit::Code(0));
        });
        process.tasks.push(ending.abort_handle());
    }

    /// The process ends; answers whether it ran.
    pub fn exit(&self, exit: Exit) -> bool {
        let mut parts = self.lock();
        let Some(process) = parts.process.take() else { return false };
        parts.exit = Some(exit);
        let _ = parts.events.send(MachineEvent::Exited(exit));
        drop(parts);
        process.tasks.iter().for_each(AbortHandle::abort);
        true
    }

    /// SIGKILL to every process but the agent.
    pub fn kill(&self) {
        self.exit(Exit::Signal(SIGKILL));
    }

    /// How the process ended, if nobody was told yet.
    pub fn take_exit(&self) -> Option<Exit> {
        self.lock().exit.take()
    }

    /// At `deadline` by the machine's own clock everything is killed, whatever the agent does.
    pub fn guard(&self, deadline: Option<Mono>) {
        if let Some(earlier) = self.lock().guard.take() {
            earlier.abort();
        }
        let Some(deadline) = deadline else { return };
        let body = self.clone();
        let guard = spawn_local(async move {
            loop {
                let left = deadline.first.saturating_sub(body.now().first);
                if left == 0 {
                    break;
                }
                // The machine's clock may run slower than ours: what is left then is slept again.
                sleep(Duration::from_nanos(left).max(Duration::from_micros(100))).await;
            }
            body.fire();
        });
        self.lock().guard = Some(guard.abort_handle());
    }

    fn fire(&self) {
        let site = {
            let mut parts = self.lock();
            parts.fired += 1;
            parts.site.clone()
        };
        site.trace.line("guard", "the deadline has passed, everything is killed");
        self.kill();
    }

    /// How often the guard had to kill.
    pub fn fired(&self) -> u32 {
        self.lock().fired
    }

    /// Shows the process what it may do.
    pub fn show(&self, leadership: Leadership, validity: Validity) {
        self.lock().shown = Some((leadership, validity));
    }

    /// Tells the kubelet's probes.
    pub fn publish(&self, board: Board) {
        self.lock().board = Some(board);
    }

    /// Whether the agent says that it is ready.
    pub fn is_ready(&self) -> bool {
        let now = self.now();
        self.lock().board.as_ref().is_some_and(|board| board.unready_at(now).is_none())
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
