//! The bot as a process of its own, against the paper exchange: how it ends, and how it misbehaves.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::args::Args;
use super::exchange::server::{Config, Server};
use super::http::{Answer, Http};

/// Makes the test binary be the program, with the arguments from this variable.
const ARGUMENTS: &str = "PAPER_BOT_TEST_ARGUMENTS";
const SOON: Duration = Duration::from_secs(9);

/// The program with these arguments.
pub fn myself(args: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", "process_tests::as_program", "--nocapture", "--quiet"]).env(ARGUMENTS, args.join(" "));
    command
}

#[test]
fn as_program() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let list: Vec<&str> = arguments.split_whitespace().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(super::program(Args::from_list(&list)));
    std::process::exit(i32::from(code));
}

/// An exchange on a thread of its own, so that a test can wait for processes meanwhile.
struct Exchange(String);

impl Exchange {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let server = Server::new(Config { log_entries: 100_000, log_file: None, fence: false });
            runtime.block_on(async { server.serve(TcpListener::from_std(listener).unwrap()).await.unwrap() });
        });
        Self(url)
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        Http::new(&self.0, SOON * 2).unwrap().request(method, path, body).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        self.call("GET", path, "").await.json().unwrap()
    }

    /// The first accepted order that fits; none within 9 s fails the test.
    async fn order(&self, query: &str) -> Value {
        let answer = self.call("GET", &format!("/wait?timeout_ms={}&{query}", SOON.as_millis()), "").await;
        assert_eq!(answer.status, 200, "there was no order with {query}");
        answer.json().unwrap()
    }

    /// Puts something into the log, and gives its number.
    async fn post(&self, path: &str, body: Value) -> u64 {
        self.call("POST", path, &body.to_string()).await.json().unwrap()["seq"].as_u64().unwrap()
    }

    async fn newest(&self) -> u64 {
        self.get("/last").await["seq"].as_u64().unwrap()
    }

    /// Twenty periods without an order; fails the test when they do not come soon.
    async fn until_silent(&self) {
        let begin = Instant::now();
        while begin.elapsed() < SOON {
            let path = format!("/wait?timeout_ms=200&since={}", self.newest().await);
            if self.call("GET", &path, "").await.status == 204 {
                return;
            }
        }
        panic!("it goes on trading");
    }
}

/// A bot, killed with all it has left behind when the test ends.
struct Bot {
    child: Child,
    control: u16,
    lines: Receiver<String>,
    pids: Vec<i32>,
}

impl Bot {
    fn start(exchange: &Exchange, more: &str, env: &[(&str, &str)]) -> Self {
        let free = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
        let arguments = format!("--exchange {} --orders-per-second 100 --control-port {free} {more}", exchange.0);
        let mut command = myself(&[&arguments]);
        command.env("TRADINGBOT_EPOCH", "3").env("TRADINGBOT_FENCING_TOKEN", "3000").env("TRADINGBOT_NAME", "doge");
        let mut child = command.envs(env.iter().copied()).stderr(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, control: free, lines, pids: Vec::new() }
    }

    /// The process that says next that it has started.
    fn pid(&mut self) -> i32 {
        loop {
            let line = self.lines.recv_timeout(SOON).expect("a process says that it has started");
            if let Some(rest) = line.strip_prefix("process ") {
                let pid = rest.split(' ').next().unwrap().parse().unwrap();
                self.pids.push(pid);
                return pid;
            }
        }
    }

    async fn control(&self, what: &str) {
        let url = format!("http://127.0.0.1:{}", self.control);
        let answer = Http::new(&url, SOON).unwrap().request("POST", &format!("/control/{what}"), "").await.unwrap();
        assert_eq!(answer.status, 200);
    }

    fn signal(pid: i32, signal: i32) {
        // SAFETY: kill has no memory to get wrong; the process was started by this test and not waited for yet.
        unsafe { libc::kill(pid, signal) };
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        self.pids.iter().for_each(|pid| Self::signal(*pid, libc::SIGKILL));
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn sigterm_ends_it_at_once() {
    let exchange = Exchange::start();
    let mut bot = Bot::start(&exchange, "", &[]);
    let pid = bot.pid();
    let order = exchange.order("token=3000&since=30").await;
    assert_eq!((&order["epoch"], &order["account"]), (&json!(3), &json!("doge")));
    let open = exchange.get("/v1/orders?open=true&account=doge&prefix=doge-3000-").await;
    assert!((1..=6).contains(&open["orders"].as_array().unwrap().len()), "it keeps some open, not all: {open}");
    let begin = Instant::now();
    Bot::signal(pid, libc::SIGTERM);
    assert!(bot.child.wait().unwrap().success());
    println!("SIGTERM to exit: {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_millis(500));
    assert_eq!(exchange.get("/audit").await["ok"], true);
}

#[tokio::test]
async fn told_to_pause_and_to_resume_it_trades_on_under_its_token() {
    let exchange = Exchange::start();
    let mut bot = Bot::start(&exchange, "", &[]);
    bot.pid();
    exchange.order("token=3000&since=0").await;
    bot.control("pause").await;
    exchange.until_silent().await;
    let silent = exchange.newest().await;
    bot.control("resume").await;
    exchange.order(&format!("token=3000&since={silent}")).await;
    assert_eq!(exchange.get("/audit").await["ok"], true);
}

#[tokio::test]
async fn told_to_pause_and_to_cancel_it_leaves_nothing_open() {
    let exchange = Exchange::start();
    let mut bot = Bot::start(&exchange, "", &[]);
    bot.pid();
    exchange.order("token=3000&since=30").await;
    bot.control("pause").await;
    let cancel = |url: &str| {
        let mut command = myself(&[&format!("cancel --exchange {url}")]);
        command.env("TRADINGBOT_EPOCH", "3").env("TRADINGBOT_FENCING_TOKEN", "3000").env("TRADINGBOT_NAME", "doge");
        command.stderr(Stdio::null()).status().unwrap()
    };
    assert!(cancel(&exchange.0).success());
    let open = exchange.get("/v1/orders?open=true&account=doge").await;
    assert_eq!(open["orders"], json!([]), "what was on its way is cancelled, too");
    let told = exchange.get("/last?kind=cancelMany").await;
    assert_eq!((&told["token"], &told["account"]), (&json!(3000), &json!("doge")));
    assert!(told["count"].as_u64().unwrap() >= 1, "{told}");
    exchange.until_silent().await;
    assert_eq!(cancel("http://127.0.0.1:1").code(), Some(1), "an exchange that is not there cancels nothing");
    assert_eq!(exchange.get("/audit").await["ok"], true);
}

#[tokio::test]
async fn a_failing_exchange_never_stops_it() {
    let exchange = Exchange::start();
    let mut bot = Bot::start(&exchange, "", &[]);
    bot.pid();
    for mode in ["429", "500", "AcceptedButTimesOut", "Slow"] {
        exchange.order("token=3000").await;
        let setting = json!({"mode": mode, "count": 2, "milliseconds": 50});
        let told = exchange.post("/control/mode", setting).await;
        exchange.order(&format!("since={}", told + 10)).await;
    }
    let refused = exchange.call("GET", "/log?accepted=false", "").await.body;
    assert_eq!(refused.lines().count(), 4, "two of each that refuse: {refused}");
    assert_eq!(exchange.get("/audit").await["ok"], true);
}

#[tokio::test]
async fn a_daemonised_child_trades_on_when_its_parent_is_killed() {
    let exchange = Exchange::start();
    let mut bot = Bot::start(&exchange, "", &[]);
    let parent = bot.pid();
    let first = exchange.order("token=3000").await;
    bot.control("daemonise").await;
    let child = bot.pid();
    let others = format!("instance_not={}", first["instance"].as_str().unwrap());
    assert_eq!(exchange.order(&others).await["token"], 3000);
    Bot::signal(parent, libc::SIGKILL);
    bot.child.wait().unwrap();
    Bot::signal(child, libc::SIGTERM);
    let killed = exchange.post("/control/mark", json!({"text": "killed"})).await;
    exchange.order(&format!("{others}&since={}", killed + 10)).await;
    let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let session = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ours = session.rsplit_once(')').unwrap().1.split_whitespace().nth(3).unwrap();
    assert_ne!(fields[1], parent.to_string(), "it is no child of the bot any more");
    assert_ne!(fields[3], ours, "it has a session of its own");
    assert_eq!(exchange.get("/audit").await["ok"], true, "the parent had stopped before it began");
}

#[tokio::test]
async fn it_crashes_hangs_and_ignores_sigterm_as_told() {
    let exchange = Exchange::start();
    assert_eq!(Bot::start(&exchange, "--crash-at-start", &[]).child.wait().unwrap().code(), Some(1));
    assert_eq!(Bot::start(&exchange, "--crash-after 3", &[]).child.wait().unwrap().code(), Some(1));
    assert_eq!(exchange.get("/audit").await["orders"], 3);
    let mut bot = Bot::start(&exchange, "--ignore-sigterm", &[]);
    let pid = bot.pid();
    exchange.order(&format!("since={}", exchange.newest().await)).await;
    Bot::signal(pid, libc::SIGTERM);
    exchange.order(&format!("since={}", exchange.newest().await + 10)).await;
    bot.control("hang").await;
    exchange.until_silent().await;
    assert!(bot.child.try_wait().unwrap().is_none(), "a bot that hangs lives");
    let mut another = Bot::start(&exchange, "", &[("TRADINGBOT_NAME", "shiba")]);
    another.pid();
    exchange.order("account=shiba").await;
    let url = format!("http://127.0.0.1:{}", another.control);
    // It dies before it answers.
    assert!(Http::new(&url, SOON).unwrap().request("POST", "/control/crash", "").await.is_err());
    assert_eq!(another.child.wait().unwrap().code(), Some(1));
}

#[tokio::test]
async fn a_standby_does_not_trade_without_the_agents_word() {
    let exchange = Exchange::start();
    let mut bot =
        Bot::start(&exchange, "", &[("TRADINGBOT_ROLE", "standby"), ("TRADINGBOT_API", "http://127.0.0.1:1")]);
    bot.pid();
    let url = format!("http://127.0.0.1:{}", bot.control);
    let begin = Instant::now();
    // It has started when its control port answers.
    while Http::new(&url, SOON).unwrap().request("POST", "/control/ignore-sigterm", "").await.is_err() {
        assert!(begin.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(exchange.call("GET", "/wait?timeout_ms=300", "").await.status, 204);
}
