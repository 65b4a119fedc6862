//! Backups that nobody asks for.

use serde_json::json;

use super::noise;
use crate::harness::*;

#[test]
fn schedule_makes_backups_by_itself() {
    scenario("backup_schedule", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let schedules = json!([{"name": "minutely", "schedule": "* * * * *", "retention": {"count": 5}}]);
        let manifest = bot()
            .backed_up(noise(1), store.destination())
            .with("/spec/backup/schedules", schedules)
            .with("/spec/backup/recoveryPointObjectiveSeconds", json!(300));
        let bot = world.apply(manifest).await;
        bot.until_trading().await;
        let round = bot.begin_round("backups begin by themselves").await;
        let status = bot
            .until("a backup was made", seconds(100), |s| {
                s.backup.as_ref().is_some_and(|b| b.last_success_time.is_some() && b.last_verified_time.is_some())
            })
            .await;
        let backups = status.backup.expect("it was just seen");
        let id = backups.last_id.clone().expect("it has an id");
        assert!(store.manifests().contains(&id), "{id} has no manifest");
        let manifest = store.manifest(&id);
        assert_eq!((manifest.bot.as_str(), manifest.schedule.as_str()), ("doge", "minutely"));
        assert_eq!((manifest.epoch, manifest.namespace.as_str()), (status.epoch, world.namespace.as_str()));
        assert_eq!(manifest.content.bytes, 1 << 20);
        assert_eq!(backups.last_bytes, Some(1 << 20));
        assert_eq!(backups.objective_met, Some(true));
        bot.until_condition("BackupSucceeded", "True", &id).await;
        bot.until_condition("BackupVerified", "True", "found good").await;
        bot.until_condition("RecoveryPointObjectiveMet", "True", "").await;
        assert!(bot.until_event("BackupSucceeded").await.contains(&id));
        bot.assert_undisturbed_since(&round).await;
    });
}

#[test]
fn suspended_schedule_begins_nothing_and_a_removed_one_leaves_its_backups() {
    scenario("backup_suspended", Turn::Shared, async |world| {
        let store = Store::start(world, "store").await;
        let bot = world.apply(bot().backed_up(noise(1), store.destination())).await;
        bot.until_trading().await;
        let id = bot.back_up().await;
        let suspended = async |wanted: bool| {
            until(&format!("suspend is {wanted}"), SOON, async || {
                let all = bot.cron_jobs().await;
                let is = |suspend: Option<bool>| suspend.unwrap_or(false) == wanted;
                (!all.is_empty() && all.iter().all(|c| c.spec.as_ref().is_some_and(|s| is(s.suspend)))).then_some(())
            })
            .await;
        };
        suspended(false).await;
        bot.change_backup(json!({"suspend": true})).await;
        suspended(true).await;
        bot.until_condition("BackupConfigured", "True", "suspend").await;
        // What is not asked for any more goes; what was made stays.
        bot.change(json!({"spec": {"backup": null}})).await;
        until("its CronJobs are gone", SOON, async || bot.cron_jobs().await.is_empty().then_some(())).await;
        assert_eq!(store.manifests(), [id]);
    });
}
