//! The admin server: `/live`, `/ready` (with what it waits for) and `/metrics`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

/// What a program still waits for before it is ready. Each thing is a handle; dropping it means it is there.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, usize>>>);

/// One thing that readiness waits for, until this is dropped.
#[derive(Debug)]
pub struct NotYet {
    what: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Nothing is ready before `what` is; `what` completes the sentence "waits for …". It may be waited for more than
    /// once.
    #[must_use = "readiness waits for as long as this lives"]
    pub fn waits_for(&self, what: &'static str) -> NotYet {
        *self.lock().entry(what).or_default() += 1;
        NotYet { what, readiness: self.clone() }
    }

    /// What is still waited for, in alphabetical order.
    pub fn missing(&self) -> Vec<&'static str> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NotYet {
    fn drop(&mut self) {
        let mut all = self.readiness.lock();
        if let Some(left) = all.get_mut(self.what) {
            *left -= 1;
            if *left == 0 {
                all.remove(self.what);
            }
        }
    }
}

/// Serves until the program ends. `metrics` writes the page in Prometheus' text format.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(
    address: SocketAddr,
    readiness: Readiness,
    metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let ready = move || {
        let missing = readiness.missing();
        async move {
            if missing.is_empty() {
                (StatusCode::OK, "ready\n".to_owned())
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, format!("waits for {}\n", missing.join(", ")))
            }
        }
    };
    let page = move || {
        let text = metrics();
        async move { ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response() }
    };
    let app = Router::new()
        .route("/live", get(|| async { "alive\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(page));
    axum::serve(listener, app).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_what_it_waits_for_until_it_is_there() {
        let readiness = Readiness::default();
        let watches = readiness.waits_for("the watches");
        let lease = readiness.waits_for("the election Lease");
        assert_eq!(readiness.missing(), ["the election Lease", "the watches"]);
        drop(watches);
        assert_eq!(readiness.missing(), ["the election Lease"]);
        let again = readiness.waits_for("the election Lease");
        drop(lease);
        assert_eq!(readiness.missing(), ["the election Lease"], "one of two is there");
        drop(again);
        assert!(readiness.missing().is_empty());
    }
}
