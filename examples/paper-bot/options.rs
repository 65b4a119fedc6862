//! What the bot is told by its arguments and its environment.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::args::Args;
use super::http::Http;
use super::journal::Place;
use super::postgresql::Address;

const PROXY: [&str; 4] = ["http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"];

pub const USAGE: &str = "paper-bot [promote|demote|hang|cancel|flap] [--exchange URL] [--orders-per-second 20] [--control-port 9000]
  [--journal FILE | --database] [--pipeline UNANSWERED] [--sign-milliseconds 0] [--crash-at-start] [--crash-after ORDERS] [--ignore-sigterm] [--ignore-proxy]
from the environment: EXCHANGE_URL or EXCHANGE_SERVICE_HOST and _PORT; TRADINGBOT_NAME, _ROLE, _EPOCH, _FENCING_TOKEN, _API, _CREDENTIALS (a folder with the file api-key); HTTP_PROXY, NO_PROXY; for --database PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE";

/// What it does.
#[derive(Clone, Debug)]
pub struct Options {
    /// The bot's name, which is its account at the exchange and the beginning of its order ids.
    pub name: String,
    /// This process: random, new at every start.
    pub instance: String,
    /// `http://host:port`.
    pub exchange: String,
    pub orders_per_second: f64,
    /// Orders are written without waiting for answers, of which at most so many are due. `None`: one at a time.
    pub pipeline: Option<usize>,
    /// From the last look at its role to the write of an order.
    pub signing: Duration,
    /// Where every order is written down before it is sent; `None`: nowhere.
    pub journal: Option<Place>,
    /// 0: no control port.
    pub control: u16,
    /// The folder with the file `api-key`; `None` where the bot has no keys.
    pub credentials: Option<PathBuf>,
    /// The agent's local API; `None` where no agent runs.
    pub api: Option<String>,
    /// The role at the start, with its epoch and fencing token.
    pub active: bool,
    pub epoch: Option<u64>,
    pub token: Option<u64>,
    pub crash_at_start: bool,
    pub crash_after: Option<u64>,
    pub ignore_sigterm: bool,
    /// HTTP_PROXY and NO_PROXY, in capitals or not, as they were found.
    pub proxy: HashMap<&'static str, String>,
}

impl Options {
    pub fn read(mut args: Args, get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let service = get("EXCHANGE_SERVICE_HOST")
            .map(|host| format!("http://{host}:{}", get("EXCHANGE_SERVICE_PORT").unwrap_or_else(|| "8080".to_owned())));
        let exchange = args.value("--exchange")?.or_else(|| get("EXCHANGE_URL")).or(service);
        // As libraries do that know nothing of these variables.
        let direct = args.flag("--ignore-proxy");
        let number = |name: &str| get(name).and_then(|text| text.parse().ok());
        let journal = match (args.value("--journal")?, args.flag("--database")) {
            (Some(_), true) => return Err("--journal and --database are two books: choose one".to_owned()),
            (Some(file), false) => Some(Place::File(file.into())),
            (None, true) => Some(Place::Database(Address::read(&get)?)),
            (None, false) => None,
        };
        let options = Self {
            name: get("TRADINGBOT_NAME").unwrap_or_else(|| "paper-bot".to_owned()),
            instance: instance()?,
            exchange: exchange.ok_or("where is the exchange? set EXCHANGE_URL or --exchange")?,
            orders_per_second: args.parsed("--orders-per-second", 20.0)?,
            journal,
            control: args.parsed("--control-port", 9000)?,
            credentials: get("TRADINGBOT_CREDENTIALS").map(PathBuf::from),
            api: get("TRADINGBOT_API"),
            // Without an agent nobody else can trade.
            active: get("TRADINGBOT_ROLE").is_none_or(|role| role == "active"),
            epoch: number("TRADINGBOT_EPOCH"),
            token: number("TRADINGBOT_FENCING_TOKEN"),
            pipeline: number_of(&mut args, "--pipeline")?,
            signing: Duration::from_millis(args.parsed("--sign-milliseconds", 0)?),
            crash_at_start: args.flag("--crash-at-start"),
            crash_after: number_of(&mut args, "--crash-after")?,
            ignore_sigterm: args.flag("--ignore-sigterm"),
            proxy: PROXY.into_iter().filter(|_| !direct).filter_map(|name| Some((name, get(name)?))).collect(),
        };
        args.finish()?;
        if options.orders_per_second.is_nan() || options.orders_per_second <= 0.0 {
            return Err("--orders-per-second must be above zero".to_owned());
        }
        if options.pipeline == Some(0) {
            return Err("--pipeline must be above zero".to_owned());
        }
        Ok(options)
    }

    /// Through the proxy of the environment, where it names one for this server.
    pub fn proxied(&self, http: Http) -> Result<Http, String> {
        http.proxied(|name| self.proxy.get(name).cloned())
    }
}

fn number_of<T: FromStr>(args: &mut Args, name: &str) -> Result<Option<T>, String> {
    args.value(name)?.map(|n| n.parse().map_err(|_| format!("{name}: '{n}' is no number"))).transpose()
}

fn instance() -> Result<String, String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| format!("the kernel gives no random numbers: {error}"))?;
    Ok(format!("{:016x}", u64::from_be_bytes(random)))
}
