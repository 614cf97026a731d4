//! Models as bytes and back.

use spanwise_hst::Grid;
use spanwise_model::{ServiceId, SpanKind, Timestamp};

use super::code::{Reader, Writer};
use crate::bits::Stored;
use crate::crowd::Bucket;
use crate::error::Error;
use crate::latency::{Latency, N_LIVE_MAX};
use crate::pool::Pools;
use crate::reference::{Masses, Quantiles};
use crate::site::Site;
use crate::slots::Slots;
use crate::tail::Tails;

/// A call site as the snapshot names it, with its models.
pub(super) struct NamedSite<'a> {
    pub(super) service: &'a str,
    pub(super) operation: &'a str,
    pub(super) kind: SpanKind,
    pub(super) site: Box<Site>,
}

pub(super) fn write_site(writer: &mut Writer<'_>, names: (&str, &str, SpanKind), site: &Site) {
    let (service, operation, kind) = names;
    writer.name(service);
    writer.name(operation);
    writer.u8(kind as u8);
    for clock in [site.first_seen.0, site.last_seen.0, site.n_spans, site.crowd.began_ns] {
        writer.u64(clock);
    }
    for bucket in [site.crowd.current, site.crowd.previous] {
        writer.u32(bucket.n_spans);
        writer.u32(bucket.n_slow);
    }
    write_latency(writer, &site.dur);
    write_latency(writer, &site.own);
}

pub(super) fn read_site<'a>(reader: &mut Reader<'a>) -> Result<NamedSite<'a>, Error> {
    let (service, operation) = (reader.name()?, reader.name()?);
    let kind = SpanKind::from_otlp(reader.u8()?.into());
    let first_seen = Timestamp(reader.u64()?);
    let mut site = Box::new(Site::new(ServiceId::UNSET, false, first_seen));
    site.last_seen = Timestamp(reader.u64()?);
    site.n_spans = reader.u64()?;
    site.crowd.began_ns = reader.u64()?;
    for bucket in [&mut site.crowd.current, &mut site.crowd.previous] {
        *bucket = Bucket { n_spans: reader.u32()?, n_slow: reader.u32()? };
    }
    site.dur = read_latency(reader)?;
    site.own = read_latency(reader)?;
    Ok(NamedSite { service, operation, kind, site })
}

pub(super) fn write_latency(writer: &mut Writer<'_>, latency: &Latency) {
    write_quantiles(writer, latency.trusted);
    writer.u32(latency.n_live);
    writer.u32(latency.window);
    for clock in [latency.opened, latency.flipped, latency.stepping_since] {
        writer.u64(clock.0);
    }
    writer.u32(latency.n_stepping);
    writer.u32(latency.n_rebaselined);
    let (shares, rest) = latency.slots.to_words();
    writer.table(shares.into_iter());
    for word in rest {
        writer.varint(word);
    }
    writer.table(latency.cells.iter().map(|cell| cell.trusted.0));
    writer.table(latency.cells.iter().map(|cell| cell.adaptive.0));
    writer.table(latency.cells.iter().map(|cell| cell.live));
    write_masses(writer, &latency.masses);
}

pub(super) fn read_latency(reader: &mut Reader<'_>) -> Result<Latency, Error> {
    let mut latency = Latency::new();
    latency.trusted = read_quantiles(reader)?;
    latency.n_live = reader.u32()?;
    latency.window = reader.u32()?;
    latency.opened = Timestamp(reader.u64()?);
    latency.flipped = Timestamp(reader.u64()?);
    latency.stepping_since = Timestamp(reader.u64()?);
    latency.n_stepping = reader.u32()?;
    latency.n_rebaselined = reader.u32()?;
    let mut shares = [0; 36];
    reader.table(&mut shares)?;
    let mut rest = [0; 4];
    for word in &mut rest {
        *word = reader.varint()?;
    }
    latency.slots = Slots::from_words(shares, rest);
    let mut table = [0; Grid::N_BINS];
    reader.table(&mut table)?;
    latency.cells.iter_mut().zip(table).for_each(|(cell, score)| cell.trusted = Stored(score));
    reader.table(&mut table)?;
    latency.cells.iter_mut().zip(table).for_each(|(cell, score)| cell.adaptive = Stored(score));
    reader.table(&mut table)?;
    latency.cells.iter_mut().zip(table).for_each(|(cell, live)| cell.live = live);
    let n_live: u32 = table.iter().map(|&live| u32::from(live)).sum();
    // After a merge a window may hold more than fills it: the next span flips it.
    if n_live > latency.n_live || latency.n_live > N_LIVE_MAX || latency.window == 0 {
        return Err(reader.corrupt("a window holds more than it may"));
    }
    read_masses(reader, &mut latency.masses)?;
    Ok(latency)
}

pub(super) fn write_pools(writer: &mut Writer<'_>, pools: &Pools) {
    for pool in [&pools.dur, &pools.own] {
        writer.f32(pool.total);
        writer.u64(pool.slot);
        write_masses(writer, &pool.masses);
        write_quantiles(writer, pool.built);
        writer.table(pool.scores.iter().map(|score| score.0));
    }
}

pub(super) fn read_pools(reader: &mut Reader<'_>) -> Result<Pools, Error> {
    let mut pools = Pools::new();
    for pool in [&mut pools.dur, &mut pools.own] {
        pool.total = reader.amount()?;
        pool.slot = reader.u64()?;
        read_masses(reader, &mut pool.masses)?;
        pool.built = read_quantiles(reader)?;
        let mut table = [0; Grid::N_BINS];
        reader.table(&mut table)?;
        *pool.scores = table.map(Stored);
    }
    Ok(pools)
}

pub(crate) fn write_tails(writer: &mut Writer<'_>, tails: &Tails) {
    writer.u64(tails.opened().0);
    writer.u32(tails.counts().count() as u32);
    for (bucket, current, previous) in tails.counts() {
        writer.u16(bucket);
        writer.varint(current);
        writer.varint(previous);
    }
}

pub(crate) fn read_tails(reader: &mut Reader<'_>, now: Timestamp) -> Result<Tails, Error> {
    let opened = Timestamp(reader.u64()?);
    let mut counts = Vec::new();
    for _ in 0..reader.u32()? {
        let (bucket, current, previous) = (reader.u16()?, reader.varint()?, reader.varint()?);
        if current > u64::from(u32::MAX) * 64 || previous > u64::from(u32::MAX) * 64 {
            return Err(reader.corrupt("more spans than fit half an hour"));
        }
        counts.push((bucket, current, previous));
    }
    Ok(Tails::restore(&counts, opened, now))
}

fn write_quantiles(writer: &mut Writer<'_>, quantiles: Quantiles) {
    writer.f32(quantiles.total);
    for bin in [quantiles.median, quantiles.p99, quantiles.cap] {
        writer.u16(bin);
    }
}

fn read_quantiles(reader: &mut Reader<'_>) -> Result<Quantiles, Error> {
    let total = reader.amount()?;
    let [median, p99, cap] = [reader.u16()?, reader.u16()?, reader.u16()?];
    if [median, p99, cap].iter().any(|&bin| usize::from(bin) >= Grid::N_BINS) {
        return Err(reader.corrupt("a quantile lies outside the grid"));
    }
    Ok(Quantiles { total, median, p99, cap })
}

/// Occupied bins only: (gap to the bin before, mass).
fn write_masses(writer: &mut Writer<'_>, masses: &Masses) {
    let occupied = masses.iter().enumerate().filter(|(_, mass)| **mass > 0.0);
    writer.varint(occupied.clone().count() as u64);
    let mut next = 0;
    for (bin, &mass) in occupied {
        writer.varint((bin - next) as u64);
        writer.f32(mass);
        next = bin + 1;
    }
}

fn read_masses(reader: &mut Reader<'_>, masses: &mut Masses) -> Result<(), Error> {
    let mut next = 0;
    for _ in 0..reader.varint()? {
        let bin = reader.varint()?.saturating_add(next);
        let Some(slot) = usize::try_from(bin).ok().and_then(|bin| masses.get_mut(bin)) else {
            return Err(reader.corrupt("a mass lies outside the grid"));
        };
        *slot = reader.amount()?;
        next = bin + 1;
    }
    Ok(())
}
