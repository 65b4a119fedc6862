//! A directory is backed up while it is written, and put back.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tradingbot::backup::source::produce_in;
use tradingbot::core::backup::manifest::Format;
use tradingbot::core::backup::report::FailureReason;

use super::{AsUser, GivenUp, Place, directory, mount_small};

/// Every entry below a folder: what it is, its mode and time, and its content or where it leads.
fn entries(root: &Path) -> Vec<String> {
    fn walk(root: &Path, at: &Path, into: &mut Vec<String>) {
        let mut names: Vec<_> = fs::read_dir(at).expect("read").map(|e| e.expect("an entry").file_name()).collect();
        names.sort();
        for path in names.into_iter().map(|name| at.join(name)) {
            let found = fs::symlink_metadata(&path).expect("there");
            let what = match found.file_type() {
                kind if kind.is_dir() => format!("folder {:o} {}", found.mode(), found.mtime()),
                kind if kind.is_symlink() => format!("link to {:?}", fs::read_link(&path).expect("a link")),
                _ => format!("{:o} {} {:?}", found.mode(), found.mtime(), fs::read(&path).expect("read")),
            };
            into.push(format!("{:?} {what} of {}", path.strip_prefix(root).expect("below"), found.uid()));
            if found.is_dir() {
                walk(root, &path, into);
            }
        }
    }
    let mut all = Vec::new();
    walk(root, root, &mut all);
    all
}

fn filled(root: &Path) {
    fs::create_dir_all(root.join("state/empty")).expect("made");
    let odd: [&[u8]; 7] = [
        b"with space",
        b"new\nline",
        b"quo'te\"",
        "Währung ¥".as_bytes(),
        b"not \xff\xfe text",
        b"-rf",
        b"back\\slash",
    ];
    for name in odd {
        fs::write(root.join(OsStr::from_bytes(name)), name).expect("written");
    }
    fs::write(root.join("x".repeat(255)), "long").expect("written");
    let deep = root.join("a".repeat(90)).join("b".repeat(90)).join("c".repeat(90));
    fs::create_dir_all(&deep).expect("made");
    fs::write(deep.join("deep"), "deep").expect("written");
    symlink("../outside", root.join("state/leads outside")).expect("linked");
    symlink("/etc/passwd", root.join("state/absolute")).expect("linked");
    symlink("nowhere", root.join("dangling")).expect("linked");
    symlink("t".repeat(300), root.join("long link")).expect("linked");
    fs::write(root.join("large"), (0..2_000_000_u32).map(|n| (n % 253) as u8).collect::<Vec<_>>()).expect("written");
    fs::write(root.join("nothing"), "").expect("written");
    fs::write(root.join("program"), "#!/bin/sh").expect("written");
    fs::set_permissions(root.join("program"), Permissions::from_mode(0o750)).expect("set");
    fs::set_permissions(root.join("state/empty"), Permissions::from_mode(0o555)).expect("set");
    std::os::unix::fs::chown(root.join("program"), Some(12345), Some(12345)).expect("given away: the test needs root");
}

#[test]
fn a_directory_comes_back_as_it_was() {
    let place = Place::new();
    let root = place.path("data");
    filled(&root);
    let before = entries(&root);
    let (produced, content) = place.produce(&directory(&root)).expect("it is backed up");
    assert_eq!(produced.format, Format::Tar);
    let (_, again) = place.produce(&directory(&root)).expect("it is backed up");
    assert!(content == again, "the same files make the same bytes");

    place.rehearse(&directory(&root), Format::Tar, &content).expect("it can be put back");
    fs::write(root.join("later"), "later").expect("written");
    fs::remove_file(root.join("large")).expect("removed");
    fs::write(root.join("program"), "changed").expect("written");
    place.restore(&directory(&root), Format::Tar, &content).expect("it is put back");
    assert_eq!(entries(&root), before);

    fs::remove_dir_all(&root).expect("removed");
    place.restore(&directory(&root), Format::Tar, &content).expect("it is put back where nothing is");
    assert_eq!(entries(&root), before);
}

#[test]
fn another_tar_understands_it() {
    let place = Place::new();
    let root = place.path("data");
    filled(&root);
    let (_, content) = place.produce(&directory(&root)).expect("it is backed up");
    let (file, other) = (place.path("data.tar"), place.path("other"));
    fs::write(&file, content).expect("written");
    fs::create_dir(&other).expect("made");
    let done = std::process::Command::new("tar").arg("-xpf").arg(&file).arg("-C").arg(&other).status();
    assert!(done.expect("tar can be started").success());
    assert_eq!(entries(&other), entries(&root));
}

#[test]
fn a_sparse_file_stays_sparse() {
    let place = Place::new();
    let root = place.path("data");
    fs::create_dir(&root).expect("made");
    let size = 200_000_000;
    let mut file = File::create(root.join("sparse")).expect("made");
    file.write_all(b"begin").expect("written");
    file.set_len(size).expect("extended");
    let (_, content) = place.produce(&directory(&root)).expect("it is backed up");
    place.restore(&directory(&root), Format::Tar, &content).expect("it is put back");
    let found = fs::metadata(root.join("sparse")).expect("there");
    assert_eq!(found.len(), size);
    assert!(found.blocks() * 512 < 1_000_000, "{} bytes are on the disk", found.blocks() * 512);
}

#[test]
fn files_that_are_written_meanwhile_break_nothing() {
    let place = Place::new();
    let root = place.path("data");
    fs::create_dir(&root).expect("made");
    fs::write(root.join("log"), vec![b'x'; 1_000_000]).expect("written");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut log = File::options().append(true).open(root.join("log")).expect("opened");
            let mut n = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                log.write_all(b"another line\n").expect("appended");
                // As a careful program writes its state: whole, and renamed into place.
                fs::write(root.join("new"), format!("{n:08}").repeat(1000)).expect("written");
                fs::rename(root.join("new"), root.join("state")).expect("renamed");
                n += 1;
            }
        });
        super::until("the first state", || root.join("state").exists());
        for _ in 0..20 {
            let made = place.produce(&directory(&root));
            stop.store(made.is_err(), Ordering::Relaxed);
            let (_, content) = made.expect("it is backed up");
            let mut archive = tar::Archive::new(content.as_slice());
            for entry in archive.entries().expect("a tar") {
                let mut entry = entry.expect("an entry");
                let mut text = String::new();
                std::io::Read::read_to_string(&mut entry, &mut text).expect("text");
                if entry.path().expect("a path").as_os_str() == "state" {
                    assert_eq!(text, text[..8].repeat(1000), "a state is of one moment");
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_directory_that_is_missing_or_empty_is_no_backup() {
    let place = Place::new();
    let root = place.path("data");
    let failure = place.produce(&directory(&root)).expect_err("it is missing");
    assert!(failure.message.contains("spec.backup.source"), "{failure}");
    fs::create_dir(&root).expect("made");
    // What belongs to the filesystem and what a restore left is nothing of the bot's.
    fs::create_dir(root.join("lost+found")).expect("made");
    fs::create_dir(root.join(".tradingbot-restore-old-0")).expect("made");
    let failure = place.produce(&directory(&root)).expect_err("it is empty");
    assert_eq!(failure.reason, FailureReason::SourceFailed);
    assert!(failure.message.contains("is empty"), "{failure}");
    fs::write(root.join("file"), vec![1; 3_000_000]).expect("written");
    let failure = produce_in(&place.around, &directory(&root), &mut GivenUp(1_000_000)).expect_err("nobody takes it");
    assert_eq!(failure.reason, FailureReason::Interrupted);
}

#[test]
fn a_swap_that_fails_half_way_is_taken_back() {
    let place = Place::new();
    let root = place.path("data");
    fs::create_dir(&root).expect("made");
    for name in ["a", "b", "z"] {
        fs::write(root.join(name), "old").expect("written");
    }
    let (_, content) = place.produce(&directory(&root)).expect("it is backed up");
    for name in ["a", "b", "z"] {
        fs::write(root.join(name), "newer").expect("written");
    }
    // Where something is mounted cannot be renamed, and it comes after two that can.
    let _mounted = mount_small(&root.join("mounted"));
    let before = entries(&root);
    let failure = place.restore(&directory(&root), Format::Tar, &content).expect_err("it cannot be swapped");
    assert_eq!((failure.reason, failure.target_changed), (FailureReason::RestoreFailed, false), "{failure}");
    assert!(failure.message.contains("mounted"), "{failure}");
    assert_eq!(entries(&root), before);
}

#[test]
fn a_restore_that_finds_no_room_changes_nothing() {
    let place = Place::new();
    let (large, root) = (place.path("large"), place.path("data"));
    fs::create_dir(&large).expect("made");
    fs::write(large.join("file"), vec![1; 4_000_000]).expect("written");
    let (_, content) = place.produce(&directory(&large)).expect("it is backed up");
    let _mounted = mount_small(&root);
    fs::write(root.join("kept"), "kept").expect("written");
    let before = entries(&root);
    let failure = place.restore(&directory(&root), Format::Tar, &content).expect_err("there is no room");
    assert!(failure.message.contains("volume is full") && !failure.target_changed, "{failure}");
    assert_eq!(entries(&root), before);
}

#[test]
fn what_a_restore_that_was_cut_short_left_is_kept_until_one_succeeds() {
    let place = Place::new();
    let root = place.path("data");
    fs::create_dir(&root).expect("made");
    fs::write(root.join("file"), "good").expect("written");
    let (_, content) = place.produce(&directory(&root)).expect("it is backed up");
    // As after a kill in the middle of a swap.
    let (old, new) = (root.join(".tradingbot-restore-old-0"), root.join(".tradingbot-restore-new"));
    for folder in [&old, &new] {
        fs::create_dir(folder).expect("made");
        fs::write(folder.join("file"), "moved").expect("written");
    }
    let cut = &content[..700];
    assert!(!place.restore(&directory(&root), Format::Tar, cut).expect_err("it is cut").target_changed);
    assert_eq!(fs::read_to_string(old.join("file")).expect("kept"), "moved");
    assert_eq!(fs::read_to_string(root.join("file")).expect("kept"), "good");
    place.restore(&directory(&root), Format::Tar, &content).expect("it is put back");
    assert_eq!(fs::read_dir(&root).expect("read").count(), 1);
}

#[test]
fn a_user_without_root_puts_back_what_it_owns() {
    let place = Place::new();
    let root = place.path("data");
    for folder in [&root, &place.around.scratch] {
        fs::create_dir_all(folder).expect("made");
        std::os::unix::fs::chown(folder, Some(65532), Some(65532)).expect("given away: the test needs root");
    }
    let as_user = AsUser::new(65532);
    // Nothing can be made in this folder, and a rename would change what its `..` is.
    fs::create_dir_all(root.join("sealed/below")).expect("made");
    fs::write(root.join("sealed/file"), "sealed").expect("written");
    fs::set_permissions(root.join("sealed"), Permissions::from_mode(0o555)).expect("set");
    let before = entries(&root);
    let (_, content) = place.produce(&directory(&root)).expect("it is backed up");
    fs::write(root.join("later"), "later").expect("written");
    place.restore(&directory(&root), Format::Tar, &content).expect("it is put back");
    assert_eq!(entries(&root), before);
    fs::write(root.join("secret"), "secret").expect("written");
    fs::set_permissions(root.join("secret"), Permissions::from_mode(0o000)).expect("set");
    let failure = place.produce(&directory(&root)).expect_err("it cannot be read");
    assert!(failure.message.contains("secret") && failure.message.contains("has to run as a user"), "{failure}");
    drop(as_user);
}
