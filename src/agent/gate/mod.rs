//! The order gate: the bot's way to the exchange, which is closed in time and leaves nothing behind.
//!
//! A bot is killed when its permit ends, but the kernel goes on sending what a killed process wrote, and a process that
//! was frozen sends when it thaws. So the bot's connections lead through the agent. It runs them on a thread of its own,
//! checks the deadline before each write, and has all of them cut at the deadline by the guard thread and by an alarm
//! ([`fence`], [`alarm`]). What bot and exchange say to each other stays between them: TLS is passed on as it is.

mod alarm;
mod dial;
mod fence;
mod http;
mod metrics;
mod policy;
mod relay;
mod socks;
mod upstream;

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};
use tracing::debug;

use self::alarm::Alarm;
use self::dial::Dialer;
pub(super) use self::fence::Fence;
use self::metrics::Metrics;
use self::policy::Policy;
use super::config::{Refusal, Settings};
use super::resolve::Resolver;
use crate::api::agent_config::GateConfig;
use crate::core::gate::Passage;

/// How many connections of bots are served at once; more wait in the kernel.
const CONNECTIONS: usize = fence::SOCKETS;
/// For the first byte of a connection.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(10);
/// Where descriptors are used up, a moment for some to be given back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The running gate.
pub(super) struct Gate {
    fence: &'static Fence,
    alarm: Alarm,
    metrics: Arc<Metrics>,
}

impl Gate {
    /// Listens and serves on a thread of its own, as far as the fence is open by then.
    ///
    /// # Errors
    /// Where the port is taken, the configuration cannot be read, or the system does not give what is needed.
    pub(super) fn start(config: &GateConfig, settings: &Settings, fence: &'static Fence) -> Result<Gate, Refusal> {
        let system = |what: &'static str| move |cause: std::io::Error| Refusal::System { what, cause };
        let policy = Policy::new(config, &settings.setup.pod.name)
            .map_err(|cause| Refusal::Unusable { name: crate::api::names::AGENT_CONFIG_ENV, cause })?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, config.port));
        let listener = std::net::TcpListener::bind(address).map_err(|cause| Refusal::Listen { address, cause })?;
        listener.set_nonblocking(true).map_err(system("preparing the gate's socket"))?;
        let metrics = Metrics::new().map_err(|error| Refusal::System {
            what: "making the gate's metrics",
            cause: std::io::Error::other(error),
        })?;
        let metrics = Arc::new(metrics);
        let (tell, told) = mpsc::channel();
        let (api_server, counted) = (settings.api_server.ip(), Arc::clone(&metrics));
        let serve = move || {
            let alarm = Alarm::for_this_thread(fence);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match (alarm, runtime) {
                (Ok(alarm), Ok(runtime)) => {
                    let _ = tell.send(Ok(alarm));
                    runtime
                }
                (Err(cause), _) | (_, Err(cause)) => {
                    let _ = tell.send(Err(cause));
                    return;
                }
            };
            LocalSet::new().block_on(&runtime, async move {
                let resolver = Resolver::new();
                accept(listener, Dialer { policy, fence, resolver, api_server, metrics: counted }).await;
            });
        };
        std::thread::Builder::new().name("gate".into()).spawn(serve).map_err(system("starting the gate's thread"))?;
        let alarm = told.recv().map_err(std::io::Error::other).flatten().map_err(system("starting the gate"))?;
        Ok(Gate { fence, alarm, metrics })
    }

    /// Opens or closes. Returns when whatever no longer passes has been cut.
    pub(super) fn set(&self, passage: Passage) {
        // Opened before the alarm is set, closed before it is put off: it never rings too late.
        self.fence.set(passage);
        match passage {
            Passage::Open(deadline) => self.alarm.set(deadline),
            // What is on its way has until the deadline.
            Passage::Ending => {}
            Passage::Standby | Passage::Closed => self.alarm.set(None),
        }
    }

    /// What the connections are under.
    pub(super) fn fence(&self) -> &'static Fence {
        self.fence
    }

    /// What it has counted, as Prometheus reads it.
    pub(super) fn reader(&self) -> impl Fn() -> Vec<u8> + Clone + Send + Sync + 'static {
        let (metrics, fence) = (Arc::clone(&self.metrics), self.fence);
        move || metrics.text(fence.cuts())
    }
}

async fn accept(listener: std::net::TcpListener, dialer: Dialer) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("The gate cannot listen: {error}"),
    };
    let (dialer, places) = (Rc::new(dialer), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((bot, _)) => {
                let dialer = Rc::clone(&dialer);
                spawn_local(async move {
                    serve(bot, &dialer).await;
                    drop(place);
                });
            }
            Err(error) => {
                debug!("accepting: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The first byte tells SOCKS from HTTP.
async fn serve(bot: TcpStream, dialer: &Rc<Dialer>) {
    let _ = bot.set_nodelay(true);
    let mut first = [0];
    let Ok(Ok(1)) = timeout(FIRST_BYTE_TIME, bot.peek(&mut first)).await else { return };
    if first[0] == socks::VERSION {
        if let Err(error) = socks::serve(bot, dialer).await {
            debug!("SOCKS: {error}");
        }
    } else if let Err(error) = http::serve(bot, dialer).await {
        debug!("HTTP: {error}");
    }
}
