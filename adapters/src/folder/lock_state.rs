//! Whether a process holds the lock of a lake, as far as the system tells.
//!
//! Reads the table of locks that Linux has: trying to lock would disturb a run that starts at that moment. The table leaves
//! out processes of other namespaces, such as those of another container, and of other machines.

use jiff::Timestamp;

use crate::folder::held::LOCK;
use crate::folder::store::FolderStore;

/// What is known about the lock of a lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// No process holds it.
    Free,
    /// This process holds it.
    HeldBy(LockingProcess),
    /// A process holds it about which the system tells nothing more.
    Held,
    /// A process that cannot be seen from here may hold it.
    Unknown,
}

/// A process that holds the lock of a lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockingProcess {
    /// Its id.
    pub id: u32,
    /// When it started.
    pub since: Timestamp,
}

impl FolderStore {
    /// Returns whether a process holds the lock.
    pub async fn lock_state(&self) -> LockState {
        let found = self.blocking(LOCK, |store| Ok(state(&store.root.join(LOCK))));
        found.await.unwrap_or(LockState::Unknown)
    }
}

/// Returns what a process writes into the lock file: its id, and where that id is valid.
pub(super) fn text_of_this_process() -> String {
    let place = place().map(|place| format!("{place}\n")).unwrap_or_default();
    format!("{}\n{place}", std::process::id())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, File};
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use jiff::Timestamp;

    use super::{LockState, LockingProcess};

    pub(super) fn state(path: &Path) -> LockState {
        let Ok(table) = fs::read_to_string("/proc/locks") else { return LockState::Unknown };
        let Ok(found) = fs::symlink_metadata(path) else { return LockState::Unknown };
        match lock_of(&table, found.dev(), found.ino()) {
            Lock::Of(id) => {
                started(id).map_or(LockState::Held, |since| LockState::HeldBy(LockingProcess { id, since }))
            }
            Lock::Perhaps => LockState::Unknown,
            Lock::None if was_last_held_here(path) => LockState::Free,
            Lock::None => LockState::Unknown,
        }
    }

    /// The entry of a file in a table of locks.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) enum Lock {
        Of(u32),
        /// A file with the same number, which may be on another disk: some file systems have several device numbers.
        Perhaps,
        None,
    }

    /// Finds a file in `/proc/locks`: `1: FLOCK  ADVISORY  WRITE 4242 fe:00:131073 0 EOF`.
    pub(super) fn lock_of(table: &str, device: u64, inode: u64) -> Lock {
        let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
        let (here, number) = (format!("{major:02x}:{minor:02x}:{inode}"), format!(":{inode}"));
        let mut found = Lock::None;
        for line in table.lines() {
            // A process that waits for a lock has an arrow in front.
            let mut words = line.split_whitespace().skip(4);
            let (Some(Ok(id)), Some(file)) = (words.next().map(str::parse), words.next()) else { continue };
            if file == here {
                return Lock::Of(id);
            }
            if file.ends_with(&number) {
                found = Lock::Perhaps;
            }
        }
        found
    }

    /// Returns whether the last process that held the lock would be in this process's table of locks if it still held it.
    fn was_last_held_here(path: &Path) -> bool {
        let mut written = String::new();
        let Ok(_) = File::open(path).and_then(|file| file.take(64).read_to_string(&mut written)) else { return false };
        let found = written.lines().nth(1).and_then(|place| place.parse().ok());
        found.is_some() && found == place()
    }

    /// Returns a number for this start of this machine and this namespace of processes.
    pub(super) fn place() -> Option<u128> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let boot = u128::from_str_radix(&boot.trim().replace('-', ""), 16).ok()?;
        let namespace = fs::metadata("/proc/self/ns/pid").ok()?.ino();
        Some(boot ^ u128::from(namespace))
    }

    fn started(process: u32) -> Option<Timestamp> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        started_at(&stat, &fs::read_to_string("/proc/stat").ok()?)
    }

    /// Reads when a process started, from `/proc/ID/stat` and the time of the machine's start in `/proc/stat`.
    pub(super) fn started_at(process: &str, system: &str) -> Option<Timestamp> {
        /// The kernel shows times to programs in this unit.
        const TICKS_PER_SECOND: i64 = 100;
        // The name of the program, in parentheses, may contain spaces.
        let after_name = process.rsplit_once(") ")?.1;
        let ticks: i64 = after_name.split(' ').nth(19)?.parse().ok()?;
        let booted_at: i64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Timestamp::from_second(booted_at + ticks / TICKS_PER_SECOND).ok()
    }
}

/// Other systems do not tell.
#[cfg(not(target_os = "linux"))]
mod linux {
    pub(super) fn state(_: &std::path::Path) -> super::LockState {
        super::LockState::Unknown
    }

    pub(super) fn place() -> Option<u128> {
        None
    }
}

use linux::{place, state};

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::linux::{Lock, lock_of, started_at};
    use super::*;

    #[test]
    fn the_holder_is_read_from_the_table_of_locks() {
        let table = "1: FLOCK  ADVISORY  WRITE 4242 fe:00:131073 0 EOF\n2: POSIX  ADVISORY  READ 17 00:1b:9 0 EOF\n";
        let disk = rustix::fs::makedev(0xfe, 0);
        assert_eq!(lock_of(table, disk, 131_073), Lock::Of(4242));
        assert_eq!(lock_of(table, disk, 9), Lock::Perhaps);
        assert_eq!(lock_of(table, rustix::fs::makedev(0, 0x1b), 9), Lock::Of(17));
        assert_eq!(lock_of(table, disk, 31_073), Lock::None);
        assert_eq!(lock_of("", disk, 9), Lock::None);
    }

    #[test]
    fn the_start_of_a_process_is_read() {
        let process =
            format!("4242 (a ) b) S {} 123456 9 9", (4..22).map(|i| i.to_string()).collect::<Vec<_>>().join(" "));
        let at = started_at(&process, "cpu 1 2\nbtime 1000000\n").unwrap();
        assert_eq!(at.as_second(), 1_001_234);
        let read = |path| std::fs::read_to_string(path).unwrap();
        let age = Timestamp::now().duration_since(started_at(&read("/proc/self/stat"), &read("/proc/stat")).unwrap());
        assert!((-2..600).contains(&age.as_secs()), "{age}");
    }
}
