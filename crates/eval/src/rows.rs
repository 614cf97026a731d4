//! Which rows are ranked: `A..B` or `A..`, positions in the file from 1.

use crate::error::Error;

/// A range of rows, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// First row that is ranked, from 1. Earlier ones are replayed and learned only.
    pub first: u64,
    /// Last row that is ranked. Later ones are not replayed. `None`: the last of the file.
    pub last: Option<u64>,
}

impl Rows {
    /// The rows of a text.
    ///
    /// # Errors
    /// It is neither `A..B` nor `A..`, or A is 0, or B lies before A.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let parse = || {
            let (first, last) = text.split_once("..")?;
            let first: u64 = first.trim().parse().ok().filter(|&first| first > 0)?;
            let last = match last.trim() {
                "" => None,
                last => Some(last.parse().ok().filter(|&last| last >= first)?),
            };
            Some(Self { first, last })
        };
        parse().ok_or_else(|| Error::Malformed {
            what: "range of rows",
            text: text.to_owned(),
            expected: "A..B or A.. with 1 <= A <= B, such as 30001..300000",
        })
    }

    /// How many of `n` rows are replayed.
    pub fn n_replayed(self, n: usize) -> u32 {
        let last = self.last.unwrap_or(u64::MAX).min(n as u64);
        u32::try_from(last).unwrap_or(u32::MAX)
    }

    /// Whether a row, counted from 0, is ranked.
    pub fn ranks(self, row: u32) -> bool {
        let number = u64::from(row) + 1;
        number >= self.first && self.last.is_none_or(|last| number <= last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_positions_from_one_with_both_ends() {
        let rows = Rows::parse("3..5").unwrap();
        let ranked: Vec<u32> = (0..10).filter(|&row| rows.ranks(row)).collect();
        assert_eq!(ranked, [2, 3, 4]);
        assert_eq!(rows.n_replayed(10), 5);
        assert_eq!(rows.n_replayed(4), 4);
        let open = Rows::parse("30001..").unwrap();
        assert!(!open.ranks(29_999) && open.ranks(30_000));
        assert_eq!(open.n_replayed(7), 7);
    }

    #[test]
    fn other_texts_are_refused_with_an_example() {
        for text in ["", "5", "0..", "5..4", "a..b", "..", "-1..3"] {
            let error = Rows::parse(text).unwrap_err().to_string();
            assert!(error.contains("30001..300000"), "{error}");
        }
    }
}
