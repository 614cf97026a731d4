//! Services, call sites, resources, keys with their values, and who has which key.

use spanwise_model::SpanKind;

use crate::structured::Error;
use crate::structured::bins::Bins;
use crate::structured::coder::{Coder, hash, number};
use crate::structured::codes::Layout;
use crate::structured::domain::{Datum, Domain, Key, Template};
use crate::structured::model::{Model, Resource, Site};
use crate::traces::Place;

use super::{
    N_ATTRIBUTES_MAX, N_CELLS_MAX, N_KEYS_MAX, N_RESOURCES_MAX, N_SERVICES_MAX, N_SITES_MAX, Stream,
};

pub(super) fn code<C: Coder>(stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    stream.list(0x10, &mut model.services, N_SERVICES_MAX, |stream, name| {
        *name = stream.text(1, name)?;
        Ok(())
    })?;
    sites(stream, model)?;
    resources(stream, model)?;
    keys(stream, model)?;
    layout(stream, model)
}

/// Ordered by service, so that a site says how many services it is further on.
fn sites<C: Coder>(stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    let n_services = model.services.len() as u32;
    let mut sites: Vec<Option<Site>> = model.sites.drain(..).map(Some).collect();
    let mut service = 0;
    stream.list(0x20, &mut sites, N_SITES_MAX, |stream, slot| {
        let site = slot.take();
        let known = site.as_ref().map_or(0, |site| site.service - service);
        service += stream.number(0x21, [0, 0], known);
        if service >= n_services {
            return Err(Error::Impossible("service"));
        }
        let kind = site.as_ref().map_or(0, |site| site.kind as u32);
        let kind = SpanKind::from_otlp(stream.number(0x24, [0, 0], kind).cast_signed());
        let name = site.map(|site| site.name).unwrap_or_default();
        let name = stream.text(2 + kind as u32, &name)?;
        *slot = Some(Site { service, name, kind });
        Ok(())
    })?;
    model.sites = sites.into_iter().flatten().collect();
    Ok(())
}

fn resources<C: Coder>(stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    let n_services = model.services.len() as u32;
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for resource in &model.resources {
        for (key, _) in &resource.attributes {
            if !keys.contains(key) {
                keys.push(key.clone());
            }
        }
    }
    stream.list(0x30, &mut keys, N_KEYS_MAX, |stream, key| {
        *key = stream.text(10, key)?;
        Ok(())
    })?;
    // Values by key, in order of first use.
    let mut values: Vec<Vec<Datum>> = vec![Vec::new(); keys.len()];
    let mut resources: Vec<Option<Resource>> = model.resources.drain(..).map(Some).collect();
    let (mut service, mut last) = (0, Vec::new());
    let names = &model.services;
    stream.list(0x34, &mut resources, N_RESOURCES_MAX, |stream, slot| {
        let resource = slot.take().unwrap_or(Resource { service, attributes: Vec::new() });
        service += stream.number(0x38, [0, 0], resource.service.saturating_sub(service));
        if service >= n_services {
            return Err(Error::Impossible("service"));
        }
        let mut attributes = resource.attributes;
        let (mut at, mut used) = (0, Vec::new());
        let mut empty = Vec::new();
        let list = if stream.is_reader() { &mut empty } else { &mut attributes };
        stream.list(0x40, list, N_ATTRIBUTES_MAX, |stream, (key, value)| {
            let key_id = keys.iter().position(|other| other == key).unwrap_or(0) as u32;
            let expected = last.get(at).map_or(0, |entry: &(u32, u32)| entry.0 + 1);
            let key_id = stream.below(0x44, [expected, at as u32], key_id, keys.len() as u32)?;
            let known = &mut values[key_id as usize];
            let place = known.iter().position(|other| other == value).unwrap_or(known.len());
            let before = last.iter().find(|entry| entry.0 == key_id).map_or(0, |e| e.1 + 1);
            let name = Datum::Str(names[service as usize].clone());
            let place = stream.below(
                0x48,
                [hash(key_id, before), service],
                // How many values back it was first used: 0 for a new one.
                (known.len() - place) as u32,
                known.len() as u32 + 1,
            )?;
            let place = known.len() - place as usize;
            if place == known.len() {
                let is_name = stream.flag(0x4c, key_id, *value == name);
                known.push(if is_name { name } else { datum(stream, 20 + key_id, value)? });
            }
            *value = known[place].clone();
            key.clone_from(&keys[key_id as usize]);
            used.push((key_id, place as u32));
            at += 1;
            Ok(())
        })?;
        let attributes = if stream.is_reader() { empty } else { attributes };
        last = used;
        *slot = Some(Resource { service, attributes });
        Ok(())
    })?;
    model.resources = resources.into_iter().flatten().collect();
    Ok(())
}

fn datum<C: Coder>(stream: &mut Stream<C>, what: u32, value: &Datum) -> Result<Datum, Error> {
    let tag = match value {
        Datum::Str(_) => 0,
        Datum::Bool(_) => 1,
        Datum::Int(_) => 2,
        Datum::Double(_) => 3,
        Datum::Bytes(_) => 4,
        Datum::Other(_) => 5,
    };
    let tag = stream.number(0x50, [what, 0], tag);
    let bytes = match value {
        Datum::Str(bytes) | Datum::Bytes(bytes) | Datum::Other(bytes) => &bytes[..],
        _ => &[],
    };
    Ok(match tag {
        0 => Datum::Str(stream.text(what, bytes)?),
        1 => Datum::Bool(stream.flag(0x54, 0, *value == Datum::Bool(true))),
        2 => {
            let number = if let Datum::Int(number) = value { *number } else { 0 };
            Datum::Int(word(stream, what, (number << 1 ^ number >> 63).cast_unsigned())).unzigzag()
        }
        3 => {
            let bits = if let Datum::Double(bits) = value { *bits } else { 0 };
            // The first bytes of a float are those that repeat.
            let read = word(stream, what, bits.swap_bytes());
            Datum::Double(read.cast_unsigned().swap_bytes())
        }
        4 => Datum::Bytes(stream.text(what, bytes)?),
        5 => Datum::Other(stream.text(what, bytes)?),
        _ => return Err(Error::Impossible("type of a value")),
    })
}

impl Datum {
    fn unzigzag(self) -> Self {
        match self {
            Self::Int(n) => Self::Int((n.cast_unsigned() >> 1).cast_signed() ^ -(n & 1)),
            other => other,
        }
    }
}

/// 64 bits in groups of 16, the lowest first, after how many groups there are.
fn word<C: Coder>(stream: &mut Stream<C>, what: u32, value: u64) -> i64 {
    let n_groups = (64 - value.leading_zeros()).div_ceil(16);
    let n_groups = stream.number(0x58, [what, 0], n_groups).min(4);
    let mut read = 0;
    for at in 0..n_groups {
        let group = (value >> (16 * at)) as u32 & 0xffff;
        let contexts = [hash(0x5c, at), hash(0x5d, hash(what, at))];
        read |= u64::from(number(&mut stream.coder, 5, &contexts, group) & 0xffff) << (16 * at);
    }
    read.cast_signed()
}

fn keys<C: Coder>(stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    let mut keys: Vec<Option<Key>> = model.keys.drain(..).map(Some).collect();
    stream.list(0x60, &mut keys, N_KEYS_MAX, |stream, slot| {
        let key = slot.take();
        let place = key.as_ref().map_or(0, |key| key.place as u32);
        let place = match stream.number(0x61, [0, 0], place) {
            0 => Place::Span,
            1 => Place::Exception,
            _ => Place::StatusMessage,
        };
        let copies = stream.flag(0x64, 0, key.as_ref().is_some_and(|key| key.copies));
        let (name, domain) = key.map_or((Vec::new(), None), |key| (key.name, Some(key.domain)));
        let name = stream.text(11, &name)?;
        let domain = self::domain(stream, domain)?;
        *slot = Some(Key { place, name, domain, copies });
        Ok(())
    })?;
    model.keys = keys.into_iter().flatten().collect();
    Ok(())
}

fn domain<C: Coder>(stream: &mut Stream<C>, domain: Option<Domain>) -> Result<Domain, Error> {
    let which = match domain {
        None | Some(Domain::Categories { .. }) => 0,
        Some(Domain::Numbers { .. }) => 1,
        Some(Domain::Texts { .. }) => 2,
    };
    match stream.number(0x68, [0, 0], which) {
        0 => {
            let (mut values, mut has_rest) = match domain {
                Some(Domain::Categories { values, has_rest }) => (values, has_rest),
                _ => (Vec::new(), false),
            };
            has_rest = stream.flag(0x6c, 0, has_rest);
            let n = stream.count(0x6e, values.len(), stream.values_max())?;
            let mut read: Vec<Datum> = Vec::new();
            let mut values = values.drain(..);
            for _ in 0..n {
                stream.coder.check()?;
                let value = values.next().unwrap_or(Datum::Bool(false));
                read.push(datum(stream, 12, &value)?);
            }
            Ok(Domain::Categories { values: read, has_rest })
        }
        1 => {
            let (bins, decimals, is_int) = match domain {
                Some(Domain::Numbers { bins, decimals, is_int }) => (bins, decimals, is_int),
                _ => (Bins::default(), 0, false),
            };
            let decimals = stream.below(0x70, [0, 0], u32::from(decimals), 10)? as u8;
            let is_int = stream.flag(0x74, 0, is_int);
            Ok(Domain::Numbers { bins, decimals, is_int })
        }
        2 => {
            let (mut templates, mut has_rest) = match domain {
                Some(Domain::Texts { templates, has_rest }) => (templates, has_rest),
                _ => (Vec::new(), false),
            };
            has_rest = stream.flag(0x78, 0, has_rest);
            stream.list(0x7a, &mut templates, stream.values_max(), template)?;
            Ok(Domain::Texts { templates, has_rest })
        }
        _ => Err(Error::Impossible("kind of values")),
    }
}

fn template<C: Coder>(stream: &mut Stream<C>, template: &mut Template) -> Result<(), Error> {
    template.text = stream.text(13, &template.text)?;
    template.n_distinct = stream.number(0x7c, [0, 0], template.n_distinct);
    stream.list(0x7e, &mut template.hitters, stream.values_max(), |stream, (text, share)| {
        *text = stream.text(13, text)?;
        *share = stream.below(0x80, [0, 0], u32::from(*share), 1025)? as u16;
        Ok(())
    })
}

/// A flag for each (node, key), in the context of what the neighbours have.
fn layout<C: Coder>(stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    let n_keys = model.keys.len();
    if (n_keys + 1).saturating_mul(model.sites.len()) > N_CELLS_MAX {
        return Err(Error::TooMany("keys of call sites"));
    }
    let mut all: Vec<Vec<u16>> = Vec::new();
    for node in 0..model.sites.len() {
        stream.coder.check()?;
        let site = &model.sites[node];
        let mut keys = Vec::new();
        let mut row = 0_u32;
        for key in 0..n_keys as u16 {
            let has = model.layout.slot(node as u32, key + 1).is_some();
            let above = all.last().is_some_and(|last: &Vec<u16>| last.contains(&key));
            let any = u32::from(key);
            let contexts = [
                hash(0x85, any),
                hash(0x86, hash(any, site.kind as u32)),
                hash(0x87, hash(any, site.service)),
                hash(0x88, hash(any, u32::from(above))),
                hash(0x89, hash(any, row)),
            ];
            if stream.coder.bit(8, &contexts, has) {
                keys.push(key);
                row = hash(row, any);
            }
        }
        all.push(keys);
    }
    model.layout = Layout::new(all, n_keys);
    Ok(())
}
