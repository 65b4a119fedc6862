//! What a check costs: writes a list of `{scenario, n, p50, p99, max}` in nanoseconds to the file that is its argument.
//!
//! A single check is shorter than reading the clock that would time it, so each of the `n` samples is the mean of a
//! batch of calls; `max` shows what the machine did meanwhile.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tradingbot_leadership::page::{Instant, Page, SIZE, View, read_clock};
use tradingbot_leadership::{Leadership, Role};

const SAMPLES: usize = 20_000;
const BATCH: u64 = 64;
/// As often as an agent renews at the very most, and far more than it ever does.
const WRITER_PAUSE: Duration = Duration::from_micros(100);

fn main() -> std::io::Result<()> {
    let target = PathBuf::from(std::env::args().nth(1).expect("usage: bench_page FILE"));
    let folder = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let file = folder.join(format!("leadership-{}", std::process::id()));
    let page = make(&file)?;
    let reader = Leadership::open_at(&file)?;
    let view = View { role: Role::Active, epoch: 7, fencing_token: 7 << 20, deadline: in_an_hour() };
    page.write(&view);

    let mut report = vec![
        measure("clock-boottime", || read_clock(libc::CLOCK_BOOTTIME)),
        measure("clock-monotonic-raw", || read_clock(libc::CLOCK_MONOTONIC_RAW)),
        measure("clock-system-call", || {
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: `time` is valid to write to. What a clock costs where the kernel has no vDSO for it.
            unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_BOOTTIME, &raw mut time) };
            time.tv_nsec
        }),
        measure("read-page", || page.read()),
        measure("check", || reader.check()),
    ];
    page.write(&View { role: Role::Standby, epoch: 0, fencing_token: 0, deadline: Instant::PAST });
    report.push(measure("check-standby", || reader.check()));
    page.write(&view);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                page.write(&view);
                std::thread::sleep(WRITER_PAUSE);
            }
        });
        report.push(measure("check-while-written", || reader.check()));
        done.store(true, Ordering::Relaxed);
    });
    report.push(measure("write-page", || page.write(black_box(&view))));
    report.extend(in_python(&file));

    fs::remove_file(&file)?;
    let text = format!("[\n  {}\n]\n", report.join(",\n  "));
    print!("{text}");
    fs::write(target, text)
}

fn in_an_hour() -> Instant {
    let now = Instant::now();
    let hour = 3_600_000_000_000;
    Instant { boottime: now.boottime + hour, monotonic_raw: now.monotonic_raw + hour }
}

fn make(path: &Path) -> std::io::Result<&'static Page> {
    fs::write(path, [0; SIZE])?;
    let file = fs::File::options().read(true).write(true).open(path)?;
    // SAFETY: a new mapping of a file that is long enough; it stays until the process ends.
    let page = unsafe {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let memory =
            libc::mmap(std::ptr::null_mut(), SIZE, rights, libc::MAP_SHARED, std::os::fd::AsRawFd::as_raw_fd(&file), 0);
        assert_ne!(memory, libc::MAP_FAILED);
        &*memory.cast::<Page>()
    };
    page.begin("bench/0");
    Ok(page)
}

fn measure<T>(scenario: &str, mut call: impl FnMut() -> T) -> String {
    let mut samples: Vec<f64> = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let begun = std::time::Instant::now();
        for _ in 0..BATCH {
            black_box(call());
        }
        samples.push(begun.elapsed().as_nanos() as f64 / BATCH as f64);
    }
    summary(scenario, samples)
}

fn summary(scenario: &str, mut samples: Vec<f64>) -> String {
    samples.sort_by(f64::total_cmp);
    let at = |percent: usize| samples[(samples.len() * percent / 100).min(samples.len() - 1)];
    format!(
        r#"{{"scenario": "{scenario}", "n": {}, "p50": {:.1}, "p99": {:.1}, "max": {:.1}}}"#,
        samples.len(),
        at(50),
        at(99),
        at(100)
    )
}

/// Where there is no Python, this scenario is left out.
fn in_python(page: &Path) -> Option<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../python");
    let program = "import sys, time\nfrom tradingbot_leadership import Leadership\n\
        check, clock = Leadership(sys.argv[1]).check, time.perf_counter_ns\n\
        for _ in range(5000):\n    begun = clock()\n    for _ in range(16): check()\n    print((clock() - begun) / 16)\n";
    let output = Command::new("python3").args(["-B", "-c", program]).arg(page).current_dir(folder).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let samples: Vec<f64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    (!samples.is_empty()).then(|| summary("check-python", samples))
}
