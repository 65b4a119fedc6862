//! Calling hooks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::http_client;
use super::processes::HookStarter;
use crate::api::agent_config::{HookAction, HookCall};
use crate::core::agent::{Exit, Leadership, PauseHook};
use crate::core::shutdown::{StepReport, StepResult};

/// While a bot starts, its port is tried this often.
const RETRY: Duration = Duration::from_millis(10);

/// Which hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Called when the permit to trade was given; the bot trades when it succeeds.
    Promote,
    /// This step of the stop of a bot that trades, counted from 0; the demote hook is the last.
    Step(u8),
    /// Called because a check fails: this one of all recovery hooks.
    Recovery(u8),
    /// Called because trading pauses, or goes on.
    Pause(PauseHook),
}

/// A hook that did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookFailure {
    /// It did not end in its time.
    pub timed_out: bool,
    /// What happened, a sentence.
    pub sentence: String,
}

impl HookFailure {
    /// What is written down of a hook that took so long.
    pub(super) fn report(name: &str, result: Result<(), HookFailure>, took: Duration) -> StepReport {
        let (result, message) = match result {
            Ok(()) => (StepResult::Succeeded, String::new()),
            Err(HookFailure { timed_out: true, sentence }) => (StepResult::TimedOut, sentence),
            Err(HookFailure { timed_out: false, sentence }) => (StepResult::Failed, sentence),
        };
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        StepReport { name: name.to_owned(), result, milliseconds, message }
    }
}

/// Calls a hook; when it fails, or does not end in its time, a sentence says so. Dropping the call ends the hook.
/// `patient`: while nothing listens on its port the bot is starting, and is asked again.
pub(super) async fn call(
    name: &str,
    patient: bool,
    call: &HookCall,
    role: Leadership,
    starter: &HookStarter,
) -> Result<(), HookFailure> {
    let within = Duration::from_secs(call.timeout_seconds);
    let result = match &call.action {
        HookAction::Exec { command } => timeout(within, exec(command, role, starter)).await,
        HookAction::Http { .. } => timeout(within, http(&call.action, patient)).await,
    };
    let (timed_out, ending) = match result {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(cause)) => (false, cause),
        Err(_) => (true, format!("did not end within {} s", call.timeout_seconds)),
    };
    Err(HookFailure { timed_out, sentence: format!("the {name} hook {} {ending}.", describe(&call.action)) })
}

fn describe(action: &HookAction) -> String {
    match action {
        HookAction::Exec { command } => format!("'{}'", command.join(" ")),
        HookAction::Http { method, port, path, .. } => format!("{method} http://127.0.0.1:{port}{path}"),
    }
}

/// Runs a command in the bot's container; dropped, it is killed with everything that it has started in its group.
///
/// # Errors
/// Completes "the command …".
pub(super) async fn exec(command: &[String], role: Leadership, starter: &HookStarter) -> Result<(), String> {
    let mut running = starter.start(command, role).map_err(|cause| format!("could not be started: {cause}"))?;
    match (&mut running.end).await {
        Ok(Exit::Code(0)) => Ok(()),
        Ok(exit) => Err(exit.to_string()),
        Err(_) => Err("was not waited for".into()),
    }
}

async fn http(action: &HookAction, retry: bool) -> Result<(), String> {
    loop {
        match once(action).await {
            Err(Failure::NotListening(_)) if retry => sleep(RETRY).await,
            Err(Failure::NotListening(cause)) => return Err(format!("could not connect: {cause}")),
            Err(Failure::Other(cause)) => return Err(cause),
            Ok(status) if status.is_success() => return Ok(()),
            Ok(status) => return Err(format!("was answered with {status}")),
        }
    }
}

enum Failure {
    NotListening(io::Error),
    Other(String),
}

async fn once(action: &HookAction) -> Result<hyper::StatusCode, Failure> {
    let HookAction::Http { port, .. } = action else { return Err(Failure::Other("is not an HTTP hook".into())) };
    let stream = connect(*port).await.map_err(Failure::NotListening)?;
    let other = |cause: &dyn std::fmt::Display| Failure::Other(format!("failed: {cause}"));
    let request = request(action).map_err(|cause| other(&cause))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|cause| other(&cause))?;
    let answer = http_client::driven(connection, sender.send_request(request)).await;
    answer.map(|answer| answer.status()).map_err(|cause| other(&cause))
}

async fn connect(port: u16) -> io::Result<TcpStream> {
    match TcpStream::connect(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)).await {
        Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
            let six = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port);
            TcpStream::connect(six).await.map_err(|_| refused)
        }
        result => result,
    }
}

fn request(action: &HookAction) -> Result<Request<Empty<Bytes>>, String> {
    let HookAction::Http { method, port, path, headers, basic_auth_dir } = action else {
        return Err("it is not an HTTP hook".into());
    };
    let mut builder = Request::builder().method(method.as_str()).uri(path.as_str());
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(HOST.as_str())) {
        builder = builder.header(HOST, format!("127.0.0.1:{port}"));
    }
    for (name, value) in headers {
        builder = builder.header(name.as_str(), value.as_str());
    }
    if let Some(directory) = basic_auth_dir {
        builder = builder.header(AUTHORIZATION, basic_auth(directory.as_ref())?);
    }
    builder.body(Empty::new()).map_err(|cause| cause.to_string())
}

fn basic_auth(directory: &Path) -> Result<HeaderValue, String> {
    let read = |name: &str| {
        let path = directory.join(name);
        http_client::secret_key(&path).map_err(|cause| format!("cannot read {}: {cause}", path.display()))
    };
    http_client::basic_auth(&read("username")?, &read("password")?).map_err(|cause| cause.to_string())
}
