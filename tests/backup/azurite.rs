//! Azure Blob Storage, by Azurite.

use std::process::{Command, Stdio};

use tradingbot::api::backup::{AzureBlob, Destination};
use tradingbot::core::backup::report::FailureReason;

use super::destinations::fails;
use super::servers::{LARGE, file, goes_round, installed};
use super::world::{World, first_line, folder};

const ACCOUNT: &str = "trading";
const KEY: &str = "dGhlIGtleSBvZiB0aGUgYWNjb3VudA==";

/// `None`: there is no Node here.
fn azurite(bytes: usize) -> Option<World> {
    let Some(modules) = installed("azurite") else {
        eprintln!("Left out, because Node and npm are missing: Azure Blob Storage.");
        return None;
    };
    let mut server = Command::new("node")
        .arg(file("azurite/serve.cjs"))
        .arg(modules)
        .args([ACCOUNT, KEY])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let azure = AzureBlob {
        account: ACCOUNT.into(),
        container: "backups".into(),
        endpoint: Some(first_line(&mut server)),
        secret_name: Some("keys".into()),
    };
    let destination = Destination { prefix: "bots".into(), azure_blob: Some(azure), ..Destination::default() };
    let world = World::at(folder(), server, destination, bytes);
    world.key("AZURE_STORAGE_ACCOUNT_KEY", KEY);
    Some(world)
}

#[test]
fn a_backup_comes_back_from_a_container() {
    for size in [1000, LARGE] {
        if let Some(mut world) = azurite(size) {
            goes_round(&mut world);
        }
    }
}

#[test]
fn a_container_that_is_not_there_and_a_wrong_key_are_told_apart() {
    let Some(mut world) = azurite(1000) else { return };
    world.key("AZURE_STORAGE_ACCOUNT_KEY", "YW5vdGhlcg==");
    fails(&world, FailureReason::DestinationRefused, "Check the keys");
    world.key("AZURE_STORAGE_ACCOUNT_KEY", KEY);
    world.config.destinations[0].azure_blob.as_mut().unwrap().container = "backups-of-nobody".into();
    fails(&world, FailureReason::Misconfigured, "correct its name");
}
