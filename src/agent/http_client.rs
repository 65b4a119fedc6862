//! What hooks and checks have in common that ask over HTTP.

use std::io;
use std::path::Path;
use std::pin::pin;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderValue, InvalidHeaderValue};

/// Waits for what comes over a connection. It is driven here and not by a task, so that dropping the call also closes it.
pub(super) async fn driven<T>(connection: impl Future, answer: impl Future<Output = T>) -> T {
    let (mut connection, mut answer) = (pin!(connection), pin!(answer));
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            _ = &mut connection, if open => open = false,
        }
    }
}

/// The value of `Authorization` for basic authentication.
///
/// # Errors
/// Never for what base64 gives; the header's own type does not know that.
pub(super) fn basic_auth(username: &str, password: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A key of a Secret, read at every call, so that a changed password needs no restart. A Secret made from a file often ends
/// with a newline that nobody meant.
///
/// # Errors
/// What the system says.
pub(super) fn secret_key(path: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
