//! The bounded dictionary of call sites: (service, operation, kind) to a small number.
//!
//! Everything that is kept per call site (models, rule lists, statistics, metric labels) is indexed
//! by [`CallSiteId`], so this dictionary is the one place where cardinality is bounded. Names that
//! carry ids are folded first; what does not fit falls into the service's `__other__` site, which
//! has a model of its own and never teaches another. Keys come raw from the network, hence the
//! randomly seeded hasher; the ids themselves are handed out in order of first sight and do not
//! depend on it.

use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::kind::SpanKind;
use crate::time::Timestamp;

/// The operation under which names beyond the bound are counted.
const OTHER: &str = "__other__";
/// How many overflowing names are remembered with their counts.
const TOP_OVERFLOW_NAMES: usize = 16;
/// An id is not handed out again for this long after it retired, so that spans still in flight
/// cannot be taken for another site: five times the greatest age of a trace.
const REUSE_AFTER_NS: u64 = 300 * 1_000_000_000;
/// Call sites beyond the bound that may exist because they are [`Reserved`].
const RESERVED_MAX: usize = 1_000;
/// Longest name that is kept; longer ones are cut at a character boundary.
const NAME_BYTES_MAX: usize = 256;

/// A call site's number. Dense, starting at 0; reused after its site retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallSiteId(pub u32);

/// A service's number. Dense, starting at 0; reused after its last call site retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u32);

/// A call site: SCALE's `service::operation`, and the span kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSite {
    /// Service name.
    pub service: Arc<str>,
    /// The service's number.
    pub service_id: ServiceId,
    /// Operation with ids folded to `{}`.
    pub operation: Arc<str>,
    /// Span kind.
    pub kind: SpanKind,
    /// Whether this is an overflow key: never scales, never trains another key.
    pub overflow: bool,
}

/// Says which names get a call site of their own when there is no room left, such as those that a
/// rule counts: what somebody asked for must not drown in what a client invents.
pub trait Reserved: std::fmt::Debug + Send + Sync {
    /// Whether this name is reserved. Called once for every span that finds no room.
    fn covers(&self, service: &str, operation: &str, kind: SpanKind) -> bool;
}

/// The dictionary. Cost of a look-up: one hash of the names, no allocation once a site is known.
#[derive(Clone, Debug)]
pub struct CallSites {
    hasher: DefaultHashBuilder,
    /// Slot per id; retired slots keep their last site until the id is used again.
    sites: Vec<Arc<CallSite>>,
    last_seen: Vec<Timestamp>,
    /// Live ids by (service, operation, kind).
    table: HashTable<u32>,
    services: Vec<Service>,
    service_table: HashTable<u32>,
    /// Retired ids with the time they retired, oldest first.
    cooling: Vec<(Timestamp, u32)>,
    cooling_services: Vec<(Timestamp, u32)>,
    reserved: Vec<Arc<dyn Reserved>>,
    n_max: usize,
    n_max_per_service: usize,
    n_regular: usize,
    overflow_names: Vec<(String, u64)>,
    folded: String,
    /// How often sites were added.
    n_added: u64,
    epoch: u64,
}

#[derive(Clone, Debug)]
struct Service {
    name: Arc<str>,
    /// Live call sites, without overflow.
    n_sites: usize,
    /// Live call sites, with overflow.
    n_live: usize,
}

impl CallSiteId {
    /// Not yet interned.
    pub const UNSET: Self = Self(u32::MAX);

    /// The id as an index.
    pub const fn idx(self) -> usize {
        self.0 as usize
    }
}

impl ServiceId {
    /// Not yet interned.
    pub const UNSET: Self = Self(u32::MAX);
}

impl Default for ServiceId {
    fn default() -> Self {
        Self::UNSET
    }
}

impl Default for CallSiteId {
    fn default() -> Self {
        Self::UNSET
    }
}

impl CallSites {
    /// An empty dictionary of at most `n_max` call sites, `n_max_per_service` for one service. The
    /// overflow sites come on top: at most one per known service and kind, and one for all others;
    /// and at most 1,000 reserved ones.
    pub fn new(n_max: usize, n_max_per_service: usize) -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            sites: Vec::new(),
            last_seen: Vec::new(),
            table: HashTable::new(),
            services: Vec::new(),
            service_table: HashTable::new(),
            cooling: Vec::new(),
            cooling_services: Vec::new(),
            reserved: Vec::new(),
            n_max,
            n_max_per_service,
            n_regular: 0,
            overflow_names: Vec::new(),
            folded: String::new(),
            n_added: 0,
            epoch: 1,
        }
    }

    /// Names that get a call site of their own from now on also when there is no room. Replaces what
    /// was reserved before.
    pub fn reserve(&mut self, reserved: Vec<Arc<dyn Reserved>>) {
        self.reserved = reserved;
    }

    /// The id of a call site, which is added if there is room; else its overflow site.
    pub fn intern(
        &mut self,
        service: &str,
        operation: &str,
        kind: SpanKind,
        now: Timestamp,
    ) -> CallSiteId {
        let (service, operation) = (cut(service), cut(operation));
        let id = if has_digit(operation.as_bytes()) {
            let mut folded = std::mem::take(&mut self.folded);
            folded.clear();
            fold_into(operation, &mut folded);
            let id = self.find_or_add(service, &folded, kind, now);
            self.folded = folded;
            id
        } else {
            self.find_or_add(service, operation, kind, now)
        };
        self.last_seen[id.idx()] = now;
        id
    }

    /// As [`CallSites::intern`] for a site that is known, which is the usual one: most names are
    /// compared as bytes, without a look at their characters. `None` says only that
    /// [`CallSites::intern`] must be asked.
    pub fn intern_known(
        &mut self,
        service: &[u8],
        operation: &[u8],
        kind: SpanKind,
        now: Timestamp,
    ) -> Option<CallSiteId> {
        let mut folded = std::mem::take(&mut self.folded);
        let id = self.look_up((service, operation), kind, &mut folded);
        self.folded = folded;
        self.see(id?, now);
        id
    }

    /// The id of a known call site by its names as they came: service, and operation before it is
    /// folded, for which `folded` is scratch space. `None` says only that [`CallSites::intern`] must be
    /// asked. Good for as long as the [epoch](CallSites::epoch) is the same.
    pub fn look_up(
        &self,
        (service, operation): (&[u8], &[u8]),
        kind: SpanKind,
        folded: &mut String,
    ) -> Option<CallSiteId> {
        if !has_digit(operation) {
            return self.find_bytes(service, operation, kind);
        }
        folded.clear();
        fold_into(cut(std::str::from_utf8(operation).ok()?), folded);
        self.find_bytes(service, folded.as_bytes(), kind)
    }

    /// A site that was [looked up](CallSites::look_up) was seen.
    pub fn see(&mut self, id: CallSiteId, now: Timestamp) {
        if let Some(last_seen) = self.last_seen.get_mut(id.idx()) {
            *last_seen = now;
        }
    }

    /// Changes when a site retires: an id that was looked up before may be anybody's from then on.
    /// Never 0.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Changes when a site is added or retires.
    pub const fn revision(&self) -> u64 {
        self.n_added + self.epoch
    }

    fn find_or_add(
        &mut self,
        service: &str,
        folded: &str,
        kind: SpanKind,
        now: Timestamp,
    ) -> CallSiteId {
        match self.find(service, folded, kind) {
            Some(id) => id,
            None => self.add(service, folded, kind, now),
        }
    }

    /// The site of an id that [`CallSites::intern`] returned.
    ///
    /// # Panics
    /// If `id` never came from this dictionary.
    pub fn get(&self, id: CallSiteId) -> &Arc<CallSite> {
        &self.sites[id.idx()]
    }

    /// The id of a known call site, by its folded operation.
    pub fn find(&self, service: &str, operation: &str, kind: SpanKind) -> Option<CallSiteId> {
        self.find_bytes(service.as_bytes(), operation.as_bytes(), kind)
    }

    fn find_bytes(&self, service: &[u8], operation: &[u8], kind: SpanKind) -> Option<CallSiteId> {
        let hash = hash_of(&self.hasher, service, operation, kind);
        let same = |&id: &u32| {
            let site = &self.sites[id as usize];
            site.operation.as_bytes() == operation
                && site.service.as_bytes() == service
                && site.kind == kind
        };
        self.table.find(hash, same).map(|&id| CallSiteId(id))
    }

    /// Live call sites with their ids, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = (CallSiteId, &Arc<CallSite>)> {
        let mut live: Vec<u32> = self.table.iter().copied().collect();
        live.sort_unstable();
        live.into_iter().map(|id| (CallSiteId(id), &self.sites[id as usize]))
    }

    /// Number of live call sites, overflow sites included.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no call site is known.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// One more than the greatest id ever handed out: the length of tables indexed by id.
    pub fn id_bound(&self) -> usize {
        self.sites.len()
    }

    /// When a site was last interned.
    pub fn last_seen(&self, id: CallSiteId) -> Timestamp {
        self.last_seen[id.idx()]
    }

    /// The commonest names that fell into an overflow site, as `service::operation` with an upper
    /// bound of their counts, most frequent first (space-saving sketch of 16 entries).
    pub fn overflow_names(&self) -> impl Iterator<Item = (&str, u64)> {
        self.overflow_names.iter().map(|(name, count)| (name.as_str(), *count))
    }

    /// Retires sites not seen for `idle_ns`, and appends their ids to `retired`: whoever keeps state
    /// per id must forget it. An id is handed out again 5 minutes later at the earliest.
    pub fn expire(&mut self, now: Timestamp, idle_ns: u64, retired: &mut Vec<CallSiteId>) {
        let idle: Vec<u32> = self
            .table
            .iter()
            .copied()
            .filter(|&id| now.since(self.last_seen[id as usize]) >= idle_ns)
            .collect();
        for id in idle {
            let site = Arc::clone(&self.sites[id as usize]);
            let hash = hash_of_site(&self.hasher, &site);
            if let Ok(entry) = self.table.find_entry(hash, |&other| other == id) {
                entry.remove();
            }
            let service = &mut self.services[site.service_id.0 as usize];
            service.n_live -= 1;
            if !site.overflow {
                self.n_regular -= 1;
                service.n_sites -= 1;
            }
            if service.n_live == 0 {
                self.retire_service(site.service_id, now);
            }
            self.cooling.push((now, id));
            retired.push(CallSiteId(id));
        }
        self.epoch += u64::from(!retired.is_empty());
        retired.sort_unstable();
    }

    fn add(&mut self, service: &str, op: &str, kind: SpanKind, now: Timestamp) -> CallSiteId {
        let known = self.find_service(service);
        let n_sites = known.map_or(0, |id| self.services[id.0 as usize].n_sites);
        let is_room = self.n_regular < self.n_max
            && n_sites < self.n_max_per_service
            && (known.is_some() || self.service_table.len() < self.n_max);
        if is_room || self.is_reserved(service, op, kind) {
            let service_id = known.unwrap_or_else(|| self.service_entry(service, now));
            self.n_regular += 1;
            self.services[service_id.0 as usize].n_sites += 1;
            return self.insert(service_id, op, kind, false, now);
        }
        self.count_overflow(service, op);
        if let Some(id) = known {
            return self.insert(id, OTHER, kind, true, now);
        }
        let id = self.service_entry(OTHER, now);
        self.insert(id, OTHER, SpanKind::Unspecified, true, now)
    }

    fn is_reserved(&self, service: &str, operation: &str, kind: SpanKind) -> bool {
        self.n_regular < self.n_max.saturating_add(RESERVED_MAX)
            && self.reserved.iter().any(|reserved| reserved.covers(service, operation, kind))
    }

    fn find_service(&self, name: &str) -> Option<ServiceId> {
        let hash = self.hasher.hash_one(name);
        let same = |&id: &u32| &*self.services[id as usize].name == name;
        self.service_table.find(hash, same).map(|&id| ServiceId(id))
    }

    fn service_entry(&mut self, name: &str, now: Timestamp) -> ServiceId {
        if let Some(id) = self.find_service(name) {
            return id;
        }
        let service = Service { name: Arc::from(name), n_sites: 0, n_live: 0 };
        let id = match self.cooling_services.first() {
            Some(&(retired, id)) if now.since(retired) >= REUSE_AFTER_NS => {
                self.cooling_services.remove(0);
                self.services[id as usize] = service;
                id
            }
            _ => {
                self.services.push(service);
                self.services.len() as u32 - 1
            }
        };
        let (hasher, services) = (&self.hasher, &self.services);
        let hash = |&id: &u32| hasher.hash_one(&*services[id as usize].name);
        self.service_table.insert_unique(hash(&id), id, hash);
        ServiceId(id)
    }

    fn retire_service(&mut self, id: ServiceId, now: Timestamp) {
        let hash = self.hasher.hash_one(&*self.services[id.0 as usize].name);
        if let Ok(entry) = self.service_table.find_entry(hash, |&other| other == id.0) {
            entry.remove();
        }
        self.cooling_services.push((now, id.0));
    }

    /// The id of this site, which is inserted if it is not there.
    fn insert(
        &mut self,
        service_id: ServiceId,
        operation: &str,
        kind: SpanKind,
        overflow: bool,
        now: Timestamp,
    ) -> CallSiteId {
        let service = Arc::clone(&self.services[service_id.0 as usize].name);
        if let Some(id) = self.find(&service, operation, kind) {
            return id;
        }
        let operation = Arc::from(operation);
        let site = Arc::new(CallSite { service, service_id, operation, kind, overflow });
        let id = self.free_id(now);
        self.n_added += 1;
        if id as usize == self.sites.len() {
            self.sites.push(site);
            self.last_seen.push(now);
        } else {
            self.sites[id as usize] = site;
        }
        self.services[service_id.0 as usize].n_live += 1;
        let (hasher, sites) = (&self.hasher, &self.sites);
        let hash = |&id: &u32| hash_of_site(hasher, &sites[id as usize]);
        self.table.insert_unique(hash(&id), id, hash);
        CallSiteId(id)
    }

    fn free_id(&mut self, now: Timestamp) -> u32 {
        match self.cooling.first() {
            Some(&(retired, id)) if now.since(retired) >= REUSE_AFTER_NS => {
                self.cooling.remove(0);
                id
            }
            _ => self.sites.len() as u32,
        }
    }

    fn count_overflow(&mut self, service: &str, operation: &str) {
        let names = &mut self.overflow_names;
        let is = |name: &str| {
            name.len() == service.len() + 2 + operation.len()
                && name.starts_with(service)
                && name.ends_with(operation)
        };
        let found = names.iter().position(|(name, _)| is(name));
        let idx = match found {
            Some(idx) => {
                names[idx].1 += 1;
                idx
            }
            None if names.len() < TOP_OVERFLOW_NAMES => {
                names.push((format!("{service}::{operation}"), 1));
                names.len() - 1
            }
            None => {
                let last = names.len() - 1;
                let (name, count) = &mut names[last];
                name.clear();
                // Writing into a String cannot fail.
                let _ = write!(name, "{service}::{operation}");
                *count += 1;
                last
            }
        };
        let mut idx = idx;
        while idx > 0 && names[idx - 1].1 < names[idx].1 {
            names.swap(idx - 1, idx);
            idx -= 1;
        }
    }
}

fn hash_of_site(hasher: &DefaultHashBuilder, site: &CallSite) -> u64 {
    hash_of(hasher, site.service.as_bytes(), site.operation.as_bytes(), site.kind)
}

fn hash_of(hasher: &DefaultHashBuilder, service: &[u8], operation: &[u8], kind: SpanKind) -> u64 {
    let mut state = hasher.build_hasher();
    // The length of a name beside it, so that no two names run into each other.
    state.write_u64((service.len() as u64) << 32 | (kind as u64));
    state.write(service);
    state.write(operation);
    state.finish()
}

fn cut(name: &str) -> &str {
    if name.len() <= NAME_BYTES_MAX {
        name
    } else {
        &name[..name.floor_char_boundary(NAME_BYTES_MAX)]
    }
}

/// The operation with numbers, UUIDs and hexadecimal ids replaced by `{}`.
///
/// A piece between separators is folded if it is all digits, or a UUID, or at least 8 hexadecimal
/// digits of which one is decimal, or at least 16 letters and digits of which 4 are digits. Pieces
/// such as `v1`, `OrderService2` or `HTTP/1.1`'s `HTTP` stay.
pub fn fold_operation(operation: &str) -> String {
    if !has_digit(operation.as_bytes()) {
        return operation.to_owned();
    }
    let mut out = String::with_capacity(operation.len());
    fold_into(operation, &mut out);
    out
}

/// Whether there is anything to fold. No early return, so that the compiler looks at many bytes at
/// once.
fn has_digit(name: &[u8]) -> bool {
    name.iter().fold(false, |found, byte| found | byte.is_ascii_digit())
}

fn fold_into(operation: &str, out: &mut String) {
    let mut rest = operation;
    while !rest.is_empty() {
        if is_uuid_prefix(rest) {
            out.push_str("{}");
            rest = &rest[UUID_LEN..];
            continue;
        }
        let len = rest.bytes().take_while(|&b| !is_separator(b)).count();
        let (piece, tail) = rest.split_at(len);
        out.push_str(if is_id(piece) { "{}" } else { piece });
        let skip = tail.bytes().take_while(|&b| is_separator(b)).count();
        out.push_str(&tail[..skip]);
        rest = &tail[skip..];
    }
}

const UUID_LEN: usize = 36;

/// Whether the text starts with a UUID that ends at a separator or at the end.
fn is_uuid_prefix(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < UUID_LEN || bytes.get(UUID_LEN).is_some_and(|&b| !is_separator(b)) {
        return false;
    }
    bytes[..UUID_LEN].iter().enumerate().all(|(idx, &b)| match idx {
        8 | 13 | 18 | 23 => b == b'-',
        _ => b.is_ascii_hexdigit(),
    })
}

fn is_id(piece: &str) -> bool {
    let n_digits = piece.bytes().filter(u8::is_ascii_digit).count();
    if n_digits == 0 {
        return false;
    }
    let len = piece.len();
    n_digits == len
        || (len >= 8 && piece.bytes().all(|b| b.is_ascii_hexdigit()))
        || (len >= 16 && n_digits >= 4 && piece.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Characters between which a piece of a name is looked at as a whole. All are ASCII, so cutting
/// there never splits a character.
fn is_separator(b: u8) -> bool {
    matches!(
        b,
        b'/' | b' '
            | b'?'
            | b'&'
            | b'='
            | b':'
            | b','
            | b';'
            | b'-'
            | b'_'
            | b'('
            | b')'
            | b'['
            | b']'
            | b'#'
            | b'|'
            | b'"'
            | b'\''
            | b'.'
            | b'@'
            | b'+'
            | b'<'
            | b'>'
    )
}

#[cfg(test)]
mod tests;
