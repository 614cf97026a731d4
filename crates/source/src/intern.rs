//! Shares equal strings of a file. Names repeat millions of times; a file that only pretends to
//! have names (every one different) is bounded: what comes late is not shared.

use std::sync::Arc;

use hashbrown::HashSet;

/// Strings shared at most.
const N_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct Interner {
    known: HashSet<Arc<str>>,
    /// The one asked for last: columns are full of runs.
    last: Option<Arc<str>>,
}

impl Interner {
    pub(crate) fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(last) = &self.last
            && **last == *text
        {
            return Arc::clone(last);
        }
        let known = self.known.get(text).map(Arc::clone);
        let shared = known.unwrap_or_else(|| self.add(text));
        self.last = Some(Arc::clone(&shared));
        shared
    }

    fn add(&mut self, text: &str) -> Arc<str> {
        let new: Arc<str> = text.into();
        if self.known.len() < N_MAX {
            self.known.insert(Arc::clone(&new));
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_are_shared_up_to_a_bound() {
        let mut interner = Interner::default();
        let a = interner.intern("cart");
        let b = interner.intern("pay");
        assert!(Arc::ptr_eq(&a, &interner.intern("cart")));
        assert!(Arc::ptr_eq(&b, &interner.intern("pay")));
        for i in 0..N_MAX + 10 {
            interner.intern(&i.to_string());
        }
        assert_eq!(interner.known.len(), N_MAX);
    }
}
