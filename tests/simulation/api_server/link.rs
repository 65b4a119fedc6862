//! What may happen to a request on its way to the API server, and to what comes back.

use std::time::Duration;

use http::Method;

/// A request, as whoever decides its fate sees it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path.
    pub path: &'a str,
    /// The query, without its question mark.
    pub query: &'a str,
    /// The kind's plural, such as `leases`.
    pub plural: &'a str,
    /// The namespace; `None`: all, or the kind has none.
    pub namespace: Option<&'a str>,
    /// The object's name; `None`: it is about many, or the name comes with a new object.
    pub name: Option<&'a str>,
    /// The subresource, such as `status`.
    pub subresource: Option<&'a str>,
    /// Whether it can change something.
    pub writes: bool,
    /// Whether it is a watch.
    pub watches: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is carried out after `before`, and answered `after` later.
    Answered {
        /// On the way there.
        before: Duration,
        /// On the way back.
        after: Duration,
    },
    /// It never gets there and is never answered: the client's own time limit ends it.
    Lost,
    /// It is carried out after `before` and never answered.
    ReplyLost {
        /// On the way there.
        before: Duration,
    },
    /// It is answered with this status after `after`, and not carried out.
    Status {
        /// 409, 429, 500 or 503.
        code: u16,
        /// There and back.
        after: Duration,
    },
    /// The connection breaks at once.
    Broken,
}

/// The way between one client and the API server.
pub trait Link: Send + Sync {
    /// What becomes of this request. For a watch: of its beginning.
    fn fate(&self, call: &Call<'_>) -> Fate;

    /// How long the next event of a watch is on its way; `None`: nothing more comes of this watch, not even its end.
    fn event(&self) -> Option<Duration>;

    /// Gets and lists are answered from this far back, as by an API server whose cache lags; zero: from the present.
    fn stale(&self) -> Duration {
        Duration::ZERO
    }
}

/// A link on which nothing is ever late or lost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Link for Direct {
    fn fate(&self, _: &Call<'_>) -> Fate {
        Fate::Answered { before: Duration::ZERO, after: Duration::ZERO }
    }

    fn event(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}
