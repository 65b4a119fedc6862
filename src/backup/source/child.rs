//! Programs that a run starts: what they write, what they are given, and how they end.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::pipe::{CAPACITY, Ready, enlarge, never_wait, wait_for};
use super::said::Listener;

/// What is copied at once.
const CHUNK: usize = 256 * 1024;
/// How often is looked whether the program has ended.
const LOOK: Duration = Duration::from_millis(100);
/// How long its output may stay open after it has ended.
const LINGER: Duration = Duration::from_secs(5);
/// How long it has to end by itself when it is told to.
const GRACE: Duration = Duration::from_secs(2);

/// A program that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// The end of what it said on its standard error.
    pub said: String,
}

/// Why a program did not end by itself, or was never started. It has been stopped.
#[derive(Debug)]
pub enum Broken {
    /// It could not be started.
    Start(io::Error),
    /// Who takes its output does no longer.
    Sink(io::Error),
    /// What it is given could not be read on.
    Content(io::Error),
    /// It ended, and something it left behind keeps its output open: whether that is complete cannot be known.
    Lingers,
    /// The system refused to say what it does.
    System(io::Error),
}

impl Ended {
    /// How it ended where that was not well: part of a sentence.
    pub fn trouble(&self) -> Option<String> {
        let how = match (self.status.code(), self.status.signal()) {
            (Some(0), _) => return None,
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(libc::SIGKILL)) => "was killed (signal 9, perhaps for want of memory)".to_owned(),
            (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
        };
        Some(match self.said.as_str() {
            "" => format!("{how} and said nothing on its standard error"),
            said => format!("{how}: {said}"),
        })
    }
}

/// What goes to the standard input of a program, and where its standard output goes.
pub enum Streams<'a> {
    /// Nothing, and into this.
    Into(&'a mut dyn Write),
    /// This, and into the log.
    From(&'a mut dyn Read),
    /// Nothing, and into the log.
    Neither,
}

/// Runs a program to its end. `name` is for the log.
pub fn run(name: &str, mut command: Command, streams: Streams<'_>) -> Result<Ended, Broken> {
    let input = match streams {
        Streams::From(_) => Stdio::piped(),
        _ => Stdio::null(),
    };
    // A group of its own, so that what a shell started is stopped with it.
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut process = command.spawn().map_err(Broken::Start)?;
    let errors = process.stderr.take().map(|pipe| Listener::start(name, pipe));
    let mut running = Running { process, ended: None };
    let output = running.process.stdout.take();
    let status = match streams {
        Streams::Into(sink) => running.pour(output, sink)?,
        Streams::From(content) => {
            let talk = output.map(|pipe| Listener::start(name, pipe));
            let status = running.feed(content)?;
            talk.map(Listener::end);
            status
        }
        Streams::Neither => {
            let talk = output.map(|pipe| Listener::start(name, pipe));
            let status = running.end()?;
            talk.map(Listener::end);
            status
        }
    };
    Ok(Ended { status, said: errors.map(Listener::end).unwrap_or_default() })
}

/// A program that is stopped when nobody waits for it any more.
struct Running {
    process: std::process::Child,
    ended: Option<ExitStatus>,
}

impl Running {
    fn look(&mut self) -> Result<Option<ExitStatus>, Broken> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().map_err(Broken::System)?;
        }
        Ok(self.ended)
    }

    /// Waits for the end. The deadline of the pod bounds it.
    fn end(&mut self) -> Result<ExitStatus, Broken> {
        if let Some(ended) = self.ended {
            return Ok(ended);
        }
        let ended = self.process.wait().map_err(Broken::System)?;
        self.ended = Some(ended);
        Ok(ended)
    }

    fn pour(&mut self, output: Option<std::process::ChildStdout>, sink: &mut dyn Write) -> Result<ExitStatus, Broken> {
        let Some(mut output) = output else { return self.end() };
        enlarge(output.as_fd());
        let mut buffer = vec![0; CHUNK];
        let mut ended: Option<Instant> = None;
        let mut since = 0;
        loop {
            let ready = wait_for(output.as_fd(), Ready::Read, LOOK).map_err(Broken::System)?;
            if ready {
                let n = output.read(&mut buffer).map_err(Broken::System)?;
                if n == 0 {
                    return self.end();
                }
                sink.write_all(&buffer[..n]).map_err(Broken::Sink)?;
                since += n;
            }
            match ended {
                // What the pipe still held is read however slowly the sink takes it; more than that, or nothing and yet
                // no end, comes of somebody else.
                Some(at) if at.elapsed() > LINGER && (!ready || since > CAPACITY) => return Err(Broken::Lingers),
                Some(_) => {}
                None if self.look()?.is_some() => {
                    ended = Some(Instant::now());
                    since = 0;
                }
                None => {}
            }
        }
    }

    fn feed(&mut self, content: &mut dyn Read) -> Result<ExitStatus, Broken> {
        let Some(mut input) = self.process.stdin.take() else { return self.end() };
        enlarge(input.as_fd());
        never_wait(input.as_fd()).map_err(Broken::System)?;
        let mut buffer = vec![0; CHUNK];
        loop {
            // It must not take the end of its input for the end of the content: it is killed before the pipe closes.
            let n = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.kill();
                    return Err(Broken::Content(error));
                }
            };
            if !self.give(&mut input, &buffer[..n])? {
                break;
            }
        }
        drop(input);
        let status = self.end()?;
        if status.success() {
            // It needed no more. What it took is only known to be right when all was read.
            read_to_the_end(content).map_err(Broken::Content)?;
        }
        Ok(status)
    }

    /// Whether it took all of it.
    fn give(&mut self, input: &mut std::process::ChildStdin, mut bytes: &[u8]) -> Result<bool, Broken> {
        while !bytes.is_empty() {
            let ready = wait_for(input.as_fd(), Ready::Write, LOOK).map_err(Broken::System)?;
            if !ready {
                // A process that it left behind may hold the other end, and reads nothing.
                if self.look()?.is_some() {
                    return Ok(false);
                }
                continue;
            }
            match input.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
                Err(error) => return Err(Broken::System(error)),
            }
        }
        Ok(true)
    }

    /// To it and what it started, in so far as that did not leave its group.
    fn signal(&self, signal: i32) {
        if let Ok(group) = i32::try_from(self.process.id()) {
            // SAFETY: a system call; the group is that of a child which was not waited for, or what it left behind.
            unsafe { libc::kill(-group, signal) };
        }
    }

    fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        let until = Instant::now() + GRACE;
        while matches!(self.look(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.signal(libc::SIGTERM);
            let until = Instant::now() + GRACE;
            while matches!(self.look(), Ok(None)) && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        // Also what it left behind in its group: nobody waits for it.
        self.kill();
    }
}

/// Reads what is left, so that whoever gives it can say whether all of it was right.
pub fn read_to_the_end(content: &mut dyn Read) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(n) => bytes += n as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
