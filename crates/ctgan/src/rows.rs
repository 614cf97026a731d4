//! Rows with few numbers that are not 0, and what the units of a row mean.

use crate::matrix::Matrix;

/// Rows as lists of (unit, number).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// End of each row among the entries.
    ends: Vec<u32>,
    entries: Vec<(u16, f32)>,
    width: usize,
}

/// A part of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// One number in [-1, 1], generated through tanh.
    Scalar,
    /// One of so many choices, generated through softmax.
    Choice(usize),
}

impl Block {
    /// Units it takes.
    pub const fn width(self) -> usize {
        match self {
            Self::Scalar => 1,
            Self::Choice(n) => n,
        }
    }
}

/// Units of all blocks.
pub(crate) fn width_of(blocks: &[Block]) -> usize {
    blocks.iter().map(|block| block.width()).sum()
}

impl Rows {
    /// No rows of `width` units, at most 65,536.
    pub fn new(width: usize) -> Self {
        assert!(width <= 1 << 16, "rows are too wide");
        Self { width, ..Self::default() }
    }

    /// Adds a row; units are below the width.
    pub fn push(&mut self, entries: impl IntoIterator<Item = (u16, f32)>) {
        self.entries.extend(entries);
        self.ends.push(self.entries.len() as u32);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Units of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// A row.
    pub fn get(&self, row: usize) -> &[(u16, f32)] {
        let begin = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.entries[begin as usize..self.ends[row] as usize]
    }

    /// Some rows, written out.
    pub(crate) fn dense(&self, rows: impl ExactSizeIterator<Item = u32>) -> Matrix {
        let mut out = Matrix::zeros(rows.len(), self.width);
        for (at, row) in rows.enumerate() {
            let out = out.row_mut(at);
            for &(unit, value) in self.get(row as usize) {
                out[usize::from(unit)] = value;
            }
        }
        out
    }
}
