//! A command of the user's puts the backup back.

use std::fs;
use std::time::{Duration, Instant};

use tradingbot::api::backup::Output;
use tradingbot::backup::source::produce_in;
use tradingbot::backup::target::restore_in;
use tradingbot::core::backup::manifest::Format;
use tradingbot::core::backup::report::{Failure, FailureReason};

use super::{Place, Turns, command, id, mount_small, sqlite, with_runner};

#[test]
fn a_stream_is_what_the_command_reads_to_the_byte() {
    let place = Place::new();
    let content: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let restored = place.path("restored");
    let script = format!("cat > {} && echo \"$TRADINGBOT_BACKUP_ID\" > {}.id", restored.display(), restored.display());
    let config = with_runner(command("true", Output::Stream), &script);
    place.restore(&config, Format::Stream, &content).expect("it is put back");
    assert!(fs::read(&restored).expect("read") == content);
    assert_eq!(fs::read_to_string(place.path("restored.id")).expect("read").trim(), id().as_str());
}

#[test]
fn a_command_that_fails_counts_as_one_that_changed_the_target() {
    let place = Place::new();
    let content = vec![7; 3_000_000];
    for (script, said) in [
        ("cat > /dev/null; echo 'table is locked' >&2; exit 4", "exit code 4: table is locked"),
        // One that never reads.
        ("exit 5", "exit code 5"),
        ("kill -11 $$", "signal 11"),
    ] {
        let config = with_runner(command("true", Output::Stream), script);
        let failure = place.restore(&config, Format::Stream, &content).expect_err(script);
        assert_eq!((failure.reason, failure.target_changed), (FailureReason::RestoreFailed, true));
        assert!(failure.message.contains(said), "{failure}");
        let failure = place.rehearse(&config, Format::Stream, &content).expect_err(script);
        assert!(!failure.target_changed, "a rehearsal has no target");
    }
    let mut config = command("true", Output::Stream);
    config.command = vec!["/no/such/program".into()];
    let failure = place.restore(&config, Format::Stream, &content).expect_err("there is none");
    assert_eq!((failure.reason, failure.target_changed), (FailureReason::RestoreFailed, false));
}

#[test]
fn content_that_turns_out_damaged_is_never_taken_for_complete() {
    let place = Place::new();
    let done = place.path("done");
    let config = with_runner(command("true", Output::Stream), &format!("cat > /dev/null; touch {}", done.display()));
    let told = Failure::new(FailureReason::Damaged, "It differs.");
    let mut turning = Turns(&[1; 1_000_000], Some(told.clone()));
    let failure = restore_in(&place.around, &config, Format::Stream, &id(), &mut turning).expect_err("it differs");
    assert_eq!(failure, Failure { target_changed: true, ..told.clone() });
    assert!(!done.exists(), "the command was ended before it could see the end of its input");
    // Nor where the command is content with less.
    let config = with_runner(command("true", Output::Stream), "true");
    let mut turning = Turns(&[1; 3_000_000], Some(told.clone()));
    let failure = restore_in(&place.around, &config, Format::Stream, &id(), &mut turning).expect_err("it differs");
    assert_eq!(failure, Failure { target_changed: true, ..told });
}

#[test]
fn a_daemon_that_never_reads_holds_no_restore_up() {
    let place = Place::new();
    let file = place.path("pid");
    let script = format!("setsid sh -c 'echo $$ > {}; exec sleep 300' <&0 & exit 0", file.display());
    let config = with_runner(command("true", Output::Stream), &script);
    let begun = Instant::now();
    place.restore(&config, Format::Stream, &vec![1; 8_000_000]).expect("the command is content");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    super::until("the daemon", || fs::read_to_string(&file).is_ok_and(|pid| pid.ends_with('\n')));
    let pid = fs::read_to_string(&file).expect("read").trim().parse().expect("a number");
    // SAFETY: a system call on a process of this test.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

#[test]
fn files_are_found_in_the_directory_that_the_command_is_told() {
    let place = Place::new();
    let made = "cd \"$TRADINGBOT_BACKUP_DIR\" && mkdir -p a/b && echo content > a/b/file && ln -s b a/link";
    let config = command(made, Output::Files);
    let (produced, content) = place.produce(&config).expect("it is backed up");
    let restored = place.path("restored");
    let script = format!("cp -a \"$TRADINGBOT_RESTORE_DIR\" {}", restored.display());
    place.restore(&with_runner(config, &script), produced.format, &content).expect("it is put back");
    assert_eq!(fs::read_to_string(restored.join("a/link/file")).expect("read"), "content\n");
    assert_eq!(fs::read_link(restored.join("a/link")).expect("a link").to_str(), Some("b"));
}

#[test]
fn what_only_a_command_can_put_back_asks_for_one() {
    let place = Place::new();
    let stream = command("true", Output::Stream);
    let cases = [
        (stream.clone(), Format::Stream),
        (stream.clone(), Format::Tar),
        (stream, Format::Sqlite),
        (sqlite(&place.path("x")), Format::PostgresqlCustom),
    ];
    for (config, format) in cases {
        let failure = place.restore(&config, format, b"content").expect_err("there is no way");
        assert_eq!((failure.reason, failure.target_changed), (FailureReason::Misconfigured, false));
        assert!(failure.message.contains("spec.backup.restore.command"), "{failure}");
    }
    place.rehearse(&command("true", Output::Stream), Format::Stream, b"content").expect("it is read to its end");
}

#[test]
fn a_scratch_that_is_full_is_told_as_such() {
    let place = Place::new();
    let _mounted = mount_small(&place.around.scratch);
    let database = place.path("trades.sqlite");
    rusqlite::Connection::open(&database)
        .and_then(|bot| bot.execute_batch("CREATE TABLE t (c); INSERT INTO t VALUES (randomblob(4000000))"))
        .expect("a database");
    let files = command("head -c 4000000 /dev/zero > \"$TRADINGBOT_BACKUP_DIR/x\"", Output::Files);
    let mut content = Vec::new();
    for config in [sqlite(&database), files.clone()] {
        let failure = produce_in(&place.around, &config, &mut content).expect_err("there is no room");
        assert_eq!(failure.reason, FailureReason::SourceFailed);
        assert!(failure.message.contains("scratch space") && failure.message.contains("is full"), "{failure}");
    }
    let database = fs::read(&database).expect("read");
    let failure = place.rehearse(&files, Format::Sqlite, &database).expect_err("there is no room");
    assert_eq!(failure.reason, FailureReason::RestoreFailed);
    assert!(failure.message.contains("is full"), "{failure}");
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4_000_000);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    tar.append_data(&mut header, "large", &*vec![1; 4_000_000]).expect("appended");
    let tar = tar.into_inner().expect("a tar");
    let failure = place.rehearse(&files, Format::Tar, &tar).expect_err("there is no room");
    assert!(failure.message.contains("is full"), "{failure}");
}
