//! What the bot's container uses of what it may: memory, CPU and disks, by the kernel's own count.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::files::Disk;

/// Where the kernel's counts are.
const ROOT: &str = "/sys/fs/cgroup";

/// The CPU time that was used when it was last looked at.
#[derive(Clone, Default)]
pub(super) struct CpuUse(Arc<Mutex<Option<(u64, Instant)>>>);

/// Looks once.
///
/// # Errors
/// A sentence.
pub(super) async fn check(
    disk: &Disk,
    cpu: &CpuUse,
    memory_percent: Option<u8>,
    cpu_percent: Option<u8>,
    disks: &[(String, u8)],
) -> Result<(), String> {
    let (cpu, disks) = (cpu.clone(), disks.to_vec());
    disk.look(move || {
        let counts = || Counts::of(Path::new(ROOT), &own_group());
        if let Some(most) = memory_percent {
            let (used, limit) = counts()?.memory()?;
            within("The container's memory", used, limit, most)?;
        }
        if let Some(most) = cpu_percent {
            counts()?.cpu(&cpu, most)?;
        }
        for (path, most) in &disks {
            let (used, all) = space(path)?;
            within(&format!("The file system of {path}"), used, all, *most)?;
        }
        Ok(())
    })
    .await
}

/// Says of how much is used.
fn within(what: &str, used: u64, all: u64, most: u8) -> Result<(), String> {
    // Rounded up: a disk that is full to the last bytes is full.
    let percent = (u128::from(used) * 100).div_ceil(u128::from(all.max(1)));
    if percent > u128::from(most) {
        Err(format!("{what} is used to {percent} %, and may be to {most} %."))
    } else {
        Ok(())
    }
}

/// The files of either version of cgroups.
enum Counts {
    One { memory: PathBuf, cpu: PathBuf, usage: PathBuf },
    Two(PathBuf),
}

impl Counts {
    /// `own`: lines of `/proc/self/cgroup`. A container mostly sees its own group as the root, but need not.
    fn of(root: &Path, own: &str) -> Result<Counts, String> {
        let group = |controller: &str| {
            let mut lines = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
            let path = lines.find(|(names, _)| names.split(',').any(|name| name == controller))?.1;
            Some(path.trim_start_matches('/').to_owned())
        };
        let with = |base: PathBuf, controller: &str, file: &str| {
            let inner = group(controller).map(|group| base.join(group)).filter(|path| path.join(file).exists());
            inner.or_else(|| base.join(file).exists().then_some(base))
        };
        if let Some(found) = with(root.to_owned(), "", "memory.current") {
            return Ok(Counts::Two(found));
        }
        let memory = with(root.join("memory"), "memory", "memory.usage_in_bytes");
        let cpu = ["cpu", "cpu,cpuacct"].iter().find_map(|name| with(root.join(name), "cpu", "cpu.cfs_quota_us"));
        let usage =
            ["cpuacct", "cpu,cpuacct"].iter().find_map(|name| with(root.join(name), "cpuacct", "cpuacct.usage"));
        match (memory, cpu, usage) {
            (Some(memory), Some(cpu), Some(usage)) => Ok(Counts::One { memory, cpu, usage }),
            _ => Err(format!("The kernel's counts for this container are not in {}.", root.display())),
        }
    }

    /// Bytes that are used and cannot be dropped at any time, and how many may be.
    fn memory(&self) -> Result<(u64, u64), String> {
        let (used, limit, droppable) = match self {
            Counts::Two(group) => (
                number(&group.join("memory.current"))?,
                number(&group.join("memory.max")).ok(),
                field(&group.join("memory.stat"), "inactive_file"),
            ),
            Counts::One { memory, .. } => (
                number(&memory.join("memory.usage_in_bytes"))?,
                number(&memory.join("memory.limit_in_bytes")).ok(),
                field(&memory.join("memory.stat"), "total_inactive_file"),
            ),
        };
        let used = used.saturating_sub(droppable.unwrap_or_default());
        let of_node = || field(Path::new("/proc/meminfo"), "MemTotal:").map(|kib| kib.saturating_mul(1024));
        // Without a limit the first version has one that no machine reaches.
        match (limit, of_node()) {
            (Some(limit), Some(node)) => Ok((used, limit.min(node))),
            (Some(all), None) | (None, Some(all)) => Ok((used, all)),
            (None, None) => Err("How much memory there is cannot be read.".into()),
        }
    }

    /// Whether the CPU time since the last look is within the share; nothing is known at the first.
    fn cpu(&self, last: &CpuUse, most: u8) -> Result<(), String> {
        let now = Instant::now();
        let used = self.cpu_nanos()?;
        let mut last = last.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((before, at)) = last.replace((used, now)) else { return Ok(()) };
        let nanos = u64::try_from(now.duration_since(at).as_nanos()).unwrap_or(u64::MAX);
        // As many thousandths of a CPU as may be used, for so long.
        let may = u128::from(nanos) * u128::from(self.thousandths()) / 1_000;
        within(
            "The container's share of CPU",
            used.saturating_sub(before),
            u64::try_from(may).unwrap_or(u64::MAX),
            most,
        )
    }

    fn cpu_nanos(&self) -> Result<u64, String> {
        match self {
            Counts::Two(group) => {
                let micros = field(&group.join("cpu.stat"), "usage_usec");
                micros.map(|micros| micros.saturating_mul(1_000)).ok_or_else(|| "cpu.stat cannot be read.".into())
            }
            Counts::One { usage, .. } => number(&usage.join("cpuacct.usage")),
        }
    }

    fn thousandths(&self) -> u64 {
        let limit = match self {
            Counts::Two(group) => {
                let text = std::fs::read_to_string(group.join("cpu.max")).unwrap_or_default();
                text.split_once(' ')
                    .and_then(|(quota, period)| Some((quota.parse::<u64>().ok()?, period.trim().parse::<u64>().ok()?)))
            }
            Counts::One { cpu, .. } => {
                number(&cpu.join("cpu.cfs_quota_us")).ok().zip(number(&cpu.join("cpu.cfs_period_us")).ok())
            }
        };
        let of_node = std::thread::available_parallelism().map_or(1, usize::from) as u64 * 1_000;
        match limit {
            Some((quota, period)) if quota > 0 && period > 0 => quota.saturating_mul(1_000) / period,
            _ => of_node,
        }
    }
}

fn own_group() -> String {
    std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
}

fn number(path: &Path) -> Result<u64, String> {
    let text = std::fs::read_to_string(path).map_err(|cause| format!("{} cannot be read: {cause}.", path.display()))?;
    text.trim().parse().map_err(|_| format!("{} has '{}' in it and no number.", path.display(), text.trim()))
}

/// The number after a word at the beginning of a line.
fn field(path: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.next()?.parse().ok())?)
}

/// Bytes of a file system that are used, and that there are for the bot.
fn space(path: &str) -> Result<(u64, u64), String> {
    let name = CString::new(path).map_err(|_| format!("{path} is no path."))?;
    // SAFETY: all zeros are a valid value of this structure.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the name ends with a zero, and the structure is valid to write to.
    if unsafe { libc::statvfs(name.as_ptr(), &raw mut found) } != 0 {
        return Err(format!("{path} cannot be looked at: {}.", std::io::Error::last_os_error()));
    }
    // As `df` does it: what is kept for root is neither used nor free. Files run out as bytes do.
    let block = found.f_frsize;
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    let (bytes, all) = (used.saturating_mul(block), used.saturating_add(found.f_bavail).saturating_mul(block));
    let files = found.f_files.saturating_sub(found.f_ffree);
    let fuller = u128::from(files) * u128::from(all) > u128::from(bytes) * u128::from(found.f_files);
    if found.f_files > 0 && fuller { Ok((files, found.f_files)) } else { Ok((bytes, all)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("tradingbot-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn both_versions_of_cgroups_say_what_is_used() {
        let two = tree(
            "cgroup-two",
            &[
                ("memory.current", "90000\n"),
                ("memory.max", "100000\n"),
                ("memory.stat", "anon 5\ninactive_file 40000\n"),
                ("cpu.stat", "usage_usec 7\nuser_usec 1\n"),
                ("cpu.max", "50000 100000\n"),
            ],
        );
        let counts = Counts::of(&two, "0::/\n").unwrap();
        assert_eq!(
            (counts.memory(), counts.cpu_nanos(), counts.thousandths()),
            (Ok((50_000, 100_000)), Ok(7_000), 500)
        );
        let one = tree(
            "cgroup-one",
            &[
                ("memory/pod/memory.usage_in_bytes", "90000\n"),
                ("memory/pod/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/pod/memory.stat", "cache 1\ntotal_inactive_file 40000\n"),
                ("cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
                ("cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
                ("cpu,cpuacct/cpuacct.usage", "7000\n"),
            ],
        );
        let counts = Counts::of(&one, "5:memory:/pod\n4:cpu,cpuacct:/\n").unwrap();
        let (used, limit) = counts.memory().unwrap();
        assert!(used == 50_000 && limit < 1 << 50, "the node's memory, not {limit}");
        assert_eq!((counts.cpu_nanos(), counts.thousandths() % 1_000), (Ok(7_000), 0));
        std::fs::remove_dir_all(one.join("memory")).unwrap();
        assert!(Counts::of(&one, "").is_err());
        for root in [one, two] {
            std::fs::remove_dir_all(root).unwrap();
        }
    }

    #[test]
    fn what_is_used_to_more_than_it_may_be_is_told_in_percent() {
        assert_eq!(within("It", 90, 100, 90), Ok(()));
        assert_eq!(within("It", 901, 1_000, 90).unwrap_err(), "It is used to 91 %, and may be to 90 %.");
        assert_eq!(within("It", 0, 0, 1), Ok(()));
        let (used, all) = space("/").unwrap();
        assert!(used > 0 && used <= all);
        assert!(space("/nothing/here").unwrap_err().contains("cannot be looked at"));
    }
}
