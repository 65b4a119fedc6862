//! A PostgreSQL server that a scenario starts, for a bot that keeps its books there.

use serde_json::{Value, json};

use super::server::{Server, put_secret};
use super::world::World;

/// What tests/cluster/postgresql makes.
pub const POSTGRESQL_IMAGE: &str = "ghcr.io/tradingbot-io/tradingbot-test-postgresql:15";
/// The Secret with libpq's variables.
pub const DATABASE_SECRET: &str = "database";

/// The password stays in the server's own folder, and the bot's driver sends it in the clear.
const SCRIPT: &str = r#"
printf %s "$PGPASSWORD" >/data/password
initdb --pgdata /data/db --username "$PGUSER" --pwfile /data/password --auth-local trust --locale C --encoding UTF8 --no-sync >/dev/null
echo 'host all all all password' >>/data/db/pg_hba.conf
exec postgres -D /data/db -c 'listen_addresses=*' -c unix_socket_directories=/data -c fsync=off
"#;

/// The server, empty at first.
#[derive(Clone)]
pub struct Database(Server);

impl Database {
    /// Starts one whose password is this, with the Secret that says so.
    pub async fn start(world: &World, password: &str) -> Database {
        let database = Database(Server::announce(world, "database", 5432).await);
        put_secret(world, DATABASE_SECRET, &database.variables(password, "postgres")).await;
        database.0.start(POSTGRESQL_IMAGE, SCRIPT, DATABASE_SECRET).await;
        database
    }

    /// What it runs as.
    pub fn server(&self) -> &Server {
        &self.0
    }

    /// libpq's variables for a database of the server.
    pub fn variables(&self, password: &str, database: &str) -> Value {
        let host = &self.0.address;
        json!({"PGHOST": host, "PGPORT": "5432", "PGUSER": "bot", "PGPASSWORD": password, "PGDATABASE": database})
    }

    /// `spec.backup.source` for it.
    pub fn source(&self) -> Value {
        json!({"postgresql": {"secretName": DATABASE_SECRET, "image": POSTGRESQL_IMAGE}})
    }

    /// What a statement gives: rows as lines, columns between bars.
    pub fn query(&self, statement: &str) -> Result<Vec<String>, String> {
        let script = "psql -h /data -U bot -d postgres -v ON_ERROR_STOP=1 -qAtf -";
        let output = self.0.run_with(script, statement.as_bytes())?;
        Ok(String::from_utf8_lossy(&output).lines().map(ToOwned::to_owned).collect())
    }

    /// The bot's books, row by row, in the order in which they were written.
    pub fn books(&self) -> Vec<String> {
        self.query("select id, at, token, client_order_id from orders order by id").expect("the books can be read")
    }
}
