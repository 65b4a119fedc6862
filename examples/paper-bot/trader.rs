//! Places orders at a set rate while the role allows it, asked anew right before each write.

use std::collections::VecDeque;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::control::Controls;
use super::http::Http;
use super::journal::Journal;
use super::options::Options;
use super::pipeline::Pipeline;
use super::role::Role;
use super::vitals::now_milliseconds;

/// An exchange that does not answer in this time is asked the next thing.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// Every fourth order stays open, far from the price; so many are kept.
const KEPT_OPEN: usize = 5;

/// Trades until the process ends.
pub async fn trade(options: &Options, mut role: watch::Receiver<Role>, controls: Controls) -> Result<(), String> {
    let mut desk = Desk::new(options)?;
    let mut tick = interval(Duration::from_secs_f64(1.0 / options.orders_per_second));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = role.borrow_and_update().clone();
        if !now.active || controls.hangs() {
            // A standby's connection is there before it is needed. Whether that works is seen when it is.
            let _ = desk.connect().await;
            let hangs = controls.hangs();
            tokio::select! {
                changed = role.changed() => if changed.is_err() {
                    return Ok(());
                },
                () = controls.resumed(), if hangs => {}
            }
            tick.reset_immediately();
            continue;
        }
        tokio::select! {
            _ = tick.tick() => {}
            _ = role.changed() => {
                // Under a new token it trades at once.
                tick.reset_immediately();
                continue;
            }
            () = controls.daemon_wanted() => {
                daemonise(options, &now).map_err(|error| format!("no daemon can be started: {error}"))?;
                controls.daemon_trades();
                controls.hang();
                continue;
            }
        }
        if options.crash_after.is_some_and(|limit| desk.placed >= limit) {
            return Err("told to crash after so many orders".to_owned());
        }
        let allowed = || {
            let allowed = *role.borrow() == now && !controls.hangs();
            if allowed && !options.signing.is_zero() {
                // Without yielding: nothing it could learn meanwhile keeps the order back.
                std::thread::sleep(options.signing);
            }
            allowed
        };
        controls.placing(true);
        let placed = desk.place(&now, allowed).await;
        controls.placing(false);
        match placed {
            Ok(()) => controls.vitals().ordered(),
            Err(error) => eprintln!("an order was not placed: {error}"),
        }
    }
}

/// This process's business with the exchange.
struct Desk<'a> {
    options: &'a Options,
    http: Http,
    /// Where orders do not wait for the answers to those before.
    pipeline: Option<Pipeline>,
    journal: Option<Journal>,
    placed: u64,
    open: VecDeque<String>,
}

impl<'a> Desk<'a> {
    fn new(options: &'a Options) -> Result<Self, String> {
        let connection = || options.proxied(Http::new(&options.exchange, ANSWER_TIME)?);
        let pipeline = options.pipeline.map(|limit| connection().map(|http| Pipeline::new(http, limit))).transpose()?;
        let journal = Journal::of(options);
        Ok(Self { options, http: connection()?, pipeline, journal, placed: 0, open: VecDeque::new() })
    }

    async fn connect(&mut self) -> io::Result<()> {
        match &mut self.pipeline {
            Some(pipeline) => pipeline.connect().await,
            None => self.http.connect().await,
        }
    }

    /// Sends a request if it is `allowed` right before the write; whether it was.
    async fn send(&mut self, bytes: &[u8], allowed: impl Fn() -> bool) -> io::Result<bool> {
        if let Some(pipeline) = &mut self.pipeline {
            return pipeline.send_if(bytes, allowed).await;
        }
        match self.http.exchange_if(bytes, allowed).await? {
            None => Ok(false),
            Some(answer) if answer.is_success() => Ok(true),
            Some(answer) => Err(io::Error::other(format!("{} {}", answer.status, answer.body.trim()))),
        }
    }

    async fn place(&mut self, role: &Role, allowed: impl Fn() -> bool) -> io::Result<()> {
        let Options { name, instance, .. } = self.options;
        let n = self.placed;
        let rests = n % 4 == 3;
        let id = format!("{name}-{}-{instance}-{n}", role.token.unwrap_or_default());
        let (side, price) = match (rests, n % 2) {
            (true, _) => ("Buy", "0.5"),
            (false, 0) => ("Buy", "1000"),
            (false, _) => ("Sell", "0.5"),
        };
        let order = json!({
            "clientOrderId": id, "symbol": "DOGE_JPY", "side": side, "price": price, "quantity": "10",
            "account": name, "instance": instance, "fencingToken": role.token, "epoch": role.epoch,
            "sentMilliseconds": now_milliseconds(),
        });
        let key = self.key();
        let headers: Vec<_> = key.iter().map(|key| ("x-api-key", key.as_str())).collect();
        let bytes = self.http.encode("POST", "/v1/orders", &headers, &order.to_string());
        self.placed += 1;
        if let Some(journal) = &mut self.journal {
            let written = journal.write(role.token, &id).await;
            written.map_err(|error| io::Error::other(format!("it is not in the books, so it is not sent: {error}")))?;
        }
        let sent = self.send(&bytes, &allowed).await;
        if rests && !matches!(sent, Ok(false)) {
            // What was not answered may have been accepted, and has to be cancelled one day.
            self.open.push_back(id);
        }
        if !sent? {
            return Ok(());
        }
        if self.open.len() > KEPT_OPEN
            && let Some(oldest) = self.open.pop_front()
        {
            let path = format!("/v1/orders/{oldest}?account={name}");
            let headers = self.headers(role);
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let bytes = self.http.encode("DELETE", &path, &headers, "");
            self.send(&bytes, &allowed).await?;
        }
        Ok(())
    }

    /// Read before every order, so that a new key needs neither a restart nor a signal.
    fn key(&self) -> Option<String> {
        let folder = self.options.credentials.as_ref()?;
        Some(std::fs::read_to_string(folder.join("api-key")).ok()?.trim().to_owned())
    }

    fn headers(&self, role: &Role) -> [(&'static str, String); 3] {
        let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        [
            ("x-instance", self.options.instance.clone()),
            ("x-fencing-token", number(role.token)),
            ("x-epoch", number(role.epoch)),
        ]
    }
}

/// Leaves a grandchild in a session of its own that trades on under this role, whatever becomes of us: the worst that a
/// bot can do to whoever wants to stop it. It is another instance, so we stop when it starts.
fn daemonise(options: &Options, role: &Role) -> io::Result<()> {
    let rate = options.orders_per_second.to_string();
    let args =
        ["--exchange", &options.exchange, "--control-port", "0", "--ignore-sigterm", "--orders-per-second", &rate];
    let mut child = myself(&args);
    child
        .env("TRADINGBOT_ROLE", "active")
        .env("TRADINGBOT_EPOCH", role.epoch.unwrap_or_default().to_string())
        .env("TRADINGBOT_FENCING_TOKEN", role.token.unwrap_or_default().to_string())
        .env_remove("TRADINGBOT_API")
        .stdin(Stdio::null());
    // SAFETY: setsid and fork are all that happens between fork and exec, and both may be called there.
    unsafe {
        child.pre_exec(|| {
            if libc::setsid() < 0 {
                return Err(io::Error::last_os_error());
            }
            match libc::fork() {
                0 => Ok(()),
                -1 => Err(io::Error::last_os_error()),
                // The one in between is gone, so nobody waits for the grandchild.
                _ => libc::_exit(0),
            }
        });
    }
    child.spawn()?.wait().map(|_| ())
}

/// This program again.
#[cfg(not(test))]
fn myself(args: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new("/proc/self/exe");
    command.args(args);
    command
}

#[cfg(test)]
use super::process_tests::myself;
