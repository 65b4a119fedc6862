//! Redis and PostgreSQL as Debian packages them: there, gone, back, and in the wrong role.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;

use serde_json::{Value, json};

use super::super::pod::{Pod, in_pod, until};
use super::{check, failing, passing, trading};

const POSTGRESQL: &str = "/usr/lib/postgresql/15/bin";
const REDIS: &str = "/usr/bin/redis-server";
const PASSWORD: &str = "s3cret";

/// Installs what is missing. No server is started, nor a database made, by the installation.
fn installed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if Path::new(REDIS).exists() && Path::new(POSTGRESQL).join("postgres").exists() {
            return;
        }
        let install = "apt-get update -q && apt-get install -qy --no-install-recommends \
            -o DPkg::Lock::Timeout=300 -o DPkg::Options::=--force-confdef redis-server postgresql-15";
        // The network of the machine, not that of the test.
        let status = Command::new("nsenter")
            .args(["--target", "1", "--net", "--", "sh", "-c", install])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1")
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "apt-get could not install redis-server and postgresql-15");
    });
}

/// A server that is stopped when it is dropped.
struct Server(Child);

impl Server {
    /// Under a user of its own, which both servers ask for or prefer.
    fn start(words: &[&str]) -> Server {
        let mut command = as_postgres(words);
        // Killed with the thread of the test.
        // SAFETY: one system call on the new process, no allocation.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        Server(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Goes away at once, as by `kill -9`.
    fn kill(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn as_postgres(words: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).args(words).stdin(Stdio::null());
    command
}

/// A folder of that user.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tradingbot-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        let owned = Command::new("chown").arg("postgres:postgres").arg(&path).status().unwrap();
        assert!(owned.success());
        Folder(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file of a check's Secret.
fn secret(pod: &Pod, check: &str, key: &str, value: &str) {
    let folder = pod.root.join(".tradingbot-health").join(check);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(key), value).unwrap();
}

fn redis(port: u16, folder: &Folder, more: &[&str]) -> Server {
    let port = port.to_string();
    let words =
        [&[REDIS, "--port", &port, "--save", "", "--dir", folder.path(), "--requirepass", PASSWORD], more].concat();
    Server::start(&words)
}

#[test]
fn a_redis_that_goes_away_comes_back_or_is_a_replica_is_told() {
    installed();
    in_pod(|mut pod| async move {
        let folder = Folder::new("redis");
        let probe = |port: u16, role: &str| json!({"redis": {"host": "127.0.0.1", "port": port, "authenticate": true, "role": role}});
        let all = [
            ("any", 6379, "Any"),
            ("primary", 6379, "Primary"),
            ("replica", 6380, "Replica"),
            ("wrong", 6380, "Primary"),
        ];
        for (name, _, _) in all {
            secret(&pod, name, "password", &format!("{PASSWORD}\n"));
        }
        secret(&pod, "intruder", "password", "guess");
        let mut checks: Vec<Value> = all.map(|(name, port, role)| check(name, probe(port, role))).to_vec();
        checks.push(check("intruder", probe(6379, "Any")));
        let primary = redis(6379, &folder, &[]);
        let _replica = redis(6380, &folder, &["--replicaof", "127.0.0.1 6379", "--masterauth", PASSWORD]);
        let _container = trading(&mut pod, checks).await;
        for name in ["any", "primary", "replica"] {
            passing(&pod, name).await;
        }
        failing(&pod, "wrong", "The server is a replica and no primary.").await;
        failing(&pod, "intruder", "The server does not serve").await;
        primary.kill();
        failing(&pod, "any", "No connection to 127.0.0.1 at port 6379").await;
        failing(&pod, "replica", "whose link to its primary is").await;
        let _back = redis(6379, &folder, &[]);
        for name in ["any", "primary", "replica"] {
            passing(&pod, name).await;
        }
        assert!(!pod.log().contains("guess") && !pod.log().contains(PASSWORD));
    });
}

fn run(words: &[&str]) {
    let output = as_postgres(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn tool(name: &str) -> String {
    format!("{POSTGRESQL}/{name}")
}

fn postgres(folder: &str, port: u16) -> Server {
    let (server, port) = (tool("postgres"), port.to_string());
    Server::start(&[
        &server,
        "-D",
        folder,
        "-p",
        &port,
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "unix_socket_directories=",
        "-c",
        "fsync=off",
    ])
}

/// Waits for the server to serve.
async fn serves(port: u16) {
    let (tool, port) = (tool("pg_isready"), port.to_string());
    let ready = || as_postgres(&[&tool, "-q", "-h", "127.0.0.1", "-p", &port]).status().unwrap().success();
    until(|| ready().then_some(())).await.expect("PostgreSQL serves");
}

#[test]
fn a_postgresql_that_goes_away_comes_back_lags_or_can_only_be_read_is_told() {
    installed();
    in_pod(|mut pod| async move {
        let folder = Folder::new("postgresql");
        let (data, copy, password) = (
            format!("{}/data", folder.path()),
            format!("{}/copy", folder.path()),
            format!("{}/password", folder.path()),
        );
        std::fs::write(&password, PASSWORD).unwrap();
        run(&[&tool("initdb"), "-D", &data, "-U", "bot", "--pwfile", &password, "-A", "scram-sha-256", "--no-sync"]);
        let primary = postgres(&data, 5432);
        serves(5432).await;
        let uri = |port: u16| format!("postgresql://bot:{PASSWORD}@127.0.0.1:{port}/postgres");
        run(&[&tool("pg_basebackup"), "-d", &uri(5432), "-D", &copy, "-R", "-X", "stream", "--no-sync"]);
        let replica = postgres(&copy, 5433);
        serves(5433).await;

        let probe = |role: &str, lag: Value| json!({"postgres": {"uri": null, "role": role, "maxLagSeconds": lag}});
        let all = [
            ("db", 5432, "Primary", Value::Null),
            ("replica", 5433, "Replica", json!(2)),
            ("wrong", 5433, "Primary", Value::Null),
        ];
        let mut checks = Vec::new();
        for (name, port, role, lag) in all {
            secret(&pod, name, "uri", &uri(port));
            checks.push(check(name, probe(role, lag)));
        }
        secret(&pod, "intruder", "uri", "postgresql://bot:guess@127.0.0.1:5432/postgres");
        checks.push(check("intruder", probe("Any", Value::Null)));
        secret(&pod, "secure", "uri", &format!("{}?sslmode=require", uri(5432)));
        checks.push(check("secure", probe("Any", Value::Null)));
        let _container = trading(&mut pod, checks).await;
        passing(&pod, "db").await;
        passing(&pod, "replica").await;
        // Without a transaction there is nothing whose age could be the lag.
        run(&[&tool("psql"), "-d", &uri(5432), "-qc", "CREATE TABLE orders ()"]);
        failing(&pod, "wrong", "The server is a replica and no primary.").await;
        failing(&pod, "intruder", "password authentication failed").await;
        failing(&pod, "secure", "server does not support TLS").await;

        primary.kill();
        failing(&pod, "db", "No connection to 127.0.0.1 at port 5432").await;
        failing(&pod, "replica", "s behind, and may 2 s.").await;
        let _primary = postgres(&data, 5432);
        passing(&pod, "db").await;
        passing(&pod, "replica").await;
        let read_only = "ALTER SYSTEM SET default_transaction_read_only = on";
        run(&[&tool("psql"), "-d", &uri(5432), "-qc", read_only, "-c", "SELECT pg_reload_conf()"]);
        failing(&pod, "db", "The server can only be read.").await;
        replica.kill();
        failing(&pod, "replica", "No connection").await;
        assert!(!pod.log().contains("guess") && !pod.log().contains(PASSWORD));
    });
}
