//! What must hold for any sequence of `ArchiveService.Push` requests, from decoder to disk: each is
//! answered as a slow reading of the rules says, refusals are one short text, and what lies on disk
//! stays within its bounds. Shared with the fuzz target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use spanwise::archiving::{Allowance, Folder, Inbox, Place, Shown, Signal};
use spanwise::clock::Clock;
use spanwise_archive::Archive;
use spanwise_otlp::archives::{
    ARCHIVE_BYTES_MAX, CHUNK_BYTES_MAX, Chunk, Progress, Refused, SOURCE_BYTES_MAX, read_push,
};
use spanwise_otlp::transport::Code;

/// Bytes that may wait to be sent on, so few that inputs can fill them.
const RETAIN_BYTES: u64 = 6_000;
/// Unfinished archives, as many as the inbox takes.
const PARTS_MAX: usize = 64;
/// Longest text of a refusal.
const TEXT_BYTES_MAX: usize = 200;
/// Memory for one archive: files up to 8,000 bytes, 125 spans of a model.
const ALLOWANCE: Allowance = Allowance::new(64_000);

/// What the inbox holds, by id.
#[derive(Default)]
struct Expected {
    parts: BTreeMap<[u8; 16], Vec<u8>>,
    stored: BTreeSet<[u8; 16]>,
    /// Bytes of what is stored, records and all, are read from the disk: records are not ours.
    n_stored_bytes: u64,
}

#[derive(Debug, PartialEq)]
enum Answer {
    Progress(Progress),
    Invalid,
    Full,
}

/// Plays requests, each behind its length (u16, little-endian); the last may be cut short. How many
/// archives were stored.
pub(crate) fn check_pushes(mut input: &[u8]) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let folder = Arc::new(Folder::open(dir.path(), RETAIN_BYTES).unwrap());
    let shown = Shown::default();
    let inbox = Inbox::new(
        Arc::clone(&folder),
        Arc::<Signal>::default(),
        shown.clone(),
        Clock::start(),
        ALLOWANCE,
    );
    let mut expected = Expected::default();
    let mut n_refused = 0;
    while let Some((n, rest)) = input.split_first_chunk() {
        let n = usize::from(u16::from_le_bytes(*n)).min(rest.len());
        let (request, rest) = rest.split_at(n);
        input = rest;
        let Some(chunk) = read(request) else { continue };
        expected.n_stored_bytes = folder.n_bytes(Place::Inbox);
        let answer = answer(inbox.take(&chunk));
        assert_eq!(answer, expected.answer(&chunk), "{chunk:?}");
        n_refused += u64::from(!matches!(answer, Answer::Progress(_)));
        expected.check(&folder);
    }
    let showing = shown.get();
    assert_eq!(showing.n_refused, n_refused);
    assert_eq!(showing.n_received, expected.stored.len() as u64);
    expected.stored.len()
}

/// Reads a request; what is taken is within its bounds.
fn read(request: &[u8]) -> Option<Chunk> {
    match read_push(Bytes::copy_from_slice(request)) {
        Err(status) => {
            assert_eq!(status.code, Code::InvalidArgument);
            let text = status.to_string();
            assert!(text.len() <= TEXT_BYTES_MAX && !text.contains('\n'), "{text}");
            None
        }
        Ok(chunk) => {
            let end = chunk.offset + chunk.bytes.len() as u64;
            assert!((1..=ARCHIVE_BYTES_MAX).contains(&chunk.n_bytes) && end <= chunk.n_bytes);
            assert!(chunk.bytes.len() <= CHUNK_BYTES_MAX && chunk.source.len() <= SOURCE_BYTES_MAX);
            Some(chunk)
        }
    }
}

fn answer(answer: Result<Progress, Refused>) -> Answer {
    let refused = match answer {
        Ok(progress) => return Answer::Progress(progress),
        Err(refused) => refused,
    };
    let text = refused.to_string();
    assert!(!text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains('\n'), "{text}");
    match refused {
        Refused::Invalid(_) => Answer::Invalid,
        Refused::Full { .. } => Answer::Full,
        Refused::Failed(text) => panic!("the disk is well, and yet: {text}"),
    }
}

impl Expected {
    /// What is to be answered to a piece.
    fn answer(&mut self, chunk: &Chunk) -> Answer {
        let progress = |n_received, is_stored| Answer::Progress(Progress { n_received, is_stored });
        let id = chunk.archive_id;
        if self.stored.contains(&id) {
            return progress(chunk.n_bytes, true);
        }
        if chunk.n_bytes > ALLOWANCE.file_bytes() {
            return Answer::Invalid;
        }
        let n_before = self.parts.get(&id).map_or(0, Vec::len) as u64;
        if n_before > chunk.n_bytes {
            self.parts.remove(&id);
            return Answer::Invalid;
        }
        if chunk.offset != n_before || (chunk.bytes.is_empty() && n_before < chunk.n_bytes) {
            return progress(n_before, false);
        }
        let n_others = self.parts.keys().filter(|other| **other != id).count();
        if self.n_stored_bytes + chunk.n_bytes > RETAIN_BYTES || n_others >= PARTS_MAX {
            return Answer::Full;
        }
        let part = self.parts.entry(id).or_default();
        part.extend_from_slice(&chunk.bytes);
        let n_received = part.len() as u64;
        if n_received < chunk.n_bytes {
            return progress(n_received, false);
        }
        let whole = self.parts.remove(&id).unwrap_or_default();
        if !is_archive(whole, id) {
            return Answer::Invalid;
        }
        self.stored.insert(id);
        progress(n_received, true)
    }

    /// What lies on disk is what was taken, and nothing else.
    fn check(&self, folder: &Folder) {
        let hex = |id: &[u8; 16]| id.map(|byte| format!("{byte:02x}")).concat();
        let names = |place, ending| folder.names(place, ending).unwrap();
        let parts: Vec<String> = self.parts.keys().map(hex).collect();
        let stored: Vec<String> = self.stored.iter().map(hex).collect();
        assert_eq!(names(Place::Incoming, "part"), parts);
        assert_eq!(names(Place::Inbox, "spwa"), stored);
        assert_eq!(names(Place::Inbox, "json"), stored);
        let n_bytes: usize = self.parts.values().map(Vec::len).sum();
        assert_eq!(folder.n_bytes(Place::Incoming), n_bytes as u64);
    }
}

fn is_archive(bytes: Vec<u8>, id: [u8; 16]) -> bool {
    let Ok(archive) = Archive::open(bytes.into(), &ALLOWANCE.limits()) else { return false };
    archive.check().is_ok() && archive.info().archive_id == id
}
