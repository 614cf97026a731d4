//! All models of a sampler as bytes and back; `docs/formats/sampler-snapshot.md` has the layout.
//!
//! Call sites are stored by name, since their numbers differ between runs. Overflow sites are not
//! stored: what they stand for differs too. A snapshot is opened whole or refused: everything is
//! read and checked before anything is replaced. Damaged or hostile bytes cost at most the models
//! the settings allow.

pub(crate) mod code;
pub(crate) mod models;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use spanwise_hst::Forest;
use spanwise_model::{CallSiteId, CallSites, ServiceId, Timestamp};

use crate::error::Error;
use crate::inner::Inner;
use crate::pool::Pools;
use crate::scale::{Call, ScaleSampler};
use crate::site_sampler::SiteSampler;
use crate::tail::Tails;
use code::{Reader, Writer};
use models::NamedSite;

const MAGIC: [u8; 4] = *b"SPWS";
/// Version written, and the only one read.
const VERSION: u16 = 2;
const HEADER_LEN: usize = 24;
const PROFILE_DEFAULT: u8 = 1;
const PROFILE_SCALE: u8 = 2;

pub(crate) fn write(inner: &Inner, sites: &CallSites, out: &mut Vec<u8>) {
    let start = out.len();
    let mut writer = Writer { out };
    writer.out.extend_from_slice(&MAGIC);
    writer.u16(VERSION);
    let (profile, skeleton_id) = match inner {
        Inner::Sites(sampler) => (PROFILE_DEFAULT, sampler.builder.skeleton().id()),
        Inner::Scale(_) => (PROFILE_SCALE, 0),
    };
    writer.u8(profile);
    writer.u8(0);
    writer.u64(skeleton_id);
    writer.u64(0);
    match inner {
        Inner::Sites(sampler) => write_sites(&mut writer, sampler, sites),
        Inner::Scale(sampler) => write_scale(&mut writer, sampler, sites),
    }
    let len = (out.len() - start - HEADER_LEN) as u64;
    out[start + HEADER_LEN - 8..start + HEADER_LEN].copy_from_slice(&len.to_le_bytes());
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

pub(crate) fn restore(
    inner: &mut Inner,
    bytes: &[u8],
    sites: &mut CallSites,
    now: Timestamp,
) -> Result<(), Error> {
    let mut body = open(inner, bytes)?;
    match inner {
        Inner::Sites(sampler) => {
            let content = read_sites(&mut body, sampler, now)?;
            let mut fresh = SiteSampler::new(sampler.config)?;
            fresh.controller = sampler.controller.clone();
            fresh.controller.restore(content.budget);
            (fresh.arrival_tails, fresh.close_tails) = (content.arrival_tails, content.close_tails);
            fresh.global = content.global;
            for (id, site) in intern(content.sites, sites, now) {
                fresh.place(id, site);
            }
            for (id, service) in by_id(content.services, sites) {
                fresh.place_service(id, service);
            }
            **sampler = fresh;
        }
        Inner::Scale(sampler) => read_scale(&mut body, sampler)?,
    }
    Ok(())
}

pub(crate) fn merge(
    inner: &mut Inner,
    bytes: &[u8],
    sites: &mut CallSites,
    now: Timestamp,
) -> Result<(), Error> {
    let mut body = open(inner, bytes)?;
    let Inner::Sites(sampler) = inner else {
        return Err(Error::Mismatch { what: "profile: only the default one can be merged" });
    };
    let content = read_sites(&mut body, sampler, now)?;
    sampler.global.merge(&content.global);
    for (id, site) in intern(content.sites, sites, now) {
        sampler.merge_site(id, site);
    }
    for (id, service) in by_id(content.services, sites) {
        sampler.merge_service(id, &service);
    }
    Ok(())
}

/// What the body of a default profile's snapshot holds.
struct Content<'a> {
    budget: [f64; 5],
    arrival_tails: Tails,
    close_tails: Tails,
    global: Pools,
    services: Vec<(&'a str, Box<Pools>)>,
    sites: Vec<NamedSite<'a>>,
}

/// Checks the frame; the body starts at the reader's place.
fn open<'a>(inner: &Inner, bytes: &'a [u8]) -> Result<Reader<'a>, Error> {
    let mut header = Reader::new(bytes, 0);
    if header.bytes(4)? != MAGIC {
        return Err(Reader::new(bytes, 0).corrupt("it is no model snapshot"));
    }
    if header.u16()? != VERSION {
        return Err(header.corrupt("another version wrote it"));
    }
    let profile = header.u8()?;
    header.u8()?;
    let skeleton_id = header.u64()?;
    let len = header.u64()?;
    let Some(end) = bytes.len().checked_sub(4) else { return Err(header.corrupt("too short")) };
    if u64::try_from(end.saturating_sub(HEADER_LEN)) != Ok(len) {
        return Err(header.corrupt("its length is not the one it names"));
    }
    let crc = Reader::new(bytes, end).u32()?;
    if crc32c::crc32c(&bytes[..end]) != crc {
        return Err(Reader::new(bytes, end).corrupt("its checksum does not match"));
    }
    match inner {
        Inner::Sites(_) if profile != PROFILE_DEFAULT => Err(Error::Mismatch { what: "profile" }),
        Inner::Scale(_) if profile != PROFILE_SCALE => Err(Error::Mismatch { what: "profile" }),
        Inner::Sites(sampler) if sampler.builder.skeleton().id() != skeleton_id => {
            Err(Error::Mismatch { what: "seed, n_trees or height" })
        }
        _ => Ok(Reader::new(&bytes[..end], HEADER_LEN)),
    }
}

fn write_sites(writer: &mut Writer<'_>, sampler: &SiteSampler, sites: &CallSites) {
    for value in sampler.controller.state() {
        writer.f64(value);
    }
    models::write_tails(writer, &sampler.arrival_tails);
    models::write_tails(writer, &sampler.close_tails);
    models::write_pools(writer, &sampler.global);
    // In order of id: the same sampler gives the same bytes.
    let mut services: Vec<(ServiceId, &Arc<str>)> =
        sites.iter().map(|(_, site)| (site.service_id, &site.service)).collect();
    services.sort_unstable();
    services.dedup_by_key(|(id, _)| *id);
    let services: Vec<_> =
        services.into_iter().filter_map(|(id, name)| Some((name, sampler.service(id)?))).collect();
    writer.u32(services.len() as u32);
    for (name, service) in services {
        writer.name(name);
        models::write_pools(writer, service);
    }
    let stored = || {
        let live = sites.iter().filter(|(_, site)| !site.overflow);
        live.filter_map(|(id, site)| Some((site, sampler.site(id)?)))
    };
    writer.u32(stored().count() as u32);
    for (site, model) in stored() {
        models::write_site(writer, (&site.service, &site.operation, site.kind), model);
    }
}

fn read_sites<'a>(
    body: &mut Reader<'a>,
    sampler: &SiteSampler,
    now: Timestamp,
) -> Result<Content<'a>, Error> {
    let mut budget = [0.0; 5];
    for value in &mut budget {
        *value = body.f64()?;
    }
    let mut content = Content {
        budget,
        arrival_tails: models::read_tails(body, now)?,
        close_tails: models::read_tails(body, now)?,
        global: models::read_pools(body)?,
        services: Vec::new(),
        sites: Vec::new(),
    };
    let n_max = sampler.config.n_models_max;
    let n_services = body.u32()?;
    if n_services > n_max {
        return Err(body.corrupt("it holds more services than may be held"));
    }
    for _ in 0..n_services {
        content.services.push((body.name()?, Box::new(models::read_pools(body)?)));
    }
    let n_sites = body.u32()?;
    if n_sites > n_max {
        return Err(body.corrupt("it holds more call sites than may be held"));
    }
    for _ in 0..n_sites {
        content.sites.push(models::read_site(body)?);
    }
    if !body.is_at_end() {
        return Err(body.corrupt("something follows the last call site"));
    }
    Ok(content)
}

/// Call sites with their ids; those for which the dictionary has no room are left out.
fn intern(
    named: Vec<NamedSite<'_>>,
    sites: &mut CallSites,
    now: Timestamp,
) -> Vec<(CallSiteId, Box<crate::site::Site>)> {
    let mut placed = Vec::with_capacity(named.len());
    for NamedSite { service, operation, kind, mut site } in named {
        let id = sites.intern(service, operation, kind, now);
        let known = sites.get(id);
        if known.overflow {
            continue;
        }
        site.service = known.service_id;
        placed.push((id, site));
    }
    placed
}

fn by_id(services: Vec<(&str, Box<Pools>)>, sites: &CallSites) -> Vec<(ServiceId, Box<Pools>)> {
    let ids: FxHashMap<&str, ServiceId> =
        sites.iter().map(|(_, site)| (&*site.service, site.service_id)).collect();
    let place = |(name, service)| Some((*ids.get(name)?, service));
    services.into_iter().filter_map(place).collect()
}

fn write_scale(writer: &mut Writer<'_>, sampler: &ScaleSampler, sites: &CallSites) {
    writer.u64(sampler.n_trained);
    let named = match &sampler.first {
        None => None,
        Some(Call::Named(service, operation)) => Some((service, operation)),
        Some(Call::Site(id)) => {
            let mut live = sites.iter().filter(|(live, _)| live == id);
            live.next().map(|(_, site)| (&site.service, &site.operation))
        }
    };
    writer.u8(u8::from(named.is_some()));
    if let Some((service, operation)) = named {
        writer.name(service);
        writer.name(operation);
    }
    sampler.forest.snapshot(writer.out);
}

fn read_scale(body: &mut Reader<'_>, sampler: &mut ScaleSampler) -> Result<(), Error> {
    let n_trained = body.u64()?;
    let first = match body.u8()? {
        0 => None,
        _ => Some(Call::Named(Arc::from(body.name()?), Arc::from(body.name()?))),
    };
    let forest = Forest::restore(body.rest())?;
    if forest.config() != sampler.forest.config() || forest.n_features() != 2 {
        return Err(Error::Mismatch { what: "n_tree, height, window_size or seed" });
    }
    sampler.replace(n_trained, first, forest);
    Ok(())
}
