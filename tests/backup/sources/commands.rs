//! A command of the user's writes the backup.

use std::time::{Duration, Instant};

use tradingbot::api::backup::{CommandSource, Output, Source};
use tradingbot::api::backup_config::BackupConfig;
use tradingbot::backup::source::produce_in;
use tradingbot::core::backup::manifest::Format;
use tradingbot::core::backup::report::FailureReason;

use super::{GivenUp, Place, command, until};

#[test]
fn a_stream_is_what_the_command_wrote_to_the_byte() {
    let place = Place::new();
    let script = "i=0; while [ $i -lt 200 ]; do printf '%05d' $i; head -c 50000 /dev/zero; i=$((i+1)); done";
    let (produced, content) = place.produce(&command(script, Output::Stream)).expect("it is backed up");
    assert_eq!(produced.format, Format::Stream);
    assert_eq!(content.len(), 200 * 50_005);
    assert_eq!(&content[199 * 50_005..199 * 50_005 + 5], b"00199");
}

#[test]
fn a_command_that_fails_is_no_backup_and_says_why() {
    let place = Place::new();
    let config = command("echo half; echo 'cannot reach the exchange' >&2; exit 3", Output::Stream);
    let failure = place.produce(&config).expect_err("it failed");
    assert_eq!(failure.reason, FailureReason::SourceFailed);
    assert!(failure.message.contains("exit code 3: cannot reach the exchange"), "{failure}");
    assert!(!failure.target_changed);
}

#[test]
fn a_command_that_was_killed_is_no_backup() {
    let place = Place::new();
    let failure = place.produce(&command("echo half; kill -9 $$", Output::Stream)).expect_err("it was killed");
    assert!(failure.message.contains("signal 9"), "{failure}");
    let failure = place.produce(&command("echo half; kill -15 $$", Output::Stream)).expect_err("it was ended");
    assert!(failure.message.contains("signal 15"), "{failure}");
}

#[test]
fn a_command_that_is_not_there_or_writes_nothing_is_no_backup() {
    let place = Place::new();
    let source = CommandSource { command: vec!["/no/such/program".into()], ..CommandSource::default() };
    let source = Source { command: Some(source), ..Source::default() };
    let failure = place.produce(&BackupConfig { source, ..BackupConfig::default() }).expect_err("there is none");
    assert!(failure.message.contains("/no/such/program") && failure.message.contains("image"), "{failure}");
    let failure = place.produce(&command("true", Output::Stream)).expect_err("nothing was written");
    assert!(failure.message.contains("output: Files"), "{failure}");
    let failure = place.produce(&command("true", Output::Files)).expect_err("nothing was written");
    assert!(failure.message.contains("TRADINGBOT_BACKUP_DIR"), "{failure}");
    let failure = place.produce(&BackupConfig::default()).expect_err("there is no source");
    assert_eq!(failure.reason, FailureReason::Misconfigured);
}

#[test]
fn a_daemon_that_keeps_the_output_open_is_told_from_the_end_of_the_backup() {
    let place = Place::new();
    let begun = Instant::now();
    let file = place.path("pid");
    // In a session of its own, so it is not in the command's group.
    let script = format!("setsid sh -c 'echo $$ > {}; exec sleep 300' & echo content", file.display());
    let failure = place.produce(&command(&script, Output::Stream)).expect_err("it cannot be known to be complete");
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    assert!(failure.message.contains("left behind"), "{failure}");
    end(&file);
}

#[test]
fn a_daemon_that_keeps_only_the_standard_error_open_holds_nothing_up() {
    let place = Place::new();
    let begun = Instant::now();
    let file = place.path("pid");
    let script = format!("setsid sh -c 'echo $$ > {}; exec sleep 300' > /dev/null & echo content", file.display());
    let (_, content) = place.produce(&command(&script, Output::Stream)).expect("it is backed up");
    assert_eq!(content, b"content\n");
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    end(&file);
}

#[test]
fn a_sink_that_was_given_up_stops_the_command_and_what_it_started() {
    let place = Place::new();
    let file = place.path("pid");
    let script = format!("sh -c 'echo $$ > {}; exec cat /dev/zero'; true", file.display());
    let begun = Instant::now();
    let failure = produce_in(&place.around, &command(&script, Output::Stream), &mut GivenUp(10_000_000));
    let failure = failure.expect_err("nobody takes it");
    assert_eq!(failure.reason, FailureReason::Interrupted);
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    until("the end of the program", || !is_running(&file));
}

#[test]
fn much_talk_on_the_standard_error_neither_blocks_nor_fills_the_report() {
    let place = Place::new();
    let script = "head -c 30000000 /dev/zero | tr '\\0' x >&2; yes complaint | head -n 300000 >&2; echo content";
    let (_, content) = place.produce(&command(script, Output::Stream)).expect("it is backed up");
    assert_eq!(content, b"content\n");
    let failure = place.produce(&command(&format!("{script}; exit 1"), Output::Stream)).expect_err("it failed");
    assert!(failure.message.contains("complaint") && failure.message.len() < 2000, "{failure}");
}

#[test]
fn files_are_a_tar_of_the_folder_that_the_command_was_given() {
    let place = Place::new();
    let script = "cd \"$TRADINGBOT_BACKUP_DIR\" && mkdir a && echo 1 > a/one && echo 2 > two && ln -s two link";
    let config = command(script, Output::Files);
    let (produced, content) = place.produce(&config).expect("it is backed up");
    assert_eq!(produced.format, Format::Tar);
    let mut archive = tar::Archive::new(content.as_slice());
    let entries = archive.entries().expect("a tar").map(|entry| {
        let entry = entry.expect("an entry");
        (entry.path().expect("a path").display().to_string(), entry.header().entry_type())
    });
    let (file, folder, link) = (tar::EntryType::Regular, tar::EntryType::Directory, tar::EntryType::Symlink);
    let expected = [("a/", folder), ("a/one", file), ("link", link), ("two", file)];
    assert_eq!(entries.collect::<Vec<_>>(), expected.map(|(path, kind)| (path.to_owned(), kind)));
}

#[test]
fn a_command_gets_the_environment_without_our_configuration() {
    let mut place = Place::new();
    place.around.environment.insert("BOT_KEY".into(), "value".into());
    let (_, content) = place.produce(&command("env", Output::Stream)).expect("it is backed up");
    let text = String::from_utf8(content).expect("text");
    assert!(text.contains("BOT_KEY=value") && !text.contains("CARGO"), "{text}");
    assert!(!text.contains("TRADINGBOT_BACKUP_CONFIG"), "{text}");
}

fn pid(file: &std::path::Path) -> Option<i32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn is_running(file: &std::path::Path) -> bool {
    let Some(pid) = pid(file) else { return false };
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie that nobody waits for has ended as well.
    !state.is_empty() && !state.contains(") Z ")
}

fn end(file: &std::path::Path) {
    if let Some(pid) = pid(file) {
        // SAFETY: a system call on a process of this test.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}
