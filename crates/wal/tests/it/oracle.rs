//! Checks for any input, used by generated tests, by the stored corpus and by the fuzz targets,
//! which include this file. Each panics when the log breaks a promise.

use std::collections::BTreeMap;

use spanwise_wal::testing::SimDisk;
use spanwise_wal::{
    Codec, Compressor, Config, Error, Kind, Log, RECORD_BYTES_MAX, Record, Recovery, unpack,
};

const FIRST: &str = "0000000000000001.wal";

fn config() -> Config {
    Config { segment_bytes: 4096, log_bytes_max: 1 << 30, ..Config::default() }
}

/// The header of segment 1, by the description of the format and not by the code under test.
fn segment_header(version: u32, first_seq: u64) -> Vec<u8> {
    let mut bytes = b"SPANWAL\n".to_vec();
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&1_u64.to_le_bytes());
    bytes.extend_from_slice(&first_seq.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// A record of segment 1, likewise.
fn record(version: u32, seq: u64, kind: u8, codec: u8, group: u16, payload: &[u8]) -> Vec<u8> {
    let mut covered = 1_u64.to_le_bytes().to_vec();
    covered.extend_from_slice(&seq.to_le_bytes());
    covered.extend_from_slice(&[kind, codec]);
    if version > 1 {
        covered.extend_from_slice(&group.to_le_bytes());
    }
    covered.extend_from_slice(payload);
    let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&covered).to_le_bytes());
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(&[kind, codec]);
    bytes.extend_from_slice(&group.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn open(files: &BTreeMap<String, Vec<u8>>) -> (SimDisk, Log<SimDisk>, Recovery) {
    let disk = SimDisk::with_files(files);
    let (log, recovery) = Log::open(disk.clone(), config()).unwrap();
    (disk, log, recovery)
}

fn records(log: &Log<SimDisk>) -> Vec<Record> {
    log.records(0).collect::<Result<_, Error>>().unwrap()
}

/// One record with any header and payload: what is well formed is read as written, by either
/// version; a payload that is no packed one is refused; packing is undone by unpacking. Whether
/// the payload could be unpacked as it is.
pub(crate) fn check_record(input: &[u8]) -> bool {
    let Some((&[version, kind, codec, seq, g0, g1], payload)) = input.split_first_chunk() else {
        return false;
    };
    let version = 1 + u32::from(version % 2);
    let group = if version == 1 { 0 } else { u16::from_le_bytes([g0, g1]) };
    let seq = u64::from(seq) + 1;
    let mut bytes = segment_header(version, seq);
    bytes.extend_from_slice(&record(version, seq, kind, codec, group, payload));
    let (_, log, recovery) = open(&BTreeMap::from([(FIRST.to_owned(), bytes)]));
    assert_eq!((recovery.n_records, recovery.problems.len()), (1, 0));
    let found = &records(&log)[0];
    assert_eq!((found.seq, found.kind, found.codec), (seq, Kind(kind), Codec(codec)));
    assert_eq!(found.payload, payload);

    let unpacked = unpack(Codec(codec), payload);
    let mut reader = log.reader(1 << 20);
    let n_raw = match (&unpacked, reader.read(found.position)) {
        (Ok(raw), Ok(read)) => {
            assert_eq!(read.bytes, raw);
            raw.len() as u32
        }
        (Err(_), Err(Error::Corrupt { .. })) => payload.len() as u32,
        (_, other) => panic!("reader and unpack differ: {other:?}"),
    };
    assert!(n_raw <= RECORD_BYTES_MAX);
    for (start, end) in [(0, n_raw), (n_raw / 3, n_raw / 2), (n_raw, n_raw.saturating_add(1))] {
        match (&unpacked, reader.read_range(found.position, start..end)) {
            (Ok(raw), Ok(bytes)) => assert_eq!(bytes, raw[start as usize..end as usize]),
            (Ok(_), Err(_)) => assert!(end > n_raw),
            // Chunks that are sound are read whatever the others are.
            (Err(_), _) => {}
        }
    }
    let mut packed = Vec::new();
    let codec = Compressor::new().pack(payload, &mut packed);
    assert!(packed.len() <= payload.len());
    assert_eq!(unpack(codec, &packed).as_deref(), Ok(payload));
    unpacked.is_ok()
}

/// A note of consumer `next`, by the description of the format.
fn note(seq: u64) -> Vec<u8> {
    let covered = [&b"\x04next"[..], &seq.to_le_bytes()].concat();
    [&crc32c::crc32c(&covered).to_le_bytes()[..], &covered].concat()
}

/// Notes as the input says: any bytes, and a sound note of any number in front of or behind them.
fn notes(how: u8, input: &[u8]) -> Vec<u8> {
    let number = input.last_chunk().map_or(1, |bytes| u64::from_le_bytes(*bytes));
    let sound = note(number >> (how / 4));
    if how & 64 == 0 { [&sound, input].concat() } else { [input, &sound].concat() }
}

/// A directory with any content: it opens, invents nothing, goes on, and opens again the same.
/// Whether anything was found in it.
pub(crate) fn check_file(input: &[u8]) -> bool {
    let Some((&how, rest)) = input.split_first() else { return false };
    let (mut files, written) = match how % 4 {
        0 => (BTreeMap::from([(FIRST.to_owned(), rest.to_vec())]), None),
        1 | 2 => {
            let mut bytes = segment_header(u32::from(how % 4), 1);
            bytes.extend_from_slice(rest);
            (BTreeMap::from([(FIRST.to_owned(), bytes)]), None)
        }
        _ => damaged_log(rest),
    };
    if how & 128 != 0 {
        files.insert("cursors".to_owned(), notes(how, rest));
    }
    let (disk, mut log, recovery) = open(&files);
    let found = records(&log);
    assert_eq!(recovery.n_records, found.len() as u64);
    assert!(found.is_sorted_by(|a, b| a.seq < b.seq));
    let mut reader = log.reader(0);
    for record in &found {
        if record.codec == Codec::NONE {
            assert_eq!(reader.read(record.position).unwrap().bytes, record.payload);
        }
        if let Some(written) = &written
            && record.kind != Kind::CURSOR
        {
            assert_eq!(written.get(&record.seq), Some(&record.payload), "made up");
        }
    }
    log.set_cursor("next", 0).unwrap();
    let seq = log.append(Kind::BATCH, Codec::NONE, b"next").unwrap();
    assert!(log.cursor("next") < Some(seq), "passed over");
    let position = log.commit().unwrap().position(seq).unwrap();
    assert_eq!(reader.read(position).unwrap().bytes, b"next".as_slice());
    drop(log);
    for _ in 0..2 {
        let (log, _) = Log::open(disk.clone(), config()).unwrap();
        let again: Vec<Record> = records(&log);
        assert!(again.len() == found.len() + 2, "the next record and the cursors");
        assert!(again.starts_with(&found) && again[found.len()].payload == b"next");
        // A note may say anything of records that were there, and nothing of those that came then.
        assert!(log.cursor("next").is_some_and(|done| done < seq));
    }
    !found.is_empty()
}

/// Files by name, and what was written to them by number.
type Damaged = (BTreeMap<String, Vec<u8>>, Option<BTreeMap<u64, Vec<u8>>>);

/// A log of commits as the input says, damaged as the input says: pairs of bytes up to a pair of
/// zeros are records, then groups of four are changes.
fn damaged_log(input: &[u8]) -> Damaged {
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), config()).unwrap();
    let mut written = BTreeMap::new();
    let mut pairs = input.chunks_exact(2).take(64);
    for pair in pairs.by_ref().take_while(|pair| **pair != [0, 0]) {
        let payload = vec![pair[0]; usize::from(pair[1]) * 4];
        let seq = log.append(Kind(1 + pair[0] % 2), Codec::NONE, &payload).unwrap();
        written.insert(seq, payload);
        if pair[0].is_multiple_of(3) {
            log.commit().unwrap();
        }
    }
    log.commit().unwrap();
    drop(log);
    let mut files = disk.files();
    let names: Vec<String> = files.keys().cloned().collect();
    let changes = pairs.flatten().copied().collect::<Vec<u8>>();
    for change in changes.chunks_exact(4) {
        let Some(name) = names.get(usize::from(change[0]) % names.len().max(1)) else { break };
        let Some(bytes) = files.get_mut(name) else { continue };
        let at = usize::from(u16::from_le_bytes([change[1], change[2]])) % (bytes.len() + 1);
        match change[3] {
            0 => bytes.truncate(at),
            1 => {
                files.remove(name);
            }
            2 => bytes[at..].iter_mut().take(512).for_each(|byte| *byte = 0),
            value => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= value),
        }
    }
    (files, Some(written))
}
