//! What people type: `kubectl tradingbot`.

use std::process::Command;

use tradingbot::api::bot_status::Trigger;

use crate::harness::*;

/// Exit code, standard output and standard error.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn plugin(world: &World, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-tradingbot"));
    command.arg("--kubeconfig").arg(kubeconfig()).args(["--namespace", &world.namespace]).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().expect("the plugin runs")).await;
    let output = output.expect("the plugin ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn plugin_shows_what_is_going_on_and_moves_trading() {
    scenario("plugin", Turn::Shared, async |world| {
        let bot = world.apply(bot().hot()).await;
        let before = bot.until_trading().await;
        let active = before.active.expect("one trades").pod;

        let status = plugin(world, &["status", "doge"]).await;
        assert_eq!(status.code, Some(0), "{}", status.err);
        assert!(status.out.contains("Active") && status.out.contains(&active), "{}", status.out);

        let to = bot.standby().await;
        let round = bot.begin_round("switchover by the plugin").await;
        let moved = plugin(world, &["switchover", "doge", "--to", &to, "--timeout", "60"]).await;
        assert_eq!(moved.code, Some(0), "{}{}", moved.out, moved.err);
        bot.first_order_of_next(&round).await;
        let step = bot.until_moved_beyond(before.epoch).await;
        assert_eq!((step.trigger, step.to.as_deref()), (Trigger::Switchover, Some(to.as_str())));

        let round = bot.begin_round("what cannot be done").await;
        let refused = plugin(world, &["failover", "doge", "--to", "doge-9", "--timeout", "60"]).await;
        assert_eq!(refused.code, Some(1), "{}{}", refused.out, refused.err);
        assert!(refused.err.contains("doge-9"), "it does not say what is wrong: {}", refused.err);
        let absent = plugin(world, &["status", "nobody"]).await;
        assert_eq!(absent.code, Some(2), "{}{}", absent.out, absent.err);
        bot.assert_undisturbed_since(&round).await;
    });
}
