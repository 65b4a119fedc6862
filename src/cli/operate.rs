//! `switchover`, `failover`, `confirm-stopped`, `backup` and `restore`: asks by a `TradingBotOperation`, and waits until
//! it has ended.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::Instant;

use super::args::Request;
use super::connect::Failure;
use crate::api::bot::TradingBot;
use crate::api::operation::*;
use crate::core::backup::BackupId;

/// Between two looks at how it stands.
const PERIOD: Duration = Duration::from_millis(250);

/// What is asked of a bot.
#[derive(Clone, Debug)]
pub struct Ask {
    bot: String,
    type_: OperationType,
    to: Option<String>,
    confirm: Option<Confirmation>,
    backup: Option<BackupRequest>,
    restore: Option<RestoreRequest>,
}

impl Ask {
    pub fn switchover(bot: String, to: Option<String>) -> Self {
        Self { to, ..Self::of(bot, OperationType::Switchover) }
    }

    pub fn failover(bot: String, to: Option<String>) -> Self {
        Self { to, ..Self::of(bot, OperationType::Failover) }
    }

    pub fn confirm_stopped(bot: String, epoch: u64, by: String) -> Self {
        Self { confirm: Some(Confirmation { epoch, by }), ..Self::of(bot, OperationType::ConfirmStopped) }
    }

    pub fn backup(bot: String, schedule: Option<String>) -> Self {
        Self { backup: Some(BackupRequest { schedule }), ..Self::of(bot, OperationType::Backup) }
    }

    /// The newest good backup where neither is given.
    pub fn restore(bot: String, id: Option<BackupId>, before: Option<Timestamp>, confirm: String) -> Self {
        let request = RestoreRequest { id: id.map(String::from), before: before.map(Time), confirm };
        Self { restore: Some(request), ..Self::of(bot, OperationType::Restore) }
    }

    fn of(bot: String, type_: OperationType) -> Self {
        Self { bot, type_, to: None, confirm: None, backup: None, restore: None }
    }

    fn operation(self, reason: Option<String>) -> TradingBotOperation {
        let Self { bot, type_, to, confirm, backup, restore } = self;
        let word = match type_ {
            OperationType::Switchover => "switchover",
            OperationType::Failover => "failover",
            OperationType::Backup => "backup",
            OperationType::Restore => "restore",
            OperationType::ConfirmStopped => "confirm-stopped",
        };
        let spec = TradingBotOperationSpec { bot_name: bot.clone(), type_, to, reason, confirm, backup, restore };
        let metadata = ObjectMeta { generate_name: Some(format!("{bot}-{word}-")), ..ObjectMeta::default() };
        TradingBotOperation { metadata, ..TradingBotOperation::new("", spec) }
    }
}

/// Asks, and waits for the end.
pub async fn ask(client: Client, namespace: &str, ask: Ask, request: Request) -> Result<(), Failure> {
    let sentence = carry_through(client, namespace, ask, request, &mut Progress::start()).await?;
    println!("{sentence}");
    Ok(())
}

/// The outcome, a sentence.
async fn carry_through(
    client: Client,
    namespace: &str,
    ask: Ask,
    request: Request,
    progress: &mut Progress,
) -> Result<String, Failure> {
    let bots = Api::<TradingBot>::namespaced(client.clone(), namespace);
    let operations = Api::<TradingBotOperation>::namespaced(client, namespace);
    let name = ask.bot.clone();
    let apart = matches!(ask.type_, OperationType::Backup | OperationType::Restore);
    let what = format!("TradingBot {name} in namespace {namespace}");
    bots.get(&name).await.map_err(|error| Failure::of(&error, &what))?;

    let Request { reason, timeout } = request;
    let object = ask.operation(reason);
    let made = operations.create(&PostParams::default(), &object).await;
    let made = made.map_err(|error| Failure::of(&error, "the operation"))?.name_any();
    let begun = Instant::now();
    let mut lost = None;
    while begun.elapsed() < Duration::from_secs(timeout) {
        match operations.get(&made).await {
            Ok(now) => {
                let status = now.status.unwrap_or_default();
                let message = status.message.unwrap_or_default();
                match status.phase {
                    OperationPhase::Succeeded => return Ok(message),
                    OperationPhase::Failed => {
                        let reason = status.reason.unwrap_or_default();
                        return Err(Failure::failed(format!("{made} failed ({reason}): {message}")));
                    }
                    OperationPhase::Pending => progress.say("waiting for the operator"),
                    // The bot trades on meanwhile and knows nothing of it.
                    OperationPhase::Running if apart => progress.say(&message),
                    OperationPhase::Running => match bots.get(&name).await.ok().and_then(|bot| bot.status) {
                        Some(bot) => progress.say(&format!("{:?}: {}", bot.phase, bot.message)),
                        None => progress.say(&message),
                    },
                }
                lost = None;
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                return Err(Failure::failed(format!(
                    "{made} was deleted before it ended. See: kubectl tradingbot status {name}"
                )));
            }
            // The operation goes on without us; the API server may be back in time to say how it ended.
            Err(error) => {
                let failure = Failure::of(&error, &made);
                progress.say(&failure.sentence);
                lost = Some(failure);
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
    Err(lost.unwrap_or_else(|| {
        Failure::failed(format!(
            "{made} has not ended within {timeout} s, and goes on. See: kubectl -n {namespace} get tbop {made} -o wide. If it stays Pending, the operator does not run: kubectl -n tradingbot-system get pods"
        ))
    }))
}

/// One line that shows what is going on; without a terminal, a line for everything new.
enum Progress {
    Line(ProgressBar),
    Lines(String),
}

impl Progress {
    fn start() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines(String::new());
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self::Line(bar)
    }

    fn say(&mut self, message: &str) {
        match self {
            Self::Line(bar) => bar.set_message(message.to_owned()),
            Self::Lines(last) if last != message => {
                eprintln!("{message}");
                message.clone_into(last);
            }
            Self::Lines(_) => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Line(bar) = self {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request as HttpRequest, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    type Handle = tower_test::mock::Handle<HttpRequest<Body>, Response<Body>>;

    fn client() -> (Client, Handle) {
        let (service, handle) = tower_test::mock::pair();
        (Client::new(service, "default"), handle)
    }

    /// Answers the next request, which must be `expected`; gives back what was sent.
    async fn answer(handle: &mut Handle, expected: &str, code: u16, body: Value) -> Value {
        let waited = tokio::time::timeout(Duration::from_secs(5), handle.next_request()).await;
        let (request, respond) = waited.expect("a request within 5 s").expect("a request");
        assert_eq!(format!("{} {}", request.method(), request.uri().path()), expected);
        let sent = request.into_body().collect_bytes().await.unwrap();
        respond
            .send_response(Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap());
        serde_json::from_slice(&sent).unwrap_or(Value::Null)
    }

    const BOT: &str = "GET /apis/tradingbot.io/v1alpha1/namespaces/money/tradingbots/doge";
    const CREATE: &str = "POST /apis/tradingbot.io/v1alpha1/namespaces/money/tradingbotoperations";
    const LOOK: &str = "GET /apis/tradingbot.io/v1alpha1/namespaces/money/tradingbotoperations/doge-switchover-x";

    fn bot() -> Value {
        serde_json::to_value(super::super::render::tests::bot("doge", json!({"phase": "Active"}))).unwrap()
    }

    fn operation(status: Value) -> Value {
        json!({
            "apiVersion": "tradingbot.io/v1alpha1", "kind": "TradingBotOperation",
            "metadata": {"name": "doge-switchover-x", "namespace": "money"},
            "spec": {"botName": "doge", "type": "Switchover"}, "status": status,
        })
    }

    fn request(timeout: u64) -> Request {
        Request { reason: Some("planned".into()), timeout }
    }

    async fn switch_over(client: Client, timeout: u64) -> Result<String, Failure> {
        let ask = Ask::switchover("doge".into(), Some("doge-1".into()));
        carry_through(client, "money", ask, request(timeout), &mut Progress::Lines(String::new())).await
    }

    #[tokio::test]
    async fn a_switchover_is_asked_for_and_waited_for() {
        let (client, mut handle) = client();
        let outcome = tokio::spawn(switch_over(client, 30));
        answer(&mut handle, BOT, 200, bot()).await;
        let sent = answer(&mut handle, CREATE, 201, operation(json!({}))).await;
        assert_eq!(sent["spec"], json!({"botName": "doge", "type": "Switchover", "to": "doge-1", "reason": "planned"}));
        assert_eq!(sent["metadata"], json!({"generateName": "doge-switchover-"}));
        answer(&mut handle, LOOK, 200, operation(json!({"phase": "Pending"}))).await;
        answer(&mut handle, LOOK, 200, operation(json!({"phase": "Running"}))).await;
        answer(&mut handle, BOT, 200, bot()).await;
        answer(
            &mut handle,
            LOOK,
            200,
            operation(json!({"phase": "Succeeded", "message": "doge-1 trades in epoch 8."})),
        )
        .await;
        assert_eq!(outcome.await.unwrap(), Ok("doge-1 trades in epoch 8.".into()));
    }

    #[test]
    fn backups_and_restores_are_asked_for_by_their_own_words() {
        let spec = |ask: Ask| serde_json::to_value(ask.operation(None).spec).unwrap();
        let backup = spec(Ask::backup("doge".into(), Some("daily".into())));
        assert_eq!(backup, json!({"botName": "doge", "type": "Backup", "backup": {"schedule": "daily"}}));
        let id = "20261124T020000Z-daily-3f9a";
        let restore = spec(Ask::restore("doge".into(), Some(id.parse().unwrap()), None, "doge".into()));
        let wanted = json!({"botName": "doge", "type": "Restore", "restore": {"id": id, "confirm": "doge"}});
        assert_eq!(restore, wanted);
        let latest = spec(Ask::restore("doge".into(), None, None, "doge".into()));
        assert_eq!(latest["restore"], json!({"confirm": "doge"}));
    }

    #[tokio::test]
    async fn a_refusal_is_passed_on_with_its_reason() {
        let (client, mut handle) = client();
        let outcome = tokio::spawn(switch_over(client, 30));
        answer(&mut handle, BOT, 200, bot()).await;
        answer(&mut handle, CREATE, 201, operation(json!({}))).await;
        let failed = json!({"phase": "Failed", "reason": "TargetNotReady", "message": "doge-1 is not ready."});
        answer(&mut handle, LOOK, 200, operation(failed)).await;
        let failure = outcome.await.unwrap().unwrap_err();
        assert_eq!(failure, Failure::failed("doge-switchover-x failed (TargetNotReady): doge-1 is not ready."));
    }

    #[tokio::test]
    async fn nothing_is_asked_of_a_bot_that_is_not_there() {
        let (client, mut handle) = client();
        let outcome = tokio::spawn(switch_over(client, 30));
        let details = json!({"name": "doge", "kind": "tradingbots"});
        let status = json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "no", "details": details});
        answer(&mut handle, BOT, 404, status).await;
        assert_eq!(outcome.await.unwrap().unwrap_err().code, 2);
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_where_to_look() {
        let (client, mut handle) = client();
        let outcome = tokio::spawn(switch_over(client, 1));
        answer(&mut handle, BOT, 200, bot()).await;
        answer(&mut handle, CREATE, 201, operation(json!({}))).await;
        while !outcome.is_finished() {
            let next = tokio::time::timeout(Duration::from_secs(2), handle.next_request()).await;
            let Ok(Some((_, respond))) = next else { break };
            respond.send_response(Response::new(Body::from(operation(json!({})).to_string().into_bytes())));
        }
        let failure = outcome.await.unwrap().unwrap_err();
        assert!(failure.code == 1 && failure.sentence.contains("has not ended within 1 s, and goes on"), "{failure:?}");
    }
}
