//! Google Cloud Storage, by fake-gcs-server with the parts of the XML API that it has not.

use std::process::{Command, Stdio};

use tradingbot::api::backup::{Destination, GoogleCloudStorage};
use tradingbot::core::backup::report::FailureReason;

use super::destinations::fails;
use super::servers::{LARGE, goes_round, installed};
use super::world::{World, first_line, folder};

fn google(bytes: usize) -> World {
    let mut server = Command::new(installed("gcs").unwrap().join("gcs")).stdout(Stdio::piped()).spawn().unwrap();
    let google = GoogleCloudStorage {
        bucket: "backups".into(),
        endpoint: Some(format!("http://{}", first_line(&mut server))),
        secret_name: Some("keys".into()),
    };
    let destination =
        Destination { prefix: "bots".into(), google_cloud_storage: Some(google), ..Destination::default() };
    let world = World::at(folder(), server, destination, bytes);
    // Such a server has no accounts, so nobody is asked for a token.
    let account = r#"{"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": true}"#;
    world.key("service-account.json", account);
    world
}

#[test]
fn a_backup_comes_back_from_a_bucket() {
    for size in [1000, LARGE] {
        goes_round(&mut google(size));
    }
}

#[test]
fn a_bucket_that_is_not_there_is_said_to_be_missing() {
    let mut world = google(1000);
    world.config.destinations[0].google_cloud_storage.as_mut().unwrap().bucket = "backups-of-nobody".into();
    fails(&world, FailureReason::Misconfigured, "correct its name");
}
