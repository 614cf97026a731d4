//! What the log promises, on a disk that fails on request.
#![cfg(test)]

mod compat;
mod corpus;
mod crash;
mod damage;
mod delivery;
mod durability;
mod faults;
mod group;
mod kill;
mod oracle;
mod power;
mod reader;
mod retain;
mod std_disk;
mod world;

use spanwise_wal::{Codec, Config, Disk, Kind, Log, Record, Recovery};

/// Segments as small as they may be.
pub(crate) fn small() -> Config {
    Config {
        segment_bytes: 4096,
        log_bytes_max: 1 << 30,
        unsynced_bytes_max: 1 << 20,
        ..Config::default()
    }
}

pub(crate) fn open<D: Disk>(disk: D) -> (Log<D>, Recovery) {
    Log::open(disk, small()).unwrap()
}

/// Appends payloads and syncs after each.
pub(crate) fn write<D: Disk>(log: &mut Log<D>, payloads: &[&[u8]]) {
    for payload in payloads {
        log.append(Kind(1), Codec::NONE, payload).unwrap();
        log.sync().unwrap();
    }
}

pub(crate) fn read<D: Disk>(log: &Log<D>) -> Vec<Record> {
    log.records(0).collect::<Result<_, _>>().unwrap()
}

/// Numbers and payloads of all records.
pub(crate) fn contents<D: Disk>(log: &Log<D>) -> Vec<(u64, Vec<u8>)> {
    read(log).into_iter().map(|record| (record.seq, record.payload)).collect()
}
