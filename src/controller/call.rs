//! One call to the API server: bounded in time, and answered with what the caller has to know about its outcome.

use kube::Error;

use crate::runtime::client::REQUEST_TIMEOUT;

/// What became of a call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The object is not what we thought: read it again and decide again. Nothing was written.
    #[error("the object was changed or exists already: {0}")]
    Conflict(String),
    /// The API server refused it; it would do so again.
    #[error("the API server refused it: {0}")]
    Refused(String),
    /// The object, its namespace or its kind is not there.
    #[error("not found: {0}")]
    NotFound(String),
    /// No answer, or none that tells the outcome: a write may have happened. Read before deciding.
    #[error("no answer that tells the outcome: {0}")]
    Unknown(String),
    /// This replica does not lead, so nothing was sent.
    #[error(transparent)]
    NotLeading(#[from] super::election::NotLeading),
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Api(status) => match status.code {
                409 => CallError::Conflict(status.message.clone()),
                404 | 410 => CallError::NotFound(status.message.clone()),
                400 | 401 | 403 | 405 | 413 | 415 | 422 => CallError::Refused(status.message.clone()),
                code => CallError::Unknown(format!("{} (status {code})", status.message)),
            },
            _ => CallError::Unknown(with_causes(&error)),
        }
    }
}

/// An error with everything that led to it, which kube's own text leaves out.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Runs one call within [`REQUEST_TIMEOUT`].
///
/// # Errors
/// What became of it; running out of time is [`CallError::Unknown`].
pub async fn call<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, CallError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(outcome) => outcome.map_err(CallError::from),
        Err(_) => Err(CallError::Unknown(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()))),
    }
}

/// What the API server refuses becomes a sentence and holds nothing else up.
///
/// # Errors
/// Everything else.
pub fn refusal(outcome: Result<(), CallError>) -> Result<Option<String>, CallError> {
    match outcome {
        Ok(()) => Ok(None),
        Err(CallError::Refused(why) | CallError::Conflict(why)) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}
