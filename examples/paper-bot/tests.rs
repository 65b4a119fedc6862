//! The bot against an exchange and an agent that are played by the test, on loopback.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::args::Args;
use super::control::Controls;
use super::http::Http;
use super::options::Options;
use super::role::{self, Role};
use super::trader;

const SOON: Duration = Duration::from_secs(5);

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// An exchange that takes everything and tells the test.
async fn exchange() -> (SocketAddr, mpsc::UnboundedReceiver<Value>) {
    let (orders, received) = mpsc::unbounded_channel();
    let take = |State(orders): State<mpsc::UnboundedSender<Value>>, body: Bytes| async move {
        orders.send(serde_json::from_slice(&body).unwrap()).unwrap();
        (axum::http::StatusCode::CREATED, "{}")
    };
    let router = Router::new().route("/v1/orders", post(take)).with_state(orders);
    (serve(router).await, received)
}

fn options(exchange: SocketAddr, role: &'static str, api: Option<String>) -> Options {
    options_with(exchange, role, api, &[], None)
}

fn options_with(
    exchange: SocketAddr,
    role: &'static str,
    api: Option<String>,
    more: &[&str],
    proxy: Option<SocketAddr>,
) -> Options {
    let url = format!("http://{exchange}");
    let arguments = [&["--exchange", &url, "--orders-per-second", "200"], more].concat();
    Options::read(Args::from_list(&arguments), |name| match name {
        "HTTP_PROXY" => proxy.map(|proxy| format!("http://{proxy}")),
        "NO_PROXY" => Some("localhost,::1".to_owned()),
        "TRADINGBOT_NAME" => Some("doge".to_owned()),
        "TRADINGBOT_ROLE" => Some(role.to_owned()),
        "TRADINGBOT_EPOCH" => Some("1".to_owned()),
        "TRADINGBOT_FENCING_TOKEN" => Some("11".to_owned()),
        "TRADINGBOT_API" => api.clone(),
        _ => None,
    })
    .unwrap()
}

#[tokio::test]
async fn an_active_trades_from_the_start_and_stops_when_told() {
    let (address, mut orders) = exchange().await;
    let options = options(address, "active", None);
    let (roles, role) = watch::channel(Role::from_environment(&options));
    let trading = tokio::spawn(async move { trader::trade(&options, role, Controls::default()).await });
    let first = timeout(SOON, orders.recv()).await.unwrap().unwrap();
    assert_eq!((first["fencingToken"].as_u64(), first["account"].as_str()), (Some(11), Some("doge")));
    assert!(first["sentMilliseconds"].as_u64().is_some());
    assert!(first["clientOrderId"].as_str().unwrap().starts_with("doge-11-"));
    roles.send(Role::default()).unwrap();
    // Nobody is left to make it the active again, so a trader that stopped has also ended.
    drop(roles);
    timeout(SOON, trading).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_hot_standby_trades_when_the_agent_says_so_under_the_new_token() {
    let (address, mut orders) = exchange().await;
    let (events, sent) = mpsc::unbounded_channel::<Result<String, std::io::Error>>();
    let sent = std::sync::Arc::new(std::sync::Mutex::new(Some(sent)));
    let stream = move || {
        let sent = sent.lock().unwrap().take();
        async move {
            let Some(mut sent) = sent else { return axum::http::StatusCode::GONE.into_response() };
            let body = futures::stream::poll_fn(move |cx| sent.poll_recv(cx));
            ([("content-type", "text/event-stream")], Body::from_stream(body)).into_response()
        }
    };
    let api = serve(Router::new().route("/v1/leadership/stream", get(stream))).await;
    let say = |role: &str, token: u64| {
        let text = format!("data: {{\"role\":\"{role}\",\"epoch\":2,\"fencingToken\":{token}}}\n\n");
        events.send(Ok(text)).unwrap();
    };
    say("standby", 0);
    let options = options(address, "standby", Some(format!("http://{api}")));
    let (roles, role) = watch::channel(Role::from_environment(&options));
    let followed = options.clone();
    tokio::spawn(async move { role::follow(&followed, roles).await });
    tokio::spawn(async move { trader::trade(&options, role, Controls::default()).await });
    let mut times = Vec::new();
    for token in 22..42 {
        let begin = std::time::Instant::now();
        say("active", token);
        loop {
            let order = timeout(SOON, orders.recv()).await.unwrap().unwrap();
            if order["fencingToken"].as_u64() == Some(token) {
                break;
            }
            // One of the role before may have been on its way.
            let before = (token > 22).then_some(token - 1);
            assert_eq!(order["fencingToken"].as_u64(), before, "an order before the role: {order}");
        }
        times.push(begin.elapsed());
        say("standby", 0);
    }
    times.sort();
    println!("role to first order at the exchange: median {:?}, longest {:?}", times[10], times[19]);
    // Unoptimised, and other tests run beside it.
    assert!(times[10] < Duration::from_millis(20), "{times:?}");
}

/// A forward proxy that tells the test which address was asked for, and by whom.
async fn proxy() -> (SocketAddr, mpsc::UnboundedReceiver<(SocketAddr, String)>) {
    let (asked, seen) = mpsc::unbounded_channel();
    let forward = move |ConnectInfo(peer): ConnectInfo<SocketAddr>, method: Method, uri: Uri, body: String| {
        let asked = asked.clone();
        async move {
            asked.send((peer, uri.to_string())).unwrap();
            let authority = uri.authority().expect("a proxy is told the whole address").to_string();
            let answer =
                Http::new(&authority, SOON).unwrap().request(method.as_str(), uri.path(), &body).await.unwrap();
            (StatusCode::from_u16(answer.status).unwrap(), answer.body)
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Router::new().fallback(forward).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    (address, seen)
}

#[tokio::test]
async fn orders_go_through_the_proxy_of_the_environment_on_one_connection() {
    for more in [&[][..], &["--pipeline", "8"]] {
        let (address, mut orders) = exchange().await;
        let (proxy, mut seen) = proxy().await;
        let options = options_with(address, "active", None, more, Some(proxy));
        let (roles, role) = watch::channel(Role::from_environment(&options));
        let trading = tokio::spawn(async move { trader::trade(&options, role, Controls::default()).await });
        let mut peers = HashSet::new();
        for _ in 0..10 {
            timeout(SOON, orders.recv()).await.unwrap().unwrap();
            let (peer, uri) = seen.recv().await.unwrap();
            assert_eq!(uri, format!("http://{address}/v1/orders"));
            peers.insert(peer);
        }
        assert_eq!(peers.len(), 1, "each order had a connection of its own");
        trading.abort();
        drop(roles);
    }
}

#[tokio::test]
async fn pipelined_orders_do_not_wait_for_answers_up_to_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = options_with(listener.local_addr().unwrap(), "active", None, &["--pipeline", "4"], None);
    let (_roles, role) = watch::channel(Role::from_environment(&options));
    let trading = tokio::spawn(async move { trader::trade(&options, role, Controls::default()).await });
    let (mut stream, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
    let mut text = Vec::new();
    for answered in 0..3 {
        let due = 4 * (answered + 1);
        while complete(&text) < due {
            assert!(timeout(SOON, stream.read_buf(&mut text)).await.unwrap().unwrap() > 0);
        }
        // Twenty periods of its rate.
        let more = timeout(Duration::from_millis(100), stream.read_buf(&mut text)).await;
        assert!(more.is_err(), "an order was written while four were unanswered");
        let answer = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(&answer.repeat(4)).await.unwrap();
    }
    trading.abort();
}

/// Orders that are there to their last byte.
fn complete(text: &[u8]) -> usize {
    String::from_utf8_lossy(text).matches("\"symbol\":\"DOGE_JPY\"}").count()
}

#[tokio::test]
async fn every_order_is_in_the_books_before_it_is_sent_and_none_is_sent_without_them() {
    let file = std::env::temp_dir().join(format!("paper-bot-{}.sqlite", std::process::id()));
    let _ = std::fs::remove_file(&file);
    let (address, mut orders) = exchange().await;
    let options = options_with(address, "active", None, &["--journal", file.to_str().unwrap()], None);
    let (_roles, role) = watch::channel(Role::from_environment(&options));
    let trading = tokio::spawn(async move { trader::trade(&options, role, Controls::default()).await });
    let books = rusqlite::Connection::open(&file).unwrap();
    for _ in 0..10 {
        let order = timeout(SOON, orders.recv()).await.unwrap().unwrap();
        let id = order["clientOrderId"].as_str().unwrap();
        let token: i64 =
            books.query_row("select token from orders where client_order_id = ?", [id], |row| row.get(0)).unwrap();
        assert_eq!(token, 11);
    }
    // While somebody else writes, the file can be read but takes no row.
    books.execute_batch("begin immediate").unwrap();
    while timeout(Duration::from_millis(100), orders.recv()).await.is_ok() {}
    books.execute_batch("drop table orders; commit").unwrap();
    let more = timeout(Duration::from_millis(300), orders.recv()).await;
    assert!(more.is_err(), "an order was sent that could not be written down: {more:?}");
    trading.abort();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", file.display()));
    }
}

/// A database that wants a password, takes two rows and then none.
async fn database(statements: mpsc::UnboundedSender<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ready = b"Z\0\0\0\x05I";
    tokio::spawn(async move {
        let mut rows = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = vec![0; stream.read_u32().await.unwrap() as usize - 4];
            stream.read_exact(&mut hello).await.unwrap();
            stream.write_all(b"R\0\0\0\x08\0\0\0\x03").await.unwrap();
            while let Ok(kind) = stream.read_u8().await {
                let mut body = vec![0; stream.read_u32().await.unwrap() as usize - 4];
                stream.read_exact(&mut body).await.unwrap();
                let text = String::from_utf8_lossy(&body).trim_end_matches('\0').to_owned();
                let answer = match (kind, text.as_str()) {
                    (b'p', "secret") => [b"R\0\0\0\x08\0\0\0\0".as_slice(), ready].concat(),
                    (b'Q', statement) if statement.starts_with("insert") && rows == 2 => {
                        [b"E\0\0\0\x17SERROR\0Mno such table\0\0".as_slice(), ready].concat()
                    }
                    (b'Q', statement) => {
                        rows += u32::from(statement.starts_with("insert"));
                        [b"C\0\0\0\x0fINSERT 0 1\0".as_slice(), ready].concat()
                    }
                    other => panic!("{other:?}"),
                };
                statements.send(text).unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn books_in_a_database_are_begun_once_and_end_with_it() {
    let (statements, mut said) = mpsc::unbounded_channel();
    let books = database(statements).await;
    let (address, mut orders) = exchange().await;
    let url = format!("http://{address}");
    let arguments = ["--exchange", &url, "--orders-per-second", "200", "--database"];
    let options = Options::read(Args::from_list(&arguments), |name| match name {
        "PGHOST" => Some(books.ip().to_string()),
        "PGPORT" => Some(books.port().to_string()),
        "PGUSER" => Some("bot".to_owned()),
        "PGPASSWORD" => Some("secret".to_owned()),
        _ => None,
    })
    .unwrap();
    let (_roles, role) = watch::channel(Role::from_environment(&options));
    let trading = tokio::spawn(async move { trader::trade(&options, role, Controls::default()).await });
    let mut heard = async |what: &str| loop {
        let statement = timeout(SOON, said.recv()).await.unwrap().unwrap();
        assert!(what == "create" || !statement.starts_with("create"), "the books were begun anew");
        if statement.starts_with(what) {
            break;
        }
    };
    heard("create").await;
    for _ in 0..5 {
        heard("insert").await;
    }
    for _ in 0..2 {
        timeout(SOON, orders.recv()).await.unwrap().unwrap();
    }
    assert!(timeout(Duration::from_millis(100), orders.recv()).await.is_err(), "an order that is in no book");
    trading.abort();
}
