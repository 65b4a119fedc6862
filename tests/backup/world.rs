//! The surroundings of a run: a server, the files of its pod, and something to back up.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tradingbot::api::backup::{
    ClaimDestination, CommandSource, Compression, Destination, Output, Retention, S3, Source,
};
use tradingbot::api::backup_config::{Action, BACKUP_CONFIG_ENV, BackupConfig};
use tradingbot::core::backup::report::{FailureReason, Report};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tradingbot-backup");
const BUCKET: &str = "backups";
/// What anything here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server, and the pod of the runs against it.
pub struct World {
    pub folder: PathBuf,
    server: Child,
    pub config: BackupConfig,
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub report: Report,
}

impl Ended {
    pub fn reason(&self) -> Option<FailureReason> {
        self.report.failure.as_ref().map(|failure| failure.reason)
    }

    pub fn message(&self) -> &str {
        self.report.failure.as_ref().map_or("", |failure| &failure.message)
    }

    pub fn id(&self) -> String {
        self.report.backup.as_ref().unwrap_or_else(|| panic!("no backup: {self:?}")).id.to_string()
    }
}

/// Builds the server, which is a package of its own, once.
fn server_program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--quiet", "--locked", "--package", "tradingbot-s3-server"])
            .status()
            .expect("cargo can be started");
        assert!(built.success(), "the S3 server cannot be built");
        Path::new(PROGRAM).with_file_name("s3-server")
    })
}

/// A folder for one test.
pub fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("tradingbot-backup-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Where a server that was just started says that it listens.
pub fn first_line(server: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

impl World {
    /// A server with an empty bucket, and a bot whose data is `bytes` long.
    pub fn new(bytes: usize) -> World {
        let folder = folder();
        fs::create_dir_all(folder.join("s3/backups")).unwrap();
        let mut server = Command::new(server_program())
            .args(["--access-key", "key", "--secret-key", "secret", "--root"])
            .arg(folder.join("s3"))
            .arg("--faults")
            .arg(folder.join("faults"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let address = first_line(&mut server);
        let s3 = S3 {
            bucket: BUCKET.into(),
            endpoint: Some(format!("http://{address}")),
            secret_name: Some("keys".into()),
            ..S3::default()
        };
        let destination = Destination { prefix: "bots".into(), s3: Some(s3), ..Destination::default() };
        let world = World::at(folder, server, destination, bytes);
        world.keys("key", "secret");
        world
    }

    /// A bot whose data is `bytes` long, and that is backed up to a server. The folder is removed in the end.
    pub fn at(folder: PathBuf, server: Child, destination: Destination, bytes: usize) -> World {
        for part in ["pod/dev", "pod/.tradingbot-backup/secrets/0"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let data = folder.join("data");
        fs::write(&data, noise(bytes)).unwrap();
        let command = vec!["cat".into(), data.to_string_lossy().into_owned()];
        let source = Source {
            command: Some(CommandSource { command, output: Output::Stream, image: None }),
            ..Source::default()
        };
        let config = BackupConfig {
            namespace: "trading".into(),
            bot: "doge".into(),
            bot_uid: "uid-1".into(),
            epoch: 7,
            schedule: "daily".into(),
            source,
            destinations: vec![destination],
            compression: Compression::None,
            ..BackupConfig::default()
        };
        World { folder, server, config }
    }

    /// What is in the Secret of the first destination.
    pub fn keys(&self, access: &str, secret: &str) {
        self.key("AWS_ACCESS_KEY_ID", access);
        self.key("AWS_SECRET_ACCESS_KEY", secret);
    }

    /// A key of that Secret.
    pub fn key(&self, name: &str, value: &str) {
        fs::write(self.folder.join("pod/.tradingbot-backup/secrets/0").join(name), value).unwrap();
    }

    /// The server fails so from now on.
    pub fn faults(&self, faults: &str) {
        let draft = self.folder.join("faults.new");
        fs::write(&draft, faults).unwrap();
        fs::rename(draft, self.folder.join("faults")).unwrap();
    }

    /// A second destination, on a claim.
    pub fn add_claim(&mut self) -> PathBuf {
        let number = self.config.destinations.len();
        let claim = self.folder.join(format!("pod/.tradingbot-backup/claims/{number}"));
        fs::create_dir_all(&claim).unwrap();
        let of_claim = ClaimDestination { claim_name: "copies".into() };
        self.config
            .destinations
            .push(Destination { persistent_volume_claim: Some(of_claim), ..Destination::default() });
        claim.join("trading/doge")
    }

    /// So many of the schedule are kept.
    pub fn keep(&mut self, count: u32) {
        let retention = Retention { count: Some(count), ..Retention::default() };
        self.config.retention = [("daily".to_owned(), retention)].into();
    }

    /// The bot's folder in the bucket.
    pub fn bot(&self) -> PathBuf {
        self.folder.join("s3").join(BUCKET).join("bots/trading/doge")
    }

    pub fn data(&self) -> Vec<u8> {
        fs::read(self.folder.join("data")).unwrap()
    }

    /// The names in a folder of the bot's, in the bucket.
    pub fn names(&self, folder: &str) -> Vec<String> {
        names(&self.bot().join(folder))
    }

    /// Parts of uploads that the server holds.
    pub fn parts(&self) -> usize {
        names(&self.folder.join("s3")).iter().filter(|name| name.contains(".part-")).count()
    }

    pub fn start(&self, action: Action) -> Child {
        let config = BackupConfig { action, ..self.config.clone() };
        let _ = fs::remove_file(self.folder.join("pod/dev/termination-log"));
        Command::new(PROGRAM)
            .arg("run")
            .env(BACKUP_CONFIG_ENV, serde_json::to_string(&config).unwrap())
            .env("TRADINGBOT_BACKUP_ROOT", self.folder.join("pod"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub fn wait(&self, mut run: Child) -> Ended {
        let mut ended = None;
        eventually("the run ends", || {
            ended = run.try_wait().unwrap();
            ended.is_some()
        });
        let report = fs::read(self.folder.join("pod/dev/termination-log")).unwrap_or_default();
        assert!(report.len() <= 4096);
        Ended {
            code: ended.and_then(|status| status.code()),
            report: serde_json::from_slice(&report).unwrap_or_default(),
        }
    }

    pub fn run(&self, action: Action) -> Ended {
        self.wait(self.start(action))
    }

    /// A backup that succeeds; its id.
    pub fn back_up(&self) -> String {
        let made = self.run(Action::Backup);
        assert_eq!(made.code, Some(0), "{made:?}");
        made.id()
    }

    /// Restores into a file and compares it with what was backed up.
    pub fn restores(&mut self) -> Ended {
        let to = self.folder.join("restored");
        let _ = fs::remove_file(&to);
        self.config.command = vec!["/bin/sh".into(), "-c".into(), format!("cat > {}", to.display())];
        let restored = self.run(Action::Restore);
        assert_eq!(restored.code, Some(0), "{restored:?}");
        assert!(fs::read(to).unwrap() == self.data(), "what was restored differs");
        restored
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The names in a folder; none where it is not there.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes that hardly compress, the same every time.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(bytes)
    .collect()
}
