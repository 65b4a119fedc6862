//! What the documents show is accepted by a real API server.

use std::fs;
use std::path::{Path, PathBuf};

use super::cluster::{Cluster, kubectl};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn accepted(cluster: &Cluster, file: &Path) {
    let file = file.to_str().expect("a path in UTF-8");
    let output = kubectl(&["-n", &cluster.namespace, "apply", "--dry-run=server", "-f", file]);
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn every_example_is_accepted() {
    let cluster = Cluster::with_namespace("examples").await;
    let mut tried = 0;
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            accepted(&cluster, &path);
            tried += 1;
        }
    }
    assert!(tried >= 5, "only {tried} examples were found");
    cluster.clean_up().await;
}

#[tokio::test]
async fn the_bot_in_the_readme_is_accepted_and_the_first_example_is_short() {
    let cluster = Cluster::with_namespace("readme").await;
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```yaml\n").expect("the README shows a bot");
    let (bot, _) = rest.split_once("```").expect("its end");
    let folder = root().join("target/docs");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("readme-bot.yaml");
    fs::write(&file, bot).unwrap();
    accepted(&cluster, &file);
    let minimal = fs::read_to_string(root().join("examples/minimal.yaml")).unwrap();
    assert!(minimal.lines().count() <= 15, "the first example has {} lines", minimal.lines().count());
    cluster.clean_up().await;
}

/// Every page of the documents.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { pages.push(path) }
        }
    }
    pages
}

#[tokio::test]
async fn every_object_that_the_documents_show_in_full_is_accepted() {
    let cluster = Cluster::with_namespace("docs").await;
    let folder = root().join("target/docs");
    fs::create_dir_all(&folder).unwrap();
    let mut tried = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```"));
        // What does not begin so is a part of an object.
        for (block, _) in blocks.filter(|(block, _)| block.starts_with("apiVersion: tradingbot.io/")) {
            let name = page.file_stem().unwrap_or_default().to_string_lossy();
            let file = folder.join(format!("{name}-{tried}.yaml"));
            fs::write(&file, block).unwrap();
            accepted(&cluster, &file);
            tried += 1;
        }
    }
    assert!(tried >= 2, "only {tried} objects were found");
    cluster.clean_up().await;
}

#[test]
fn every_make_target_that_the_documents_name_is_there() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: Vec<&str> =
        makefile.lines().filter_map(|l| l.split_once(": ").or(l.split_once(':'))).map(|(t, _)| t).collect();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for (at, _) in text.match_indices("make ") {
            let before = text[..at].chars().next_back().unwrap_or('\n');
            if before != '`' && before != '\n' {
                continue;
            }
            let target: String =
                text[at + 5..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            assert!(targets.contains(&target.as_str()), "{}: there is no 'make {target}'", page.display());
        }
    }
}
