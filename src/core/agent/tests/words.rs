//! What people and the operator read of an agent.

use super::*;

#[test]
fn a_release_says_its_word_and_a_sentence() {
    for (why, word, text) in [
        (Why::Revoked, ReleaseReason::Revoked, "the operator took the permit back and the bot was stopped."),
        (
            Why::Exited(Exit::Code(3), 0),
            ReleaseReason::ProcessExited,
            "the bot's process ended with exit code 3; no restart in place is allowed.",
        ),
        (
            Why::Exited(Exit::Signal(9), 2),
            ReleaseReason::ProcessExited,
            "the bot's process was ended by signal 9 again after 2 restarts in place.",
        ),
        (
            Why::RestartWanted(Exit::Code(0)),
            ReleaseReason::RestartWanted,
            "the bot's process ended with exit code 0; its restart is to be reconciled.",
        ),
        (Why::PromotionFailed("no.".into()), ReleaseReason::PromotionFailed, "no."),
        (Why::RenewDeadline, ReleaseReason::RenewDeadline, "the API server did not answer until the renew deadline."),
        (Why::PodStopping, ReleaseReason::PodStopping, "the pod is being stopped."),
    ] {
        assert_eq!(ReleaseReason::parse(&why.to_string()), Some(word));
        assert_eq!(why.to_string().split_once(": "), Some((word.as_str(), text)));
    }
}

#[test]
fn a_bot_is_told_its_role_by_a_word() {
    let roles = [Role::Standby, Role::Candidate, Role::Active, Role::Demoting];
    assert_eq!(roles.map(Role::as_str), ["standby", "candidate", "active", "demoting"]);
}
