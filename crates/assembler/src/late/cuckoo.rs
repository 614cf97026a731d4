//! A set of ids in two bytes each, that errs to one side only (Fan et al., `CoNEXT` 2014).
//!
//! Four fingerprints of 16 bits in a bucket, two buckets for an id, the second found from the first
//! and the fingerprint alone. An id that was inserted is always found; one that was not is found in
//! at most 8 of 65,535 look-ups.

use spanwise_model::TraceId;

/// Fingerprints in a bucket; 0 is an empty place.
const N_WAYS: usize = 4;
/// Share of the places that is used at most: beyond it inserting gets slow and may fail.
const LOAD_PERCENT: u64 = 96;
/// Fingerprints moved for one insertion at most. At 96 % a few dozen are usual.
const N_KICKS_MAX: u32 = 500;

/// The set.
#[derive(Clone, Debug)]
pub(super) struct Cuckoo {
    /// Empty until the first insertion.
    buckets: Vec<[u16; N_WAYS]>,
    n_buckets: usize,
    seed: u64,
    n_ids: u32,
    n_ids_max: u32,
    /// Set when a fingerprint found no place: nothing more may be inserted.
    is_stuck: bool,
    /// The fingerprint without a place, and its bucket.
    homeless: Option<(usize, u16)>,
    /// Chooses who is moved.
    turn: u32,
}

/// What a snapshot holds of a set.
pub(super) struct Parts<'a> {
    pub(super) buckets: &'a [[u16; N_WAYS]],
    pub(super) n_ids: u32,
    /// Bucket and fingerprint of what found no place.
    pub(super) homeless: Option<(usize, u16)>,
}

impl Cuckoo {
    /// Room for `n_ids` ids.
    pub(super) fn new(n_ids: u32, seed: u64) -> Self {
        let n_places = u64::from(n_ids) * 100 / LOAD_PERCENT;
        let n_buckets = (n_places.div_ceil(N_WAYS as u64) as usize).next_power_of_two();
        Self {
            buckets: Vec::new(),
            n_buckets,
            seed,
            n_ids: 0,
            n_ids_max: n_ids,
            is_stuck: false,
            homeless: None,
            turn: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.n_ids as usize
    }

    pub(super) const fn is_full(&self) -> bool {
        self.is_stuck || self.n_ids >= self.n_ids_max
    }

    pub(super) const fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<[u16; N_WAYS]>()
    }

    /// Whether two filters with one seed hold the same fingerprints in the same places.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.n_ids == other.n_ids
            && self.homeless == other.homeless
            && self.buckets == other.buckets
    }

    pub(super) fn clear(&mut self) {
        self.buckets.fill([0; N_WAYS]);
        self.n_ids = 0;
        self.is_stuck = false;
        self.homeless = None;
    }

    pub(super) fn contains(&self, id: TraceId) -> bool {
        let (bucket, print) = self.place(id);
        let other = self.other(bucket, print);
        let is_homeless = self
            .homeless
            .is_some_and(|(at, homeless)| homeless == print && (at == bucket || at == other));
        let has = |at: usize| self.buckets.get(at).is_some_and(|ways| ways.contains(&print));
        has(bucket) || has(other) || is_homeless
    }

    /// Inserts an id. The filter must not be full.
    pub(super) fn insert(&mut self, id: TraceId) {
        assert!(!self.is_full(), "a full filter is not inserted to");
        if self.buckets.is_empty() {
            self.buckets = vec![[0; N_WAYS]; self.n_buckets];
        }
        if self.contains(id) {
            return;
        }
        self.n_ids += 1;
        let (bucket, print) = self.place(id);
        if self.put(bucket, print) || self.put(self.other(bucket, print), print) {
            return;
        }
        let (mut at, mut moved) = (bucket, print);
        for _ in 0..N_KICKS_MAX {
            self.turn = self.turn.wrapping_add(1);
            let way = self.turn as usize % N_WAYS;
            std::mem::swap(&mut self.buckets[at][way], &mut moved);
            at = self.other(at, moved);
            if self.put(at, moved) {
                return;
            }
        }
        self.homeless = Some((at, moved));
        self.is_stuck = true;
    }

    /// What a snapshot holds.
    pub(super) const fn parts(&self) -> Parts<'_> {
        Parts { buckets: self.buckets.as_slice(), n_ids: self.n_ids, homeless: self.homeless }
    }

    /// Takes the content of a snapshot of a filter of the same size; whether it fits.
    pub(super) fn fill(
        &mut self,
        buckets: Vec<[u16; N_WAYS]>,
        n_ids: u32,
        homeless: Option<(usize, u16)>,
    ) -> bool {
        let has_size = buckets.is_empty() || buckets.len() == self.n_buckets;
        if !has_size || n_ids > self.n_ids_max || (buckets.is_empty() && n_ids > 0) {
            return false;
        }
        self.buckets = buckets;
        self.n_ids = n_ids;
        self.homeless = homeless;
        self.is_stuck = homeless.is_some();
        true
    }

    fn put(&mut self, bucket: usize, print: u16) -> bool {
        let free = self.buckets[bucket].iter_mut().find(|way| **way == 0);
        free.map(|way| *way = print).is_some()
    }

    /// First bucket and fingerprint of an id.
    fn place(&self, id: TraceId) -> (usize, u16) {
        let value = u128::from_be_bytes(id.0);
        let low = mix(value as u64 ^ self.seed);
        let hash = mix(low ^ (value >> 64) as u64);
        let print = (hash >> 48) as u16;
        (hash as usize & (self.n_buckets - 1), print.max(1))
    }

    /// The other bucket of a fingerprint: its own inverse.
    const fn other(&self, bucket: usize, print: u16) -> usize {
        bucket ^ (mix(print as u64 ^ self.seed) as usize & (self.n_buckets - 1))
    }
}

/// The finaliser of `SplitMix64`: every input bit reaches every output bit.
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
