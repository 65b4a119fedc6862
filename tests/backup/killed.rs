//! A run that ends early leaves no backup, and the next one is none the worse.

use tradingbot::api::backup_config::Action;
use tradingbot::core::backup::report::FailureReason;

use super::world::{World, eventually};

const PARTS: usize = 5;

#[test]
fn a_run_that_is_killed_anywhere_leaves_no_backup() {
    let world = World::new(PARTS * (8 << 20) - 1);
    for parts in [1, 3, PARTS] {
        let before = world.parts();
        world.faults("delay 50");
        let mut run = world.start(Action::Backup);
        eventually("parts arrive", || world.parts() >= before + parts);
        run.kill().unwrap();
        assert_eq!(world.wait(run).code, None);
        assert_eq!(world.names("manifests"), Vec::<String>::new());
    }
    // While it is read back.
    world.faults("delay 300");
    let mut run = world.start(Action::Backup);
    eventually("the artefact is complete", || !world.names("artefacts").is_empty());
    run.kill().unwrap();
    assert_eq!(world.wait(run).code, None);
    assert_eq!(world.names("manifests"), Vec::<String>::new());

    world.faults("");
    let made = world.run(Action::Backup);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(made.report.catalogue.map(|catalogue| catalogue.count), Some(1));
}

#[test]
fn a_run_that_is_told_to_end_gives_its_upload_up_and_says_so() {
    let world = World::new(PARTS * (8 << 20));
    world.faults("delay 100");
    let run = world.start(Action::Backup);
    eventually("parts arrive", || world.parts() >= 1);
    let told = std::process::Command::new("kill").arg(run.id().to_string()).status().unwrap();
    assert!(told.success());
    let ended = world.wait(run);
    assert_eq!((ended.code, ended.reason()), (Some(1), Some(FailureReason::Interrupted)), "{ended:?}");
    assert_eq!((world.parts(), world.names("manifests")), (0, vec![]));
}
