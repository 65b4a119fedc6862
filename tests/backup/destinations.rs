//! Destinations that do not do as they should.

use std::net::TcpListener;

use tradingbot::api::backup_config::Action;
use tradingbot::core::backup::report::FailureReason;

use super::world::{Ended, World};

pub fn fails(world: &World, reason: FailureReason, words: &str) -> Ended {
    let failed = world.run(Action::Backup);
    assert_eq!((failed.code, failed.reason()), (Some(1), Some(reason)), "{failed:?}");
    assert!(failed.message().contains(words), "{failed:?}");
    assert!(failed.message().contains("'backups"), "it does not say where: {failed:?}");
    assert_eq!((world.parts(), world.names("manifests")), (0, vec![]));
    failed
}

#[test]
fn one_that_refuses_is_told_from_one_that_is_not_there() {
    let mut world = World::new(1000);
    world.faults("refuse");
    fails(&world, FailureReason::DestinationRefused, "AccessDenied");
    world.faults("");
    world.keys("key", "another");
    fails(&world, FailureReason::DestinationRefused, "Check the keys");
    world.keys("another", "secret");
    fails(&world, FailureReason::DestinationRefused, "Check the keys");
    world.keys("key", "secret");
    world.config.destinations[0].s3.as_mut().unwrap().bucket = "backups-of-nobody".into();
    fails(&world, FailureReason::Misconfigured, "correct its name");
}

#[test]
fn one_that_is_full_is_said_to_be() {
    let world = World::new(20 << 20);
    world.faults("full 12000000");
    fails(&world, FailureReason::DestinationFull, "Free space");
}

#[test]
fn one_that_does_not_answer_fails_and_a_slow_one_does_not() {
    let mut world = World::new(20 << 20);
    world.faults("delay 700");
    world.back_up();
    // Nobody listens there any more.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    world.config.bot = "cat".into();
    world.config.destinations[0].s3.as_mut().unwrap().endpoint = Some(format!("http://{free}"));
    let failed = world.run(Action::Backup);
    assert_eq!(failed.reason(), Some(FailureReason::DestinationUnreachable), "{failed:?}");
    assert!(failed.message().contains(&free.to_string()), "{failed:?}");
}

#[test]
fn a_folder_of_another_bot_is_left_alone_until_it_is_taken_over() {
    let mut world = World::new(1000);
    let first = world.back_up();
    world.config.bot_uid = "uid-2".into();
    let taken = world.run(Action::Backup);
    assert_eq!(taken.reason(), Some(FailureReason::PrefixTaken));
    assert!(taken.message().contains("uid-1") && taken.message().contains("takeOverFrom"), "{taken:?}");
    assert_eq!(world.run(Action::Check).reason(), Some(FailureReason::PrefixTaken));

    world.config.take_over_from = Some("uid-1".into());
    // Its backups can be restored before there is a new one.
    assert_eq!(world.run(Action::Check).id(), first);
    let made = world.run(Action::Backup);
    assert_eq!(made.report.catalogue.map(|catalogue| catalogue.count), Some(2));
    // The earlier one does not come back.
    world.config.bot_uid = "uid-1".into();
    world.config.take_over_from = None;
    assert_eq!(world.run(Action::Backup).reason(), Some(FailureReason::PrefixTaken));
}

#[test]
fn what_is_locked_stays_and_is_counted() {
    let mut world = World::new(1000);
    world.back_up();
    world.keep(1);
    world.faults("locked");
    let made = world.run(Action::Backup);
    assert_eq!(made.code, Some(0), "{made:?}");
    let catalogue = made.report.catalogue.as_ref().unwrap();
    assert_eq!((catalogue.removed, catalogue.locked, catalogue.count), (0, 1, 2));
    assert!(made.report.warnings.iter().any(|warning| warning.contains("AccessDenied")), "{made:?}");
    assert_eq!(world.names("artefacts").len(), 2);
}

#[test]
fn a_copy_that_fails_is_a_warning() {
    let mut world = World::new(1000);
    let claim = world.add_claim();
    std::fs::remove_dir_all(claim.ancestors().nth(2).unwrap()).unwrap();
    let made = world.run(Action::Backup);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.report.warnings.iter().any(|warning| warning.contains("'copies'")), "{made:?}");
}
