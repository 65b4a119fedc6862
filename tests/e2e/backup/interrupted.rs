//! Runs that are ended before they are done: killed, or overtaken by a failover.

use kube::ResourceExt;
use serde_json::json;

use super::{CRON_JOB, noise};
use crate::harness::*;

/// Waits until the run has failed and its only retry has made a backup.
async fn until_retried(bot: &Bot, store: &Store, job: &str, before: &[String]) -> String {
    let retry = format!("{job}-r");
    until(&format!("{job} is made once more"), SOON, async || {
        bot.jobs("backup").await.iter().any(|job| job.name_any() == retry).then_some(())
    })
    .await;
    let made = until(&format!("{retry} has made a backup"), SOON, async || {
        store.manifests().into_iter().find(|id| !before.contains(id))
    })
    .await;
    let program = bot.program_of(&retry).await;
    assert_eq!(program.exit_code, 0, "{program:?}");
    bot.until("the status knows the retry", SOON, |s| {
        s.backup.as_ref().is_some_and(|b| b.last_id.as_deref() == Some(made.as_str()))
    })
    .await;
    made
}

#[test]
fn backup_killed_at_any_point_is_none_and_is_made_once_more() {
    scenario("backup_killed", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let bot = world.apply(bot().backed_up(noise(40), store.destination())).await;
        bot.until_trading().await;
        let round = bot.begin_round("backups are killed").await;
        for point in ["as it starts", "while parts arrive", "when the artefact is whole"] {
            let (before, whole) = (store.manifests(), store.artefacts());
            store.fails("delay 1500");
            let job =
                bot.begin_run_of(CRON_JOB, &format!("doge-b-{}", point.split(' ').next_back().expect("a word"))).await;
            let pod = bot.started_pod(&job).await.name_any();
            let aim = world.faults().aim(&world.namespace, &pod, "backup").await;
            match point {
                "as it starts" => {}
                "while parts arrive" => {
                    until("a part has arrived", SOON, async || (store.parts() > 0).then_some(())).await;
                }
                _ => {
                    until("the artefact is there", SOON, async || (store.artefacts().len() > whole.len()).then_some(()))
                        .await
                }
            }
            aim.kill_all();
            assert_eq!(bot.program_of(&job).await.exit_code, 137, "it was not killed {point}");
            assert_eq!(store.manifests(), before, "half a backup passes for one, killed {point}");
            store.fails("");
            let made = until_retried(&bot, &store, &job, &before).await;
            assert_eq!(store.manifest(&made).content.bytes, 40 << 20);
        }
        assert_eq!(bot.jobs("backup").await.len(), 6, "each was made once more, and once only");
        let backups = bot.backups().await;
        assert_eq!(backups.count, 3, "what was killed counts: {backups:?}");
        bot.assert_undisturbed_since(&round).await;
    });
}

#[test]
fn failover_is_as_fast_while_a_backup_runs_and_the_backup_is_made_once_more() {
    scenario("backup_failover", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let bot = world.apply(bot().hot().reconciled().backed_up(noise(40), store.destination())).await;
        let crash = async |text: &str| {
            let before = bot.until_trading().await;
            let round = bot.begin_round(text).await;
            bot.tell(&before.active.expect("one trades").pod, "crash").await;
            let first = bot.first_order_of_next(&round).await;
            bot.until_moved_beyond(before.epoch).await;
            seconds_between(&round.marker, &first)
        };
        let without = crash("crash").await;

        bot.until_trading().await;
        store.fails("delay 4000");
        let job = bot.begin_run_of(CRON_JOB, "doge-b-moved").await;
        bot.started_pod(&job).await;
        until("a part has arrived", SOON, async || (store.parts() > 0).then_some(())).await;
        let with = crash("crash while a backup runs").await;
        // Jobs start a second or two sooner or later; the backup itself would have taken 20 s more.
        assert!(with < without + 6.0, "{with} s with a backup, {without} s without");
        bot.until_job_failed(&job).await;
        assert_eq!(store.manifests(), Vec::<String>::new());
        let told = bot.until_event("BackupFailed").await;
        assert!(told.contains("Trading moved"), "{told}");
        store.fails("");
        let made = until_retried(&bot, &store, &job, &[]).await;
        assert_eq!(store.manifest(&made).epoch, bot.status().await.epoch, "it is of the epoch that trades");
        assert_eq!(bot.jobs("backup").await.len(), 2, "it is made once more, and once only");
        world.note("s to trade again without a backup", without);
        world.note("with one", with);
    });
}

#[test]
fn backup_that_takes_too_long_is_ended() {
    scenario("backup_deadline", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let manifest = bot().backed_up(noise(40), store.destination()).with("/spec/backup/deadlineSeconds", json!(10));
        let bot = world.apply(manifest).await;
        bot.until_trading().await;
        store.fails("delay 8000");
        let ended = bot.fail_to_back_up().await;
        let message = ended.message.unwrap_or_default();
        assert!(message.ends_with('.'), "{message}");
        world.note("message", message);
        assert_eq!(store.manifests(), Vec::<String>::new());
    });
}
