//! How tests make the bot misbehave: `POST /control/crash`, `/hang`, `/ignore-sigterm`, `/daemonise`; and how hooks and
//! steps of its stop make it place no more orders and go on: `/pause`, `/resume`. What health checks see is in `vitals`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use super::vitals::{self, Vitals};

/// What was asked of the bot.
#[derive(Clone, Debug, Default)]
pub struct Controls(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    ignore_sigterm: AtomicBool,
    hang: watch::Sender<bool>,
    daemonise: Notify,
    daemonised: Notify,
    /// An order is being placed.
    placing: watch::Sender<bool>,
    vitals: Vitals,
}

impl Controls {
    pub fn ignore_sigterm(&self) {
        self.0.ignore_sigterm.store(true, Ordering::Relaxed);
    }

    pub fn ignores_sigterm(&self) -> bool {
        self.0.ignore_sigterm.load(Ordering::Relaxed)
    }

    pub fn hang(&self) {
        self.0.hang.send_replace(true);
    }

    pub fn hangs(&self) -> bool {
        *self.0.hang.borrow()
    }

    /// Waits until the bot does not hang any more.
    pub async fn resumed(&self) {
        // The sender is there for as long as the controls are.
        let _ = self.0.hang.subscribe().wait_for(|hangs| !hangs).await;
    }

    pub fn vitals(&self) -> &Vitals {
        &self.0.vitals
    }

    /// The trader begins to place an order, or has its answer.
    pub fn placing(&self, now: bool) {
        self.0.placing.send_replace(now);
    }

    /// Waits until the trader shall hand its work to a daemon.
    pub async fn daemon_wanted(&self) {
        self.0.daemonise.notified().await;
    }

    /// The daemon trades.
    pub fn daemon_trades(&self) {
        self.0.daemonised.notify_one();
    }
}

/// Serves the control port until the process ends; 0 serves none.
pub async fn serve(port: u16, controls: Controls) -> io::Result<()> {
    if port == 0 {
        return std::future::pending().await;
    }
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await?;
    axum::serve(listener, router(controls)).await
}

pub fn router(controls: Controls) -> Router {
    Router::new()
        .route("/control/crash", post(crash))
        .route("/control/hang", post(hang))
        .route("/control/pause", post(pause))
        .route("/control/resume", post(resume))
        .route("/control/ignore-sigterm", post(ignore_sigterm))
        .route("/control/daemonise", post(daemonise))
        .route("/control/blind", post(vitals::blind))
        .route("/control/stale", post(vitals::stale))
        .route("/control/eat", post(vitals::eat))
        .route("/control/fill", post(vitals::fill))
        .route("/control/clean", post(vitals::clean))
        .route("/vitals", get(vitals::show))
        .with_state(controls)
}

async fn crash() {
    eprintln!("told to crash");
    std::process::exit(1);
}

async fn hang(State(controls): State<Controls>) -> &'static str {
    controls.hang();
    "trading has stopped, the process lives\n"
}

/// Answers when no order is on its way any more, so that whoever cancels next misses none.
async fn pause(State(controls): State<Controls>) -> &'static str {
    controls.hang();
    // The sender is there for as long as the controls are.
    let _ = controls.0.placing.subscribe().wait_for(|placing| !placing).await;
    "no order is placed any more, and none is on its way\n"
}

async fn resume(State(controls): State<Controls>) -> &'static str {
    controls.0.hang.send_replace(false);
    "trading goes on\n"
}

async fn ignore_sigterm(State(controls): State<Controls>) -> &'static str {
    controls.ignore_sigterm();
    "SIGTERM is ignored from now on\n"
}

async fn daemonise(State(controls): State<Controls>) -> &'static str {
    controls.0.daemonise.notify_one();
    controls.0.daemonised.notified().await;
    "a process in a session of its own trades on\n"
}
