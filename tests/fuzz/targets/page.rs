//! The leadership page, as anything in the pod could leave it: the first bytes of the file. What follows is zeros, and a
//! short input is a short file.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tradingbot_leadership::page::{Instant, MAGIC, SIZE, VERSION};
use tradingbot_leadership::{Leadership, Role};

/// Inputs of this length and longer are whole pages.
const HEAD: usize = 32;

fn word(page: &[u8], at: usize) -> u64 {
    page.get(at..at + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
}

fn file() -> PathBuf {
    std::env::temp_dir().join(format!("tradingbot-page-{}", std::process::id()))
}

pub fn run(data: &[u8]) {
    let mut page = data.to_vec();
    if page.len() >= HEAD {
        page.resize(SIZE, 0);
    }
    let path = file();
    fs::write(&path, &page).expect("a file can be written");
    let opened = Leadership::open_at(&path);
    let _ = fs::remove_file(&path);
    let known = page.len() >= SIZE && word(&page, 0) == MAGIC && word(&page, 8) == VERSION;
    let leadership = match opened {
        Ok(leadership) => leadership,
        Err(why) => {
            assert!(!known, "{why}");
            return assert!(why.to_string().contains(" page "), "{why}");
        }
    };
    assert!(known, "this is taken for a page");
    assert!(leadership.boot().len() <= 3 * 128);
    let before = Instant::now();
    let check = leadership.check();
    let [sequence, role, epoch, token, boottime, raw] = [64, 72, 80, 88, 96, 104].map(|at| word(&page, at));
    if sequence % 2 == 1 {
        return assert!(!check.may_trade && check.role == Role::Unknown, "a page that is being written says {check:?}");
    }
    assert_eq!((check.epoch, check.fencing_token), (epoch, token));
    assert_eq!(check.role == Role::Active, role == 2);
    let deadline = Instant { boottime, monotonic_raw: raw };
    let left = Duration::from_nanos(deadline.nanos_from(before));
    if check.may_trade {
        assert!(role == 2 && !left.is_zero(), "{check:?} with {left:?} left");
        assert!(deadline == Instant::NEVER || check.remaining <= left, "{check:?} with {left:?} left");
    } else {
        assert_eq!(check.remaining, Duration::ZERO);
    }
}
