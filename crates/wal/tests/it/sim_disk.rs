//! A disk in memory that forgets what was not synced, fails the calls it is told to fail, and
//! behaves after a failed fsync as badly as real ones do.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::rc::Rc;

use spanwise_wal::{Disk, DiskFile};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails; of a write, half the bytes arrive.
    Io,
    /// The disk is full; of a write, half the bytes arrive.
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

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Names whose sync failed; later syncs of the directory leave them out.
    lost_names: BTreeSet<String>,
    /// Calls that can fail, so far.
    n_calls: u64,
    faults: BTreeMap<u64, Fault>,
    is_locked: bool,
    /// A failed sync could not be marked, so the next process will trust what it sees.
    has_missed_mark: bool,
}

/// Clones share the disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Rc<RefCell<State>>);

#[derive(Debug)]
pub(crate) struct SimFile {
    disk: SimDisk,
    inode: usize,
    /// A sync through this handle has failed.
    has_failed: bool,
}

#[derive(Debug)]
pub(crate) struct SimLock(SimDisk);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.0.borrow_mut().is_locked = false;
    }
}

impl SimDisk {
    pub(crate) fn n_calls(&self) -> u64 {
        self.0.borrow().n_calls
    }

    /// Lets call number `call` (from 0, counted over the life of the disk) fail.
    pub(crate) fn fail(&self, call: u64, fault: Fault) {
        self.0.borrow_mut().faults.insert(call, fault);
    }

    pub(crate) fn has_missed_mark(&self) -> bool {
        self.0.borrow().has_missed_mark
    }

    pub(crate) fn heal(&self) {
        self.0.borrow_mut().faults.clear();
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.borrow();
        let content = |inode: usize| state.inodes[inode].current.clone();
        state.names.iter().map(|(name, &inode)| (name.clone(), content(inode))).collect()
    }

    /// A disk that holds these files, all of them durable.
    pub(crate) fn with_files(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut state = State::default();
        for (name, bytes) in files {
            let (current, durable) = (bytes.clone(), bytes.clone());
            state.names.insert(name.clone(), state.inodes.len());
            state.inodes.push(Inode { current, durable, holes: Vec::new() });
        }
        state.durable_names = state.names.clone();
        Self(Rc::new(RefCell::new(state)))
    }

    /// The disk after power failed. `choose(n)` picks a number below `n` wherever a real disk might
    /// do one thing or another with what was not synced.
    pub(crate) fn after_crash(&self, mut choose: impl FnMut(usize) -> usize) -> Self {
        let state = self.0.borrow();
        let mut files = BTreeMap::new();
        let all: BTreeSet<&String> = state.names.keys().chain(state.durable_names.keys()).collect();
        for name in all {
            let (now, then) = (state.names.get(name), state.durable_names.get(name));
            let Some(&inode) = (match (now, then) {
                (Some(now), Some(_)) => Some(now),
                (one, other) if choose(2) == 0 && !state.lost_names.contains(name) => one.or(other),
                (_, durable) => durable,
            }) else {
                continue;
            };
            files.insert(name.clone(), surviving(&state.inodes[inode], &mut choose));
        }
        Self::with_files(&files)
    }

    fn call(&self) -> Option<Fault> {
        let mut state = self.0.borrow_mut();
        let call = state.n_calls;
        state.n_calls += 1;
        state.faults.get(&call).copied()
    }

    fn check(&self) -> io::Result<()> {
        self.call().map_or(Ok(()), |fault| Err(error(fault)))
    }
}

fn surviving(inode: &Inode, choose: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
    let Inode { current, durable, holes } = inode;
    let Some(behind) = current.strip_prefix(durable.as_slice()) else {
        // Cut off, perhaps written again, not synced since: one state or the other.
        return if choose(2) == 0 { current.clone() } else { durable.clone() };
    };
    if !holes.is_empty() && choose(2) == 0 {
        return durable.clone();
    }
    let mut bytes = durable.clone();
    bytes.extend_from_slice(&behind[..choose(behind.len() + 1)]);
    // The length may reach the disk before the content does.
    if choose(4) == 0 {
        bytes.resize(bytes.len().max(current.len()), 0);
    }
    bytes
}

fn error(fault: Fault) -> io::Error {
    match fault {
        Fault::Io => io::Error::other("input/output error"),
        Fault::Full => io::Error::from(io::ErrorKind::StorageFull),
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Lock = SimLock;

    fn lock(&self) -> io::Result<Result<SimLock, String>> {
        let was_locked = std::mem::replace(&mut self.0.borrow_mut().is_locked, true);
        Ok(if was_locked { Err(String::new()) } else { Ok(SimLock(self.clone())) })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.borrow().names.keys().rev().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let fault = self.call();
        let mut state = self.0.borrow_mut();
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
        Ok(SimFile { disk: self.clone(), inode, has_failed: false })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        self.check()?;
        let inode = self.0.borrow().names.get(name).copied();
        let inode = inode.ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile { disk: self.clone(), inode, has_failed: false })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check()?;
        self.0.borrow_mut().names.remove(name);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let fault = self.call();
        let mut guard = self.0.borrow_mut();
        let state = &mut *guard;
        if let Some(fault) = fault {
            let new = state.names.keys().filter(|name| !state.durable_names.contains_key(*name));
            state.lost_names.extend(new.cloned());
            return Err(error(fault));
        }
        let lasting = state.names.iter().filter(|(name, _)| !state.lost_names.contains(*name));
        state.durable_names = lasting.map(|(name, &inode)| (name.clone(), inode)).collect();
        Ok(())
    }

    fn describe(&self) -> String {
        "simulated disk".to_owned()
    }
}

impl DiskFile for SimFile {
    fn n_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.0.borrow().inodes[self.inode].current.len() as u64)
    }

    /// A few bytes at a time, as a real disk may.
    fn read_at(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.disk.check()?;
        let state = self.disk.0.borrow();
        let bytes = &state.inodes[self.inode].current;
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len()).min(1000);
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let fault = self.disk.call();
        let mut state = self.disk.0.borrow_mut();
        let current = &mut state.inodes[self.inode].current;
        assert_eq!(current.len() as u64, offset, "files are written at their end");
        let n = if fault.is_some() { bytes.len() / 2 } else { bytes.len() };
        current.extend_from_slice(&bytes[..n]);
        fault.map_or(Ok(()), |fault| Err(error(fault)))
    }

    fn truncate(&mut self, n_bytes: u64) -> io::Result<()> {
        self.disk.check()?;
        self.disk.0.borrow_mut().inodes[self.inode].current.truncate(n_bytes as usize);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let fault = self.disk.call();
        let mut state = self.disk.0.borrow_mut();
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
        Ok(())
    }
}
