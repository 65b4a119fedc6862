//! Redis: does it answer, and is it what it should be.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError, Value, cmd};

use super::stream::connect;
use super::{Tools, secret};
use crate::agent::lease_link::chain;
use crate::api::health_config::ServerRole;

/// Asks once. `secrets`: the name of the check, where it has a Secret.
///
/// # Errors
/// A sentence.
pub(super) async fn check(
    tools: &Tools,
    secrets: Option<&str>,
    host: &str,
    port: u16,
    role: ServerRole,
) -> Result<(), String> {
    let mut account = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(name) = secrets {
        account = account.set_password(secret(name, "password")?);
        // Only servers with users have one.
        if let Ok(username) = secret(name, "username") {
            account = account.set_username(username);
        }
    }
    let stream = connect(&tools.resolver, host, port).await?;
    let failed = |cause: RedisError| format!("The server does not serve: {}.", chain(&cause));
    // The time of the whole run is limited already.
    let times = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let made = MultiplexedConnection::new_with_config(&account, stream, times);
    let (mut connection, driver) = made.await.map_err(failed)?;
    let asked = async {
        let _: String = cmd("PING").query_async(&mut connection).await?;
        if role == ServerRole::Any { Ok(None) } else { cmd("ROLE").query_async(&mut connection).await.map(Some) }
    };
    // Driven here, so that giving up also closes the connection.
    let (mut asked, mut driver) = (std::pin::pin!(asked), std::pin::pin!(driver));
    let answer = tokio::select! {
        biased;
        answer = &mut asked => answer,
        () = &mut driver => asked.await,
    };
    match answer.map_err(failed)? {
        Some(found) => judge(&found, role),
        None => Ok(()),
    }
}

/// `ROLE` answers `master` and more, or `slave`, host, port and how the link to it stands.
fn judge(found: &Value, role: ServerRole) -> Result<(), String> {
    let words: Vec<String> = match found {
        Value::Array(parts) => parts.iter().map(|part| redis::from_redis_value_ref(part).unwrap_or_default()).collect(),
        _ => Vec::new(),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (role, words.as_slice()) {
        (ServerRole::Any, _) | (ServerRole::Primary, ["master", ..]) => Ok(()),
        (ServerRole::Replica, ["slave", _, _, "connected", ..]) => Ok(()),
        (ServerRole::Replica, ["slave", _, _, link, ..]) => {
            Err(format!("The server is a replica whose link to its primary is '{link}' and not 'connected'."))
        }
        (ServerRole::Primary, ["slave", ..]) => Err("The server is a replica and no primary.".into()),
        (ServerRole::Replica, ["master", ..]) => Err("The server is a primary and no replica.".into()),
        _ => Err("The server does not say whether it is a primary.".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_judged_by_its_own_word() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let primary = Value::Array(vec![text("master"), Value::Int(0), Value::Array(Vec::new())]);
        let replica =
            |link| Value::Array(vec![text("slave"), text("10.0.0.1"), Value::Int(6379), text(link), Value::Int(7)]);
        assert_eq!(judge(&primary, ServerRole::Primary), Ok(()));
        assert_eq!(judge(&replica("connected"), ServerRole::Replica), Ok(()));
        assert!(judge(&replica("connect"), ServerRole::Replica).unwrap_err().contains("is 'connect' and not"));
        assert!(judge(&replica("connected"), ServerRole::Primary).unwrap_err().contains("no primary"));
        assert!(judge(&primary, ServerRole::Replica).unwrap_err().contains("no replica"));
        assert!(judge(&Value::Nil, ServerRole::Primary).is_err());
    }
}
