//! An S3 server for tests: objects are files below a folder, requests are checked as Amazon's are, and a control file
//! makes it refuse, fill up or take its time.

mod faults;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

use faults::Faults;

const USAGE: &str = "\
usage: s3-server --root DIR [--listen 127.0.0.1:0] [--access-key KEY --secret-key KEY] [--faults FILE]

DIR holds one folder for each bucket. The first line on standard output is the address. FILE is read before every
request; it has a line for each fault, none when it is not there:
  refuse            everything is answered with 403 AccessDenied
  full BYTES        once BYTES were sent to it, uploads are answered with 507 InsufficientStorage
  delay MS          every request waits so many milliseconds first
  locked            nothing is deleted: 403 AccessDenied";

struct Options {
    listen: String,
    root: PathBuf,
    keys: Option<(String, String)>,
    faults: Option<PathBuf>,
}

fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let (mut listen, mut root, mut access, mut secret, mut faults) = ("127.0.0.1:0".to_owned(), None, None, None, None);
    while let Some(option) = arguments.next() {
        let value = arguments.next()?;
        match option.as_str() {
            "--listen" => listen = value,
            "--root" => root = Some(value.into()),
            "--access-key" => access = Some(value),
            "--secret-key" => secret = Some(value),
            "--faults" => faults = Some(value.into()),
            _ => return None,
        }
    }
    Some(Options { listen, root: root?, keys: access.zip(secret), faults })
}

async fn serve(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&options.root).map_err(|e| format!("{e:?}"))?);
    if let Some((access, secret)) = options.keys {
        builder.set_auth(SimpleAuth::from_single(access, secret));
    }
    let service = Arc::new(Faults::new(builder.build(), options.root, options.faults));
    let listener = TcpListener::bind(&options.listen).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        // An answer must not wait for the acknowledgement of what went before.
        socket.set_nodelay(true)?;
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            let answer = hyper::service::service_fn(move |request| {
                let service = Arc::clone(&service);
                async move { service.call(request).await }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(options) = options(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    match serve(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("s3-server: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_needs_a_root_and_both_keys_or_none() {
        let parse = |line: &str| options(line.split_whitespace().map(ToOwned::to_owned));
        assert!(parse("--listen 127.0.0.1:1").is_none());
        assert!(parse("--root /r --what x").is_none());
        assert!(parse("--root /r").is_some_and(|o| o.keys.is_none() && o.listen == "127.0.0.1:0"));
        assert!(parse("--root /r --access-key a --secret-key b").is_some_and(|o| o.keys.is_some()));
    }
}
