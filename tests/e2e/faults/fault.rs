//! A fault: how it is done, how a round proves that it took effect, and what has to follow.

use std::time::Duration;

use futures::future::LocalBoxFuture;

use super::fleet::{Fleet, Target};
use crate::harness::entry::Entry;
use crate::harness::*;

/// Where a fault happens.
pub struct Stage<'a> {
    pub world: &'a World,
    pub fleet: &'a Fleet,
    /// Between the API server and the pods, when a fault of its part needs it.
    pub proxy: Option<&'a Proxy>,
}

impl Stage<'_> {
    pub fn proxy(&self) -> &Proxy {
        self.proxy.expect("the part has the proxy between pods and API server")
    }
}

/// Which pod trades afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Must {
    /// Another one than before, under a later token.
    Move,
    /// No other one than before.
    Stay,
    /// Whichever; somebody trades.
    Resume,
}

/// A round whose fault took effect.
#[derive(Debug)]
pub struct Struck {
    /// What showed it.
    pub proof: String,
    pub must: Must,
    /// From when trading has to be as it must be within the bound; `None`: from the fault.
    pub from: Option<Entry>,
}

impl Struck {
    /// Trading moves, and the bound counts from the fault.
    pub fn moves(proof: impl Into<String>) -> Struck {
        Struck { proof: proof.into(), must: Must::Move, from: None }
    }

    /// Another may trade or the same, within the bound from this entry.
    pub fn resumes(proof: impl Into<String>, from: Entry) -> Struck {
        Struck { proof: proof.into(), must: Must::Resume, from: Some(from) }
    }

    /// The same pod goes on, within the bound from this entry.
    pub fn stays(proof: impl Into<String>, from: Entry) -> Struck {
        Struck { proof: proof.into(), must: Must::Stay, from: Some(from) }
    }
}

/// A round that counts, or why it does not: the fault was not seen to take effect.
pub type Outcome = Result<Struck, String>;

/// How it is done to one bot.
pub type ToOne = for<'a> fn(&'a Stage<'a>, &'a Target, usize) -> LocalBoxFuture<'a, Outcome>;
/// How it is done to all at once; an outcome for each target.
pub type ToAll = for<'a> fn(&'a Stage<'a>, &'a [Target], usize) -> LocalBoxFuture<'a, Vec<Outcome>>;

/// To whom it is done.
#[derive(Clone, Copy)]
pub enum How {
    /// To each bot by itself, each at its own pace.
    One(ToOne),
    /// To each bot that is reconciled.
    OneReconciled(ToOne),
    /// To all bots at the same moment.
    All(ToAll),
    /// The same, their actives being on one node.
    Gathered(ToAll),
}

/// Faults of a part share a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Of one bot: its processes, pods, Lease, Jobs.
    Bots,
    /// Of a node.
    Nodes,
    /// Of the API server, its store, and the way to it.
    ApiServer,
    /// Of the operator.
    Operator,
}

impl Part {
    /// The scenario that its faults are tried in.
    pub const fn scenario(self) -> &'static str {
        match self {
            Part::Bots => "faults_of_bots",
            Part::Nodes => "faults_of_nodes",
            Part::ApiServer => "faults_of_the_api_server",
            Part::Operator => "faults_of_the_operator",
        }
    }
}

/// A line of the table.
pub struct Fault {
    pub name: &'static str,
    /// What has to follow, for people.
    pub follows: &'static str,
    /// So many rounds of a bot at least.
    pub rounds: usize,
    pub part: Part,
    pub how: How,
    /// Trading is as it must be within this and 1.05 lease times.
    pub within: Duration,
}
