//! What goes wrong in a world: drawn from the seed, carried out at virtual times.

mod kinds;
mod objects;
mod processes;
mod scene;
mod schedule;
mod ways;

pub use kinds::Kind;
pub use scene::Scene;
pub use schedule::{FEWEST, draw};
use tokio::time::sleep;

/// Waits until the fault is due, lets it happen and waits until it is over; answers whether it took effect.
pub async fn happen(scene: Scene) -> bool {
    sleep(scene.fault.at).await;
    match scene.fault.kind {
        Kind::RequestsLate
        | Kind::RequestsLost
        | Kind::RepliesLost
        | Kind::AnswersLate
        | Kind::AnswersLateThenCut
        | Kind::EventsLateThenMute
        | Kind::ConnectionsBroken
        | Kind::Conflicts
        | Kind::TooManyRequests
        | Kind::ServerErrors
        | Kind::Forbidden
        | Kind::WatchesStalled
        | Kind::EventsLate
        | Kind::Compacted
        | Kind::WatchesEnded
        | Kind::StaleApiServer
        | Kind::ApiOverloaded
        | Kind::ApiPaused
        | Kind::ApiRefused
        | Kind::ApiSilent
        | Kind::EtcdRestored => ways::happen(&scene).await,
        Kind::LeaderCrashed
        | Kind::OperatorsCrashed
        | Kind::OperatorsCrashedThenCut
        | Kind::OldViewLeads
        | Kind::CrashAtWrite
        | Kind::FrozenAtWrite
        | Kind::LeaderFrozen
        | Kind::OperatorsFrozen
        | Kind::ActiveKilled
        | Kind::BotExited
        | Kind::AgentFrozen
        | Kind::StandbyKilled
        | Kind::StandbysKilled
        | Kind::CandidateKilled
        | Kind::NodeCut
        | Kind::NodeCutFromApi
        | Kind::NodeHearsNothing
        | Kind::NodeCutFromExchange
        | Kind::OtherNodeCut
        | Kind::PowerCut
        | Kind::KubeletStopped => processes::happen(&scene).await,
        Kind::NodeCordoned
        | Kind::PodDeleted
        | Kind::PodForceDeleted
        | Kind::PodRemovedBehindCut
        | Kind::LeaseDeleted
        | Kind::HolderEdited
        | Kind::EpochSetBack
        | Kind::RenewTimeAhead
        | Kind::WallClockAhead
        | Kind::WallClockBehind
        | Kind::ClockRate
        | Kind::JobHangs
        | Kind::JobFails
        | Kind::JobLosesNode
        | Kind::JobDoubled
        | Kind::Recreated
        | Kind::Switchover
        | Kind::ForcedFailover
        | Kind::RollingUpdate
        | Kind::Suspended => objects::happen(&scene).await,
    }
}
