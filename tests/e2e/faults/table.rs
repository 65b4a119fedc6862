//! The table of faults.

use std::time::Duration;

use super::fault::{Fault, How, Part};
use super::{again, clocks, jobs, leases, nodes, operators, outage, pods, promotion, storms};

/// So many rounds of most faults. Of freezes, cuts and pauses there are a hundred and more together, of a removal by force
/// as many alone: everything hangs on these.
const SOME: usize = 20;
const FREEZE: usize = 40;
const CUT: usize = 54;
const PAUSE: usize = 90;
const MANY: usize = 100;

const fn fault(name: &'static str, rounds: usize, part: Part, how: How, within: u64, follows: &'static str) -> Fault {
    Fault { name, follows, rounds, part, how, within: Duration::from_secs(within) }
}

/// All faults, in the order in which they are done and told of. Bounds are on top of 1.05 lease times: from the fault, or
/// from its end where the active has to wait for that.
#[rustfmt::skip]
pub const TABLE: &[Fault] = &[
    fault("bot frozen, 1 to 5 lease times", FREEZE, Part::Bots, How::One(pods::bot_frozen), 5, "stays: its agent renews"),
    fault("agent frozen, 1 to 5 lease times", FREEZE, Part::Bots, How::One(pods::agent_frozen), 20, "moves"),
    fault("pod frozen, 1 to 5 lease times", FREEZE, Part::Bots, How::One(pods::pod_frozen), 20, "moves"),
    fault("pod force-deleted, its container alive", MANY, Part::Bots, How::One(pods::force_deleted), 30, "moves"),
    fault("active and all standbys killed", SOME, Part::Bots, How::One(pods::all_standbys_dead), 45, "resumes"),
    fault("flapping: 4 crashes, each at the first order", SOME, Part::Bots, How::One(pods::flapping), 60, "resumes"),
    fault("new active killed when granted", SOME, Part::Bots, How::One(promotion::when_granted), 30, "resumes"),
    fault("new active killed when preparing", SOME, Part::Bots, How::OneReconciled(promotion::when_preparing), 45, "resumes"),
    fault("new active killed when permitted", SOME, Part::Bots, How::OneReconciled(promotion::when_permitted), 45, "resumes"),
    fault("new active killed at its first order", SOME, Part::Bots, How::One(promotion::when_trading), 30, "resumes"),
    fault("Lease deleted, in each phase", SOME, Part::Bots, How::One(leases::deleted), 45, "resumes"),
    fault("Lease holder edited, in each phase", SOME, Part::Bots, How::One(leases::holder_edited), 45, "resumes"),
    fault("Lease epoch set back, in each phase", SOME, Part::Bots, How::One(leases::epoch_set_back), 45, "resumes"),
    fault("Lease renewed in the future, in each phase", SOME, Part::Bots, How::One(leases::renewed_in_the_future), 45, "resumes; stays while one trades"),
    fault("reconciliation hangs", SOME, Part::Bots, How::OneReconciled(jobs::hung), 45, "resumes with the next attempt"),
    fault("reconciliation doubled", SOME, Part::Bots, How::OneReconciled(jobs::doubled), 5, "the new active goes on"),
    fault("reconciliation on a node that dies", SOME, Part::Bots, How::All(jobs::on_a_dying_node), 100, "resumes with the next attempt"),
    fault("resource deleted and made again in mid-failover", SOME, Part::Bots, How::One(again::made_again), 60, "resumes under a later token"),

    fault("node cut both ways, healed after 5, 20, 60 s", CUT, Part::Nodes, How::Gathered(nodes::cut_both_ways), 20, "moves"),
    fault("nothing arrives at the node, healed after 5, 20, 60 s", CUT, Part::Nodes, How::Gathered(nodes::cut_in), 20, "moves"),
    fault("nothing leaves the node, healed after 5, 20, 60 s", CUT, Part::Nodes, How::Gathered(nodes::cut_out), 20, "moves"),
    fault("node cut from the API server alone, healed after 5, 20, 60 s", CUT, Part::Nodes, How::Gathered(nodes::cut_from_api), 20, "moves"),
    fault("node cut from the exchange alone, for 5, 20, 60 s", CUT, Part::Nodes, How::Gathered(nodes::cut_from_exchange), 10, "stays: its agent renews"),
    fault("kubelet stopped until the node is NotReady", SOME, Part::Nodes, How::Gathered(nodes::kubelet_stopped), 10, "stays"),
    fault("containers killed under a stopped kubelet", SOME, Part::Nodes, How::Gathered(nodes::killed_without_kubelet), 20, "moves"),
    fault("node powered off", SOME, Part::Nodes, How::Gathered(nodes::powered_off), 20, "moves"),

    fault("API server paused 5, 15, 30, 60, 180 s", PAUSE, Part::ApiServer, How::All(outage::api_server_paused), 30, "stays"),
    fault("etcd paused 5, 15, 30, 60, 180 s", PAUSE, Part::ApiServer, How::All(outage::etcd_paused), 30, "stays"),
    fault("conflicts: 2 of 3 writes for 60 s", SOME, Part::ApiServer, How::All(storms::conflicts), 45, "resumes"),
    fault("429 to everything for 60 s", SOME, Part::ApiServer, How::All(storms::too_many), 45, "resumes; stays where none crashed"),
    fault("500 to 2 of 3 requests for 60 s", SOME, Part::ApiServer, How::All(storms::failures), 45, "resumes"),
    fault("the operator's watches stalled", SOME, Part::ApiServer, How::All(storms::watches_stalled), 45, "crashed ones move, others stay"),
    fault("every second event dropped", SOME, Part::ApiServer, How::All(storms::events_dropped), 45, "crashed ones move, others stay"),
    fault("watches end with 410", SOME, Part::ApiServer, How::All(storms::versions_too_old), 45, "crashed ones move, others stay"),
    fault("operator restarted before a stale API server", SOME, Part::ApiServer, How::All(storms::stale_after_restart), 45, "crashed ones move, others stay"),
    fault("the operator's rights gone for 60 s", SOME, Part::ApiServer, How::All(outage::operators_rights_gone), 45, "crashed ones move, others stay"),
    fault("all rights gone for 60 s", SOME, Part::ApiServer, How::All(outage::all_rights_gone), 45, "stays"),

    fault("leading operator killed in mid-failover", SOME, Part::Operator, How::All(operators::leader_killed), 45, "moves"),
    fault("leading operator frozen in mid-failover", SOME, Part::Operator, How::All(operators::leader_frozen), 45, "moves"),
    fault("two operators lead at once", SOME, Part::Operator, How::All(operators::two_lead), 45, "moves"),
    fault("operator's time of day an hour ahead", SOME, Part::Operator, How::All(clocks::an_hour_ahead), 45, "moves"),
    fault("operator's time of day an hour behind", SOME, Part::Operator, How::All(clocks::an_hour_behind), 45, "moves"),
    fault("operator's clocks 4 % too fast", SOME, Part::Operator, How::All(clocks::too_fast), 45, "moves"),
    fault("operator's clocks 4 % too slow", SOME, Part::Operator, How::All(clocks::too_slow), 45, "moves"),
    fault("etcd restored from before the last epoch", SOME, Part::Operator, How::All(outage::etcd_restored), 90, "resumes under a later token"),
];
