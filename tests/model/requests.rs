//! An agent's requests on their way, and the numbers in them.
//!
//! Numbers are compared with the last one alone. So the last is 1 and all before it are 0, however many there were.

use crate::agents::Agent;
use crate::core::agent::{Process, Stage, Write, WriteKind};
use crate::core::ids::{BootId, PodRef};
use crate::core::lease::{AgentState, LeaseRecord, Permit};
use crate::core::wrong::{self, Wrong};
use crate::interned::Interned;
use crate::world::*;

/// More requests than this are not on their way at once; the oldest is lost.
const REQUESTS: usize = 2;

/// A request of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    pub write: Write,
    /// Which start of the container sent it.
    pub sender: u8,
    /// Somebody still waits for the answer.
    pub awaited: bool,
    /// It takes its time; others are answered at once.
    pub delayed: bool,
}

/// The answer to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reply {
    pub stored: bool,
    pub lease: Option<Interned<LeaseRecord>>,
    pub shown: bool,
}

impl Request {
    pub fn is_latest(&self, agent: &Agent) -> bool {
        self.sender == agent.starts && self.write.number == agent.state.writes
    }
}

/// The Lease as this agent sees it.
pub fn view(agent: &Agent, lease: Option<Interned<LeaseRecord>>, shown: bool) -> Option<LeaseRecord> {
    let renew = || format!("{}/{}", boot(agent.index, agent.starts), agent.state.writes);
    lease.map(|lease| LeaseRecord { renew: if shown { renew() } else { String::new() }, ..(*lease).clone() })
}

/// The one before is abandoned, and may arrive all the same.
pub fn send(agent: &mut Agent, write: Write) {
    agent.requests.iter_mut().for_each(|request| request.awaited = false);
    (agent.reply, agent.shown) = (None, wrong::is(Wrong::RenewalRepeatsValue) && agent.shown);
    agent.requests.push(Request { write, sender: agent.starts, awaited: true, delayed: false });
    if agent.requests.len() > REQUESTS {
        agent.requests.remove(0);
    }
}

/// Blanks what differs without a difference: numbers, and times that only delay.
pub fn renumber(agent: &mut Agent) {
    let (starts, latest) = (agent.starts, agent.state.writes);
    for request in &mut agent.requests {
        request.write.number = u64::from(request.sender == starts && request.write.number == latest);
    }
    agent.state.in_flight = agent.state.in_flight.map(|_| 1);
    let mut sent = None;
    if let Some(hold) = &mut agent.state.hold {
        hold.sent.iter_mut().for_each(|(number, _)| *number = 1);
        sent = hold.sent;
        // The next is due when a tick has passed.
        hold.next_write = if hold.next_write == NOW { NOW } else { NOW.plus(TICK / 2) };
    }
    if sent.is_none() && !wrong::is(Wrong::RenewalRepeatsValue) {
        agent.shown = false;
    }
    agent.state.writes = 1;
    // Only asked of standbys whose bot runs.
    agent.state.seen = true;
    let gone = matches!(agent.state.process, Process::Gone | Process::Drained) && !agent.state.leaving;
    let gone = gone && !wrong::is(Wrong::PermitReplayed);
    if let Some(hold) =
        agent.state.hold.as_mut().filter(|hold| gone && matches!(hold.stage, Stage::Stopping(_) | Stage::Clearing(_)))
    {
        // With nothing to end by a deadline, it does not matter when that is.
        hold.renewed = None;
        hold.sent.iter_mut().for_each(|(_, at)| *at = NOW);
    }
    // Both only tell how long a standby ran before it ended.
    agent.state.crashes = 0;
    if let Process::Running { since, .. } = &mut agent.state.process {
        *since = NOW;
    }
}

/// The JSON Patch of the shell: `test`s that pin holder, boot and epoch, then the values. Answers what is stored.
pub fn patch(lease: &LeaseRecord, agent: &Agent, request: &Request) -> Option<Interned<LeaseRecord>> {
    if !can_be_stored(lease, agent.index, request) {
        return None;
    }
    let mut lease = lease.clone();
    apply(&mut lease, &request.write, pod(agent.index), boot(agent.index, request.sender));
    Some(Interned::new(lease))
}

/// Whether its pins hold. Once they do not, they never will again: epochs grow, and within one a holder that is gone
/// does not come back, nor does a boot.
pub fn can_be_stored(lease: &LeaseRecord, index: usize, request: &Request) -> bool {
    let me = || boot(index, request.sender);
    let pinned = match &request.write.kind {
        WriteKind::Claim => lease.boot.is_none() && lease.permit == Some(Permit::Prepare),
        WriteKind::Renew(_) if wrong::is(Wrong::RenewalWithoutTest) => return true,
        WriteKind::Renew(_) | WriteKind::Release(_) => lease.boot == Some(me()),
        WriteKind::ReleaseFor(earlier) => lease.boot.as_ref() == Some(earlier),
    };
    pinned && lease.holder == Some(pod(index)) && lease.epoch == Some(request.write.epoch)
}

fn apply(lease: &mut LeaseRecord, write: &Write, pod: PodRef, me: BootId) {
    match &write.kind {
        WriteKind::Claim => (lease.boot, lease.state) = (Some(me), AgentState::Claimed),
        WriteKind::Renew(state) => {
            lease.state = *state;
            // What is pinned in production; there this writes what is there already.
            (lease.holder, lease.boot, lease.epoch) = (Some(pod), Some(me), Some(write.epoch));
        }
        WriteKind::Release(why) => {
            (lease.holder, lease.state) = (None, AgentState::Released);
            lease.reason = format!("{}: .", why.reason().as_str());
        }
        WriteKind::ReleaseFor(_) => {
            (lease.holder, lease.state, lease.successor) = (None, AgentState::Restarted, Some(me));
            lease.reason = "AgentRestarted: .".into();
        }
    }
}
