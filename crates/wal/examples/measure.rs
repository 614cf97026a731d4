//! Prints how fast the log is on this machine: `cargo run --release -p spanwise-wal --example
//! measure [DIR]`. DIR (default: a temporary one) should lie on the disk in question, which is
//! measured beside it with plain 4 KiB writes.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures and prints")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use spanwise_wal::{Codec, Compressor, Config, Kind, Log, Position, Retention, StdDisk};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Spans in a request, and bytes of a span.
const N_SPANS: usize = 512;
const SPAN_BYTES: usize = 560;

fn main() -> Result<()> {
    let dir = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("spanwise-wal-measure-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let result = measure(&dir);
    std::fs::remove_dir_all(&dir)?;
    result
}

fn measure(dir: &Path) -> Result<()> {
    let requests: Vec<Vec<u8>> = (0..64).map(request).collect();
    disk_itself(dir)?;
    pack(&requests)?;
    commits(&dir.join("commits"), &requests)?;
    for n_mib in [64, 1024] {
        recover(&dir.join(format!("recover-{n_mib}")), &requests, n_mib)?;
    }
    Ok(())
}

/// A request like those of collectors: few distinct keys and values, random ids, times that grow.
fn request(seed: usize) -> Vec<u8> {
    let mut random = seed as u64 + 1;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut bytes = Vec::with_capacity(N_SPANS * SPAN_BYTES);
    for span in 0..N_SPANS {
        let start = bytes.len();
        for _ in 0..4 {
            bytes.extend_from_slice(&next().to_le_bytes());
        }
        let time = 1_700_000_000_000_000_000 + (seed * N_SPANS + span) as u64 * 1_000_000;
        bytes.extend_from_slice(&time.to_le_bytes());
        bytes.extend_from_slice(&(time + next() % 100_000_000).to_le_bytes());
        for key in 0..11 {
            write!(bytes, "http.request.key.{key}\x12\x14value-of-{}-", next() % 20).ok();
            write!(bytes, "{:08x}", next() as u32 % 4096).ok();
        }
        bytes.resize(start + SPAN_BYTES, b'.');
    }
    bytes
}

fn quantile(times: &mut [f64], q: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * q) as usize]
}

fn disk_itself(dir: &Path) -> Result<()> {
    let mut file = File::create(dir.join("plain"))?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let begin = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
    println!("disk: 4 KiB write + fdatasync p50 {p50:.2} ms, p99 {p99:.2} ms");
    Ok(())
}

fn pack(requests: &[Vec<u8>]) -> Result<()> {
    let mut compressor = Compressor::new();
    let n_raw: usize = requests.iter().map(Vec::len).sum();
    let n_spans = (requests.len() * N_SPANS) as f64;
    let mut packed = Vec::new();
    let begin = Instant::now();
    for request in requests {
        let mut out = Vec::new();
        let codec = compressor.pack(request, &mut out);
        packed.push((codec, out));
    }
    let pack_s = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    for (codec, payload) in &packed {
        std::hint::black_box(spanwise_wal::unpack(*codec, payload)?);
    }
    let unpack_s = begin.elapsed().as_secs_f64();
    let n_packed: usize = packed.iter().map(|(_, payload)| payload.len()).sum();
    println!(
        "packing: ratio {:.2}, pack {:.0} ns/span ({:.0} MB/s), unpack {:.0} ns/span",
        n_raw as f64 / n_packed as f64,
        pack_s * 1e9 / n_spans,
        n_raw as f64 / pack_s / 1e6,
        unpack_s * 1e9 / n_spans,
    );
    Ok(())
}

/// Commits of 1 to 64 requests each, as they gather while the commit before is under way.
fn commits(dir: &Path, requests: &[Vec<u8>]) -> Result<()> {
    for group in [1, 8, 64] {
        let dir = dir.join(group.to_string());
        let config = Config { unsynced_bytes_max: 64 << 20, ..Config::default() };
        let (mut log, _) = Log::open(StdDisk::new(&dir)?, config)?;
        let mut compressor = Compressor::new();
        let (mut times, mut n_requests) = (Vec::new(), 0);
        let begin = Instant::now();
        while begin.elapsed().as_secs() < 3 {
            for request in requests.iter().cycle().skip(n_requests).take(group) {
                let mut packed = Vec::new();
                let codec = compressor.pack(request, &mut packed);
                log.append(Kind::BATCH, codec, &packed)?;
            }
            n_requests += group;
            let commit = Instant::now();
            log.commit()?;
            times.push(commit.elapsed().as_secs_f64() * 1e3);
        }
        let spans_per_s = (n_requests * N_SPANS) as f64 / begin.elapsed().as_secs_f64();
        println!(
            "commit of {group} requests: p50 {:.2} ms, p99 {:.2} ms, {:.0} spans/s",
            quantile(&mut times, 0.5),
            quantile(&mut times, 0.99),
            spans_per_s,
        );
    }
    Ok(())
}

/// Fills a log, opens it, replays it, and reads spans from it here and there.
fn recover(dir: &Path, requests: &[Vec<u8>], n_mib: u64) -> Result<()> {
    let config =
        Config { log_bytes_max: 2 << 30, retention: Retention::Released, ..Config::default() };
    let mut positions = Vec::new();
    {
        let (mut log, _) = Log::open(StdDisk::new(dir)?, config)?;
        let mut compressor = Compressor::new();
        for request in requests.iter().cycle() {
            let mut packed = Vec::new();
            let codec = compressor.pack(request, &mut packed);
            let seq = log.append_held(Kind::BATCH, codec, &packed, N_SPANS as u32)?;
            positions.extend(log.commit()?.position(seq));
            if log.stats().n_bytes >= n_mib << 20 {
                break;
            }
        }
    }
    let begin = Instant::now();
    let (log, recovery) = Log::open(StdDisk::new(dir)?, config)?;
    let open_s = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let mut n_raw = 0;
    for record in log.records(0) {
        let record = record?;
        if record.codec != Codec::NONE || record.kind == Kind::BATCH {
            n_raw += spanwise_wal::unpack(record.codec, &record.payload)?.len();
        }
    }
    let replay_s = begin.elapsed().as_secs_f64();
    println!(
        "recovery of {n_mib} MiB ({} records): open {open_s:.2} s, replay with unpacking {replay_s:.2} s \
         ({:.0} MiB/s of log, {:.0} MB/s raw)",
        recovery.n_records,
        n_mib as f64 / (open_s + replay_s),
        n_raw as f64 / replay_s / 1e6,
    );
    random_reads(&log, &positions)
}

fn random_reads(log: &Log<StdDisk>, positions: &[Position]) -> Result<()> {
    for cache_bytes in [0, 16 << 20] {
        let mut reader = log.reader(cache_bytes);
        let n = 20_000_u32;
        let begin = Instant::now();
        for i in 0..n {
            // Traces of a few batches are decided together: 40 spans of each batch.
            let batch = (i / 320 * 8 + i % 8) as usize % positions.len();
            let at = i.wrapping_mul(2_654_435_761) % N_SPANS as u32 * SPAN_BYTES as u32;
            std::hint::black_box(reader.read_range(positions[batch], at..at + SPAN_BYTES as u32)?);
        }
        let us = begin.elapsed().as_secs_f64() * 1e6 / f64::from(n);
        println!("read one span, cache of {} MiB: {us:.1} us", cache_bytes >> 20);
    }
    Ok(())
}
