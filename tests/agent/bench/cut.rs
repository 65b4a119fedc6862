//! From the deadline to the last byte that arrives outside, while every connection sends without a pause and no renewal
//! succeeds.
//!
//! The deadline is the agent's own. It says for how many whole milliseconds the bot may still trade; asked again and
//! again at different moments, that narrows the deadline down to less than a tenth of a millisecond, and the earliest
//! that it can be counts. The kernel says when a byte arrived, however late somebody looked.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tradingbot::core::lease::{OnApiServerLoss, Permit, Terms};

use super::super::api::Mode;
use super::super::gate::with_gate;
use super::super::outside::{Outside, connect};
use super::super::pod::{API_PORT, Pod, in_pod, until};
use super::{Figures, active};

const ROUNDS: u64 = 15;
const CONNECTIONS: usize = 10;

/// The bot may trade for two seconds after a renewal, and is not asked to stop before that.
const TERMS: Terms = Terms {
    lease_duration: Duration::from_secs(3),
    renew_period: Duration::from_secs(1),
    renew_deadline: Duration::from_secs(2),
    on_api_server_loss: OnApiServerLoss::Stop,
};

/// When the last byte of each connection came, by `CLOCK_REALTIME`.
type Arrivals = Arc<Mutex<Vec<i64>>>;

pub fn cut() -> Figures {
    let (tell, told) = std::sync::mpsc::channel();
    in_pod(|mut pod| async move {
        with_gate(&mut pod, &[], &[]);
        let outside = Outside::new();
        let arrivals = Arrivals::default();
        let server = {
            let arrivals = Arc::clone(&arrivals);
            outside.serve_with(move |stream| watch(&stream, &arrivals))
        };
        let _container = pod.start("exec sleep 1000");
        let mut late = Vec::new();
        for epoch in 1..=ROUNDS {
            late.extend(round(&pod, epoch, &server.to_string(), &arrivals).await);
        }
        tell.send(late).unwrap();
    });
    let figures = Figures::new("cut", told.recv().unwrap());
    println!("  the earliest last byte: {:.4} ms", figures.values[0]);
    figures
}

/// How long after the deadline the last byte came, in milliseconds, for each connection; negative where it came before.
async fn round(pod: &Pod, epoch: u64, target: &str, arrivals: &Arrivals) -> Vec<f64> {
    arrivals.lock().unwrap().clear();
    pod.api.set_mode(Mode::Answer);
    pod.grant_on(TERMS, epoch, Permit::Trade);
    active(pod, epoch).await;
    let writers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let target = target.to_owned();
            std::thread::spawn(move || {
                let (mut stream, answer) = connect(&target);
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                while stream.write_all(&[7; 100]).is_ok() {
                    std::thread::sleep(Duration::from_micros(100));
                }
            })
        })
        .collect();
    let before = pod.api.stored().len();
    until(|| (pod.api.stored().len() > before).then_some(())).await.expect("a renewal");
    pod.api.set_mode(Mode::Hang);
    let deadline = tokio::task::spawn_blocking(earliest_deadline).await.unwrap();
    until(|| (arrivals.lock().unwrap().len() == CONNECTIONS).then_some(())).await.expect("all are cut off");
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    let apart = now(libc::CLOCK_REALTIME) - now(libc::CLOCK_BOOTTIME);
    arrivals.lock().unwrap().iter().map(|at| (at - apart - deadline) as f64 / 1e6).collect()
}

/// By `CLOCK_BOOTTIME`. It is asked for as long as it is far away.
fn earliest_deadline() -> i64 {
    let (mut earliest, mut latest) = (0, i64::MAX);
    let end = Instant::now() + Duration::from_millis(600);
    while Instant::now() < end {
        let before = now(libc::CLOCK_BOOTTIME);
        let left = validity();
        let after = now(libc::CLOCK_BOOTTIME);
        // A renewal that was on its way moves the deadline once more.
        if before + left > latest {
            (earliest, latest) = (0, i64::MAX);
        }
        earliest = earliest.max(before + left);
        latest = latest.min(after + left + 1_000_000);
        std::thread::sleep(Duration::from_micros(1_700));
    }
    assert!((0..2_000_000).contains(&(latest - earliest)), "{} ns apart", latest - earliest);
    earliest
}

/// In nanoseconds, whole milliseconds of them.
fn validity() -> i64 {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, API_PORT)).unwrap();
    stream.write_all(b"GET /v1/leadership HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let value: Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    value["validityMilliseconds"].as_i64().unwrap() * 1_000_000
}

fn now(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid to write to.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Reads until the end, and then writes down when the last byte came.
fn watch(stream: &TcpStream, arrivals: &Arrivals) {
    let yes: i32 = 1;
    // SAFETY: the option takes an `int`.
    let set = unsafe {
        let yes = (&raw const yes).cast();
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, yes, size_of::<i32>() as u32)
    };
    assert_eq!(set, 0);
    let mut last = None;
    while let Some(at) = receive(stream) {
        last = Some(at);
    }
    arrivals.lock().unwrap().extend(last);
}

/// Reads something and returns when the last byte of it arrived; `None`: nothing comes any more.
fn receive(stream: &TcpStream) -> Option<i64> {
    let mut bytes = [0_u8; 65_536];
    let mut control = [0_u64; 16];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: every pointer is to a buffer of this function, with its size; the header that the kernel writes is read
    // where the macros say that it is.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        if libc::recvmsg(stream.as_raw_fd(), &raw mut message, 0) <= 0 {
            return None;
        }
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() {
            // It was there before the kernel was asked for times.
            return Some(now(libc::CLOCK_REALTIME));
        }
        assert_eq!((*header).cmsg_type, libc::SCM_TIMESTAMPNS);
        let time: libc::timespec = std::ptr::read_unaligned(libc::CMSG_DATA(header).cast());
        Some(time.tv_sec * 1_000_000_000 + time.tv_nsec)
    }
}
