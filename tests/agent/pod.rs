//! A pod without a kubelet: namespaces for processes, mounts and network, and the agent as PID 1 in them.

use std::fs;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tradingbot::core::ids::{Epoch, FencingToken, PodRef};
use tradingbot::core::lease::{LeaseRecord, OnApiServerLoss, Permit, Terms};

use super::api::Api;

pub const API_PORT: u16 = 9797;
pub const PROBE_PORT: u16 = 9798;

/// Long enough for a busy machine; every wait ends as soon as its condition holds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test with an API server of its own in a network namespace of its own.
pub fn in_pod<F: Future<Output = ()>>(test: impl FnOnce(Pod) -> F + Send + 'static) {
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::geteuid() }, 0, "these tests make namespaces and so need root");
    std::thread::spawn(move || {
        // SAFETY: concerns this thread only, which ends with the test.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "{}", std::io::Error::last_os_error());
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
        assert!(up.success());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pod = Pod::new(Api::start().await);
            test(pod).await;
        });
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// A pod in which containers run, one after the other.
pub struct Pod {
    pub api: Api,
    pub root: PathBuf,
    pub config: Value,
    /// More variables of the environment, as a template may set them.
    pub more: Vec<(&'static str, String)>,
    /// Set to leave a variable out of the environment.
    pub without: Option<&'static str>,
    /// The user that the container runs as.
    pub user: u32,
    /// A folder outside that the container sees in the same place.
    pub shared: Option<PathBuf>,
    /// Set to give the container a terminal.
    pub terminal: Option<OwnedFd>,
}

impl Pod {
    fn new(api: Api) -> Pod {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pod-{}-{number}", std::process::id()));
        for folder in ["proc", "dev", "tmp", "usr", "run/tradingbot", ".tradingbot", ".tradingbot-credentials"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name)).unwrap();
        }
        fs::write(root.join("dev/termination-log"), "").unwrap();
        for device in ["null", "random", "urandom"] {
            fs::write(root.join("dev").join(device), "").unwrap();
        }
        for open_to_all in ["tmp", "run/tradingbot", "dev/termination-log"] {
            fs::set_permissions(root.join(open_to_all), fs::Permissions::from_mode(0o777)).unwrap();
        }
        fs::write(root.join(".tradingbot-credentials/token"), "secret-token").unwrap();
        fs::write(root.join(".tradingbot-credentials/ca.crt"), &api.ca).unwrap();
        let config = json!({"namespace": "trading", "bot": "doge", "standbyMode": "Warm", "inPlaceRestarts": 0,
            "reconcileRestarts": false, "stopSeconds": 2, "promote": null, "demote": null,
            "apiPort": API_PORT, "probePort": PROBE_PORT});
        Pod { api, root, config, more: Vec::new(), without: None, user: 0, shared: None, terminal: None }
    }

    /// Installs the agent as the init container does, then runs `script` under it.
    pub fn start(&self, script: &str) -> Container {
        self.start_command(&["/bin/sh", "-c", script])
    }

    pub fn start_command(&self, command: &[&str]) -> Container {
        let destination = self.root.join(".tradingbot/tradingbot-agent");
        // Another build of it can be named, for measurements.
        let agent = std::env::var_os("TRADINGBOT_AGENT").unwrap_or(env!("CARGO_BIN_EXE_tradingbot-agent").into());
        let installed = Command::new(agent).arg("install").arg(&destination).status().unwrap();
        assert!(installed.success());
        let mut words = vec!["/.tradingbot/tradingbot-agent", "run", "--"];
        words.extend(command);
        self.start_raw(&words)
    }

    /// Runs words as PID 1 of a new container.
    pub fn start_raw(&self, words: &[&str]) -> Container {
        let script = r#"set -e
            mount --make-rprivate /
            mount --rbind -o ro /usr "$ROOT/usr"
            for device in null random urandom; do mount --bind "/dev/$device" "$ROOT/dev/$device"; done
            if [ -n "$SHARED" ]; then
              mkdir -p "$ROOT$SHARED"
              mount --bind -o ro "$SHARED" "$ROOT$SHARED"
            fi
            mount -t proc proc "$ROOT/proc"
            exec $SETSID chroot --userspec="$USER_ID:$USER_ID" "$ROOT" "$@""#;
        let log = self.root.join("tmp/container.log");
        let out = fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut starter = Command::new("unshare");
        starter.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh"]).args(words);
        starter.env_clear();
        starter
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("ROOT", &self.root)
            .env("SHARED", self.shared.as_deref().unwrap_or(Path::new("")))
            .env("USER_ID", self.user.to_string());
        starter.env("SETSID", if self.terminal.is_some() { "setsid --ctty" } else { "" });
        // A mistake that a build for tests is to make.
        starter.envs(std::env::var_os("TRADINGBOT_WRONG").map(|name| ("TRADINGBOT_WRONG", name)));
        let variables = [
            ("TRADINGBOT_AGENT_CONFIG", self.config.to_string()),
            ("TRADINGBOT_NAME", "doge".into()),
            ("TRADINGBOT_NAMESPACE", "trading".into()),
            ("TRADINGBOT_POD", "doge-0".into()),
            ("TRADINGBOT_POD_UID", "uid-0".into()),
            ("TRADINGBOT_NODE", "node-1".into()),
            ("KUBERNETES_SERVICE_HOST", self.api.address.ip().to_string()),
            ("KUBERNETES_SERVICE_PORT", self.api.address.port().to_string()),
        ];
        for (name, value) in variables {
            if self.without != Some(name) {
                starter.env(name, value);
            }
        }
        starter.envs(self.more.iter().cloned());
        starter.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        if let Some(terminal) = &self.terminal {
            starter.stdin(terminal.try_clone().unwrap());
        }
        let child = starter.spawn().unwrap();
        Container { child, log, root: self.root.clone() }
    }

    /// A grant to this pod. One that shall trade is permitted to as soon as it was taken up.
    pub fn grant(&self, epoch: u64, permit: Permit) -> LeaseRecord {
        let terms = Terms {
            lease_duration: Duration::from_secs(4),
            renew_period: Duration::from_millis(1_000),
            renew_deadline: Duration::from_secs(2),
            on_api_server_loss: OnApiServerLoss::Stop,
        };
        self.grant_on(terms, epoch, permit)
    }

    pub fn grant_on(&self, terms: Terms, epoch: u64, permit: Permit) -> LeaseRecord {
        self.api.set_permits(permit == Permit::Trade);
        let record = LeaseRecord {
            holder: Some(PodRef { name: "doge-0".into(), uid: "uid-0".into() }),
            epoch: Some(Epoch(epoch)),
            token: Some(FencingToken(epoch << 20)),
            permit: Some(if permit == Permit::Trade { Permit::Prepare } else { permit }),
            terms: Some(terms),
            ..LeaseRecord::default()
        };
        self.api.put(&record);
        record
    }

    /// Waits for the Lease to be so.
    pub async fn lease(&self, what: &str, condition: impl Fn(&LeaseRecord) -> bool) -> LeaseRecord {
        let found = until(|| self.api.record().filter(&condition)).await;
        found.unwrap_or_else(|| panic!("the Lease was never {what}: {:?}\n{}", self.api.record(), self.log()))
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.root.join("tmp/container.log")).unwrap_or_default()
    }

    /// What the bot wrote to `/tmp/<name>`.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.root.join("tmp").join(name)).unwrap_or_default()
    }

    /// Waits for the bot to have written a text to `/tmp/<name>`.
    pub async fn wrote(&self, name: &str, text: &str) {
        let found = until(|| self.file(name).contains(text).then_some(())).await;
        found.unwrap_or_else(|| panic!("/tmp/{name} never had '{text}': {}\n{}", self.file(name), self.log()));
    }

    /// Waits for the log to have a text.
    pub async fn logged(&self, text: &str) {
        let found = until(|| self.log().contains(text).then_some(())).await;
        found.unwrap_or_else(|| panic!("'{text}' was never logged:\n{}", self.log()));
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// A container that was started.
pub struct Container {
    child: Child,
    log: PathBuf,
    root: PathBuf,
}

impl Container {
    /// The agent's pid outside of its namespace.
    pub fn agent(&self) -> i32 {
        let starter = self.child.id();
        let children = fs::read_to_string(format!("/proc/{starter}/task/{starter}/children")).unwrap();
        children.split_ascii_whitespace().next().expect("the agent runs").parse().unwrap()
    }

    /// All living processes of the container, by pid outside and name.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let Ok(namespace) = fs::read_link(format!("/proc/{}/ns/pid", self.agent())) else { return Vec::new() };
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|of| of == namespace))
            .filter_map(|pid| {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                let name = stat[stat.find('(')? + 1..stat.rfind(')')?].to_owned();
                let state = stat[stat.rfind(')')? + 2..].chars().next()?;
                (!matches!(state, 'Z' | 'X')).then_some((pid, name))
            })
            .collect()
    }

    /// Waits until no process but the agent and its guard lives.
    pub async fn emptied(&self) -> Instant {
        let others = || self.processes().into_iter().skip_while(|(pid, _)| *pid == self.agent());
        let empty = until(|| others().all(|(_, name)| name == "agent-guard").then(Instant::now)).await;
        empty.unwrap_or_else(|| panic!("processes live on: {:?}", self.processes()))
    }

    pub fn signal_agent(&self, signal: i32) {
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::kill(self.agent(), signal) }, 0);
    }

    /// Runs a command in the container as root, as `kubectl exec` may.
    pub fn exec(&self, words: &[&str]) -> Child {
        let target = self.agent().to_string();
        let mut command = Command::new("nsenter");
        command.args(["--target", &target, "--pid", "--mount", "--"]).args(words);
        command.stdin(Stdio::null()).spawn().unwrap()
    }

    /// Waits for the container's end.
    pub async fn ended(&mut self) -> ExitStatus {
        let Container { child, log, .. } = self;
        let found = until(|| child.try_wait().unwrap()).await;
        found.unwrap_or_else(|| panic!("the container never ended:\n{}", fs::read_to_string(log).unwrap()))
    }

    /// What the kubelet would report as its message.
    pub fn termination_message(&self) -> String {
        fs::read_to_string(self.root.join("dev/termination-log")).unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until there is an answer, for a bounded time.
pub async fn until<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        match ask() {
            None if Instant::now() < end => tokio::time::sleep(Duration::from_millis(2)).await,
            answer => return answer,
        }
    }
}

/// One GET on loopback: status and body. `None`: nobody answered.
pub async fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
}

/// Waits for an answer with this status; returns its body.
pub async fn answered(port: u16, path: &str, status: u16) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = get(port, path).await;
        match answer {
            Some((found, body)) if found == status => return body,
            _ if Instant::now() > end => panic!("{path} on {port} never answered {status}, but {answer:?}"),
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
