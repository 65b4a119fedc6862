//! An S3 server that a scenario starts, and what is kept in it.

use serde_json::{Value, json};
use tradingbot::core::backup::manifest::Manifest;

use super::server::{Server, put_secret};
use super::world::World;

/// What tests/cluster/s3 makes.
const S3_IMAGE: &str = "ghcr.io/tradingbot-io/tradingbot-test-s3:0.1.0";
/// The bucket of every store.
const BUCKET: &str = "backups";
/// The folder of the bucket in the server.
const FOLDER: &str = "/data/buckets/backups";

const SCRIPT: &str = r#"
mkdir -p /data/buckets/backups
exec s3-server --root /data/buckets --listen 0.0.0.0:9000 --access-key "$AWS_ACCESS_KEY_ID" \
  --secret-key "$AWS_SECRET_ACCESS_KEY" --faults /data/faults
"#;

/// One server with one bucket.
#[derive(Clone)]
pub struct Store(pub Server);

impl Store {
    /// Starts one, with a Secret of its name that has its keys.
    pub async fn start(world: &World, name: &str) -> Store {
        Self::start_with(world, name, "a-secret-key-of-the-store").await
    }

    /// With this secret key.
    pub async fn start_with(world: &World, name: &str, key: &str) -> Store {
        let server = Server::announce(world, name, 9000).await;
        put_secret(world, name, &keys(name, key)).await;
        server.start(S3_IMAGE, SCRIPT, name).await;
        Store(server)
    }

    /// `spec.backup.destination` for it, with nothing before the bot's own folder.
    pub fn destination(&self) -> Value {
        let Server { name, address, .. } = &self.0;
        json!({"s3": {"bucket": BUCKET, "endpoint": format!("http://{address}:9000"), "secretName": name}})
    }

    /// Makes it fail: `refuse`, `full BYTES`, `delay MILLISECONDS`, `locked`; nothing heals it.
    pub fn fails(&self, how: &str) {
        self.0.said(&format!("printf '%s' '{how}' >/data/faults.new; mv /data/faults.new /data/faults"));
    }

    /// The keys of all objects that are there, sorted; what is being uploaded is none.
    pub fn objects(&self) -> Vec<String> {
        let all = self.0.said(&format!("find {FOLDER} -type f"));
        let prefix = format!("{FOLDER}/");
        let mut keys: Vec<String> = all
            .lines()
            .filter_map(|path| path.strip_prefix(&prefix))
            .filter(|key| !key.split('/').any(|part| part.starts_with('.')))
            .map(ToOwned::to_owned)
            .collect();
        keys.sort();
        keys
    }

    /// The ids that have a manifest.
    pub fn manifests(&self) -> Vec<String> {
        self.ids("manifests", ".json")
    }

    /// The ids that have an artefact.
    pub fn artefacts(&self) -> Vec<String> {
        self.ids("artefacts", "")
    }

    fn ids(&self, folder: &str, suffix: &str) -> Vec<String> {
        let objects = self.objects();
        let of = |key: &String| {
            let (before, name) = key.rsplit_once('/')?;
            before.ends_with(&format!("/{folder}")).then(|| name.strip_suffix(suffix).map(ToOwned::to_owned))?
        };
        objects.iter().filter_map(of).collect()
    }

    /// How many parts of unfinished uploads there are.
    pub fn parts(&self) -> usize {
        let all = self.0.said("find /data/buckets -type f -name '.upload*part*'");
        all.lines().count()
    }

    /// The key of the only object with this end.
    pub fn key(&self, end: &str) -> String {
        let found: Vec<String> = self.objects().into_iter().filter(|key| key.ends_with(end)).collect();
        let [key] = &found[..] else { panic!("one object ends with {end}: {found:?}") };
        key.clone()
    }

    /// What an object holds.
    pub fn read(&self, key: &str) -> Vec<u8> {
        self.0.run(&format!("cat '{FOLDER}/{key}'")).expect("the object can be read")
    }

    /// Puts something else into an object, behind the server's back.
    pub fn write(&self, key: &str, bytes: &[u8]) {
        self.0.run_with(&format!("cat >'{FOLDER}/{key}'"), bytes).expect("the object can be written");
    }

    /// Turns some bits in the middle of an object, as a disk does that goes bad.
    pub fn flip(&self, key: &str) {
        let path = format!("'{FOLDER}/{key}'");
        let bytes: u64 = self.0.said(&format!("stat -c %s {path}")).parse().expect("a number");
        let middle = bytes / 2;
        let found = self.0.run(&format!("dd if={path} bs=1 skip={middle} count=1 2>/dev/null")).expect("a byte");
        let flipped = found[0] ^ 0x55;
        self.0.said(&format!("printf '\\{flipped:03o}' | dd of={path} bs=1 seek={middle} conv=notrunc 2>/dev/null"));
    }

    /// Takes its last bytes from an object.
    pub fn cut(&self, key: &str) {
        let path = format!("'{FOLDER}/{key}'");
        self.0.said(&format!("head -c 100000 {path} >/data/cut; cat /data/cut >{path}"));
    }

    /// The manifest of a backup.
    pub fn manifest(&self, id: &str) -> Manifest {
        let key = self.key(&format!("/manifests/{id}.json"));
        serde_json::from_slice(&self.read(&key)).expect("a manifest")
    }
}

/// A Secret for a store.
pub fn keys(id: &str, key: &str) -> Value {
    json!({"AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": key})
}
