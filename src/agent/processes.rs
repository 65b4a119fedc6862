//! Children: the bot and exec hooks. Starting them, passing signals on, reaping them and every orphan.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::kill;
use super::surroundings::Surroundings;
use crate::core::agent::{Exit, Leadership};

/// What was reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaped {
    /// The bot ended.
    Bot(Exit),
    /// The guard process ended.
    Guard,
    /// The guard process was stopped by a signal.
    GuardStopped,
}

/// The bot, and who waits for the end of a hook.
pub(super) struct Processes {
    command: Vec<OsString>,
    surroundings: Surroundings,
    bot: Option<i32>,
    hooks: Waiting,
}

type Waiting = Arc<Mutex<HashMap<i32, oneshot::Sender<Exit>>>>;

impl Processes {
    pub(super) fn new(command: Vec<OsString>, surroundings: Surroundings) -> Processes {
        Processes { command, surroundings, bot: None, hooks: Waiting::default() }
    }

    /// Starts the bot in a session of its own, or with a terminal in the foreground of the agent's.
    pub(super) fn start_bot(&mut self, role: Leadership) -> Result<i32, String> {
        let terminal = io::stdin().is_terminal();
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        self.surroundings.apply(&mut command, role);
        // SAFETY: system calls on the new process only, no allocation.
        unsafe { command.pre_exec(move || if terminal { take_terminal() } else { new_session() }) };
        match command.spawn() {
            Ok(child) => {
                let pid = i32::try_from(child.id()).map_err(|error| error.to_string())?;
                self.bot = Some(pid);
                kill::note_group(pid);
                Ok(pid)
            }
            Err(cause) => Err(self.cannot_start(&cause)),
        }
    }

    fn cannot_start(&self, cause: &io::Error) -> String {
        let program = self.command[0].to_string_lossy();
        match cause.kind() {
            io::ErrorKind::NotFound => format!(
                "the command '{program}' does not exist in the container's image; correct 'command' of the bot's \
                 container in spec.template."
            ),
            io::ErrorKind::PermissionDenied => {
                format!("the command '{program}' may not be executed; it needs the permission to execute for its user.")
            }
            _ => format!("the command '{program}' could not be started: {cause}."),
        }
    }

    /// Sends a signal to the bot, if it runs.
    pub(super) fn signal_bot(&self, signal: i32) {
        if let Some(pid) = self.bot {
            // SAFETY: no memory is involved. The pid is ours until it is reaped, which happens on this thread.
            unsafe { libc::kill(pid, signal) };
        }
    }

    /// Who starts exec hooks, apart from this.
    pub(super) fn hook_starter(&self) -> HookStarter {
        HookStarter { surroundings: self.surroundings.clone(), hooks: Arc::clone(&self.hooks) }
    }

    /// Reaps whatever has ended, one a call; `None`: nothing more. `guard` is the guard process.
    pub(super) fn reap(&mut self, guard: i32) -> Option<Option<Reaped>> {
        let mut status = 0;
        // SAFETY: `status` is valid to write to.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
        if pid <= 0 {
            return None;
        }
        if libc::WIFSTOPPED(status) {
            return Some((pid == guard).then_some(Reaped::GuardStopped));
        }
        let exit = if libc::WIFSIGNALED(status) {
            Exit::Signal(libc::WTERMSIG(status))
        } else {
            Exit::Code(libc::WEXITSTATUS(status))
        };
        if self.bot == Some(pid) {
            self.bot = None;
            return Some(Some(Reaped::Bot(exit)));
        }
        if pid == guard {
            return Some(Some(Reaped::Guard));
        }
        if let Some(waiting) = lock(&self.hooks).remove(&pid) {
            let _ = waiting.send(exit);
        }
        Some(None)
    }
}

/// Starts exec hooks and learns how they end.
#[derive(Clone)]
pub(super) struct HookStarter {
    surroundings: Surroundings,
    hooks: Waiting,
}

/// An exec hook that runs; killed with its group when dropped before its end.
pub(super) struct RunningHook {
    pid: i32,
    hooks: Waiting,
    pub(super) end: oneshot::Receiver<Exit>,
}

impl HookStarter {
    pub(super) fn start(&self, words: &[String], role: Leadership) -> io::Result<RunningHook> {
        let [program, arguments @ ..] = words else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the hook has no command"));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(std::process::Stdio::null());
        self.surroundings.apply(&mut command, role);
        // SAFETY: system calls on the new process only, no allocation.
        unsafe { command.pre_exec(new_session) };
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        let (tell, end) = oneshot::channel();
        lock(&self.hooks).insert(pid, tell);
        Ok(RunningHook { pid, hooks: Arc::clone(&self.hooks), end })
    }
}

impl Drop for RunningHook {
    fn drop(&mut self) {
        // Still listed: it was not reaped, so the pid is still its own.
        if lock(&self.hooks).remove(&self.pid).is_some() {
            // SAFETY: no memory is involved.
            unsafe { libc::kill(-self.pid, libc::SIGKILL) };
        }
    }
}

fn lock(hooks: &Waiting) -> std::sync::MutexGuard<'_, HashMap<i32, oneshot::Sender<Exit>>> {
    hooks.lock().unwrap_or_else(PoisonError::into_inner)
}

fn new_session() -> io::Result<()> {
    // SAFETY: no memory is involved.
    if unsafe { libc::setsid() } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A group of its own, in the foreground of the terminal on stdin, so that the bot reads it and gets its signals.
fn take_terminal() -> io::Result<()> {
    // SAFETY: `set` is valid; the calls concern this process and its terminal only.
    unsafe {
        libc::setpgid(0, 0);
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTTOU);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        // A terminal that is not the session's own cannot be taken; the bot can still read it.
        libc::tcsetpgrp(0, libc::getpid());
        libc::sigprocmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut());
    }
    Ok(())
}

/// No program that the bot runs gains rights (design, rule 8): with others than the agent's it could not be killed.
pub(super) fn no_new_privileges() -> io::Result<()> {
    // SAFETY: no memory is involved.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
