//! Many connections on one thread, with nothing in between that would cost more than what is measured.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// About the size of an order and of its answer.
pub const MESSAGE: usize = 300;

/// What is waited for, and who is ready.
struct Poll {
    epoll: RawFd,
    events: Vec<libc::epoll_event>,
}

impl Poll {
    fn new() -> Poll {
        // SAFETY: no memory is involved.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(epoll >= 0);
        Poll { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; 256] }
    }

    fn add(&self, socket: &impl AsRawFd, number: usize) {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: number as u64 };
        // SAFETY: `event` is valid.
        assert_eq!(unsafe { libc::epoll_ctl(self.epoll, libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event) }, 0);
    }

    fn wait(&mut self) -> Vec<usize> {
        // SAFETY: the buffer is valid for its length.
        let ready = unsafe { libc::epoll_wait(self.epoll, self.events.as_mut_ptr(), 256, 10_000) };
        assert!(ready > 0, "nothing moves any more");
        self.events[..ready as usize].iter().map(|event| event.u64 as usize).collect()
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        // SAFETY: it is ours.
        unsafe { libc::close(self.epoll) };
    }
}

/// Sends everything back, until `connections` were accepted and have ended.
pub fn echo(listener: &TcpListener, connections: usize) {
    let mut poll = Poll::new();
    poll.add(listener, usize::MAX);
    let mut streams: Vec<Option<TcpStream>> = Vec::new();
    let mut open = 0;
    let mut buffer = [0; 4096];
    while open > 0 || streams.len() < connections {
        for number in poll.wait() {
            if number == usize::MAX {
                let (stream, _) = listener.accept().unwrap();
                stream.set_nodelay(true).unwrap();
                poll.add(&stream, streams.len());
                streams.push(Some(stream));
                open += 1;
                continue;
            }
            let Some(stream) = &mut streams[number] else { continue };
            let read = stream.read(&mut buffer).unwrap_or(0);
            if read == 0 || stream.write_all(&buffer[..read]).is_err() {
                streams[number] = None;
                open -= 1;
            }
        }
    }
}

/// Every connection asks, waits for its answer and asks again, `requests` times: how long each took.
pub fn ping_pong(streams: &mut [TcpStream], requests: usize) -> Vec<Duration> {
    struct Round {
        begun: Instant,
        read: usize,
        left: usize,
    }
    let mut poll = Poll::new();
    let mut buffer = [0; MESSAGE];
    let mut rounds = Vec::new();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.set_nonblocking(true).unwrap();
        poll.add(stream, number);
        rounds.push(Round { begun: Instant::now(), read: 0, left: requests });
        stream.write_all(&buffer).unwrap();
    }
    let mut times = Vec::with_capacity(streams.len() * requests);
    while times.len() < streams.len() * requests {
        for number in poll.wait() {
            let (stream, round) = (&mut streams[number], &mut rounds[number]);
            match stream.read(&mut buffer[round.read..]) {
                Ok(read) => {
                    assert!(read > 0, "a connection ended");
                    round.read += read;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => panic!("{error}"),
            }
            if round.read < MESSAGE {
                continue;
            }
            times.push(round.begun.elapsed());
            round.left -= 1;
            if round.left > 0 {
                (round.begun, round.read) = (Instant::now(), 0);
                stream.write_all(&buffer).unwrap();
            }
        }
    }
    times
}
