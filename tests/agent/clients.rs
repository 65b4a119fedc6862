//! Clients of other languages, unmodified and with TLS, find their way through the gate by its variables alone and are
//! cut off at the deadline like any other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::api::Mode;
use super::gate::{VALIDITY, trading, with_gate};
use super::outside::{OUTSIDE, Outside, connect};
use super::pod::{Pod, in_pod};

/// Loading one of the libraries takes seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const PORT: u16 = 8443;

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agent/clients")
}

/// The folder with the libraries, which are installed if they are not there yet.
fn libraries() -> PathBuf {
    let done = Command::new(scripts().join("install")).stderr(Stdio::inherit()).output().unwrap();
    assert!(done.status.success(), "the libraries cannot be installed");
    PathBuf::from(String::from_utf8(done.stdout).unwrap().trim())
}

/// A certificate of the exchange, by an authority that only these clients know.
struct Certificates {
    authority: String,
    exchange: String,
    key: String,
    /// As clients print it.
    hex: String,
}

fn certificates() -> Certificates {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, "Authority of the test");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority_key = KeyPair::generate().unwrap();
    let own = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let mut exchange = CertificateParams::new(vec!["exchange.test".to_owned()]).unwrap();
    exchange.use_authority_key_identifier_extension = true;
    let exchange = exchange.signed_by(&key, &issuer).unwrap();
    Certificates {
        authority: own.pem(),
        hex: exchange.der().iter().map(|byte| format!("{byte:02x}")).collect(),
        exchange: exchange.pem(),
        key: key.serialize_pem(),
    }
}

/// The exchange's process, in the world outside of the pod.
struct Exchange {
    process: Child,
    orders: PathBuf,
}

/// When a client ordered, oldest first, and by which version of TLS.
type Orders = BTreeMap<String, Vec<(SystemTime, String)>>;

impl Exchange {
    fn start(outside: &Outside, folder: &Path, libraries: &Path, certificates: &Certificates) -> Exchange {
        let [certificate, key, orders, log] = ["cert.pem", "key.pem", "orders", "log"].map(|name| folder.join(name));
        fs::create_dir_all(folder).unwrap();
        fs::write(&certificate, &certificates.exchange).unwrap();
        fs::write(&key, &certificates.key).unwrap();
        fs::write(&orders, "").unwrap();
        let mut command = Command::new(libraries.join("python/bin/python"));
        command.arg(scripts().join("python/exchange.py")).args([OUTSIDE.to_string(), PORT.to_string()]);
        command.args([&certificate, &key, &orders]).stderr(fs::File::create(log).unwrap()).stdin(Stdio::null());
        let process = outside.run(move || command.spawn().unwrap());
        Exchange { process, orders }
    }

    fn orders(&self) -> Orders {
        let mut orders = Orders::new();
        let text = fs::read_to_string(&self.orders).unwrap();
        // The last line may be incomplete.
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            let words: Vec<&str> = line.split(' ').collect();
            let at = UNIX_EPOCH + Duration::from_nanos(words[0].parse().unwrap());
            orders.entry(words[1].to_owned()).or_default().push((at, words[2].to_owned()));
        }
        orders
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Every client, by its name at the exchange, and how it is started.
fn clients(libraries: &Path) -> Vec<(String, String)> {
    let mut clients = vec![("go".to_owned(), format!("{}/go-client \"$EXCHANGE\"", libraries.display()))];
    let mut kinds = vec![("python", format!("{}/python/bin/python", libraries.display()))];
    if libraries.join("without-node").exists() {
        eprintln!("Node is not in /usr: its clients are left out.");
    } else {
        kinds.push(("node", "/usr/bin/node".to_owned()));
    }
    for (kind, program) in kinds {
        for entry in fs::read_dir(scripts().join(kind)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if let Some(client) = name.strip_prefix("with_").and_then(|rest| rest.split('.').next()) {
                // This one needs what is put beside it, and would hide what the others do by themselves.
                let beside = if client == "aiohttp_unchanged" { "PYTHONPATH=/tmp/python " } else { "" };
                clients.push((format!("{kind}-{client}"), format!("{beside}{program} /tmp/{kind}/{name}")));
            }
        }
    }
    clients
}

/// Puts the scripts where the container sees them; returns the bot that runs all clients.
fn bot(pod: &Pod, libraries: &Path, certificates: &Certificates) -> String {
    fs::write(pod.root.join("tmp/ca.pem"), &certificates.authority).unwrap();
    for kind in ["python", "node"] {
        let there = pod.root.join("tmp").join(kind);
        fs::create_dir_all(&there).unwrap();
        for entry in fs::read_dir(scripts().join(kind)).unwrap() {
            let file = entry.unwrap().path();
            fs::copy(&file, there.join(file.file_name().unwrap())).unwrap();
        }
    }
    std::os::unix::fs::symlink(libraries.join("node_modules"), pod.root.join("tmp/node/node_modules")).unwrap();
    // It does not stop when it is asked to, so that everything goes on until the deadline.
    let mut bot = "export SSL_CERT_FILE=/tmp/ca.pem REQUESTS_CA_BUNDLE=/tmp/ca.pem NODE_EXTRA_CA_CERTS=/tmp/ca.pem\n\
                   export PYTHONDONTWRITEBYTECODE=1\n\
                   trap '' TERM\n"
        .to_owned();
    for (name, command) in clients(libraries) {
        bot += &format!("EXCHANGE=https://exchange.test:{PORT}/{name}\nexport EXCHANGE\n");
        bot += &format!("{command} >/tmp/{name}.out 2>&1 &\n");
    }
    bot + "exec sleep 1000"
}

#[test]
fn unmodified_clients_with_tls_pass_by_the_variables_alone_and_are_cut_off_at_the_deadline() {
    let libraries = libraries();
    let certificates = certificates();
    in_pod(|mut pod| async move {
        with_gate(&mut pod, &[&format!("exchange.test:{PORT}")], &[]);
        pod.shared = Some(libraries.clone());
        fs::create_dir_all(pod.root.join("etc")).unwrap();
        fs::write(pod.root.join("etc/resolv.conf"), format!("nameserver {OUTSIDE}\noptions timeout:1\n")).unwrap();
        fs::write(pod.root.join("etc/hosts"), format!("{OUTSIDE} exchange.test\n")).unwrap();
        let outside = Outside::new();
        let exchange = Exchange::start(&outside, &pod.root.join("exchange"), &libraries, &certificates);
        let _container = pod.start(&bot(&pod, &libraries, &certificates));
        // The gate knows the name from here on, and nobody else: who goes past it gets nowhere.
        let (_, answer) = connect(&format!("exchange.test:{PORT}"));
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        fs::write(pod.root.join("etc/hosts"), "").unwrap();
        trading(&pod).await;

        let names: Vec<String> = clients(&libraries).into_iter().map(|(name, _)| name).collect();
        let end = Instant::now() + PATIENCE;
        let waits =
            |orders: &Orders| names.iter().find(|name| orders.get(*name).is_none_or(|all| all.len() < 5)).cloned();
        while let Some(name) = waits(&exchange.orders()) {
            assert!(Instant::now() < end, "{name} never ordered: {}\n{}", pod.file(&format!("{name}.out")), pod.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for name in ["go", "python-websockets", "node-ws"] {
            if names.iter().any(|known| known == name) {
                let line = format!("certificate {}", certificates.hex);
                assert!(pod.file(&format!("{name}.out")).contains(&line), "{name} saw another certificate");
            }
        }

        pod.api.set_mode(Mode::Hang);
        let renewed = pod.api.stored().last().unwrap().at;
        let deadline = SystemTime::now() - renewed.elapsed() + VALIDITY;
        tokio::time::sleep_until((renewed + VALIDITY + Duration::from_secs(1)).into()).await;
        // The Lease is renewed a little before the server stores it; the order is noted a little after it was sent.
        let (earliest, latest) = (deadline - Duration::from_secs(1), deadline + Duration::from_millis(100));
        for (name, orders) in exchange.orders() {
            let (last, _) = orders.last().unwrap();
            assert!((earliest..latest).contains(last), "{name}: {last:?}, the deadline was {deadline:?}");
            assert!(orders.iter().all(|(_, tls)| tls == "TLSv1.3"), "{name}");
        }
    });
}

/// The part of a client that people need.
fn snippet(file: &Path) -> Option<String> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().skip_while(|line| !line.contains(">>>")).skip(1);
    let lines: Vec<&str> = lines.take_while(|line| !line.contains("<<<")).collect();
    let indent = lines.first()?.len() - lines.first()?.trim_start().len();
    Some(lines.iter().map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect())
}

#[test]
fn the_how_to_shows_what_is_tested_here() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/how-to/order-gate.md")).unwrap();
    let mut shown = 0;
    for kind in ["python", "node", "go"] {
        for entry in fs::read_dir(scripts().join(kind)).unwrap() {
            let file = entry.unwrap().path();
            let is_code = file.extension().is_some_and(|e| ["py", "mjs", "go"].iter().any(|kind| e == *kind));
            if let Some(snippet) = is_code.then(|| snippet(&file)).flatten() {
                assert!(page.contains(&snippet), "{} shows\n{snippet}", file.display());
                shown += 1;
            }
        }
    }
    assert!(shown >= 10, "only {shown} were found");
}
