//! S3 as Amazon has it: versions that are locked, encryption by the server, storage classes. Moto is the server, and
//! Amazon's own client looks at what it got.

use std::process::{Command, Stdio};

use serde::Deserialize;
use tradingbot::api::backup::{Destination, S3, ServerSideEncryption, ServerSideEncryptionType};
use tradingbot::api::backup_config::{Action, Selection};

use super::servers::{LARGE, file, goes_round, installed};
use super::world::{World, first_line, folder};

/// A version of an object, or a marker that hides it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    key: String,
    marker: bool,
    latest: bool,
    class: Option<String>,
    encryption: Option<String>,
    kms_key: Option<String>,
    #[serde(default)]
    sha256: bool,
    lock: Option<String>,
    /// What came of the wish to remove it for good.
    removal: Option<String>,
}

fn moto(bucket: &str, bytes: usize) -> World {
    let python = installed("moto").unwrap().join("python/bin/python");
    let mut server =
        Command::new(python).arg(file("moto/serve.py")).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let address = first_line(&mut server);
    let s3 = S3 {
        bucket: bucket.into(),
        endpoint: Some(format!("http://{address}")),
        secret_name: Some("keys".into()),
        ..S3::default()
    };
    let destination = Destination { prefix: "bots".into(), s3: Some(s3), ..Destination::default() };
    let world = World::at(folder(), server, destination, bytes);
    world.keys("key", "secret");
    world
}

fn s3(world: &mut World) -> &mut S3 {
    world.config.destinations[0].s3.as_mut().unwrap()
}

/// What Amazon's client sees below a folder of the bot's; with `remove` it tries to remove it.
fn look(world: &mut World, below: &str, wish: &[&str]) -> Vec<Version> {
    let s3 = s3(world);
    let out = Command::new(installed("moto").unwrap().join("python/bin/python"))
        .arg(file("moto/look.py"))
        .args([s3.endpoint.as_ref().unwrap().trim_start_matches("http://"), &s3.bucket])
        .args(wish)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let below = format!("bots/trading/doge/{below}");
    let lines = out.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let all = lines.map(|line| serde_json::from_slice::<Version>(line).unwrap());
    all.filter(|version| version.key.starts_with(&below)).collect()
}

#[test]
fn a_backup_comes_back_from_a_bucket() {
    for size in [1000, LARGE] {
        goes_round(&mut moto("backups", size));
    }
}

#[test]
fn what_retention_removes_from_a_locked_bucket_is_hidden_and_no_version_is_lost() {
    let mut world = moto("locked", 1000);
    let stay = goes_round(&mut world);
    for folder in ["artefacts/", "manifests/"] {
        let all = look(&mut world, folder, &["remove"]);
        let (markers, versions): (Vec<_>, Vec<_>) = all.iter().partition(|version| version.marker);
        assert_eq!((markers.len(), versions.len()), (1, 3), "{all:?}");
        for version in versions {
            assert!(version.sha256, "it was taken without a checksum: {version:?}");
            assert_eq!(version.lock.as_deref(), Some("COMPLIANCE"), "{version:?}");
            assert_eq!(version.removal.as_deref(), Some("AccessDenied"), "the server locks nothing: {version:?}");
            // Those that stay are not hidden, and only the one that went is.
            assert_eq!(version.latest, stay.iter().any(|id| version.key.contains(id.as_str())), "{version:?}");
        }
    }
    // Its versions are what the bucket's owner gets it back from.
    assert_eq!(world.run(Action::Verify).report.catalogue.unwrap().count, 2);
}

/// Moto gives what comes in parts no retention of the bucket's, so nothing is said here about locks.
#[test]
fn a_locked_bucket_takes_every_part_of_an_upload() {
    let mut world = moto("locked", LARGE);
    goes_round(&mut world);
    let artefacts = look(&mut world, "artefacts/", &[]);
    assert_eq!(artefacts.iter().filter(|version| !version.marker && version.sha256).count(), 3, "{artefacts:?}");
}

#[test]
fn artefacts_have_a_storage_class_and_everything_is_encrypted() {
    let kms = "arn:aws:kms:us-east-1:123456789012:key/0f3b6a52-6f0d-4d1c-9d7e-2f3f6a0c9b11";
    for (type_, key, algorithm) in [
        (ServerSideEncryptionType::Aes256, None, "AES256"),
        (ServerSideEncryptionType::AwsKms, Some(kms.to_owned()), "aws:kms"),
    ] {
        let mut world = moto("backups", LARGE);
        s3(&mut world).storage_class = Some("STANDARD_IA".into());
        s3(&mut world).server_side_encryption = Some(ServerSideEncryption { type_, kms_key_id: key.clone() });
        for parts in ["many", "one"] {
            if parts == "one" {
                std::fs::write(world.folder.join("data"), "all of it").unwrap();
            }
            let id = world.back_up();
            world.config.selection = Selection { id: Some(id.parse().unwrap()), before: None };
            world.restores();
        }
        let all = look(&mut world, "", &[]);
        assert_eq!(all.len(), 5, "{all:?}");
        for object in &all {
            let class = if object.key.contains("/artefacts/") { "STANDARD_IA" } else { "STANDARD" };
            assert_eq!(object.class.as_deref(), Some(class), "{object:?}");
            assert_eq!(object.encryption.as_deref(), Some(algorithm), "{object:?}");
            assert_eq!(object.kms_key, key, "{object:?}");
        }
    }
}
