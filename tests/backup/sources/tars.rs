//! Tars that somebody made to write elsewhere.

use std::fs;
use std::path::Path;

use tar::{Builder, EntryType, Header};
use tradingbot::core::backup::manifest::Format;
use tradingbot::core::backup::report::FailureReason;

use super::{Place, directory};

/// An entry exactly as it says, which no tar program would write.
fn entry(to: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, link: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    let old = header.as_old_mut();
    old.name[..name.len()].copy_from_slice(name.as_bytes());
    old.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    to.append(&header, content).expect("appended");
}

fn tar(entries: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let mut to = Builder::new(Vec::new());
    for (kind, name, link, content) in entries {
        entry(&mut to, *kind, name, link, content);
    }
    to.into_inner().expect("a tar")
}

/// The restore is refused, nothing is outside, and the old content is as it was.
fn refused(what: &str, content: &[u8]) {
    let place = Place::new();
    let root = place.path("data");
    let outside = place.path("outside");
    fs::create_dir_all(&root).expect("made");
    fs::create_dir_all(&outside).expect("made");
    fs::write(root.join("kept"), "kept").expect("written");
    for failure in [
        place.restore(&directory(&root), Format::Tar, content).expect_err(what),
        place.rehearse(&directory(&root), Format::Tar, content).expect_err(what),
    ] {
        assert_eq!((failure.reason, failure.target_changed), (FailureReason::Damaged, false), "{what}: {failure}");
    }
    assert_eq!(fs::read_dir(&outside).expect("read").count(), 0, "{what}");
    assert_eq!(fs::read_dir(&root).expect("read").count(), 1, "{what}");
    assert_eq!(fs::read_to_string(root.join("kept")).expect("read"), "kept", "{what}");
    assert!(!Path::new("/etc/tradingbot-escaped").exists(), "{what}");
}

#[test]
fn no_entry_leads_outside() {
    let (file, link, folder) = (EntryType::Regular, EntryType::Symlink, EntryType::Directory);
    refused("a path upwards", &tar(&[(file, "../outside/x", "", b"x")]));
    refused("a path upwards, later", &tar(&[(file, "a/../../outside/x", "", b"x")]));
    refused("an absolute path", &tar(&[(file, "/etc/tradingbot-escaped", "", b"x")]));
    refused("a folder upwards", &tar(&[(folder, "../outside/x", "", b"")]));
    refused("a link upwards", &tar(&[(link, "../outside/x", "/etc", b"")]));
    refused("a link and a file through it", &tar(&[(link, "door", "../../outside", b""), (file, "door/x", "", b"x")]));
    refused(
        "an absolute link and a file through it",
        &tar(&[(link, "door", "/etc", b""), (file, "door/tradingbot-escaped", "", b"x")]),
    );
    refused(
        "a link and a folder in its place",
        &tar(&[(link, "door", "../../outside", b""), (folder, "door", "", b"")]),
    );
    refused(
        "a link and a folder through it",
        &tar(&[(link, "door", "../../outside", b""), (folder, "door/x", "", b"")]),
    );
    refused(
        "a link and a file in its place",
        &tar(&[(link, "door", "../../outside/x", b""), (file, "door", "", b"x")]),
    );
    refused("a hard link", &tar(&[(EntryType::Link, "door", "/etc/passwd", b"")]));
    refused("a device", &tar(&[(EntryType::Char, "door", "", b"")]));
    refused("a pipe", &tar(&[(EntryType::Fifo, "door", "", b"")]));
    refused("a file twice", &tar(&[(file, "x", "", b"1"), (file, "x", "", b"2")]));
}

#[test]
fn what_is_no_tar_is_told() {
    refused("a text", &b"this is no tar ".repeat(100));
    let good = tar(&[(EntryType::Regular, "x", "", &[1; 5000])]);
    refused("a tar that is cut", &good[..3000]);
}
