//! `status [NAME] [-w]`.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, ResourceExt as _};

use super::backups::list;
use super::connect::Failure;
use super::render::{detail, table};
use super::timeline::news;
use crate::api::bot::TradingBot;
use crate::api::bot_status::TradingBotStatus;

pub async fn status(client: Client, namespace: &str, name: Option<&str>, watch: bool) -> Result<(), Failure> {
    let bots = Api::<TradingBot>::namespaced(client, namespace);
    print!("{}", read(&bots, namespace, name).await?);
    if watch { follow(&bots, name).await } else { Ok(()) }
}

/// The newest backups of a bot.
pub async fn backups(client: Client, namespace: &str, name: &str) -> Result<(), Failure> {
    let what = format!("TradingBot {name} in namespace {namespace}");
    let bot = Api::<TradingBot>::namespaced(client, namespace).get(name).await;
    print!("{}", list(&bot.map_err(|error| Failure::of(&error, &what))?));
    Ok(())
}

/// What is so now.
pub async fn read(bots: &Api<TradingBot>, namespace: &str, name: Option<&str>) -> Result<String, Failure> {
    match name {
        Some(name) => {
            let what = format!("TradingBot {name} in namespace {namespace}");
            let bot = bots.get(name).await.map_err(|error| Failure::of(&error, &what))?;
            Ok(detail(&bot, Timestamp::now()))
        }
        None => {
            let what = format!("TradingBots in namespace {namespace}");
            let list = bots.list(&ListParams::default()).await.map_err(|error| Failure::of(&error, &what))?;
            if list.items.is_empty() {
                return Ok(format!("There are no TradingBots in namespace {namespace}.\n"));
            }
            Ok(table(&list.items, Timestamp::now()))
        }
    }
}

/// Prints what happens until the bot is deleted, or for ever.
async fn follow(bots: &Api<TradingBot>, name: Option<&str>) -> Result<(), Failure> {
    let selected = name.map_or_else(Config::default, |name| Config::default().fields(&format!("metadata.name={name}")));
    // A watch that died unnoticed is begun again after this long.
    let mut changes = watcher(bots.clone(), selected.timeout(30)).default_backoff().boxed();
    let mut known: BTreeMap<String, TradingBotStatus> = BTreeMap::new();
    println!();
    loop {
        match changes.try_next().await {
            Ok(Some(Event::Apply(bot) | Event::InitApply(bot))) => {
                let now = bot.status.clone().unwrap_or_default();
                for line in news(&bot.name_any(), known.get(&bot.name_any()), &now, Timestamp::now()) {
                    println!("{line}");
                }
                known.insert(bot.name_any(), now);
            }
            Ok(Some(Event::Delete(bot))) => {
                println!("{} was deleted.", bot.name_any());
                known.remove(&bot.name_any());
                if name.is_some() {
                    return Ok(());
                }
            }
            Ok(Some(Event::Init | Event::InitDone)) => {}
            Ok(None) => return Ok(()),
            Err(error) => eprintln!("The connection was lost and is tried again: {error}"),
        }
    }
}
