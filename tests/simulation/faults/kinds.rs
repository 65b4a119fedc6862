//! The kinds of faults.

use std::fmt;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident = $name:literal,)*) => {
        /// What goes wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[doc = $doc])* $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            /// Its name in traces and tables.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// Requests take up to some seconds to arrive.
    RequestsLate = "requests late",
    /// Requests never arrive.
    RequestsLost = "requests lost",
    /// Requests are carried out and never answered.
    RepliesLost = "replies lost after commit",
    /// Answers come up to two seconds after what was asked for was done.
    AnswersLate = "answers late",
    /// Answers to the active's agent come late and its watch is silent, and then its node is cut off from the API server.
    AnswersLateThenCut = "answers to the active late, then cut off",
    /// What the active's agent sees of its Lease comes late, and then what it sends, or what is answered, is lost.
    EventsLateThenMute = "events to the active late, then no answers",
    /// Connections break.
    ConnectionsBroken = "connections broken",
    /// 409 for what would have succeeded.
    Conflicts = "conflict storm",
    /// 429.
    TooManyRequests = "429 storm",
    /// 500.
    ServerErrors = "500 storm",
    /// 403: the rights were taken away.
    Forbidden = "rights taken away",
    /// Watches tell nothing more, without ending.
    WatchesStalled = "watches stalled",
    /// The events of watches come late.
    EventsLate = "events late",
    /// Old versions are forgotten, and watches from there are answered with 410.
    Compacted = "compacted (410)",
    /// All watches end.
    WatchesEnded = "watches ended",
    /// An operator starts again and is answered by an API server that lags behind.
    StaleApiServer = "stale API server after a restart",
    /// Again and again nothing is answered for some seconds, and everyone's watches lag behind.
    ApiOverloaded = "API server overloaded",
    /// The API server is stopped and goes on.
    ApiPaused = "API server paused",
    /// Connections to the API server are refused.
    ApiRefused = "API server down",
    /// The API server does not answer.
    ApiSilent = "API server silent",
    /// The cluster's store is put back to an older state.
    EtcdRestored = "etcd restored",
    /// The leading operator dies and starts again.
    LeaderCrashed = "leading operator crashed",
    /// All operators die and start again.
    OperatorsCrashed = "all operators crashed",
    /// All operators die, and the active's node is cut off from the API server shortly before they are back.
    OperatorsCrashedThenCut = "all operators crashed, then active cut off",
    /// A replica that has seen nothing new for a while takes the lead.
    OldViewLeads = "replica with an old view takes the lead",
    /// The leading operator dies at one of its next writes, before it or after it.
    CrashAtWrite = "operator crashed at a write",
    /// The leading operator is stopped between its check and the arrival of one of its next writes.
    FrozenAtWrite = "operator frozen at a write and thawed",
    /// The leading operator is stopped past its lead, and goes on beside the next one.
    LeaderFrozen = "leading operator frozen and thawed",
    /// Both operators are stopped and go on.
    OperatorsFrozen = "all operators frozen and thawed",
    /// The container of the active is killed.
    ActiveKilled = "active's container killed",
    /// The process of the active's bot ends.
    BotExited = "bot's process exited",
    /// The agent of the active is stopped, its guard is not.
    AgentFrozen = "agent frozen",
    /// A standby's container is killed.
    StandbyKilled = "standby's container killed",
    /// All standbys' containers are killed.
    StandbysKilled = "all standbys killed",
    /// Whoever is being promoted is killed.
    CandidateKilled = "candidate killed while promoted",
    /// The active's node is cut off.
    NodeCut = "active's node cut off",
    /// The active's node is cut off from the API server.
    NodeCutFromApi = "active's node cut off from the API server",
    /// What the API server answers to the active's node is lost.
    NodeHearsNothing = "answers to the active's node lost",
    /// The active's node is cut off from the exchange.
    NodeCutFromExchange = "active's node cut off from the exchange",
    /// Another node is cut off.
    OtherNodeCut = "another node cut off",
    /// The active's node loses its power.
    PowerCut = "active's node without power",
    /// The kubelet of the active's node is stopped.
    KubeletStopped = "kubelet of the active stopped",
    /// The active's node is cordoned for a while.
    NodeCordoned = "active's node cordoned",
    /// The active's pod is deleted.
    PodDeleted = "active's pod deleted",
    /// The active's pod is deleted by force.
    PodForceDeleted = "active's pod deleted by force",
    /// The active's node is cut off and its pod object removed.
    PodRemovedBehindCut = "active's pod removed behind a cut",
    /// The bot's Lease is deleted.
    LeaseDeleted = "Lease deleted",
    /// Somebody writes another holder into the Lease.
    HolderEdited = "Lease's holder edited",
    /// Somebody sets the Lease's epoch back.
    EpochSetBack = "Lease's epoch set back",
    /// Somebody writes a `renewTime` into the Lease that is to come.
    RenewTimeAhead = "Lease's renewTime in the future",
    /// The operators' time of day is an hour ahead.
    WallClockAhead = "operators' wall clock an hour ahead",
    /// The operators' time of day is an hour behind.
    WallClockBehind = "operators' wall clock an hour behind",
    /// The operators' monotonic clocks run at another rate, within the tolerance.
    ClockRate = "operators' clock rate changed",
    /// The next reconciliation hangs.
    JobHangs = "reconciliation hangs",
    /// The next reconciliation fails.
    JobFails = "reconciliation fails",
    /// The node on which a reconciliation runs loses its power.
    JobLosesNode = "reconciliation dies with its node",
    /// The next Job gets two pods.
    JobDoubled = "reconciliation doubled",
    /// The resource is deleted and made again under its name.
    Recreated = "resource deleted and made again",
    /// Somebody asks for a switchover.
    Switchover = "switchover asked for",
    /// Somebody asks for a failover.
    ForcedFailover = "failover asked for",
    /// The template changes.
    RollingUpdate = "rolling update",
    /// The bot is suspended for a while.
    Suspended = "suspended and resumed",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Kind {
    /// Whether it moves the operators' time of day.
    pub fn moves_wall_clock(self) -> bool {
        matches!(self, Kind::WallClockAhead | Kind::WallClockBehind)
    }

    /// Whether what the cluster knows of tokens is lost, so that only the time of day keeps them growing.
    pub fn forgets_tokens(self) -> bool {
        matches!(self, Kind::EtcdRestored | Kind::Recreated | Kind::OldViewLeads)
    }
}
