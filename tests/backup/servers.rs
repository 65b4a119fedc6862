//! Servers of others' protocols, installed by the script `servers`, and what every one of them has to do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tradingbot::api::backup_config::{Action, Selection};
use tradingbot::core::backup::report::FailureReason;

use super::world::World;

/// More than two parts.
pub const LARGE: usize = (20 << 20) + 17;

/// A file of this folder.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backup").join(path)
}

/// Where a server is installed; `None`: it cannot be here, as the script says.
pub fn installed(name: &str) -> Option<PathBuf> {
    let out = Command::new(file("servers")).arg(name).stderr(Stdio::inherit()).output().unwrap();
    assert!(out.status.success(), "{name} cannot be installed");
    let folder = String::from_utf8(out.stdout).unwrap().trim().to_owned();
    (!folder.is_empty()).then(|| folder.into())
}

/// Two backups, one that goes, a verification, a check of an earlier one and a restore; the ids that stay.
pub fn goes_round(world: &mut World) -> Vec<String> {
    world.keep(2);
    let made: Vec<_> = (0..3).map(|_| world.run(Action::Backup)).collect();
    for one in &made {
        assert_eq!(one.code, Some(0), "{one:?}");
        assert!(one.report.warnings.is_empty(), "{one:?}");
    }
    let last = made[2].report.catalogue.as_ref().unwrap();
    assert_eq!((last.count, last.removed, last.locked), (2, 1, 0));
    let verified = world.run(Action::Verify);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let newest = world.run(Action::Check).id();
    assert_eq!(verified.id(), newest);
    world.restores();

    let select = |world: &mut World, id: &str| {
        world.config.selection = Selection { id: Some(id.parse().unwrap()), before: None };
        let checked = world.run(Action::Check);
        world.config.selection = Selection::default();
        checked
    };
    let (stay, gone): (Vec<_>, Vec<_>) =
        made.iter().map(super::world::Ended::id).partition(|id| select(world, id).code == Some(0));
    assert_eq!((stay.len(), gone.len()), (2, 1), "{made:?}");
    assert_eq!(select(world, &gone[0]).reason(), Some(FailureReason::NotFound));
    // The folder is another's, and what is there stays.
    world.config.bot_uid = "uid-2".into();
    assert_eq!(world.run(Action::Backup).reason(), Some(FailureReason::PrefixTaken));
    world.config.bot_uid = "uid-1".into();
    assert_eq!(world.run(Action::Check).id(), newest);
    stay
}
