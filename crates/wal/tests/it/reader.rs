//! Records read at their positions while the log goes on.

use std::collections::BTreeMap;

use spanwise_wal::testing::SimDisk;
use spanwise_wal::{Codec, Compressor, Error, Kind, Log, Position, StdDisk};
use tempfile::TempDir;

use crate::world::released;
use crate::{open, small};

/// Bytes that pack well and differ everywhere.
fn raw(n: usize) -> Vec<u8> {
    (0..n).map(|i| if i % 8 < 4 { (i / 1024) as u8 } else { b"span"[i % 4] }).collect()
}

/// Commits `raw`, packed.
fn put(log: &mut Log<SimDisk>, raw: &[u8]) -> Position {
    let mut packed = Vec::new();
    let codec = Compressor::new().pack(raw, &mut packed);
    let seq = log.append_held(Kind::BATCH, codec, &packed, 1).unwrap();
    log.commit().unwrap().position(seq).unwrap()
}

#[test]
fn any_range_of_a_packed_record_is_read() {
    let (mut log, _) = open(SimDisk::default());
    let raw = raw(280_000);
    let first = put(&mut log, &raw);
    let second = put(&mut log, b"short");
    let mut reader = log.reader(1 << 20);
    assert_eq!(reader.read(first).unwrap().bytes, raw);
    let whole = reader.read(second).unwrap();
    assert_eq!((whole.seq, whole.kind, &whole.bytes[..]), (2, Kind::BATCH, b"short".as_slice()));
    for (start, end) in
        [(0, 0), (0, 1), (65_530, 65_540), (65_536, 131_072), (5_000, 279_999), (279_999, 280_000)]
    {
        let bytes = reader.read_range(first, start..end).unwrap();
        assert_eq!(bytes, raw[start as usize..end as usize], "{start}..{end}");
    }
    assert_eq!(reader.read_range(second, 1..3).unwrap(), b"ho".as_slice());
    for (position, start, end) in [(first, 280_000, 280_001), (second, 3, 6), (second, 3, 2)] {
        let error = reader.read_range(position, start..end).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
}

#[test]
fn a_chunk_is_read_once_and_the_cache_is_bounded() {
    let disk = SimDisk::default();
    let (mut log, _) = open(disk.clone());
    let raw = raw(280_000);
    let position = put(&mut log, &raw);
    let mut reader = log.reader(160_000);
    reader.read_range(position, 100..200).unwrap();
    let n_calls = disk.n_calls();
    for at in 0..100 {
        assert_eq!(reader.read_range(position, at..at + 300).unwrap()[0], raw[at as usize]);
    }
    assert_eq!(disk.n_calls(), n_calls);
    assert!(reader.stats().n_hits >= 200 && reader.stats().n_misses == 2);
    for round in 0..3_u32 {
        for chunk in 0..4 {
            let at = chunk * 65_536 + round;
            reader.read_range(position, at..at + 10).unwrap();
            assert!(reader.stats().n_cached_bytes <= 160_000);
        }
    }
    assert!(reader.stats().n_cached_bytes > 65_536);
    // Without any cache it works as well.
    let mut reader = log.reader(0);
    assert_eq!(reader.read_range(position, 5..9).unwrap(), raw[5..9]);
    assert_eq!(reader.stats().n_cached_bytes, 0);
}

#[test]
fn a_deleted_record_is_gone_and_not_something_else() {
    let disk = SimDisk::default();
    let (mut log, _) = Log::open(disk.clone(), released()).unwrap();
    log.finish_replay();
    let mut reader = log.reader(1 << 20);
    let put = |log: &mut Log<SimDisk>| {
        let seq = log.append_held(Kind::BATCH, Codec::NONE, &[7; 3_000], 1).unwrap();
        log.commit().unwrap().position(seq).unwrap()
    };
    let first = put(&mut log);
    reader.read_range(first, 0..10).unwrap();
    for _ in 0..30 {
        let position = put(&mut log);
        log.release(position.segment, 1);
        assert_eq!(reader.read(position).unwrap().bytes, [7; 3_000].as_slice());
    }
    assert!(log.stats().n_segments > 20);
    log.release(first.segment, 1);
    log.commit().unwrap();
    assert_eq!(log.stats().n_segments, 1);
    for result in [reader.read(first).map(drop), reader.read_range(first, 0..10).map(drop)] {
        assert_eq!(
            result.unwrap_err().to_string(),
            "0000000000000001.wal has been released; its records are gone"
        );
    }
    reader.close_deleted();
}

#[test]
fn a_position_without_a_record_is_an_error() {
    let (mut log, _) = open(SimDisk::default());
    let good = put(&mut log, &raw(40_000));
    let mut reader = log.reader(1 << 20);
    for offset in [0, 35, 37, 50, 100, 5_000_000] {
        let position = Position { offset, ..good };
        let error = reader.read(position).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(reader.read_range(position, 0..20_000).is_err());
    }
    let error = reader.read(Position { segment: 9, ..good }).unwrap_err();
    assert!(matches!(error, Error::Gone { .. }));
}

/// Scenario: each byte of a packed record is damaged in turn.
/// Guarantees: reading it as a whole finds that; reading a range does, or what it returns is right.
#[test]
fn damage_under_a_position_is_found() {
    let disk = SimDisk::default();
    let (mut log, _) = open(disk.clone());
    let raw = raw(40_000);
    let position = put(&mut log, &raw);
    drop(log);
    let (name, bytes) = disk.files().pop_first().unwrap();
    let mut n_found = 0;
    // The length is no part of the checksum, but it decides what is.
    for at in 36..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let disk = SimDisk::with_files(&BTreeMap::from([(name.clone(), damaged)]));
        let (log, _) = open(disk);
        let mut reader = log.reader(0);
        assert!(reader.read(position).is_err(), "byte {at}");
        match reader.read_range(position, 20_000..20_100) {
            Ok(bytes) => assert_eq!(bytes, raw[20_000..20_100], "byte {at}"),
            Err(Error::Corrupt { .. }) => n_found += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(n_found > 50);
}

#[test]
fn a_reader_works_on_another_thread() {
    let dir = TempDir::new().unwrap();
    let (mut log, _) = Log::open(StdDisk::new(dir.path()).unwrap(), small()).unwrap();
    let (sender, receiver) = std::sync::mpsc::sync_channel(4);
    let mut reader = log.reader(1 << 16);
    std::thread::scope(|scope| {
        let reads = scope.spawn(move || {
            let mut n = 0;
            for (position, fill) in receiver {
                assert_eq!(reader.read(position).unwrap().bytes, vec![fill; 500]);
                n += 1;
            }
            n
        });
        for fill in 0..100 {
            let seq = log.append(Kind::BATCH, Codec::NONE, &[fill; 500]).unwrap();
            let position = log.commit().unwrap().position(seq).unwrap();
            sender.send((position, fill)).unwrap();
        }
        drop(sender);
        assert_eq!(reads.join().unwrap(), 100);
    });
}
