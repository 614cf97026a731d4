//! A disk in memory for tests: it forgets what was not synced, tears and reorders what was being
//! written, fails the calls it is told to fail, fills up, is slow on a clock of its own, and behaves
//! after a failed fsync as badly as real ones do. Same seed, same faults.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile, Space};

/// What a disk writes in one piece.
const SECTOR_BYTES: usize = 512;

/// How a call fails. Of a write half the bytes arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Input/output error.
    Io,
    /// No room left.
    Full,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// What a failed sync should have brought to disk: it counts as clean now, and later syncs,
    /// which succeed, leave it out.
    holes: Vec<Range<usize>>,
}

/// A change of the directory that is not on disk yet.
#[derive(Clone, Debug)]
enum Change {
    Create(String, usize),
    Remove(String),
    Rename(String, String),
}

#[derive(Clone, Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    /// Names whose sync failed; later syncs of the directory leave them out.
    lost_names: BTreeSet<String>,
    n_calls: u64,
    n_syncs: u64,
    faults: BTreeMap<u64, Fault>,
    /// From this call on nothing happens any more.
    cut_at: Option<u64>,
    capacity_bytes: Option<u64>,
    call_ns: u64,
    sync_ns: u64,
    elapsed_ns: u64,
    is_locked: bool,
    has_missed_mark: bool,
    random: u64,
}

/// A simulated directory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

/// A file of a simulated directory.
#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    inode: usize,
    /// A sync through this handle has failed.
    has_failed: bool,
}

/// Holds a simulated directory.
#[derive(Debug)]
pub struct SimLock(SimDisk);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.state().is_locked = false;
    }
}

impl SimDisk {
    /// An empty directory whose choices depend on `seed`.
    pub fn new(seed: u64) -> Self {
        let disk = Self::default();
        disk.state().random = seed;
        disk
    }

    /// A directory that holds these files, all of them durable.
    pub fn with_files(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut state = State::default();
        for (name, bytes) in files {
            let (current, durable) = (bytes.clone(), bytes.clone());
            state.names.insert(name.clone(), state.inodes.len());
            state.inodes.push(Inode { current, durable, holes: Vec::new() });
        }
        state.durable_names = state.names.clone();
        Self(Arc::new(Mutex::new(state)))
    }

    /// The files as a process sees them.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let content = |inode: usize| state.inodes[inode].current.clone();
        state.names.iter().map(|(name, &inode)| (name.clone(), content(inode))).collect()
    }

    /// Calls that can fail, so far: all but taking the lock, listing and asking for lengths.
    pub fn n_calls(&self) -> u64 {
        self.state().n_calls
    }

    /// Syncs of files that succeeded.
    pub fn n_syncs(&self) -> u64 {
        self.state().n_syncs
    }

    /// Lets call number `call` (from 0, counted over the life of the disk) fail.
    pub fn fail(&self, call: u64, fault: Fault) {
        self.state().faults.insert(call, fault);
    }

    /// Cuts power before call number `call`: it and all later ones fail and do nothing.
    /// [`SimDisk::after_power_cut`] gives the disk of the next start.
    pub fn cut_power_at(&self, call: u64) {
        self.state().cut_at = Some(call);
    }

    /// Limits the bytes of all files together.
    pub fn set_capacity(&self, n_bytes: Option<u64>) {
        self.state().capacity_bytes = n_bytes;
    }

    /// Lets each call and each sync take time on the disk's own clock.
    pub fn set_slow(&self, call_ns: u64, sync_ns: u64) {
        let mut state = self.state();
        (state.call_ns, state.sync_ns) = (call_ns, sync_ns);
    }

    /// Time that calls have taken, in nanoseconds.
    pub fn elapsed_ns(&self) -> u64 {
        self.state().elapsed_ns
    }

    /// Ends all faults and limits.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.cut_at = None;
        state.capacity_bytes = None;
    }

    /// Whether a failed sync could not be marked, so that the next process trusts what it sees.
    pub fn has_missed_mark(&self) -> bool {
        self.state().has_missed_mark
    }

    /// The disk after power failed, by chance of the seed.
    #[must_use]
    pub fn after_power_cut(&self) -> Self {
        let mut random = self.state().random;
        let disk = self.after_crash(|n| (next(&mut random) % n as u64) as usize);
        disk.state().random = random;
        disk
    }

    /// The disk after power failed. `choose(n)` picks a number below `n` wherever a real disk might
    /// do one thing or another with what was not synced: 0 keeps most of it.
    #[must_use]
    pub fn after_crash(&self, mut choose: impl FnMut(usize) -> usize) -> Self {
        let state = self.state();
        let mut names = state.durable_names.clone();
        for change in &state.changes {
            if choose(2) == 0 {
                change.apply(&mut names);
            }
        }
        let files = names.into_iter().filter(|(name, _)| !state.lost_names.contains(name));
        let files: BTreeMap<String, Vec<u8>> = files
            .map(|(name, inode)| (name, surviving(&state.inodes[inode], &mut choose)))
            .collect();
        Self::with_files(&files)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    /// Counts a call; how it fails, and whether it does nothing at all.
    fn call(&mut self) -> Result<Option<Fault>, io::Error> {
        let call = self.n_calls;
        self.n_calls += 1;
        self.elapsed_ns += self.call_ns;
        if self.cut_at.is_some_and(|cut_at| call >= cut_at) {
            return Err(io::Error::other("power is off"));
        }
        Ok(self.faults.get(&call).copied())
    }

    /// Counts a call that does all or nothing.
    fn check(&mut self) -> io::Result<()> {
        self.call()?.map_or(Ok(()), |fault| Err(error(fault)))
    }

    /// Bytes that still fit.
    fn room(&self) -> usize {
        let used = |inode: &usize| self.inodes[*inode].current.len() as u64;
        let n_used: u64 = self.names.values().map(used).sum();
        self.capacity_bytes.map_or(usize::MAX, |n| n.saturating_sub(n_used) as usize)
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

/// What of a file is left: a prefix of what was not synced, or any of its sectors.
fn surviving(inode: &Inode, choose: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let Inode { current, durable, .. } = inode;
    if current == durable {
        return current.clone();
    }
    if choose(2) == 1 {
        return sectors(current, durable, choose);
    }
    let Some(behind) = current.strip_prefix(durable.as_slice()) else {
        // Cut off, perhaps written again: one state or the other.
        return if choose(2) == 0 { current.clone() } else { durable.clone() };
    };
    let mut bytes = durable.clone();
    bytes.extend_from_slice(&behind[..behind.len() - choose(behind.len() + 1)]);
    // The length may reach the disk before the content does; sectors are whole.
    if choose(4) == 3 {
        let n_whole = (bytes.len() - bytes.len() % SECTOR_BYTES).max(durable.len());
        bytes.truncate(n_whole);
        bytes.resize(current.len(), 0);
    }
    bytes
}

fn sectors(current: &[u8], durable: &[u8], choose: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let n_bytes = if choose(2) == 0 { current.len() } else { durable.len() };
    let mut bytes = durable.to_vec();
    bytes.resize(n_bytes, 0);
    for start in (0..n_bytes.min(current.len())).step_by(SECTOR_BYTES) {
        let end = (start + SECTOR_BYTES).min(n_bytes).min(current.len());
        if bytes[start..end] != current[start..end] && choose(2) == 0 {
            bytes[start..end].copy_from_slice(&current[start..end]);
        }
    }
    bytes
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::Io => io::Error::other("input/output error"),
        Fault::Full => io::Error::from(io::ErrorKind::StorageFull),
    }
}

/// Steele's `splitmix64`.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn lock(&self) -> io::Result<Result<SimLock, String>> {
        let was_locked = std::mem::replace(&mut self.state().is_locked, true);
        Ok(if was_locked { Err(String::new()) } else { Ok(SimLock(self.clone())) })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().rev().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state();
        let fault = state.call()?;
        if let Some(fault) = fault {
            state.has_missed_mark |= name.ends_with(".failed");
            return Err(error(fault));
        }
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(name.to_owned(), inode);
        state.changes.push(Change::Create(name.to_owned(), inode));
        // A new entry is written anew, whatever became of an old one of that name.
        state.lost_names.remove(name);
        drop(state);
        Ok(SimFile { disk: self.clone(), inode, has_failed: false })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state();
        state.check()?;
        let inode = state.names.get(name).copied();
        drop(state);
        let inode = inode.ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile { disk: self.clone(), inode, has_failed: false })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.check()?;
        let removed = state.names.remove(name);
        state.changes.push(Change::Remove(name.to_owned()));
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.check()?;
        let change = Change::Rename(from.to_owned(), to.to_owned());
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        change.apply(&mut state.names);
        state.changes.push(change);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut guard = self.state();
        let state = &mut *guard;
        state.elapsed_ns += state.sync_ns;
        if let Some(fault) = state.call()? {
            let new = state.names.keys().filter(|name| !state.durable_names.contains_key(*name));
            state.lost_names.extend(new.cloned());
            return Err(error(fault));
        }
        let lasting = state.names.iter().filter(|(name, _)| !state.lost_names.contains(*name));
        state.durable_names = lasting.map(|(name, &inode)| (name.clone(), inode)).collect();
        state.changes.clear();
        Ok(())
    }

    fn describe(&self) -> String {
        "simulated disk".to_owned()
    }

    fn space(&self) -> io::Result<Option<Space>> {
        let state = self.state();
        let of = |total_bytes| Space { free_bytes: state.room() as u64, total_bytes };
        Ok(state.capacity_bytes.map(of))
    }
}

impl DiskFile for SimFile {
    fn n_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].current.len() as u64)
    }

    /// A few bytes at a time, as a real disk may.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.check()?;
        let bytes = &state.inodes[self.inode].current;
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len()).min(1000);
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.call()?;
        let room = state.room();
        let current = &mut state.inodes[self.inode].current;
        assert_eq!(current.len() as u64, offset, "files are written at their end");
        let fault = if room < bytes.len() { Some(Fault::Full) } else { fault };
        let n = if fault.is_some() { bytes.len() / 2 } else { bytes.len() };
        current.extend_from_slice(&bytes[..n.min(room)]);
        fault.map_or(Ok(()), |fault| Err(error(fault)))
    }

    fn truncate(&mut self, n_bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.check()?;
        state.inodes[self.inode].current.truncate(n_bytes as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut guard = self.disk.state();
        let state = &mut *guard;
        state.elapsed_ns += state.sync_ns;
        let fault = state.call()?;
        let may_be_synced = !self.has_failed
            && (state.has_missed_mark || state.inodes[self.inode].holes.is_empty());
        assert!(may_be_synced, "a file is synced again after a sync of it failed");
        let inode = &mut state.inodes[self.inode];
        if let Some(fault) = fault {
            inode.holes.push(inode.durable.len().min(inode.current.len())..inode.current.len());
            self.has_failed = true;
            return Err(error(fault));
        }
        inode.durable.clone_from(&inode.current);
        for hole in &inode.holes {
            let end = hole.end.min(inode.durable.len());
            inode.durable[hole.start.min(end)..end].fill(0);
        }
        state.n_syncs += 1;
        Ok(())
    }
}
