//! Operation patterns: an exact name, or a name in which `*` stands for any run of characters.
//!
//! Nothing else is special: `?`, `[` and `{` occur in real operations (`GET /search?q=`,
//! `GET /cart/{}`), so giving them a meaning would break exact names.

/// Most `*` in one pattern; bounds the cost of a match.
pub(super) const STARS_MAX: usize = 8;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// The whole name.
    Exact(Box<str>),
    /// The pieces between the stars, at least two.
    Glob(Box<[Box<str>]>),
}

impl Pattern {
    /// Compiles a pattern of at most [`STARS_MAX`] stars.
    pub(super) fn new(text: &str) -> Self {
        if text.contains('*') {
            Self::Glob(text.split('*').map(Box::from).collect())
        } else {
            Self::Exact(Box::from(text))
        }
    }

    /// Whether `name` matches from its first to its last character.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(text) => &**text == name,
            Self::Glob(pieces) => matches_glob(pieces, name),
        }
    }
}

/// Leftmost matching is enough: between two stars the earliest place leaves the most for the rest.
fn matches_glob(pieces: &[Box<str>], name: &str) -> bool {
    let [first, middle @ .., last] = pieces else {
        return false;
    };
    let Some(mut rest) = name.strip_prefix(&**first) else {
        return false;
    };
    for piece in middle {
        match rest.find(&**piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(&**last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let compiled = Pattern::new(pattern);
        for name in matching {
            assert!(compiled.matches(name), "{pattern} should match {name}");
        }
        for name in other {
            assert!(!compiled.matches(name), "{pattern} should not match {name}");
        }
    }

    #[test]
    fn a_pattern_covers_the_whole_name() {
        check("GetCart", &["GetCart"], &["GetCarts", "getcart", ""]);
        check("Get*", &["Get", "GetCart"], &["forGet", "get"]);
        check("*Cart", &["Cart", "GetCart"], &["Carts"]);
        check("*", &["", "anything"], &[]);
        check("a*b*a", &["aba", "axxbxa", "abbaa"], &["ab", "ba", "a"]);
        check("GET /*/{}", &["GET /cart/{}"], &["GET /cart/7"]);
        check("GET /s?q=", &["GET /s?q="], &["GET /sxq="]);
    }

    #[test]
    fn a_star_does_not_use_one_character_twice() {
        check("ab*ba", &["abba", "abxba"], &["aba"]);
    }
}
