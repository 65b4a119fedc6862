//! Two bots of one account in two namespaces: never both, and the second when the first is through.

mod handover;
mod meddling;
mod vanished;

use serde_json::json;
use tradingbot::api::bot_status::{Block, Phase};

use crate::harness::*;

/// Trades on the account of `first`, under the same name and so on the same account at the exchange.
async fn second_of(world: &World, first: &Bot, manifest: BotManifest) -> Bot {
    let second = world.apply_elsewhere(manifest).await;
    second.until("it waits for its account", SOON, |s| s.blocked == Some(Block::AccountHeld)).await;
    assert_waits_for(&second, first).await;
    second
}

/// The condition names the holder, and nobody trades for the one that waits.
async fn assert_waits_for(waiting: &Bot, holder: &Bot) {
    let (status, reason, message) = waiting.condition("AccountHeld").await.expect("a condition on the account");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "HeldByAnother"), "{message}");
    let place = format!("{}/{}", holder.namespace, holder.name);
    assert!(message.contains(&format!("is held by {place}")), "{message}");
    let status = waiting.status().await;
    assert_eq!((status.phase, status.trading), (Phase::Blocked, None), "{}", status.message);
    let account = status.account.expect("an account in the status");
    let named = account.holder.expect("a holder in the status");
    assert_eq!(format!("{}/{}", named.namespace, named.name), place);
    assert!(account.since_time.is_some());
}

/// The two count epochs of their own, each from 1: the judge is told that another one begins. Tokens have to grow.
async fn tell_the_judge(bot: &Bot) {
    bot.exchange.mark(json!({"text": "another bot's turn", "account": bot.account, "recreated": true})).await;
}

/// Since the round began the account has been traded on by the bot of that time alone, and for some seconds more.
async fn assert_nobody_else_trades(bot: &Bot, round: &Round) {
    let later = bot.at(&format!("since={}&token_above={}", round.marker.seq, round.token()));
    let other = bot.exchange.try_wait(seconds(2), &later).await;
    assert!(other.is_none(), "somebody else trades: {other:?}");
    let orders = bot.orders_since(&round.marker).await;
    let other = orders.iter().find(|o| o.token != round.order.token);
    assert!(other.is_none(), "somebody else traded: {other:?}");
}
