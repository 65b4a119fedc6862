//! Backups that were changed or lost where they are kept.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tradingbot::api::backup_config::Action;
use tradingbot::core::backup::BackupId;
use tradingbot::core::backup::report::FailureReason;

use super::world::{World, eventually};

fn flip_a_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_artefact_is_found_named_and_never_restored() {
    let mut world = World::new(1000);
    let older = world.back_up();
    // Ids of one second are in the order of chance.
    let begun = older.parse::<BackupId>().unwrap().begun();
    eventually("the next second", || Some(Timestamp::now()) >= begun.map(|begun| begun + Duration::from_secs(1)));
    let id = world.back_up();
    flip_a_byte(&world.bot().join("artefacts").join(&id));

    world.config.selection.id = Some(id.parse().unwrap());
    world.config.command = vec!["/bin/sh".into(), "-c".into(), format!("touch {}/x; cat", world.folder.display())];
    let refused = world.run(Action::Restore);
    assert_eq!(refused.reason(), Some(FailureReason::Damaged), "{refused:?}");
    assert!(!refused.report.failure.as_ref().unwrap().target_changed);
    assert!(!world.folder.join("x").exists(), "the target was changed for a damaged backup");

    world.config.selection.id = None;
    let found = world.run(Action::Verify);
    assert_eq!((found.code, found.reason()), (Some(1), Some(FailureReason::Damaged)));
    assert!(found.message().contains(&id), "{found:?}");
    assert_eq!(found.report.damaged.iter().map(ToString::to_string).collect::<Vec<_>>(), std::slice::from_ref(&id));
    assert_eq!(world.names("damaged"), [id]);
    // The next verification, and a restore of the newest, take the one before.
    assert_eq!(world.run(Action::Verify).id(), older);
    assert_eq!(world.restores().id(), older);
}

#[test]
fn a_copy_is_restored_when_the_first_destination_lost_it_or_is_gone() {
    let mut world = World::new(9 << 20);
    world.add_claim();
    let id = world.back_up();
    flip_a_byte(&world.bot().join("artefacts").join(&id));
    let verified = world.run(Action::Verify);
    assert!(verified.message().contains("'copies' is good"), "{verified:?}");
    assert_eq!(world.restores().id(), id);

    fs::remove_dir_all(world.bot()).unwrap();
    let restored = world.restores();
    assert_eq!(restored.id(), id);
    assert!(restored.report.warnings.iter().any(|warning| warning.contains("no good backup")), "{restored:?}");

    fs::remove_dir_all(world.folder.join("s3/backups")).unwrap();
    assert_eq!(world.restores().id(), id);
}

#[test]
fn an_edited_manifest_is_neither_restored_nor_removed() {
    let mut world = World::new(1000);
    let id = world.back_up();
    let manifest = world.bot().join("manifests").join(format!("{id}.json"));
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"epoch\":7", "\"epoch\":9")).unwrap();
    assert_eq!(world.run(Action::Check).reason(), Some(FailureReason::NotFound));
    world.config.selection.id = Some(id.parse().unwrap());
    assert_eq!(world.run(Action::Check).reason(), Some(FailureReason::Damaged));

    world.keep(1);
    for _ in 0..2 {
        let made = world.run(Action::Backup);
        assert!(made.report.warnings.iter().any(|warning| warning.contains("was edited")), "{made:?}");
        assert_eq!(made.report.catalogue.map(|catalogue| catalogue.count), Some(1));
    }
    assert!(manifest.exists() && world.names("artefacts").contains(&id));
}

#[test]
fn files_that_are_none_of_ours_stay() {
    let mut world = World::new(1000);
    world.keep(1);
    world.back_up();
    let manifests = world.bot().join("manifests");
    for name in ["readme.txt", "..json", "20261124T020000Z-daily-003f.json"] {
        fs::write(manifests.join(name), "{}").unwrap();
    }
    let made = world.run(Action::Backup);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(manifests.join("readme.txt").exists());
    assert!(manifests.join("20261124T020000Z-daily-003f.json").exists());
}
