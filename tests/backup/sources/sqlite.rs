//! An SQLite database is backed up while it is written, and put back.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tradingbot::backup::source::produce_in;
use tradingbot::core::backup::manifest::Format;
use tradingbot::core::backup::report::FailureReason;

use super::{GivenUp, Place, Turns, id, sqlite, until, with_runner};

/// A writer that inserts a row of 1 KiB some hundred times a second where the machine lets it, and remembers what it was told is committed.
struct Writer {
    stop: AtomicBool,
    committed: AtomicI64,
    longest: AtomicI64,
}

impl Writer {
    fn write(&self, path: &Path) {
        let database = Connection::open(path).expect("it opens");
        database.busy_timeout(Duration::from_secs(10)).expect("it can wait");
        // No power is lost here, and flushing each row would make the disk the slowest part.
        database.execute_batch("PRAGMA synchronous = OFF").expect("it can hurry");
        while !self.stop.load(Ordering::Relaxed) {
            let next = self.committed.load(Ordering::Relaxed) + 1;
            let begun = Instant::now();
            let row = (next, vec![next as u8; 1024]);
            database.execute("INSERT INTO trades VALUES (?1, ?2)", row).expect("it is written");
            let took = i64::try_from(begun.elapsed().as_millis()).expect("not that long");
            self.longest.fetch_max(took, Ordering::Relaxed);
            self.committed.store(next, Ordering::Release);
            thread::sleep(Duration::from_millis(4));
        }
    }
}

fn database(path: &Path, mode: &str, rows: i64) {
    let database = Connection::open(path).expect("it opens");
    database.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())).expect("the mode");
    database
        .execute_batch("CREATE TABLE trades (id INTEGER PRIMARY KEY, content BLOB); CREATE TABLE ballast (content);")
        .expect("tables");
    let ballast = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         INSERT INTO ballast SELECT randomblob(1024) FROM n"
    );
    database.execute_batch(&ballast).expect("ballast");
}

/// How many rows of the writer a copy has, which must be sound and have no gap.
fn rows(copy: &Path) -> i64 {
    let database = Connection::open(copy).expect("the copy opens");
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(sound, "ok");
    let (count, highest): (i64, i64) = database
        .query_row("SELECT count(*), coalesce(max(id), 0) FROM trades", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("counted");
    assert_eq!(count, highest, "no row is missing in between");
    count
}

/// Ten backups beside a writer; the longest that it waited for one insert, in milliseconds.
fn backed_up_beside_a_writer(mode: &str) -> i64 {
    let place = Place::new();
    let path = place.path("trades.sqlite");
    database(&path, mode, 20_000);
    let writer = Writer { stop: AtomicBool::new(false), committed: AtomicI64::new(0), longest: AtomicI64::new(0) };
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| writer.write(&path));
        for n in 0..10 {
            let before = writer.committed.load(Ordering::Acquire);
            let so_far = before + 5;
            let (produced, content) = match place.produce(&sqlite(&path)) {
                Ok(made) => made,
                Err(failure) => {
                    writer.stop.store(true, Ordering::Relaxed);
                    panic!("{failure}");
                }
            };
            assert_eq!(produced.format, Format::Sqlite);
            assert_eq!(produced.tools["sqlite"], rusqlite::version());
            let copy = place.path(&format!("copy-{n}"));
            fs::write(&copy, &content).expect("written");
            let found = rows(&copy);
            assert!(found >= before, "{before} rows were committed before the backup began, {found} are in it");
            until("further rows", || writer.committed.load(Ordering::Acquire) >= so_far);
        }
        writer.stop.store(true, Ordering::Relaxed);
    });
    let seconds = begun.elapsed().as_secs_f64();
    let (longest, committed) = (writer.longest.into_inner(), writer.committed.into_inner());
    println!("journal mode {mode}: {committed} rows written in {seconds:.1} s, the longest insert took {longest} ms");
    longest
}

#[test]
fn a_database_with_a_wal_is_backed_up_and_its_writer_never_waits() {
    let longest = backed_up_beside_a_writer("WAL");
    assert!(longest < 1000, "an insert took {longest} ms");
}

#[test]
fn a_database_with_a_rollback_journal_is_backed_up_and_its_writer_waits_a_bounded_time() {
    let longest = backed_up_beside_a_writer("DELETE");
    assert!(longest < 5000, "an insert took {longest} ms");
}

#[test]
fn a_database_that_nobody_has_open_is_left_as_it_was() {
    let place = Place::new();
    let path = place.path("trades.sqlite");
    database(&path, "WAL", 10);
    place.produce(&sqlite(&path)).expect("it is backed up");
    let mut names: Vec<_> = fs::read_dir(path.parent().expect("a folder")).expect("read").collect();
    names.retain(|entry| entry.as_ref().expect("an entry").file_name() != "scratch");
    assert_eq!(names.len(), 1, "{names:?}");
}

#[test]
fn a_wal_that_a_crashed_bot_left_is_in_the_backup() {
    let place = Place::new();
    let (path, crashed) = (place.path("trades.sqlite"), place.path("crashed.sqlite"));
    database(&path, "WAL", 10);
    let bot = Connection::open(&path).expect("it opens");
    bot.execute("INSERT INTO trades VALUES (1, 'last')", []).expect("written");
    // As a machine that lost its power leaves it: the row is in the WAL alone.
    for ending in ["", "-wal"] {
        fs::copy(path.with_extension(format!("sqlite{ending}")), crashed.with_extension(format!("sqlite{ending}")))
            .expect("copied");
    }
    drop(bot);
    let (_, content) = place.produce(&sqlite(&crashed)).expect("it is backed up");
    let copy = place.path("copy");
    fs::write(&copy, content).expect("written");
    assert_eq!(rows(&copy), 1);
    assert!(place.path("crashed.sqlite-wal").exists(), "a WAL that was there is the bot's to play back");
}

#[test]
fn what_is_no_database_is_told_and_never_made() {
    let place = Place::new();
    let path = place.path("missing.sqlite");
    let failure = place.produce(&sqlite(&path)).expect_err("there is none");
    assert_eq!(failure.reason, FailureReason::SourceFailed);
    assert!(failure.message.contains("There is no SQLite database"), "{failure}");
    assert!(!path.exists());
    fs::write(
        &path,
        "this is a text that is longer than the header of a database, which has one hundred bytes ".repeat(3),
    )
    .expect("written");
    let failure = place.produce(&sqlite(&path)).expect_err("it is a text");
    assert!(failure.message.contains("no SQLite database, or an encrypted one"), "{failure}");
    fs::write(&path, "").expect("written");
    assert!(place.produce(&sqlite(&path)).expect_err("it is empty").message.contains("is empty"));
    assert!(place.produce(&sqlite(&place.path("scratch"))).is_err(), "a folder is none");
}

#[test]
fn a_damaged_database_is_no_backup() {
    let place = Place::new();
    let path = place.path("trades.sqlite");
    database(&path, "DELETE", 2000);
    let mut bytes = fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 100_000].fill(0xa5);
    fs::write(&path, bytes).expect("written");
    let failure = place.produce(&sqlite(&path)).expect_err("it is damaged");
    assert!(failure.message.contains("not sound"), "{failure}");
}

#[test]
fn a_transaction_that_never_ends_is_not_waited_for_for_ever() {
    let place = Place::new();
    let path = place.path("trades.sqlite");
    database(&path, "DELETE", 10);
    let bot = Connection::open(&path).expect("it opens");
    bot.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    let begun = Instant::now();
    let failure = place.produce(&sqlite(&path)).expect_err("it is locked");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(failure.message.contains("lasts longer than"), "{failure}");
}

#[test]
fn a_sink_that_was_given_up_ends_the_backup_of_a_database() {
    let place = Place::new();
    let path = place.path("trades.sqlite");
    database(&path, "WAL", 2000);
    let failure = produce_in(&place.around, &sqlite(&path), &mut GivenUp(100_000)).expect_err("nobody takes it");
    assert_eq!(failure.reason, FailureReason::Interrupted);
    assert_eq!(place.left_in_scratch(), 0);
}

#[test]
fn a_database_is_put_back_and_nothing_of_the_old_one_is_played_into_it() {
    let place = Place::new();
    let path = place.path("trades.sqlite");
    database(&path, "WAL", 100);
    let bot = Connection::open(&path).expect("it opens");
    bot.execute("INSERT INTO trades VALUES (1, 'kept')", []).expect("written");
    let (_, content) = place.produce(&sqlite(&path)).expect("it is backed up");
    bot.execute("INSERT INTO trades VALUES (2, 'after the backup')", []).expect("written");
    // A bot that crashed: its WAL stays.
    let wal = place.path("trades.sqlite-wal");
    let kept = fs::read(&wal).expect("there is a WAL");
    drop(bot);
    fs::write(&wal, kept).expect("written");
    place.rehearse(&sqlite(&path), Format::Sqlite, &content).expect("it can be put back");
    place.restore(&sqlite(&path), Format::Sqlite, &content).expect("it is put back");
    assert!(!wal.exists());
    assert_eq!(rows(&path), 1);
    let left = fs::read_dir(path.parent().expect("a folder")).expect("read").count();
    assert_eq!(left, 2, "the database and scratch are all that is there");
}

#[test]
fn a_damaged_backup_never_takes_the_place_of_the_database() {
    let place = Place::new();
    let path = place.path("trades.sqlite");
    database(&path, "DELETE", 2000);
    let (_, good) = place.produce(&sqlite(&path)).expect("it is backed up");
    let before = fs::read(&path).expect("read");
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle..middle + 100_000].fill(0xa5);
    for content in [bad.as_slice(), b"no database", b""] {
        let failure = place.restore(&sqlite(&path), Format::Sqlite, content).expect_err("it is damaged");
        assert_eq!((failure.reason, failure.target_changed), (FailureReason::Damaged, false), "{failure}");
        assert!(place.rehearse(&sqlite(&path), Format::Sqlite, content).is_err());
    }
    let told = tradingbot::core::backup::report::Failure::new(FailureReason::Damaged, "It differs.");
    let mut turning = Turns(&good, Some(told.clone()));
    let target = tradingbot::backup::target::restore_in;
    let failure = target(&place.around, &sqlite(&path), Format::Sqlite, &id(), &mut turning).expect_err("it differs");
    assert_eq!(failure, told);
    assert_eq!(fs::read(&path).expect("read"), before);
}

#[test]
fn a_command_finds_the_database_under_its_own_name() {
    let place = Place::new();
    let path = place.path("trades.sqlite");
    database(&path, "DELETE", 10);
    let (_, content) = place.produce(&sqlite(&path)).expect("it is backed up");
    let restored = place.path("restored");
    let script = format!(
        "[ \"$TRADINGBOT_BACKUP_ID\" = {} ] && cp \"$TRADINGBOT_RESTORE_DIR/trades.sqlite\" {}",
        id(),
        restored.display()
    );
    place.restore(&with_runner(sqlite(&path), &script), Format::Sqlite, &content).expect("it is put back");
    assert_eq!(fs::read(&restored).expect("read"), content);
}
