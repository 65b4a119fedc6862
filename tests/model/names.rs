//! The numbers in every part of the world: which there are, and the same part with others in their place.

use crate::agents::Agent;
use crate::core::agent::{Stage, WriteKind};
use crate::core::failover::{LeaseWrite, Record};
use crate::core::ids::{BootId, Epoch, FencingToken};
use crate::core::lease::LeaseRecord;
use crate::exchange::{Exchange, Grant};
use crate::interned::{Interned, Part};
use crate::jobs::Job;
use crate::operators::{Operator, Pending, PodsSeen, Round};

/// What is done with each number: the answer takes its place.
pub trait Names {
    fn epoch(&mut self, number: u64) -> u64;
    fn token(&mut self, number: u64) -> u64;
    /// An epoch that others are compared with only by whether they are later.
    fn over(&mut self, number: u64) -> u64;
    /// A start of the container in this pod.
    fn start(&mut self, pod: usize, number: u8) -> u8;
    fn lease(&mut self, lease: Interned<LeaseRecord>) -> Interned<LeaseRecord>;
    fn record(&mut self, record: Interned<Record>) -> Interned<Record>;
    fn jobs(&mut self, jobs: Interned<Vec<Job>>) -> Interned<Vec<Job>>;
}

/// A part with other numbers.
pub fn renamed<T: Part>(part: Interned<T>, names: &mut dyn Names) -> Interned<T> {
    let mut part = (*part).clone();
    part.name(names);
    Interned::new(part)
}

impl Part for LeaseRecord {
    crate::table!(LeaseRecord);

    fn name(&mut self, names: &mut dyn Names) {
        self.epoch.iter_mut().for_each(|epoch| epoch_of(epoch, names));
        self.token.iter_mut().for_each(|token| token_of(token, names));
        self.boot.iter_mut().chain(&mut self.successor).for_each(|boot| boot_id(boot, names));
    }
}

impl Part for Record {
    crate::table!(Record);

    fn name(&mut self, names: &mut dyn Names) {
        epoch_of(&mut self.epoch, names);
        token_of(&mut self.token, names);
        self.fenced.0 = names.over(self.fenced.0);
        if let Some(ledger) = &mut self.trading {
            epoch_of(&mut ledger.epoch, names);
            token_of(&mut ledger.token, names);
            ledger.boot.iter_mut().for_each(|boot| boot_id(boot, names));
        }
        for lost in &mut self.lost {
            let pod = index(&lost.pod_uid);
            lost.container_id.iter_mut().for_each(|start| start_in(pod, start, names));
        }
        self.jobs.iter_mut().for_each(|token| token_of(token, names));
        if let Some(current) = &mut self.current {
            epoch_of(&mut current.epoch, names);
        }
        self.operation.iter_mut().for_each(|operation| epoch_of(&mut operation.since, names));
    }
}

impl Part for Operator {
    crate::table!(Operator);

    fn name(&mut self, names: &mut dyn Names) {
        self.remembered.fenced.iter_mut().for_each(|epoch| epoch_of(epoch, names));
        match &mut self.round {
            Round::Idle => {}
            Round::ReadStatus { record, .. } => *record = names.record(*record),
            Round::ReadRest { lease, pods, jobs, .. } => {
                lease.iter_mut().for_each(|lease| *lease = names.lease(*lease));
                pods_seen(pods, names);
                *jobs = names.jobs(*jobs);
            }
            Round::Writing(writes) => writes.iter_mut().for_each(|write| pending(write, names)),
        }
        self.late.iter_mut().for_each(|write| pending(write, names));
    }
}

impl Part for Vec<Pending> {
    crate::table!(Vec<Pending>);

    fn name(&mut self, names: &mut dyn Names) {
        self.iter_mut().for_each(|write| pending(write, names));
    }
}

impl Part for Agent {
    crate::table!(Agent);

    fn name(&mut self, names: &mut dyn Names) {
        let me = self.index;
        self.starts = names.start(me, self.starts);
        self.unreported.iter_mut().chain(&mut self.reported).for_each(|start| *start = names.start(me, *start));
        if let Some(hold) = &mut self.state.hold {
            epoch_of(&mut hold.epoch, names);
            token_of(&mut hold.token, names);
            if let Stage::Clearing(boot) = &mut hold.stage {
                boot_id(boot, names);
            }
        }
        // None is as good as one before all that there are.
        self.state.over = self.state.over.map(|over| Epoch(names.over(over.0))).filter(|over| over.0 > 0);
        self.trades.iter_mut().for_each(|trades| grant(trades, names));
        for request in &mut self.requests {
            epoch_of(&mut request.write.epoch, names);
            request.sender = names.start(me, request.sender);
            if let WriteKind::ReleaseFor(boot) = &mut request.write.kind {
                boot_id(boot, names);
            }
        }
        let reply = self.reply.iter_mut().map(|reply| &mut reply.lease);
        let sight = self.old_sight.iter_mut().map(|(lease, _)| lease);
        reply.chain(sight).flatten().for_each(|lease| *lease = names.lease(*lease));
    }
}

impl Part for Vec<Job> {
    crate::table!(Vec<Job>);

    fn name(&mut self, names: &mut dyn Names) {
        self.iter_mut().for_each(|job| grant(&mut job.grant, names));
    }
}

impl Part for Vec<(FencingToken, u8)> {
    crate::table!(Vec<(FencingToken, u8)>);

    fn name(&mut self, names: &mut dyn Names) {
        self.iter_mut().for_each(|(token, _)| token_of(token, names));
    }
}

impl Exchange {
    pub fn name(&mut self, names: &mut dyn Names) {
        self.grants().for_each(|each| grant(each, names));
    }
}

fn pending(write: &mut Pending, names: &mut dyn Names) {
    match write {
        Pending::Status(record) => *record = names.record(*record),
        Pending::Lease { lease, purpose, .. } => {
            *lease = names.lease(*lease);
            if let LeaseWrite::Fence { epoch } = purpose {
                epoch_of(epoch, names);
            }
        }
        Pending::Job(of, _) => grant(of, names),
        Pending::DeletePod(_) | Pending::Told => {}
    }
}

fn pods_seen(pods: &mut PodsSeen, names: &mut dyn Names) {
    for (index, seen) in pods.iter_mut().enumerate() {
        let container = Some(&mut seen.container).filter(|_| seen.there);
        container.into_iter().chain(&mut seen.ended).for_each(|start| *start = names.start(index, *start));
    }
}

fn epoch_of(epoch: &mut Epoch, names: &mut dyn Names) {
    epoch.0 = names.epoch(epoch.0);
}

fn token_of(token: &mut FencingToken, names: &mut dyn Names) {
    token.0 = names.token(token.0);
}

fn grant(grant: &mut Grant, names: &mut dyn Names) {
    grant.epoch = small(names.epoch(grant.epoch.into()));
    grant.token = small(names.token(grant.token.into()));
}

fn boot_id(id: &mut BootId, names: &mut dyn Names) {
    start_in(index(&id.pod_uid), &mut id.nonce, names);
}

fn start_in(pod: usize, start: &mut String, names: &mut dyn Names) {
    *start = names.start(pod, number(start)).to_string();
}

fn index(uid: &str) -> usize {
    number(uid.trim_start_matches('u')).into()
}

fn number(text: &str) -> u8 {
    text.parse().expect("names are numbers")
}

fn small<N: TryInto<u8>>(number: N) -> u8 {
    number.try_into().ok().expect("few grants and pods")
}
