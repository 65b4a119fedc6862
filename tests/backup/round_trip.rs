//! What is backed up comes back, whatever was done to it on the way.

use std::fs;

use age::secrecy::ExposeSecret;
use tradingbot::api::backup::{Compression, Encryption};
use tradingbot::api::backup_config::Action;
use tradingbot::core::backup::report::FailureReason;

use super::world::World;

/// More than two parts.
const LARGE: usize = (20 << 20) + 17;

fn encrypt(world: &mut World) {
    let key = age::x25519::Identity::generate();
    world.config.encryption =
        Some(Encryption { recipients: vec![key.to_public().to_string()], identity_secret_name: None });
    let folder = world.folder.join("pod/.tradingbot-backup/identity");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("identity"), format!("# a key\n{}\n", key.to_string().expose_secret())).unwrap();
}

#[test]
fn a_backup_comes_back_as_it_was_with_and_without_compression_and_encryption() {
    for size in [1, 1000, 8 << 20, LARGE] {
        for compression in [Compression::None, Compression::Zstd] {
            for encrypted in [false, true] {
                let mut world = World::new(size);
                world.config.compression = compression;
                if encrypted {
                    encrypt(&mut world);
                }
                let id = world.back_up();
                let stored = fs::read(world.bot().join("artefacts").join(&id)).unwrap();
                assert_eq!(encrypted, stored.starts_with(b"age-encryption.org/v1"));
                assert_eq!(world.run(Action::Check).id(), id);
                let restored = world.restores();
                assert!(restored.report.restored_time.is_some());
            }
        }
    }
}

#[test]
fn what_cannot_be_decrypted_is_found_before_anything_is_stopped() {
    let mut world = World::new(1000);
    encrypt(&mut world);
    world.back_up();
    let identity = world.folder.join("pod/.tradingbot-backup/identity/identity");
    fs::write(&identity, age::x25519::Identity::generate().to_string().expose_secret()).unwrap();
    assert_eq!(world.run(Action::Check).reason(), Some(FailureReason::CannotDecrypt));
    fs::remove_file(identity).unwrap();
    let none = world.run(Action::Check);
    assert_eq!(none.reason(), Some(FailureReason::CannotDecrypt));
    assert!(none.message().contains("identitySecretName"), "{none:?}");
    // As it is stored it is whole.
    assert_eq!(world.run(Action::Verify).code, Some(0));
}

#[test]
fn retention_keeps_the_newest_at_every_destination() {
    let mut world = World::new(1000);
    let claim = world.add_claim();
    world.keep(2);
    // In one second ids are in no order.
    for _ in 0..3 {
        world.back_up();
    }
    let last = world.run(Action::Verify);
    let catalogue = last.report.catalogue.unwrap();
    assert_eq!((catalogue.count, catalogue.stored_bytes), (2, 2000));
    for folder in ["artefacts", "manifests"] {
        assert_eq!(world.names(folder).len(), 2);
        assert_eq!(super::world::names(&claim.join(folder)).len(), 2);
    }
}

#[test]
fn a_source_that_fails_leaves_nothing() {
    let mut world = World::new(LARGE);
    let data = world.folder.join("data").display().to_string();
    world.config.source.command.as_mut().unwrap().command =
        vec!["/bin/sh".into(), "-c".into(), format!("cat {data}; echo no more >&2; exit 3")];
    let failed = world.run(Action::Backup);
    assert_eq!((failed.code, failed.reason()), (Some(1), Some(FailureReason::SourceFailed)), "{failed:?}");
    assert!(failed.message().contains("no more"), "{failed:?}");
    assert_eq!((world.parts(), world.names("artefacts"), world.names("manifests")), (0, vec![], vec![]));
}
