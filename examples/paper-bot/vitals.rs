//! What the bot tells health checks of itself, at `GET /vitals` of its control port, and how tests make it look ill: `POST
//! /control/blind`, `/stale`, `/eat`, `/fill`; and `/clean`, with which a recovery hook makes room again.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::control::Controls;

/// What `/fill` writes until there is no more room.
const FILLED: &str = "/data/filled";
/// How much memory `/eat` takes.
const EATEN: usize = 48 << 20;

/// How the bot seems to be.
#[derive(Debug, Default)]
pub struct Vitals {
    blind: AtomicBool,
    /// The price is as old as this, in milliseconds since 1970; 0: it is new.
    stale_since: AtomicU64,
    /// When the exchange last took an order, likewise.
    ordered: AtomicU64,
    eaten: Mutex<Vec<u8>>,
}

impl Vitals {
    /// The exchange took an order.
    pub fn ordered(&self) {
        self.ordered.store(now_milliseconds(), Ordering::Relaxed);
    }
}

pub async fn show(State(controls): State<Controls>) -> Json<Value> {
    let vitals = controls.vitals();
    let stale = vitals.stale_since.load(Ordering::Relaxed);
    let mut told = json!({
        "updatedMilliseconds": if stale == 0 { now_milliseconds() } else { stale },
        "orderedMilliseconds": vitals.ordered.load(Ordering::Relaxed),
    });
    if !vitals.blind.load(Ordering::Relaxed) {
        told["currentPrice"] = json!("12.5");
    }
    Json(told)
}

pub async fn blind(State(controls): State<Controls>) -> &'static str {
    controls.vitals().blind.store(true, Ordering::Relaxed);
    "there is no price any more\n"
}

pub async fn stale(State(controls): State<Controls>) -> &'static str {
    controls.vitals().stale_since.store(now_milliseconds(), Ordering::Relaxed);
    "the price stays as it is\n"
}

pub async fn eat(State(controls): State<Controls>) -> &'static str {
    // Written, or the kernel would give nothing.
    if let Ok(mut eaten) = controls.vitals().eaten.lock() {
        *eaten = vec![1; EATEN];
    }
    "48 MiB were eaten\n"
}

pub async fn fill() -> String {
    let fill = || {
        let mut file = std::fs::File::create(FILLED)?;
        loop {
            file.write_all(&[0; 1 << 16])?;
        }
    };
    let end: std::io::Result<()> = fill();
    format!("{FILLED}: {end:?}\n")
}

pub async fn clean() -> String {
    format!("{FILLED}: {:?}\n", std::fs::remove_file(FILLED))
}

/// The wall clock, in milliseconds since 1970.
pub fn now_milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |wall| wall.as_millis() as u64)
}
