//! Rankings against a truth: average precision, best F1, recall within a share, area under the ROC
//! curve, as scikit-learn computes them.
//!
//! Equal scores are one step of the curve: a threshold cannot separate them, and taking them in
//! file order would make a figure depend on it.

/// One threshold: what flagging everything at or above it gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The lowest score that is flagged.
    pub threshold: f64,
    /// Spans flagged.
    pub n_flagged: u64,
    /// Positives among them.
    pub n_true: u64,
}

/// Every distinct threshold of a ranking, highest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    points: Vec<Point>,
    n: u64,
    n_positives: u64,
}

/// Counts at one threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Positives flagged.
    pub true_positives: u64,
    /// Negatives flagged.
    pub false_positives: u64,
    /// Positives not flagged.
    pub false_negatives: u64,
    /// Negatives not flagged.
    pub true_negatives: u64,
}

impl Curve {
    /// The curve of scored spans, each with whether it is positive; high scores come first. NaN
    /// ranks below everything. O(n log n), and it takes the list to sort it.
    pub fn new(mut ranked: Vec<(f64, bool)>) -> Self {
        for (score, _) in &mut ranked {
            if score.is_nan() {
                *score = f64::NEG_INFINITY;
            }
        }
        // Adding 0 makes zeroes of both signs one, as the comparison below has it.
        ranked.sort_unstable_by(|a, b| (b.0 + 0.0).total_cmp(&(a.0 + 0.0)));
        let mut curve = Self { points: Vec::new(), n: 0, n_positives: 0 };
        for equal in ranked.chunk_by(|a, b| a.0 <= b.0) {
            curve.n += equal.len() as u64;
            curve.n_positives += equal.iter().filter(|(_, positive)| *positive).count() as u64;
            curve.points.push(Point {
                threshold: equal[0].0,
                n_flagged: curve.n,
                n_true: curve.n_positives,
            });
        }
        curve
    }

    /// Spans ranked.
    pub const fn n(&self) -> u64 {
        self.n
    }

    /// Positives among them.
    pub const fn n_positives(&self) -> u64 {
        self.n_positives
    }

    /// AP = sum over thresholds of `(R_k - R_(k-1)) P_k` (`average_precision_score`); `None`
    /// without positives.
    pub fn average_precision(&self) -> Option<f64> {
        let mut before = 0;
        let mut sum = 0.0;
        for point in &self.points {
            let step = (point.n_true - before) as f64;
            sum += step * point.precision();
            before = point.n_true;
        }
        self.some_positives().map(|n_positives| sum / n_positives)
    }

    /// The threshold of the best F1, the highest of equally good ones; `None` without positives.
    pub fn best_f1(&self) -> Option<Point> {
        let mut best: Option<(f64, Point)> = None;
        for &point in &self.points {
            let f1 = self.f1(point);
            if best.is_none_or(|(most, _)| f1 > most) {
                best = Some((f1, point));
            }
        }
        self.some_positives().and(best).map(|(_, point)| point)
    }

    /// F1 at [`Curve::best_f1`].
    pub fn f1_max(&self) -> Option<f64> {
        self.best_f1().map(|point| self.f1(point))
    }

    /// The highest threshold that flags every positive; `None` without positives.
    pub fn full_recall(&self) -> Option<Point> {
        self.some_positives()?;
        self.points.iter().find(|point| point.n_true == self.n_positives).copied()
    }

    /// Recall when at most a share of the spans may be flagged: at the lowest threshold that keeps
    /// to it, 0 if none does. `None` without positives.
    pub fn recall_at(&self, share: f64) -> Option<f64> {
        let n_max = share * self.n as f64;
        let within = self.points.partition_point(|point| point.n_flagged as f64 <= n_max);
        let n_true = within.checked_sub(1).map_or(0, |last| self.points[last].n_true);
        self.some_positives().map(|n_positives| n_true as f64 / n_positives)
    }

    /// Area under the ROC curve (`roc_auc_score`); `None` unless there are positives and negatives.
    pub fn auc(&self) -> Option<f64> {
        let n_negatives = (self.n - self.n_positives) as f64;
        let (mut n_true, mut n_false) = (0.0, 0.0);
        let mut area = 0.0;
        for point in &self.points {
            let now_true = point.n_true as f64;
            let now_false = (point.n_flagged - point.n_true) as f64;
            area += (now_false - n_false) * f64::midpoint(now_true, n_true);
            (n_true, n_false) = (now_true, now_false);
        }
        let n_positives = self.some_positives()?;
        (n_negatives > 0.0).then(|| area / (n_positives * n_negatives))
    }

    /// The counts at a threshold of this curve.
    pub const fn confusion(&self, point: Point) -> Confusion {
        let false_positives = point.n_flagged - point.n_true;
        Confusion {
            true_positives: point.n_true,
            false_positives,
            false_negatives: self.n_positives - point.n_true,
            true_negatives: self.n - self.n_positives - false_positives,
        }
    }

    fn f1(&self, point: Point) -> f64 {
        self.confusion(point).f1()
    }

    fn some_positives(&self) -> Option<f64> {
        (self.n_positives > 0).then_some(self.n_positives as f64)
    }
}

impl Point {
    fn precision(self) -> f64 {
        self.n_true as f64 / self.n_flagged as f64
    }
}

impl Confusion {
    /// Share of the flagged that are positive, 0 if nothing is flagged.
    pub fn precision(&self) -> f64 {
        share(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Share of the positives that are flagged, 0 if there are none.
    pub fn recall(&self) -> f64 {
        share(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// Harmonic mean of both, 0 if both are.
    pub fn f1(&self) -> f64 {
        let wrong = self.false_positives + self.false_negatives;
        share(2 * self.true_positives, 2 * self.true_positives + wrong)
    }

    /// Share of all that is right, 0 if there is nothing.
    pub fn accuracy(&self) -> f64 {
        let right = self.true_positives + self.true_negatives;
        share(right, right + self.false_positives + self.false_negatives)
    }

    /// Share of the negatives that are flagged (false-positive rate), 0 if there are none.
    pub fn fpr(&self) -> f64 {
        share(self.false_positives, self.false_positives + self.true_negatives)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests;
