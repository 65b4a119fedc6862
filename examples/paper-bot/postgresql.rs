//! As much of PostgreSQL's protocol as keeps books: one statement at a time, a password in the clear or none.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A message is an error's text at most.
const LONGEST: usize = 1 << 20;

/// Where a database is, as libpq's variables say it.
#[derive(Clone)]
pub struct Address {
    host: String,
    port: u16,
    user: String,
    password: String,
    database: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}:{}", self.database, self.host, self.port)
    }
}

impl Address {
    /// From PGHOST, PGPORT, PGUSER, PGPASSWORD and PGDATABASE.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Address, String> {
        let host = get("PGHOST").ok_or("where is the database? set PGHOST")?;
        let user = get("PGUSER").ok_or("who is it at the database? set PGUSER")?;
        let port = get("PGPORT").unwrap_or_else(|| "5432".to_owned());
        Ok(Address {
            host,
            port: port.parse().map_err(|_| format!("PGPORT: '{port}' is no port"))?,
            database: get("PGDATABASE").unwrap_or_else(|| user.clone()),
            password: get("PGPASSWORD").unwrap_or_default(),
            user,
        })
    }
}

/// A connection.
pub struct Client(BufReader<TcpStream>);

impl Client {
    pub async fn connect(address: &Address) -> Result<Client, String> {
        let Address { host, port, user, password, database } = address;
        let failed = |error: io::Error| format!("the database at {host}:{port} cannot be reached: {error}");
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let mut client = Client(BufReader::new(stream));
        // Version 3.0, then names and values, each ended by a zero, and one more.
        let mut hello = 0x0003_0000_u32.to_be_bytes().to_vec();
        for text in ["user", user, "database", database, "application_name", "paper-bot"] {
            hello.extend([text.as_bytes(), &[0]].concat());
        }
        hello.push(0);
        client.send(None, &hello).await.map_err(failed)?;
        loop {
            match client.next().await? {
                (b'R', body) => match body.first_chunk::<4>().map(|kind| u32::from_be_bytes(*kind)) {
                    Some(0) => {}
                    Some(3) => {
                        let password = [password.as_bytes(), &[0]].concat();
                        client.send(Some(b'p'), &password).await.map_err(failed)?;
                    }
                    kind => return Err(format!("the database wants a way to log in that is not known here: {kind:?}")),
                },
                (b'Z', _) => return Ok(client),
                (_, _) => {}
            }
        }
    }

    /// Runs a statement that gives no rows, and commits it.
    pub async fn run(&mut self, statement: &str) -> Result<(), String> {
        let text = [statement.as_bytes(), &[0]].concat();
        self.send(Some(b'Q'), &text).await.map_err(|error| format!("the database was not reached: {error}"))?;
        while self.next().await?.0 != b'Z' {}
        Ok(())
    }

    /// The length counts itself but not the kind.
    async fn send(&mut self, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
        let message = [kind.as_slice(), &length.to_be_bytes(), body].concat();
        self.0.get_mut().write_all(&message).await
    }

    /// The next message; an error of the server's ends the connection, for none is expected.
    async fn next(&mut self) -> Result<(u8, Vec<u8>), String> {
        let read = async {
            let kind = self.0.read_u8().await?;
            let length = self.0.read_u32().await? as usize;
            let length = length.checked_sub(4).filter(|n| *n < LONGEST).ok_or(io::ErrorKind::InvalidData)?;
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await?;
            Ok::<_, io::Error>((kind, body))
        };
        match read.await.map_err(|error| format!("the database ended the connection: {error}"))? {
            (b'E', body) => {
                // Fields, each a letter and a text that a zero ends; M is the message.
                let message = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"M"));
                Err(format!("the database says: {}", String::from_utf8_lossy(message.unwrap_or_default())))
            }
            message => Ok(message),
        }
    }
}
