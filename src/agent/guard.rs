//! The guards: a thread of the agent and a process beside it, which watch the same deadline and kill everything when
//! it has passed (design, rule 8).
//!
//! The thread needs neither the async runtime nor the network; the process is for when the agent itself is stopped.
//! Both use nothing but atomics and system calls: no allocation, no lock, no library call that might take one. So the
//! process may be forked anew at any time, also while the agent has threads.

use std::io::Error;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::clock;
use super::gate::Fence;
use super::kill;
use super::sockets::Destroyer;
use crate::core::time::Mono;

/// What agent and guards share, in memory that survives fork.
struct Page {
    /// 0: nothing to guard. Guards sleep on it.
    armed: AtomicU32,
    /// The deadline on both clocks.
    first: AtomicU64,
    second: AtomicU64,
    /// The guard process, which the thread spares.
    guard: AtomicI32,
    /// How often a guard had to kill.
    fired: AtomicU32,
}

/// A guard looks at the deadline at least this often, because a deadline can also be set earlier than the last one.
const LONGEST_SLEEP: u64 = 500_000_000;
/// Between two sweeps, while something is left.
const SWEEP_PAUSE: u64 = 1_000_000;
/// When something is left for so long the agent ends, and the kernel takes the container: within the second that the
/// deadline lies before the end of the lease.
const SWEEP_TIME: u64 = 500_000_000;

/// The code with which the agent ends when something survives SIGKILL, and the kernel has to take the container.
pub(super) const EXIT_SURVIVORS: i32 = 137;

/// The agent's hold on its guards.
pub(super) struct Guards {
    page: &'static Page,
    process: Option<i32>,
}

impl Guards {
    /// Makes the shared page and forks the first guard process. Call it before there is any thread.
    pub(super) fn new() -> std::io::Result<Guards> {
        // SAFETY: an anonymous mapping of our own, never unmapped; zero bytes are valid for every field of `Page`.
        let page = unsafe {
            let memory = libc::mmap(
                std::ptr::null_mut(),
                size_of::<Page>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            if memory == libc::MAP_FAILED {
                return Err(Error::last_os_error());
            }
            &*memory.cast::<Page>()
        };
        let mut guards = Guards { page, process: None };
        guards.ensure_process()?;
        Ok(guards)
    }

    /// Starts the guard thread, which also cuts what is under the fence.
    pub(super) fn start_thread(&self, fence: &'static Fence) -> std::io::Result<()> {
        let page = self.page;
        std::thread::Builder::new()
            .name("guard".into())
            .stack_size(64 * 1024)
            .spawn(move || watch(page, Place::Agent(fence)))?;
        Ok(())
    }

    /// Sets the deadline; `None`: nothing to guard.
    pub(super) fn set(&self, deadline: Option<Mono>) {
        let page = self.page;
        match deadline {
            Some(at) => {
                page.first.store(at.first, Ordering::SeqCst);
                page.second.store(at.second, Ordering::SeqCst);
                page.armed.store(1, Ordering::SeqCst);
                futex(&page.armed, libc::FUTEX_WAKE, 2);
            }
            None => page.armed.store(0, Ordering::SeqCst),
        }
    }

    /// How often a guard had to kill since the start.
    pub(super) fn fired(&self) -> u32 {
        self.page.fired.load(Ordering::SeqCst)
    }

    /// The guard process, 0 while there is none.
    pub(super) fn process(&self) -> i32 {
        self.process.unwrap_or(0)
    }

    /// The guard process was reaped.
    pub(super) fn died(&mut self) {
        self.process = None;
        self.page.guard.store(0, Ordering::SeqCst);
    }

    /// Forks the guard process if there is none.
    pub(super) fn ensure_process(&mut self) -> std::io::Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let page = self.page;
        // SAFETY: the child runs `guard_process`, which neither allocates nor takes locks and never returns. Signals
        // are blocked meanwhile, so that no handler of ours runs in the child.
        let pid = unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, &raw mut before);
            let pid = libc::fork();
            if pid == 0 {
                guard_process(page);
            }
            let error = Error::last_os_error();
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
            if pid < 0 {
                return Err(error);
            }
            pid
        };
        page.guard.store(pid, Ordering::SeqCst);
        self.process = Some(pid);
        Ok(())
    }
}

/// Where a guard runs.
#[derive(Clone, Copy)]
enum Place {
    /// In the agent, whose end takes the container, and whose connections are under this fence.
    Agent(&'static Fence),
    /// In a process of its own, which can only try again.
    Process,
}

fn guard_process(page: &'static Page) -> ! {
    // SAFETY: system calls on our own process only.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, c"agent-guard".as_ptr());
        // Connections, listeners and the terminal belong to the agent and the bot.
        if libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) != 0 {
            for descriptor in 0..1024 {
                libc::close(descriptor);
            }
        }
    }
    watch(page, Place::Process)
}

fn watch(page: &'static Page, place: Place) -> ! {
    let connections = Destroyer::new();
    loop {
        if page.armed.load(Ordering::SeqCst) == 0 {
            futex(&page.armed, libc::FUTEX_WAIT, 0);
            continue;
        }
        let now = clock::now();
        let deadline = Mono { first: page.first.load(Ordering::SeqCst), second: page.second.load(Ordering::SeqCst) };
        if now.has_possibly_reached(deadline) {
            // First what is on its way, then whoever could send more.
            if let Place::Agent(fence) = place {
                fence.cut_if_past();
            }
            page.fired.fetch_add(1, Ordering::SeqCst);
            sweep(page, place, &connections);
            // The agent takes the deadline back when it has understood; until then look again soon.
            sleep_until(clock::now().first + 20 * SWEEP_PAUSE);
            continue;
        }
        let left = (deadline.first - now.first).min(deadline.second - now.second);
        sleep_until(now.first + left.min(LONGEST_SLEEP));
    }
}

fn sweep(page: &Page, place: Place, connections: &Destroyer) {
    let end = clock::now().first + SWEEP_TIME;
    while clock::now().first < end {
        kill::everything();
        let spared = if matches!(place, Place::Agent(_)) { page.guard.load(Ordering::SeqCst) } else { 0 };
        let left = kill::anything_left(spared);
        connections.destroy();
        if !left {
            return;
        }
        sleep_until(clock::now().first + SWEEP_PAUSE);
    }
    if matches!(place, Place::Agent(_)) {
        // SAFETY: ends the whole agent; as PID 1 it takes every process of the container with it.
        unsafe { libc::_exit(EXIT_SURVIVORS) };
    }
}

fn sleep_until(nanos: u64) {
    let time = libc::timespec {
        tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or_default(),
    };
    // SAFETY: `time` is valid; an interrupted sleep only makes the caller look again.
    unsafe { libc::clock_nanosleep(libc::CLOCK_BOOTTIME, libc::TIMER_ABSTIME, &raw const time, std::ptr::null_mut()) };
}

/// Not `FUTEX_PRIVATE`: the page is shared between processes.
fn futex(word: &AtomicU32, operation: i32, value: u32) {
    let none = std::ptr::null::<libc::timespec>();
    // SAFETY: the word lives in the shared page for ever; a failed or early return only makes the caller look again.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, none) };
}
