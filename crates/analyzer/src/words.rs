//! Slips of the pen: the known word somebody probably meant.

/// Longest word that is looked at; nothing longer is a name somebody mistyped.
const WORD_BYTES_MAX: usize = 128;

/// The known word closest to `word`, if it is close enough to be a slip: at most one letter in three
/// differs. Of equally close ones the first in alphabetical order.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let known = known.into_iter().filter(|known| known.len() <= WORD_BYTES_MAX);
    let (distance, best) = known.map(|known| (distance(word, known), known)).min()?;
    (distance <= (word.len() / 3).max(1)).then_some(best)
}

/// Bytes to change, add or leave out, or neighbours to swap, to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let changed = above[j] + usize::from(x != y);
            row[j + 1] = changed.min(row[j] + 1).min(above[j + 1] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_the_word_and_another_word_does_not() {
        let known = ["service", "operation", "over", "count"];
        let check = |word: &str, expected| assert_eq!(nearest(word, known), expected, "{word}");
        check("servcie", Some("service"));
        check("ovr", Some("over"));
        check("over", Some("over"));
        check("coutn", Some("count"));
        check("operations", Some("operation"));
        check("window", None);
        check("", None);
        assert_eq!(nearest("a", []), None);
        assert_eq!(nearest(&"a".repeat(200), ["a"]), None);
    }

    #[test]
    fn the_distance_counts_letters_changed_added_left_out_and_swapped() {
        let check = |a, b, expected| {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        };
        check("kitten", "sitting", 3);
        check("", "abc", 3);
        check("abc", "abc", 0);
        check("flaw", "lawn", 2);
        check("crat", "cart", 1);
        check("ab", "ba", 1);
    }
}
