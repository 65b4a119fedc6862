//! A PostgreSQL database is dumped, destroyed and put back, with a real server.

use tradingbot::api::backup::Compression;
use tradingbot::api::backup_config::BackupConfig;
use tradingbot::backup::target::restore_in;
use tradingbot::core::backup::manifest::Format;
use tradingbot::core::backup::report::{Failure, FailureReason};

use super::postgres::Postgres;
use super::{Place, Turns, id, postgresql};

const SCHEMA: &str = "
    CREATE TABLE orders (id bigserial PRIMARY KEY, pair text NOT NULL, price numeric, raw bytea, at timestamptz);
    CREATE TABLE fills (id bigint REFERENCES orders, amount numeric CHECK (amount > 0));
    CREATE VIEW open AS SELECT orders.* FROM orders LEFT JOIN fills USING (id) WHERE amount IS NULL;
    INSERT INTO orders (pair, price, raw, at)
      SELECT 'DOGE/JPY' || n % 7, n / 3.0, decode(md5(n::text), 'hex'), timestamptz '2026-01-01' + n * interval '1 s'
      FROM generate_series(1, 20000) n;
    INSERT INTO fills SELECT id, id * 2 FROM orders WHERE id % 2 = 0;";

/// Every row of every table, as text, and what the sequence gives next.
fn rows(postgres: &Postgres, database: &str) -> String {
    postgres.sql(database, "SELECT * FROM orders ORDER BY id")
        + &postgres.sql(database, "SELECT * FROM fills ORDER BY id")
        + &postgres.sql(database, "SELECT count(*) FROM open")
        + &postgres.sql(database, "SELECT last_value FROM orders_id_seq")
}

#[test]
fn a_database_that_was_destroyed_is_put_back_row_by_row() {
    let mut place = Place::new();
    let postgres = Postgres::start(&mut place);
    postgres.sql("bot", SCHEMA);
    let before = rows(&postgres, "bot");
    assert_eq!(before.lines().count(), 30_002);
    let (produced, content) = place.produce(&postgresql()).expect("it is backed up");
    assert_eq!(produced.format, Format::PostgresqlCustom);
    assert!(produced.tools["pg_dump"].starts_with(|c: char| c.is_ascii_digit()), "{produced:?}");
    // Compressed once: by us, or by pg_dump where we do not.
    let config = BackupConfig { compression: Compression::None, ..postgresql() };
    let (_, small) = place.produce(&config).expect("it is backed up");
    assert!(small.len() * 3 < content.len() * 2, "{} and {}", small.len(), content.len());

    postgres.sql("bot", "DROP TABLE orders, fills CASCADE");
    place.restore(&postgresql(), Format::PostgresqlCustom, &content).expect("it is put back");
    assert_eq!(rows(&postgres, "bot"), before);

    postgres.sql("bot", "UPDATE orders SET price = 0; DELETE FROM fills; INSERT INTO orders (pair) VALUES ('later')");
    place.restore(&postgresql(), Format::PostgresqlCustom, &small).expect("it is put back over what is there");
    assert_eq!(rows(&postgres, "bot"), before);
}

#[test]
fn a_restore_that_fails_leaves_every_row() {
    let mut place = Place::new();
    let postgres = Postgres::start(&mut place);
    postgres.sql("bot", SCHEMA);
    let (_, content) = place.produce(&postgresql()).expect("it is backed up");
    postgres.sql("bot", "INSERT INTO orders (pair) VALUES ('later')");
    let before = rows(&postgres, "bot");

    let cut = &content[..content.len() / 2];
    let failure = place.restore(&postgresql(), Format::PostgresqlCustom, cut).expect_err("half of it is missing");
    assert_eq!((failure.reason, failure.target_changed), (FailureReason::RestoreFailed, false), "{failure}");
    assert_eq!(rows(&postgres, "bot"), before);

    // Something that the dump does not know depends on a table that it replaces.
    postgres.sql("bot", "CREATE VIEW report AS SELECT count(*) FROM orders");
    let failure = place.restore(&postgresql(), Format::PostgresqlCustom, &content).expect_err("it cannot be dropped");
    assert!(failure.message.contains("report") && failure.message.contains("as it was before"), "{failure}");
    assert!(!failure.target_changed);
    assert_eq!(rows(&postgres, "bot"), before);

    postgres.sql("bot", "DROP VIEW report");

    // What is found out at the end may be too late: pg_restore may have committed.
    let told = Failure::new(FailureReason::Damaged, "It differs.");
    let mut turning = Turns(&content, Some(told.clone()));
    let (config, format) = (postgresql(), Format::PostgresqlCustom);
    let failure = restore_in(&place.around, &config, format, &id(), &mut turning).expect_err("it differs");
    assert_eq!(failure, Failure { target_changed: true, ..told });
}

#[test]
fn a_connection_that_fails_is_told_in_the_servers_words() {
    let mut place = Place::new();
    let postgres = Postgres::start(&mut place);
    postgres.sql("bot", SCHEMA);
    let (_, content) = place.produce(&postgresql()).expect("it is backed up");
    let cases = [
        ("PGPASSWORD", "wrong", "password authentication failed"),
        ("PGDATABASE", "nowhere", "does not exist"),
        ("PGPORT", "1", "Connection refused"),
    ];
    for (name, value, said) in cases {
        let right = place.around.environment.insert(name.into(), value.into()).expect("it was set");
        let failure = place.produce(&postgresql()).expect_err(name);
        assert_eq!(failure.reason, FailureReason::SourceFailed);
        assert!(failure.message.contains(said) && failure.message.contains("secretName"), "{failure}");
        assert!(!failure.message.contains(super::postgres::PASSWORD));
        let failure = place.restore(&postgresql(), Format::PostgresqlCustom, &content).expect_err(name);
        assert!(failure.message.contains(said) && !failure.target_changed, "{failure}");
        place.around.environment.insert(name.into(), right);
    }
    place.around.environment.insert("PATH".into(), "/nowhere".into());
    for failure in [
        place.produce(&postgresql()).expect_err("there is no pg_dump"),
        place.restore(&postgresql(), Format::PostgresqlCustom, &content).expect_err("there is no pg_restore"),
    ] {
        assert_eq!((failure.reason, failure.target_changed), (FailureReason::Misconfigured, false));
        assert!(failure.message.contains("spec.backup.source.postgresql.image"), "{failure}");
    }
}

#[test]
fn a_dump_is_rehearsed_in_a_scratch_database_or_decoded_to_its_end() {
    let mut place = Place::new();
    let postgres = Postgres::start(&mut place);
    postgres.sql("bot", SCHEMA);
    postgres.sql("postgres", "CREATE DATABASE scratch");
    let before = rows(&postgres, "bot");
    let (_, content) = place.produce(&postgresql()).expect("it is backed up");
    postgres.sql("bot", "INSERT INTO orders (pair) VALUES ('later')");
    let later = rows(&postgres, "bot");
    place.around.environment.insert("PGDATABASE".into(), "scratch".into());
    // Twice: the second finds what the first left.
    for _ in 0..2 {
        place.rehearse(&postgresql(), Format::PostgresqlCustom, &content).expect("it can be put back");
        assert_eq!(rows(&postgres, "scratch"), before);
    }
    place.around.environment.retain(|name, _| !name.to_string_lossy().starts_with("PG"));
    place.rehearse(&postgresql(), Format::PostgresqlCustom, &content).expect("it can be read");
    for cut in [10, content.len() / 2, content.len() - 100] {
        let failure = place.rehearse(&postgresql(), Format::PostgresqlCustom, &content[..cut]).expect_err("it is cut");
        assert_eq!((failure.reason, failure.target_changed), (FailureReason::RestoreFailed, false), "{failure}");
    }
    assert_eq!(rows(&postgres, "bot"), later);
}
