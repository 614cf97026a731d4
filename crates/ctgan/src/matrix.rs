//! Dense matrices of `f32`, row by row, and their three products.
//!
//! Products run through `gemmkit`, which picks the instructions of the machine. Sums are therefore
//! rounded in another order on another machine: good for training, not for decoding, which has its
//! own loop in [`crate::frozen`].

use gemmkit::{MatMut, MatRef, Parallelism, gemm};

/// A matrix, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Matrix {
    n_rows: usize,
    n_cols: usize,
    /// `n_rows` times `n_cols` numbers.
    data: Vec<f32>,
}

impl Matrix {
    pub(crate) fn zeros(n_rows: usize, n_cols: usize) -> Self {
        Self { n_rows, n_cols, data: vec![0.0; n_rows * n_cols] }
    }

    /// Numbers row by row; their count is a multiple of `n_cols`.
    pub(crate) fn of(n_cols: usize, data: Vec<f32>) -> Self {
        let n_rows = data.len().checked_div(n_cols).unwrap_or(0);
        assert_eq!(n_rows * n_cols, data.len(), "numbers do not fill the rows");
        Self { n_rows, n_cols, data }
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub(crate) fn n_cols(&self) -> usize {
        self.n_cols
    }

    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.n_cols..(row + 1) * self.n_cols]
    }

    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.n_cols..(row + 1) * self.n_cols]
    }

    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.data.chunks_exact_mut(self.n_cols.max(1))
    }

    pub(crate) fn data(&self) -> &[f32] {
        &self.data
    }

    pub(crate) fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The same numbers in rows of another length.
    pub(crate) fn reshaped(mut self, n_cols: usize) -> Self {
        self.n_rows = self.data.len() / n_cols.max(1);
        self.n_cols = n_cols;
        assert_eq!(self.n_rows * n_cols, self.data.len(), "numbers do not fill the rows");
        self
    }

    /// Matrices of as many rows, side by side.
    pub(crate) fn beside(parts: &[&Self]) -> Self {
        let n_cols = parts.iter().map(|part| part.n_cols).sum();
        let n_rows = parts.first().map_or(0, |part| part.n_rows);
        let mut data = Vec::with_capacity(n_rows * n_cols);
        for row in 0..n_rows {
            for part in parts {
                data.extend_from_slice(part.row(row));
            }
        }
        Self { n_rows, n_cols, data }
    }

    /// Some columns.
    pub(crate) fn columns(&self, columns: std::ops::Range<usize>) -> Self {
        let n_cols = columns.len();
        let mut data = Vec::with_capacity(self.n_rows * n_cols);
        for row in 0..self.n_rows {
            data.extend_from_slice(&self.row(row)[columns.clone()]);
        }
        Self { n_rows: self.n_rows, n_cols, data }
    }

    /// `self * weight`, where `weight` holds `n_cols` rows of `n_out`.
    pub(crate) fn times(&self, weight: &[f32], n_out: usize) -> Self {
        let mut out = Self::zeros(self.n_rows, n_out);
        if self.n_rows > 0 {
            gemm(
                1.0,
                MatRef::from_row_major(&self.data, self.n_rows, self.n_cols),
                MatRef::from_row_major(weight, self.n_cols, n_out),
                0.0,
                MatMut::from_row_major(&mut out.data, self.n_rows, n_out),
                Parallelism::Serial,
            );
        }
        out
    }

    /// `self * weight^T`, where `weight` holds `n_out` rows of `n_cols`.
    pub(crate) fn times_transposed(&self, weight: &[f32], n_out: usize) -> Self {
        let mut out = Self::zeros(self.n_rows, n_out);
        if self.n_rows > 0 {
            gemm(
                1.0,
                MatRef::from_row_major(&self.data, self.n_rows, self.n_cols),
                MatRef::from_col_major(weight, self.n_cols, n_out),
                0.0,
                MatMut::from_row_major(&mut out.data, self.n_rows, n_out),
                Parallelism::Serial,
            );
        }
        out
    }

    /// `sum += self^T * other`, `n_cols` rows of other's columns.
    pub(crate) fn add_outer(&self, other: &Self, sum: &mut [f32]) {
        assert_eq!(self.n_rows, other.n_rows, "rows do not pair");
        if self.n_rows > 0 {
            gemm(
                1.0,
                MatRef::from_col_major(&self.data, self.n_cols, self.n_rows),
                MatRef::from_row_major(&other.data, other.n_rows, other.n_cols),
                1.0,
                MatMut::from_row_major(sum, self.n_cols, other.n_cols),
                Parallelism::Serial,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const TOLERANCE: f32 = 1e-4;

    fn random(n_rows: usize, n_cols: usize, random: &mut Random) -> Matrix {
        Matrix::of(n_cols, (0..n_rows * n_cols).map(|_| random.normal()).collect())
    }

    fn slow(
        n: [usize; 3],
        a: impl Fn(usize, usize) -> f32,
        b: impl Fn(usize, usize) -> f32,
    ) -> Matrix {
        let [n_rows, n_inner, n_cols] = n;
        let mut out = Matrix::zeros(n_rows, n_cols);
        for i in 0..n_rows {
            for j in 0..n_cols {
                out.row_mut(i)[j] = (0..n_inner).map(|k| a(i, k) * b(k, j)).sum();
            }
        }
        out
    }

    fn check(own: &Matrix, slow: &Matrix) {
        assert_eq!((own.n_rows, own.n_cols), (slow.n_rows, slow.n_cols));
        for (a, b) in own.data.iter().zip(&slow.data) {
            assert!((a - b).abs() < TOLERANCE, "{a} {b}");
        }
    }

    #[test]
    fn products_are_those_of_the_definition() {
        let mut r = Random::new(1, 0);
        for [m, k, n] in [[1, 1, 1], [3, 5, 2], [50, 17, 33], [7, 128, 1], [16, 40, 129]] {
            let (a, b) = (random(m, k, &mut r), random(k, n, &mut r));
            let expected = slow([m, k, n], |i, j| a.row(i)[j], |i, j| b.row(i)[j]);
            check(&a.times(&b.data, n), &expected);
            let b = random(n, k, &mut r);
            let expected = slow([m, k, n], |i, j| a.row(i)[j], |i, j| b.row(j)[i]);
            check(&a.times_transposed(&b.data, n), &expected);
            let c = random(m, n, &mut r);
            let mut sum = vec![1.0; k * n];
            a.add_outer(&c, &mut sum);
            let mut expected = slow([k, m, n], |i, j| a.row(j)[i], |i, j| c.row(i)[j]);
            expected.data.iter_mut().for_each(|x| *x += 1.0);
            check(&Matrix::of(n, sum), &expected);
        }
    }

    #[test]
    fn parts_stand_beside_each_other_and_come_apart() {
        let (a, b) = (Matrix::of(2, vec![1.0, 2.0, 3.0, 4.0]), Matrix::of(1, vec![5.0, 6.0]));
        let both = Matrix::beside(&[&a, &b]);
        assert_eq!(both.data, [1.0, 2.0, 5.0, 3.0, 4.0, 6.0]);
        assert_eq!((both.columns(0..2), both.columns(2..3)), (a, b));
        assert_eq!(both.reshaped(6).n_rows(), 1);
    }
}
