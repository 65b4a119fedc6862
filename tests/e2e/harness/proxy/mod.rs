//! A proxy between the API server and all pods, which answers in its stead, keeps things back, or tells what was.
//!
//! It has the API server's own certificate, so nothing in a pod has to be told of it; who asks is in the token that each
//! request carries. It runs on a thread of its own: the scripts that scenarios wait for would hold it up.

mod rule;
mod serve;
mod watches;

use std::collections::BTreeMap;
use std::io::BufReader;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::combinators::BoxBody;
use hyper::body::Bytes;
use tokio::net::TcpListener;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub use self::rule::{Call, Deeds, EventFate, Fate, Passes, Rule};
use self::serve::serve;
use super::faults::{Faults, Lasting};
use super::shell::cluster_env;

type Body = BoxBody<Bytes, hyper::Error>;

struct State {
    rule: Mutex<Arc<dyn Rule>>,
    deeds: Mutex<Deeds>,
    /// The names that deeds are counted by.
    names: Mutex<Vec<String>>,
    lists: Mutex<Lists>,
    connector: TlsConnector,
    upstream: SocketAddr,
}

/// The answers to lists, and whether they are still renewed.
#[derive(Default)]
struct Lists {
    frozen: bool,
    answers: BTreeMap<String, Bytes>,
}

/// The proxy with all pods behind it, until it is dropped.
pub struct Proxy {
    state: Arc<State>,
    diverted: Option<Lasting>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Proxy {
    /// Puts it between. Every pod makes its connections anew.
    pub fn start(faults: &Faults, names: Vec<String>) -> Proxy {
        let env =
            |name: &str| cluster_env().get(name).unwrap_or_else(|| panic!("the cluster's {name} is known")).clone();
        let (keys, index) = (Path::new(&env("STATE")).join("pki"), env("CLUSTER_INDEX").parse().expect("an index"));
        let address = move |end: u8| Ipv4Addr::new(198, 18, index, end);
        let mut roots = RootCertStore::empty();
        for authority in certificates(&keys.join("ca.crt")) {
            roots.add(authority).expect("the cluster's authority");
        }
        let trusting = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let key = PrivateKeyDer::from_pem_file(keys.join("apiserver.key")).expect("the API server's key");
        let serving = ServerConfig::builder().with_no_client_auth();
        let serving = serving.with_single_cert(certificates(&keys.join("apiserver.crt")), key).expect("a pair");
        let state = Arc::new(State {
            rule: Mutex::new(Arc::new(Passes)),
            deeds: Mutex::default(),
            names: Mutex::new(names),
            lists: Mutex::default(),
            connector: TlsConnector::from(Arc::new(trusting)),
            upstream: (address(2), 6443).into(),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (served, acceptor) = (state.clone(), TlsAcceptor::from(Arc::new(serving)));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind((address(1), 0)).await.expect("the machine's end of the link");
                ready.send(listener.local_addr().expect("an address").port()).expect("somebody waits for the port");
                tokio::select! {
                    () = serve(served, listener, acceptor) => {}
                    _ = stopped => {}
                }
            });
        });
        let port = is_ready.recv().expect("the proxy listens");
        Proxy { state, diverted: Some(faults.divert_api(port)), stop: Some(stop), thread: Some(thread) }
    }

    /// What it does from now on, also with requests and watches that are under way. Counting begins anew.
    pub fn obey(&self, rule: impl Rule + 'static) {
        *lock(&self.state.deeds) = Deeds::default();
        *lock(&self.state.rule) = Arc::new(rule);
    }

    /// What was done since it obeys this rule.
    pub fn deeds(&self) -> Deeds {
        lock(&self.state.deeds).clone()
    }

    /// Answers to lists are no longer renewed, or are again.
    pub fn remember_lists(&self, remember: bool) {
        lock(&self.state.lists).frozen = remember;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.diverted.take());
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    /// By the bot whose account it is, or whose name is in the path.
    fn count(&self, path: &str, account: Option<&str>, what: &'static str) {
        let name = account.and_then(|account| account.split(':').nth(1)).unwrap_or_default();
        let concerns = |bot: &str| {
            name.starts_with(&format!("{bot}-agent"))
                || path.split('/').any(|part| part == bot || part.starts_with(&format!("{bot}-")))
        };
        self.add(what, concerns);
    }

    fn count_all(&self, what: &'static str) {
        self.add(what, |_| true);
    }

    fn add(&self, what: &'static str, concerns: impl Fn(&str) -> bool) {
        let names = lock(&self.names);
        let mut deeds = lock(&self.deeds);
        for bot in names.iter().filter(|bot| concerns(bot)) {
            *deeds.0.entry((bot.clone(), what)).or_default() += 1;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    CertificateDer::pem_reader_iter(BufReader::new(file)).map(|one| one.expect("a certificate")).collect()
}
