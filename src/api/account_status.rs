//! [`AccountView`] to and from `status.account`.

use std::time::Duration;

use super::bot_status::{AccountHolder, AccountStatus};
use super::record::{time_from, wall_from, whole_seconds};
use crate::core::account::BotRef;
use crate::core::failover::AccountView;
use crate::core::ids::Epoch;

/// What the status says of the bot's account.
pub(super) fn account_status(view: &AccountView) -> AccountStatus {
    let AccountView { name, state, holder, epoch, since, lease_duration, on_api_server_loss } = view;
    AccountStatus {
        name: name.clone(),
        state: *state,
        holder: holder.as_ref().map(|BotRef { namespace, name, uid }| AccountHolder {
            namespace: namespace.clone(),
            name: name.clone(),
            uid: uid.clone(),
        }),
        epoch: epoch.0,
        since_time: since.map(time_from),
        lease_duration_seconds: whole_seconds(*lease_duration),
        on_api_server_loss: *on_api_server_loss,
    }
}

/// What the status said of the bot's account.
pub(super) fn account_from(status: &AccountStatus) -> AccountView {
    let AccountStatus { name, state, holder, epoch, since_time, lease_duration_seconds, on_api_server_loss } = status;
    AccountView {
        name: name.clone(),
        state: *state,
        holder: holder.as_ref().map(|AccountHolder { namespace, name, uid }| BotRef {
            namespace: namespace.clone(),
            name: name.clone(),
            uid: uid.clone(),
        }),
        epoch: Epoch(*epoch),
        since: since_time.as_ref().map(wall_from),
        lease_duration: Duration::from_secs(u64::from(*lease_duration_seconds)),
        on_api_server_loss: *on_api_server_loss,
    }
}
