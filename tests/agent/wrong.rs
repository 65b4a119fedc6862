//! The deliberate mistake of `src/core/wrong.rs` that only processes show: tests of this program catch it.

use std::process::Command;

#[test]
fn killing_no_more_than_the_bots_own_process_group_is_caught() {
    for catcher in [
        "processes::a_daemonised_child_in_another_session_dies_with_the_demotion",
        "processes::when_the_agent_is_stopped_the_guard_process_kills_the_bot_at_the_deadline",
    ] {
        let outcome = |mistake: Option<&str>| {
            let mut run = Command::new(std::env::current_exe().unwrap());
            run.args(["--exact", catcher]).envs(mistake.map(|name| ("TRADINGBOT_WRONG", name)));
            let output = run.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains("running 1 test"), "{said}");
            (output.status.success(), said)
        };
        let (passes, said) = outcome(None);
        assert!(passes, "{said}");
        let (passes, said) = outcome(Some("guard-on-process-group"));
        assert!(!passes, "{catcher} does not catch it: {said}");
    }
}
