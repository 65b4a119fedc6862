//! What people type: `kubectl tradingbot`.

use tradingbot::api::bot_status::Trigger;

use crate::harness::*;

#[test]
fn plugin_shows_what_is_going_on_and_moves_trading() {
    scenario("plugin", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let active = before.active.expect("one trades").pod;

        let status = plugin(&world.namespace, &["status", "doge"]).await;
        assert_eq!(status.code, Some(0), "{}", status.err);
        assert!(status.out.contains("Active") && status.out.contains(&active), "{}", status.out);

        let to = bot.standby().await;
        let round = bot.begin_round("switchover by the plugin").await;
        let moved = plugin(&world.namespace, &["switchover", "doge", "--to", &to, "--timeout", "60"]).await;
        assert_eq!(moved.code, Some(0), "{}{}", moved.out, moved.err);
        bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!((step.trigger, step.to.as_deref()), (Trigger::Switchover, Some(to.as_str())));

        let round = bot.begin_round("what cannot be done").await;
        let refused = plugin(&world.namespace, &["failover", "doge", "--to", "doge-9", "--timeout", "60"]).await;
        assert_eq!(refused.code, Some(1), "{}{}", refused.out, refused.err);
        assert!(refused.err.contains("doge-9"), "it does not say what is wrong: {}", refused.err);
        let absent = plugin(&world.namespace, &["status", "nobody"]).await;
        assert_eq!(absent.code, Some(2), "{}{}", absent.out, absent.err);
        bot.assert_undisturbed_since(&round).await;
    });
}
