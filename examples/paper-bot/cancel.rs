//! `paper-bot cancel`: a step of a stop. Cancels what this bot has open, by the beginning of its order ids.

use std::time::Duration;

use serde_json::Value;

use super::http::Http;
use super::options::Options;

/// An exchange that takes longer has not cancelled anything for sure.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Cancels everything that is open, and answers how many orders that were.
pub async fn cancel(options: &Options) -> Result<u64, String> {
    let Options { name, instance, exchange, token, epoch, .. } = options;
    let failed = |why: String| format!("the orders of {name} at {exchange} were not cancelled: {why}");
    let mut http = options.proxied(Http::new(exchange, ANSWER_TIME)?)?;
    let number = |n: &Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
    let (token, epoch) = (number(token), number(epoch));
    let headers = [("x-instance", instance.as_str()), ("x-fencing-token", &token), ("x-epoch", &epoch)];
    let bytes = http.encode("DELETE", &format!("/v1/orders?account={name}&prefix={name}-"), &headers, "");
    let answer = http.exchange_if(&bytes, || true).await.map_err(|error| failed(error.to_string()))?;
    let answer = answer.ok_or_else(|| failed("there was no answer".to_owned()))?;
    if !answer.is_success() {
        return Err(failed(format!("{} {}", answer.status, answer.body.trim())));
    }
    let told: Value = answer.json().map_err(|error| failed(error.to_string()))?;
    told["cancelled"].as_u64().ok_or_else(|| failed(format!("it said {told}")))
}
