//! The bot's books: a row for every order, committed before the order is sent, so that the exchange never knows of one that
//! they do not. What cannot be written down is not sent.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

use super::options::Options;
use super::postgresql::{Address, Client};

/// A book that takes no row for this long has failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the books are.
#[derive(Clone, Debug)]
pub enum Place {
    /// An SQLite database in this file.
    File(PathBuf),
    /// A PostgreSQL database.
    Database(Address),
}

/// The books of this process, opened when the first row is written: a standby leaves them alone.
pub struct Journal {
    place: Place,
    open: Option<Open>,
    /// The table was made or found. One that is gone later is not made again: books that begin anew are no books.
    begun: bool,
}

enum Open {
    File(Connection),
    Database(Client),
}

impl Journal {
    /// `None` for a bot that keeps none.
    pub fn of(options: &Options) -> Option<Journal> {
        options.journal.clone().map(|place| Journal { place, open: None, begun: false })
    }

    /// Returns when the row is on disk.
    pub async fn write(&mut self, token: Option<u64>, order: &str) -> Result<(), String> {
        let written = tokio::time::timeout(PATIENCE, self.attempt(token, order)).await;
        let written = written.unwrap_or_else(|_| Err(format!("no answer for {} s", PATIENCE.as_secs())));
        if written.is_err() {
            // Whether the row is there is not known. A row without an order does no harm.
            self.open = None;
        }
        written
    }

    async fn attempt(&mut self, token: Option<u64>, order: &str) -> Result<(), String> {
        let token = token.unwrap_or_default();
        let open = match self.open.take() {
            Some(open) => open,
            None => self.opened().await?,
        };
        let order = order.replace('\'', "''");
        let insert = format!("insert into orders (token, client_order_id) values ({token}, '{order}')");
        match self.open.insert(open) {
            Open::File(file) => file.execute_batch(&insert).map_err(|error| error.to_string()),
            Open::Database(database) => database.run(&insert).await,
        }
    }

    async fn opened(&mut self) -> Result<Open, String> {
        let open = match &self.place {
            Place::File(path) => {
                let open = || {
                    let file = Connection::open(path)?;
                    file.busy_timeout(PATIENCE)?;
                    file.pragma_update(None, "journal_mode", "wal")?;
                    // Otherwise the last rows before a power cut are gone.
                    file.pragma_update(None, "synchronous", "full")?;
                    if !self.begun {
                        file.execute_batch(SQLITE_TABLE)?;
                    }
                    Ok(file)
                };
                Open::File(open().map_err(|error: rusqlite::Error| format!("{}: {error}", path.display()))?)
            }
            Place::Database(address) => {
                let mut client = Client::connect(address).await?;
                if !self.begun {
                    client.run(POSTGRESQL_TABLE).await?;
                }
                Open::Database(client)
            }
        };
        self.begun = true;
        Ok(open)
    }
}

const SQLITE_TABLE: &str = "create table if not exists orders (id integer primary key autoincrement,
  at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ')), token integer not null, client_order_id text not null unique)";
const POSTGRESQL_TABLE: &str = "create table if not exists orders (id bigserial primary key,
  at timestamptz not null default clock_timestamp(), token bigint not null, client_order_id text not null unique)";
