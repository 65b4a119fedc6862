//! What readers make of a page while it is written, torn, run out or not one at all.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tradingbot_leadership::page::{Instant, Page, SIZE, View};
use tradingbot_leadership::{Check, Leadership, Role};

/// A page in a file of its own, mapped to be written to.
struct File {
    path: PathBuf,
    page: &'static Page,
}

impl File {
    fn new(name: &str) -> File {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::write(&path, [0; SIZE]).unwrap();
        let file = fs::File::options().read(true).write(true).open(&path).unwrap();
        // SAFETY: a new mapping of a file that is long enough; it stays until the process ends.
        let page = unsafe {
            let rights = libc::PROT_READ | libc::PROT_WRITE;
            let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
            let memory = libc::mmap(std::ptr::null_mut(), SIZE, rights, libc::MAP_SHARED, fd, 0);
            assert_ne!(memory, libc::MAP_FAILED);
            &*memory.cast::<Page>()
        };
        page.begin("u0/nonce");
        File { path, page }
    }

    fn reader(&self) -> Leadership {
        Leadership::open_at(&self.path).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn active(deadline: Instant) -> View {
    View { role: Role::Active, epoch: 7, fencing_token: 7 << 20, deadline }
}

fn from_now(by: Duration) -> Instant {
    let (now, by) = (Instant::now(), u64::try_from(by.as_nanos()).unwrap());
    Instant { boottime: now.boottime + by, monotonic_raw: now.monotonic_raw + by }
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn the_answer_follows_the_page() {
    let file = File::new("follows");
    let reader = file.reader();
    let check = reader.check();
    assert_eq!((check.may_trade, check.role, check.epoch, check.remaining), (false, Role::Standby, 0, Duration::ZERO));
    assert_eq!(reader.boot(), "u0/nonce");
    file.page.write(&active(from_now(HOUR)));
    let check = reader.check();
    assert_eq!((check.may_trade, check.role, check.epoch, check.fencing_token), (true, Role::Active, 7, 7 << 20));
    assert!(check.remaining <= HOUR && check.remaining > HOUR / 2);
    file.page.write(&View { role: Role::Demoting, ..active(from_now(HOUR)) });
    let check = reader.check();
    assert_eq!((check.may_trade, check.role, check.epoch), (false, Role::Demoting, 7));
}

#[test]
fn either_clock_ends_it() {
    let file = File::new("clocks");
    let reader = file.reader();
    let (past, later) = (Instant::now(), from_now(HOUR));
    for deadline in [
        Instant { boottime: past.boottime, ..later },
        Instant { monotonic_raw: past.monotonic_raw, ..later },
        Instant { boottime: past.boottime, monotonic_raw: u64::MAX },
        Instant::PAST,
    ] {
        file.page.write(&active(deadline));
        let check = reader.check();
        assert_eq!(
            (check.may_trade, check.role, check.remaining),
            (false, Role::Active, Duration::ZERO),
            "{deadline:?}"
        );
    }
    file.page.write(&active(Instant::NEVER));
    assert_eq!((reader.check().may_trade, reader.check().remaining), (true, Duration::MAX));
}

#[test]
fn it_runs_out_without_anybody_writing() {
    let file = File::new("runs-out");
    let reader = file.reader();
    let deadline = from_now(Duration::from_millis(30));
    file.page.write(&active(deadline));
    // Bounded by the deadline itself.
    while reader.check().may_trade {}
    let over = Instant::now();
    assert!(deadline.nanos_from(over) == 0, "it said no too early");
    assert!(!reader.check().may_trade);
}

#[test]
fn a_page_whose_writer_stopped_in_the_middle_says_no() {
    let file = File::new("torn");
    let reader = file.reader();
    file.page.write(&active(from_now(HOUR)));
    assert!(reader.check().may_trade);
    file.page.open();
    let no = Check { may_trade: false, role: Role::Unknown, epoch: 0, fencing_token: 0, remaining: Duration::ZERO };
    assert_eq!(reader.check(), no);
    // The next whole write is good again.
    file.page.write(&active(from_now(HOUR)));
    assert!(reader.check().may_trade);
}

#[test]
fn no_reader_sees_parts_of_two_states() {
    const FLIPS: u64 = 1_000_000;
    let file = File::new("mix");
    let done = AtomicBool::new(false);
    let read = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let reader = file.reader();
                    let (mut last, mut read) = (0, 0u64);
                    while !done.load(Ordering::Relaxed) {
                        let check = reader.check();
                        if check.role == Role::Unknown {
                            continue;
                        }
                        // Every field of a state is made from its number.
                        let n = check.epoch;
                        assert_eq!(check.fencing_token, n << 10, "{check:?}");
                        assert_eq!(check.role, if n % 2 == 1 { Role::Active } else { Role::Standby }, "{check:?}");
                        assert_eq!(check.may_trade, n % 4 == 1, "{check:?}");
                        assert!(n >= last, "from {last} back to {n}");
                        last = n;
                        read += 1;
                    }
                    read
                })
            })
            .collect();
        for n in 1..=FLIPS {
            let role = if n % 2 == 1 { Role::Active } else { Role::Standby };
            let deadline = if n % 4 == 1 { Instant::NEVER } else { Instant { boottime: n, monotonic_raw: n } };
            file.page.write(&View { role, epoch: n, fencing_token: n << 10, deadline });
        }
        // However busy the machine was, a reader sees a page that rests.
        let reader = file.reader();
        assert_eq!(reader.check().epoch, FLIPS);
        done.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u64>()
    });
    assert!(read > 1_000, "only {read} states were read");
}

/// Runs Python with the client imported and the page's path in `sys.argv[1]`.
fn python(file: &File, program: &str) -> Child {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../python");
    let program = format!("import sys\nfrom tradingbot_leadership import Leadership\n{program}");
    let mut command = Command::new("python3");
    command.args(["-B", "-c", &program]).arg(&file.path).current_dir(folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python3 is installed")
}

fn printed(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn python_says_the_same() {
    let file = File::new("python");
    let check = "print(*Leadership(sys.argv[1]).check())";
    assert_eq!(printed(python(&file, check)), "False standby 0 0 0\n");
    file.page.write(&active(Instant::NEVER));
    assert_eq!(printed(python(&file, check)), format!("True active 7 {} None\n", 7 << 20));
    for deadline in [Instant { boottime: 1, ..from_now(HOUR) }, Instant { monotonic_raw: 1, ..from_now(HOUR) }] {
        file.page.write(&active(deadline));
        assert_eq!(printed(python(&file, check)), format!("False active 7 {} 0\n", 7 << 20));
    }
    file.page.write(&active(from_now(HOUR)));
    assert!(printed(python(&file, check)).starts_with(&format!("True active 7 {} 3", 7 << 20)));
    file.page.open();
    assert_eq!(printed(python(&file, check)), "False unknown 0 0 0\n");
    fs::write(&file.path, [0; SIZE]).unwrap();
    assert!(printed(python(&file, check)).contains("it does not begin with TBLEADER"));
}

#[test]
fn no_reader_in_python_sees_parts_of_two_states() {
    let file = File::new("python-mix");
    let program = "
check, read = Leadership(sys.argv[1]).check, 0
for _ in range(200_000):
    may_trade, role, epoch, token, _ = check()
    if role != 'unknown':
        assert token == epoch << 10 and may_trade == (epoch % 2 == 1), (may_trade, role, epoch, token)
        assert role == ('active' if epoch % 2 else 'standby'), (role, epoch)
        read += 1
print('read', read)";
    let mut child = python(&file, program);
    let end = std::time::Instant::now() + Duration::from_secs(60);
    let mut n = 0;
    while n % 1_000 != 0 || (child.try_wait().unwrap().is_none() && std::time::Instant::now() < end) {
        n += 1;
        let (role, deadline) = if n % 2 == 1 { (Role::Active, Instant::NEVER) } else { (Role::Standby, Instant::PAST) };
        file.page.write(&View { role, epoch: n, fencing_token: n << 10, deadline });
        // Python needs a moment for its two readings.
        (0..200).for_each(|_| std::hint::spin_loop());
    }
    let printed = printed(child);
    let read: u64 =
        printed.trim().strip_prefix("read ").and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{printed}"));
    assert!(read > 1_000, "only {read} states were read");
}

#[test]
fn what_is_no_page_is_refused_with_a_sentence() {
    let file = File::new("refused");
    let refusal = |bytes: &[u8]| {
        fs::write(&file.path, bytes).unwrap();
        Leadership::open_at(&file.path).err().unwrap().to_string()
    };
    assert!(refusal(b"short").contains("it has 5 bytes instead of 4096"));
    assert!(refusal(&[0; SIZE]).contains("does not begin with TBLEADER"));
    let mut newer = [0; SIZE];
    newer[..8].copy_from_slice(b"TBLEADER");
    newer[8] = 2;
    assert!(refusal(&newer).contains("version 2 instead of 1"));
    let missing = Leadership::open_at("/nowhere/leadership").err().unwrap().to_string();
    assert!(missing.contains("the leadership page /nowhere/leadership cannot be read"), "{missing}");
}
