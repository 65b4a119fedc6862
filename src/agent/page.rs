//! The leadership page: what a bot may do, in memory that it maps and reads before each order. Layout and protocol are
//! those of the client, `clients/rust`.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use tracing::warn;
use tradingbot_leadership::Role as ShownRole;
use tradingbot_leadership::page::{Instant, Page, SIZE, View};

use super::board::Validity;
use crate::api::names::{LEADERSHIP_PAGE, RUN_DIR};
use crate::core::agent::{Leadership, Role};
use crate::core::ids::BootId;

/// The agent's hold on the page; without one where the folder cannot be written.
pub(super) struct LeadershipPage {
    page: Option<&'static Page>,
    shown: Option<View>,
}

impl LeadershipPage {
    /// Makes the page of this boot, saying "standby". Call it before anything runs that could read: what an earlier
    /// container of the pod left behind may still say "active".
    pub(super) fn create(boot: &BootId) -> LeadershipPage {
        let page = match put_in_place(Path::new(RUN_DIR), boot) {
            Ok(page) => Some(page),
            Err(cause) => {
                warn!(
                    "There is no leadership page for the bot: {RUN_DIR} cannot be used ({cause}). The local API serves."
                );
                None
            }
        };
        LeadershipPage { page, shown: None }
    }

    /// Shows what holds from now on.
    pub(super) fn show(&mut self, leadership: Leadership, validity: Validity) {
        let view = view(leadership, validity);
        if let Some(page) = self.page
            && self.shown.as_ref() != Some(&view)
        {
            page.write(&view);
            self.shown = Some(view);
        }
    }
}

fn view(leadership: Leadership, validity: Validity) -> View {
    let Leadership { role, epoch, token } = leadership;
    View {
        role: match role {
            Role::Standby => ShownRole::Standby,
            Role::Candidate => ShownRole::Candidate,
            Role::Active => ShownRole::Active,
            Role::Paused => ShownRole::Paused,
            Role::Demoting => ShownRole::Demoting,
        },
        epoch: epoch.0,
        fencing_token: token.0,
        deadline: match validity {
            _ if role != Role::Active => Instant::PAST,
            Validity::None => Instant::PAST,
            Validity::Until(end) => Instant { boottime: end.first, monotonic_raw: end.second },
            Validity::AtLeast(_) => Instant::NEVER,
        },
    }
}

/// The file comes into being whole, under a name of its own, and readers can only read it.
fn put_in_place(folder: &Path, boot: &BootId) -> io::Result<&'static Page> {
    let path = folder.join(LEADERSHIP_PAGE);
    let draft = folder.join(format!(".{LEADERSHIP_PAGE}.{}", boot.nonce));
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let put = || {
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&draft)?;
        // Written, not only made longer: where the memory is used up this fails, and not an access later.
        file.write_all(&[0; SIZE])?;
        let page = map(&file)?;
        page.begin(&boot.to_string());
        file.set_permissions(Permissions::from_mode(0o444))?;
        fs::rename(&draft, &path)?;
        Ok(page)
    };
    put().inspect_err(|_| {
        let _ = fs::remove_file(&draft);
    })
}

fn map(file: &File) -> io::Result<&'static Page> {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of a file that is long enough, never unmapped; all of `Page` is atomics.
    unsafe {
        let memory = libc::mmap(std::ptr::null_mut(), SIZE, rights, libc::MAP_SHARED, file.as_raw_fd(), 0);
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(&*memory.cast::<Page>())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::agent::clock;
    use crate::core::ids::{Epoch, FencingToken};

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("leadership-page-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn boot(nonce: &str) -> BootId {
        BootId { pod_uid: "u0".into(), nonce: nonce.into() }
    }

    #[test]
    fn the_page_of_an_earlier_container_is_replaced_by_one_that_says_no() {
        let folder = folder("replaced");
        let path = folder.join(LEADERSHIP_PAGE);
        let active = Leadership { role: Role::Active, epoch: Epoch(3), token: FencingToken(9) };
        let mut first = LeadershipPage { page: Some(put_in_place(&folder, &boot("a")).unwrap()), shown: None };
        first.show(active, Validity::AtLeast(Duration::from_secs(1)));
        let reader = tradingbot_leadership::Leadership::open_at(&path).unwrap();
        assert!(reader.check().may_trade);
        put_in_place(&folder, &boot("b")).unwrap();
        let reader = tradingbot_leadership::Leadership::open_at(&path).unwrap();
        assert_eq!((reader.check().may_trade, reader.boot().as_str()), (false, "u0/b"));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o444);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "a draft was left");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_an_active_within_its_time_may_trade() {
        let folder = folder("words");
        let mut page = LeadershipPage { page: Some(put_in_place(&folder, &boot("a")).unwrap()), shown: None };
        let reader = tradingbot_leadership::Leadership::open_at(folder.join(LEADERSHIP_PAGE)).unwrap();
        let told = |role| Leadership { role, epoch: Epoch(3), token: FencingToken(9) };
        let later = Validity::Until(clock::now().plus(Duration::from_secs(60)));
        for (role, validity, may_trade) in [
            (Role::Active, later, true),
            (Role::Active, Validity::AtLeast(Duration::from_secs(1)), true),
            (Role::Active, Validity::Until(clock::now()), false),
            (Role::Active, Validity::None, false),
            (Role::Candidate, Validity::None, false),
            (Role::Demoting, Validity::None, false),
            (Role::Standby, Validity::None, false),
        ] {
            page.show(told(role), validity);
            let check = reader.check();
            assert_eq!((check.may_trade, check.epoch, check.fencing_token), (may_trade, 3, 9), "{role:?} {validity:?}");
            assert_eq!(check.role.as_str(), role.as_str());
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
