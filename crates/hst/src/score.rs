//! The three formulas that all call themselves the score of half-space trees.
//!
//! With `n` the points of the reference window, `T` trees of height `h`, `r(v)` the reference
//! mass of node `v` at depth `k(v)`, and `v*` the first node on the path of an observation with
//! `r(v) < 0.1 n`, else the leaf:
//!
//! | kind | per tree | forest |
//! |---|---|---|
//! | `Tan` | `r(v*) * 2^k(v*)` | `1 - sum / (T n 2^h)` |
//! | `River` | `sum of r(v) * 2^k(v)` over root .. `v*` | `1 - sum / (T n (2^(h+1) - 1))` |
//! | `Scale` | `k(v*)` | `2^(-mean / h)` |
//!
//! `Tan` is the formula of the paper (mass: low = anomalous), turned and scaled to [0, 1];
//! `River` is the number `anomaly.HalfSpaceTrees` of river returns; `Scale` is the shape of
//! equation 2 of SCALE, borrowed from isolation forests. The scales differ: never compare a
//! threshold made for one with a score of another.

/// Share of the reference window below which a node ends the walk: the size limit of Tan et al.
pub(crate) const SIZE_LIMIT: f64 = 0.1;

/// Which formula turns masses into a score; all are high for anomalies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ScoreKind {
    /// Mass of the end node alone (Tan, Ting and Liu); 0 ..= 1.
    #[default]
    Tan,
    /// Masses of the whole path (river 0.26); 0 ..= 1 - 1/(2^(h+1) - 1), since the root adds `n`.
    River,
    /// Isolation depth (SCALE, equation 2); 0.5 (every walk ends at a leaf) ..= 1.
    Scale,
}

impl ScoreKind {
    /// The score while there is no reference yet: the most normal value of the formula, so that
    /// nothing is flagged before anything was learned (river returns 0 too).
    pub const fn cold(self) -> f64 {
        match self {
            Self::Tan | Self::River => 0.0,
            Self::Scale => 0.5,
        }
    }

    /// The score of a forest from the sum over its trees of the column "per tree" above.
    /// `n_reference` is `n`; 0 gives [`cold`](Self::cold).
    ///
    /// Integers below 2^53 enter as they are and there is one division, so equal sums give equal
    /// bits whatever the order of adding. `Scale` calls `powf`, whose last bit may differ between
    /// platforms.
    #[inline]
    pub fn of_sum(self, sum: f64, n_trees: usize, height: usize, n_reference: f64) -> f64 {
        if n_reference <= 0.0 {
            return self.cold();
        }
        let n_trees = n_trees as f64;
        match self {
            Self::Tan => 1.0 - sum / (n_trees * n_reference * pow2(height)),
            Self::River => 1.0 - sum / (n_trees * n_reference * (pow2(height + 1) - 1.0)),
            Self::Scale => 2_f64.powf(-(sum / n_trees) / height as f64),
        }
    }
}

/// 2^k as a float, exact; k is at most the height of a tree plus one.
#[inline]
pub(crate) fn pow2(k: usize) -> f64 {
    (1_u64 << k) as f64
}
