//! A PostgreSQL server of one test.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Place, until};

pub const PASSWORD: &str = "correct horse";

/// A server on loopback that ends with the value. Its user `postgres` has [`PASSWORD`].
pub struct Postgres {
    server: Child,
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    /// Starts one, and lets the place's surroundings name its database `bot`.
    pub fn start(place: &mut Place) -> Postgres {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/backup/sources/install");
        let installed = Command::new(script).stderr(Stdio::inherit()).output().expect("the script can be started");
        assert!(installed.status.success(), "PostgreSQL could not be installed");
        let programs = PathBuf::from(String::from_utf8(installed.stdout).expect("a path").trim());
        let (home, data, secret) = (place.path("postgres"), place.path("postgres/data"), place.path("postgres/secret"));
        fs::create_dir_all(&home).expect("a folder can be made");
        fs::write(&secret, PASSWORD).expect("written");
        let owned = Command::new("chown").args(["-R", "postgres:"]).arg(&home).status().expect("chown can be started");
        assert!(owned.success(), "the test needs root, and Debian's user postgres");
        let made = unprivileged(&programs.join("initdb"))
            .args(["--username=postgres", "--auth-host=scram-sha-256", "--no-sync", "--encoding=UTF8"])
            .arg(format!("--pwfile={}", secret.display()))
            .arg(&data)
            .current_dir(&home)
            .output()
            .expect("initdb can be started");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Whoever takes the port in between makes the test fail, and no other.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let server = unprivileged(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", "fsync=off", "-c", "shared_buffers=16MB"])
            .current_dir(&home)
            .stderr(fs::File::create(place.path("postgres.log")).expect("a log"))
            .spawn()
            .expect("postgres can be started");
        let postgres = Postgres { server, programs, port };
        let path = format!("{}:/usr/bin:/bin", postgres.programs.display());
        place.around.environment.insert("PATH".into(), path.into());
        for (name, value) in postgres.connection() {
            place.around.environment.insert(name.into(), value.into());
        }
        until("the server", || postgres.try_sql("postgres", "SELECT 1").is_ok());
        postgres.sql("postgres", "CREATE DATABASE bot");
        postgres
    }

    fn connection(&self) -> [(&'static str, String); 5] {
        [
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", "postgres".to_owned()),
            ("PGPASSWORD", PASSWORD.to_owned()),
            ("PGDATABASE", "bot".to_owned()),
        ]
    }

    fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet", "--set=ON_ERROR_STOP=1"])
            .args(["--dbname", database, "--command", sql])
            .env_clear()
            .envs(self.connection())
            .output()
            .expect("psql can be started");
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).expect("text")),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// What the statements answer, one line a row.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A fast shutdown, which takes its own processes with it.
        // SAFETY: a system call on a child of ours that was not waited for.
        unsafe { libc::kill(self.server.id().cast_signed(), libc::SIGINT) };
        let _ = self.server.wait();
    }
}

/// The server refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null());
    command
}
