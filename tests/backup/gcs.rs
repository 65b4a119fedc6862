//! Google Cloud Storage, by fake-gcs-server with the parts of the XML API that it has not.

use std::fs;
use std::process::{Command, Stdio};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tradingbot::api::backup::{Destination, GoogleCloudStorage};
use tradingbot::core::backup::report::FailureReason;

use super::destinations::fails;
use super::servers::{LARGE, goes_round, installed};
use super::world::{World, first_line, folder};

/// A key of an account, as Google hands it out.
fn service_account(key: &KeyPair) -> String {
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
    serde_json::json!({
        "type": "service_account",
        "project_id": "doges",
        "client_email": "backups@doges.iam.gserviceaccount.com",
        "private_key_id": "1",
        "private_key": pem,
    })
    .to_string()
}

fn google(bytes: usize) -> World {
    let folder = folder();
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = folder.join("public.der");
    fs::write(&public, key.public_key().as_ref()).unwrap();
    let program = installed("gcs").unwrap().join("gcs");
    let mut server = Command::new(program).arg(public).stdout(Stdio::piped()).spawn().unwrap();
    let google = GoogleCloudStorage {
        bucket: "backups".into(),
        endpoint: Some(format!("http://{}", first_line(&mut server))),
        secret_name: Some("keys".into()),
    };
    let destination =
        Destination { prefix: "bots".into(), google_cloud_storage: Some(google), ..Destination::default() };
    let world = World::at(folder, server, destination, bytes);
    world.key("service-account.json", &service_account(&key));
    world
}

#[test]
fn a_backup_comes_back_from_a_bucket() {
    for size in [1000, LARGE] {
        goes_round(&mut google(size));
    }
}

#[test]
fn a_bucket_that_is_not_there_and_the_key_of_another_account_are_told_apart() {
    let mut world = google(1000);
    let known = fs::read_to_string(world.folder.join("pod/.tradingbot-backup/secrets/0/service-account.json")).unwrap();
    world.key("service-account.json", &service_account(&KeyPair::generate(KeySize::Rsa2048).unwrap()));
    fails(&world, FailureReason::DestinationRefused, "Check the keys");
    world.key("service-account.json", &known);
    world.config.destinations[0].google_cloud_storage.as_mut().unwrap().bucket = "backups-of-nobody".into();
    fails(&world, FailureReason::Misconfigured, "correct its name");
}
