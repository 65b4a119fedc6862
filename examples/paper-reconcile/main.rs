//! A reconciliation on paper: cancels the bot's open orders of earlier epochs, compares its position with its fills, and
//! reports. Idempotent, as Kubernetes may start it twice; and it misbehaves on request.

#[path = "../common/args.rs"]
mod args;
#[cfg(test)]
#[path = "../paper-exchange/exchange/mod.rs"]
mod exchange;
#[path = "../common/http.rs"]
mod http;
mod report;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::time::Duration;

use args::Args;
use http::Http;
use report::{Balance, Report, difference};
use serde_json::{Value, json};

const USAGE: &str = "paper-reconcile [--exchange URL] [--delay SECONDS] [--fail] [--hang] [--discrepancy TEXT] [--nonsense]
  [--report-bytes N]
from the environment: EXCHANGE_URL or EXCHANGE_SERVICE_HOST and _PORT; TRADINGBOT_NAME, _EPOCH, _FENCING_TOKEN; TERMINATION_LOG";

/// What it does and how it misbehaves.
struct Options {
    exchange: String,
    name: String,
    epoch: Option<u64>,
    token: Option<u64>,
    termination_log: String,
    delay: f64,
    fail: bool,
    hang: bool,
    discrepancy: Option<String>,
    nonsense: bool,
    report_bytes: usize,
}

impl Options {
    fn read(mut args: Args, get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let service = get("EXCHANGE_SERVICE_HOST")
            .map(|host| format!("http://{host}:{}", get("EXCHANGE_SERVICE_PORT").unwrap_or_else(|| "8080".to_owned())));
        let exchange = args.value("--exchange")?.or_else(|| get("EXCHANGE_URL")).or(service);
        let number = |name: &str| get(name).and_then(|text| text.parse().ok());
        let options = Self {
            exchange: exchange.ok_or("where is the exchange? set EXCHANGE_URL or --exchange")?,
            name: get("TRADINGBOT_NAME").ok_or("TRADINGBOT_NAME says which bot's orders are meant; it is not set")?,
            epoch: number("TRADINGBOT_EPOCH"),
            token: number("TRADINGBOT_FENCING_TOKEN"),
            termination_log: get("TERMINATION_LOG").unwrap_or_else(|| "/dev/termination-log".to_owned()),
            delay: args.parsed("--delay", 0.0)?,
            fail: args.flag("--fail"),
            hang: args.flag("--hang"),
            discrepancy: args.value("--discrepancy")?,
            nonsense: args.flag("--nonsense"),
            report_bytes: args.parsed("--report-bytes", 0)?,
        };
        args.finish()?;
        Ok(options)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = match Options::read(Args::from_env(), |name| std::env::var(name).ok()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (code, message) = match run(&options).await {
        Ok(report) => (ExitCode::SUCCESS, report),
        Err(error) => (ExitCode::FAILURE, error),
    };
    println!("{message}");
    if let Err(error) = std::fs::write(&options.termination_log, &message) {
        eprintln!("the report cannot be written to {}: {error}", options.termination_log);
        return ExitCode::FAILURE;
    }
    code
}

/// The report as it is to be written.
async fn run(options: &Options) -> Result<String, String> {
    let mut exchange = Exchange { http: Http::new(&options.exchange, Duration::from_secs(5))?, options };
    // Kubernetes may start a Job's pod twice. By the second time the bot may trade already: its orders must stay, and
    // one cause is counted once.
    if exchange.has_succeeded().await? {
        return serde_json::to_string(&Report::default()).map_err(|error| error.to_string());
    }
    exchange.tell("Started").await?;
    if options.hang {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_secs_f64(options.delay)).await;
    if options.fail {
        exchange.tell("Failed").await?;
        return Err("the books cannot be read (told to fail)".to_owned());
    }
    let mut report = exchange.reconcile().await?;
    report.discrepancies.extend(options.discrepancy.clone());
    exchange.tell("Succeeded").await?;
    if options.nonsense {
        return Ok("all good!".to_owned());
    }
    let text = serde_json::to_string(&report).map_err(|error| error.to_string())?;
    // White space within JSON changes nothing, so it stays readable unless it is cut. The kubelet keeps the end of a long
    // message: before the brace, the white space alone would go.
    let (brace, rest) = text.split_at(1);
    Ok(format!("{brace}{}{rest}", " ".repeat(options.report_bytes.saturating_sub(text.len()))))
}

struct Exchange<'a> {
    http: Http,
    options: &'a Options,
}

impl Exchange<'_> {
    async fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Value, String> {
        let failed = |error| format!("{method} {path} at {}: {error}", self.options.exchange);
        // So that the exchange's log says under which token a cancellation came.
        let token = self.options.token.map(|token| token.to_string()).unwrap_or_default();
        let bytes = self.http.encode(method, path, &[("x-fencing-token", &token)], body);
        let Some(answer) = self.http.exchange_if(&bytes, || true).await.map_err(failed)? else {
            return Err(failed(std::io::ErrorKind::NotConnected.into()));
        };
        if !answer.is_success() {
            return Err(format!("{method} {path}: {} {}", answer.status, answer.body.trim()));
        }
        answer.json().map_err(|error| error.to_string())
    }

    async fn tell(&mut self, state: &str) -> Result<(), String> {
        let Options { name, epoch, token, .. } = self.options;
        let body = json!({"state": state, "account": name, "epoch": epoch, "fencingToken": token});
        self.call("POST", "/v1/reconciliations", &body.to_string()).await.map(|_| ())
    }

    /// Whether this token's reconciliation is done already, as the exchange knows it.
    async fn has_succeeded(&mut self) -> Result<bool, String> {
        let Some(token) = self.options.token else { return Ok(false) };
        let path = format!("/v1/reconciliations?account={}&token={token}", self.options.name);
        let known = self.call("GET", &path, "").await?;
        let mut reports = known["reconciliations"].as_array().into_iter().flatten();
        Ok(reports.any(|report| report["state"] == "Succeeded"))
    }

    /// Only what is this bot's, by the beginning of its order ids: people may have orders of their own on the account.
    async fn reconcile(&mut self) -> Result<Report, String> {
        let which = format!("account={0}&prefix={0}-", self.options.name);
        let open = self.call("GET", &format!("/v1/orders?open=true&{which}"), "").await?;
        let found = open["orders"].as_array().map_or(0, Vec::len);
        let cancelled = match found {
            0 => 0,
            _ => self.call("DELETE", &format!("/v1/orders?{which}"), "").await?["cancelled"].as_u64().unwrap_or(0),
        };
        let account = self.call("GET", &format!("/v1/account?account={}", self.options.name), "").await?;
        let fills = self.call("GET", &format!("/v1/fills?{which}"), "").await?;
        let position = &account["positions"][0]["quantity"];
        let traded = fills["changes"].as_array().and_then(|all| all.iter().find(|change| change["asset"] == "DOGE"));
        let traded = traded.map_or(&Value::Null, |change| &change["amount"]);
        let drift = difference(position, traded)?;
        Ok(Report {
            open_orders_found: found as u64,
            orders_cancelled: cancelled,
            positions_synced: 1,
            balances: vec![Balance { asset: "DOGE".to_owned(), drift }],
            discrepancies: Vec::new(),
        })
    }
}
