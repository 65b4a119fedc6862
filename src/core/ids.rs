//! Numbers and names that must not be mixed up: epochs, fencing tokens, pods and boots.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::time::Wall;

/// The largest integer that every reader of JSON gets right. A larger epoch or token in a Lease was written by someone
/// else and is not counted on from: it would leave no room to grow.
pub const LARGEST_NUMBER: u64 = (1 << 53) - 1;

/// Grows by one at every grant and is never reused in the life of a resource. Zero: nothing was granted yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Reads a number that we wrote: digits without a leading zero. Written in another way, such as `+7` or `007`, it was
/// written by someone else, and what an agent pins in its patches is the text.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

impl Epoch {
    /// Reads an annotation; `None`: it is not what we write.
    pub fn parse(text: &str) -> Option<Epoch> {
        number(text).map(Epoch)
    }

    /// The epoch of the next grant: greater than any that the status or the Lease has seen (design, rule 2).
    pub fn next(status: Epoch, lease: Option<Epoch>) -> Epoch {
        Epoch(status.max(lease.filter(|e| e.is_plausible()).unwrap_or_default()).0 + 1)
    }

    /// Whether we could have granted this epoch.
    pub fn is_plausible(self) -> bool {
        self.0 <= LARGEST_NUMBER
    }
}

/// What bots put into order ids and other systems compare: grows with every grant, also when a bot is deleted and
/// made again. Fits a JSON number (below 2^53) until the year 2248.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FencingToken(pub u64);

impl FencingToken {
    /// Reads an annotation or a label; `None`: it is not what we write.
    pub fn parse(text: &str) -> Option<FencingToken> {
        number(text).map(FencingToken)
    }

    /// `max(previous + 1, wall-clock milliseconds << 10)` (design, rule 2).
    pub fn next(previous: FencingToken, now: Wall) -> FencingToken {
        FencingToken((previous.0 + 1).max(now.0 << 10))
    }

    /// Whether we could have granted this token.
    pub fn is_plausible(self) -> bool {
        self.0 <= LARGEST_NUMBER
    }
}

/// A pod by name and uid: a pod made again under its name is another one. Written `<name>/<uid>` as the Lease's holder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodRef {
    /// The pod's name.
    pub name: String,
    /// The pod's uid.
    pub uid: String,
}

/// One start of an agent: `<pod uid>/<random>`. Two boots of one pod never run at the same time, because the agent
/// is PID 1 and takes the container with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId {
    /// The uid of the pod the agent runs in.
    pub pod_uid: String,
    /// Random, new at every start of an agent.
    pub nonce: String,
}

/// A holder or boot that is not the parts it should be, with slashes between them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not of the form <a>/<b>, or <a>/<b>/<c> for a bot")]
pub struct MalformedId(pub String);

fn two_parts(text: &str) -> Result<(String, String), MalformedId> {
    match text.split_once('/') {
        Some((a, b)) if !a.is_empty() && !b.is_empty() && !b.contains('/') => Ok((a.to_owned(), b.to_owned())),
        _ => Err(MalformedId(text.to_owned())),
    }
}

impl FromStr for PodRef {
    type Err = MalformedId;
    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let (name, uid) = two_parts(text)?;
        Ok(Self { name, uid })
    }
}

impl FromStr for BootId {
    type Err = MalformedId;
    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let (pod_uid, nonce) = two_parts(text)?;
        Ok(Self { pod_uid, nonce })
    }
}

impl fmt::Display for PodRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.uid)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pod_uid, self.nonce)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_grow_over_deletion_and_over_a_clock_set_back() {
        let first = FencingToken::next(FencingToken(0), Wall(1_795_000_000_000));
        assert_eq!(first.0, 1_795_000_000_000 << 10);
        assert!(first.0 < 1 << 53);
        assert_eq!(FencingToken::next(first, Wall(0)).0, first.0 + 1);
        assert!(FencingToken::next(FencingToken(0), Wall(1_795_000_000_001)) > first);
    }

    #[test]
    fn epochs_never_repeat_what_either_place_has_seen() {
        assert_eq!(Epoch::next(Epoch(4), Some(Epoch(9))), Epoch(10));
        assert_eq!(Epoch::next(Epoch(9), None), Epoch(10));
        assert_eq!(Epoch::next(Epoch(9), Some(Epoch(u64::MAX))), Epoch(10));
    }

    #[test]
    fn numbers_are_read_only_as_they_are_written() {
        assert_eq!(Epoch::parse("7"), Some(Epoch(7)));
        assert_eq!(FencingToken::parse("0"), Some(FencingToken(0)));
        for bad in ["", "+7", "007", "-7", " 7", "7.0", "18446744073709551616"] {
            assert_eq!((Epoch::parse(bad), FencingToken::parse(bad)), (None, None), "{bad}");
        }
    }

    #[test]
    fn the_largest_number_is_the_last_that_every_reader_of_json_gets_right() {
        assert!(Epoch(9_007_199_254_740_991).is_plausible() && FencingToken(9_007_199_254_740_991).is_plausible());
        assert!(!Epoch(9_007_199_254_740_992).is_plausible() && !FencingToken(9_007_199_254_740_992).is_plausible());
    }

    #[test]
    fn ids_round_trip_and_refuse_what_is_not_two_parts() {
        let boot: BootId = "u-1/abc".parse().unwrap();
        assert_eq!(boot.to_string(), "u-1/abc");
        assert_eq!("doge-0/u-1".parse::<PodRef>().unwrap().to_string(), "doge-0/u-1");
        assert_eq!((Epoch(7).to_string(), FencingToken(8).to_string()), ("7".into(), "8".into()));
        for bad in ["", "a", "/a", "a/", "a/b/c"] {
            assert!(bad.parse::<PodRef>().is_err(), "{bad}");
        }
    }
}
