//! The critic: packs of rows with their conditions to a number, and how it learns.
//!
//! Loss (WGAN-GP on packs): mean D(fake) - mean D(real) + lambda mean (|grad D(x~)| - 1)^2, x~
//! between real and fake by one share a pack, the gradient over the whole pack, its embedded
//! condition included. Hidden layers are linear, leaky and dropped out, so D is linear around a
//! point and the penalty's own gradient has a closed form; there is no automatic differentiation.

use crate::fields::{Embedding, Field};
use crate::layer::{Linear, Param};
use crate::matrix::Matrix;
use crate::random::Random;

const LEAK: f32 = 0.2;
const DROPOUT: f32 = 0.5;
/// Lambda, the weight of the penalty.
const PENALTY: f32 = 10.0;
const NORM_MIN: f32 = 1e-12;

#[derive(Clone, Debug)]
pub(crate) struct Critic {
    pub(crate) pac: usize,
    pub(crate) embedding: Embedding,
    pub(crate) hidden: Vec<Linear>,
    pub(crate) out: Linear,
}

/// What a batch left behind.
#[derive(Debug)]
pub(crate) struct Pass {
    /// Input of each layer, the last one's included.
    inputs: Vec<Matrix>,
    /// Slope of each hidden layer: leak times dropout.
    slopes: Vec<Matrix>,
    pub(crate) scores: Vec<f32>,
}

/// The dropout of a pass: for each hidden layer 0 or 2 by pack and unit.
pub(crate) type Dropout = Vec<Matrix>;

/// What chance adds to a step of the critic.
#[derive(Debug)]
pub(crate) struct Draws {
    pub(crate) fake: Dropout,
    pub(crate) real: Dropout,
    pub(crate) between: Dropout,
    /// The share of the real pack in the one between, by pack.
    pub(crate) shares: Vec<f32>,
}

/// The parts of the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Loss {
    pub(crate) fake: f32,
    pub(crate) real: f32,
    pub(crate) penalty: f32,
}

#[cfg(test)]
impl Pass {
    pub(crate) fn slopes(self) -> Vec<Matrix> {
        self.slopes
    }
}

impl Critic {
    pub(crate) fn new(
        fields: &[Field],
        n_row: usize,
        pac: usize,
        hidden: &[usize],
        random: &mut Random,
    ) -> Self {
        let embedding = Embedding::new(fields, random);
        let mut width = (n_row + embedding.n_out()) * pac;
        let mut layers = Vec::new();
        for &n in hidden {
            layers.push(Linear::new(width, n, random));
            width = n;
        }
        let out = Linear::new(width, 1, random);
        Self { pac, embedding, hidden: layers, out }
    }

    /// Rows with their embedded fields, `pac` of them side by side.
    pub(crate) fn packs(&self, rows: &Matrix, fields: &[Matrix]) -> Matrix {
        let mut parts = vec![rows];
        parts.extend(fields);
        let beside = Matrix::beside(&parts);
        let width = beside.n_cols() * self.pac;
        beside.reshaped(width)
    }

    /// Dropout for `n` packs.
    pub(crate) fn dropout(&self, n: usize, random: &mut Random) -> Dropout {
        let kept = |random: &mut Random| {
            if random.unit() >= DROPOUT { 1.0 / (1.0 - DROPOUT) } else { 0.0 }
        };
        let layer = |layer: &Linear| {
            let mask = (0..n * layer.n_out).map(|_| kept(random)).collect();
            Matrix::of(layer.n_out, mask)
        };
        self.hidden.iter().map(layer).collect()
    }

    /// What a step on `n` packs draws.
    pub(crate) fn draws(&self, n: usize, random: &mut Random) -> Draws {
        let [fake, real, between] = [(); 3].map(|()| self.dropout(n, random));
        Draws { fake, real, between, shares: (0..n).map(|_| random.unit()).collect() }
    }

    pub(crate) fn forward(&self, packs: Matrix, dropout: &Dropout) -> Pass {
        let mut inputs = vec![packs];
        let mut slopes = Vec::new();
        for (at, layer) in self.hidden.iter().enumerate() {
            let mut out = layer.forward(&inputs[at]);
            let mut slope = dropout[at].clone();
            for (x, s) in out.data_mut().iter_mut().zip(slope.data_mut()) {
                *s *= if *x > 0.0 { 1.0 } else { LEAK };
                *x *= *s;
            }
            inputs.push(out);
            slopes.push(slope);
        }
        let scores = self.out.forward(&inputs[self.hidden.len()]).data().to_vec();
        Pass { inputs, slopes, scores }
    }

    /// The gradient of sum(weight * score) by the packs; adds to those of the parameters if `learns`.
    pub(crate) fn back(&mut self, pass: &Pass, weight: f32, learns: bool) -> Matrix {
        let n = pass.scores.len();
        let mut d = Matrix::of(1, vec![weight; n]);
        if learns {
            self.out.learn(&pass.inputs[self.hidden.len()], &d);
        }
        d = self.out.back(&d);
        for (at, layer) in self.hidden.iter_mut().enumerate().rev() {
            scale(&mut d, &pass.slopes[at]);
            if learns {
                layer.learn(&pass.inputs[at], &d);
            }
            d = layer.back(&d);
        }
        d
    }

    /// Adds the gradients of the penalty at the packs of `pass`; returns its mean.
    ///
    /// With `S_l` the slopes and `s_l = S_l * (s_(l+1) W_(l+1)^T)` from above, `g = s_1 W_1^T` is the
    /// gradient by the pack. Then with `v = dP/dg` from below: `dP/dW_1 = v^T s_1`, and the next layer
    /// sees `v W_1 * S_1` in the place of v.
    pub(crate) fn penalise(&mut self, pass: &Pass) -> f32 {
        let n = pass.scores.len();
        let mut from_above = self.out.back(&Matrix::of(1, vec![1.0; n]));
        let mut sensitivities = Vec::new();
        for (at, layer) in self.hidden.iter().enumerate().rev() {
            scale(&mut from_above, &pass.slopes[at]);
            let next = layer.back(&from_above);
            sensitivities.push(from_above);
            from_above = next;
        }
        sensitivities.reverse();
        let mut v = from_above;
        let mut penalty = 0.0;
        for row in v.rows_mut() {
            let norm = row.iter().map(|g| *g * *g).sum::<f32>().sqrt();
            penalty += PENALTY * (norm - 1.0) * (norm - 1.0) / n as f32;
            let factor = 2.0 * PENALTY * (norm - 1.0) / norm.max(NORM_MIN) / n as f32;
            for g in row {
                *g *= factor;
            }
        }
        for (at, layer) in self.hidden.iter_mut().enumerate() {
            v.add_outer(&sensitivities[at], &mut layer.weight.grad);
            v = v.times(&layer.weight.value, layer.n_out);
            scale(&mut v, &pass.slopes[at]);
        }
        v.add_outer(&Matrix::of(1, vec![1.0; n]), &mut self.out.weight.grad);
        penalty
    }

    /// Adds the gradients of the whole loss for a batch of real and fake rows of the same conditions.
    pub(crate) fn learn(
        &mut self,
        real: &Matrix,
        fake: &Matrix,
        inputs: &[Matrix],
        draws: &Draws,
    ) -> Loss {
        let fields = self.embedding.forward(inputs);
        let n_row = real.n_cols();
        let real = self.packs(real, &fields);
        let fake = self.packs(fake, &fields);
        let mut between = Matrix::zeros(real.n_rows(), real.n_cols());
        for at in 0..between.n_rows() {
            let share = draws.shares[at];
            let pairs = real.row(at).iter().zip(fake.row(at));
            for (x, (r, f)) in between.row_mut(at).iter_mut().zip(pairs) {
                *x = share * r + (1.0 - share) * f;
            }
        }
        let n = real.n_rows() as f32;
        let mut loss = Loss::default();
        let sides = [(fake, 1.0 / n, &draws.fake), (real, -1.0 / n, &draws.real)];
        for (packs, weight, dropout) in sides {
            let pass = self.forward(packs, dropout);
            let score = pass.scores.iter().sum::<f32>() / n;
            if weight > 0.0 {
                loss.fake = score;
            } else {
                loss.real = score;
            }
            let d = self.back(&pass, weight, true);
            let width = d.n_cols() / self.pac;
            self.embedding.learn(inputs, &fields, &d.reshaped(width), n_row);
        }
        let pass = self.forward(between, &draws.between);
        loss.penalty = self.penalise(&pass);
        loss
    }

    /// The generator's loss -mean D(fake), and its gradient by the rows.
    pub(crate) fn judge(
        &mut self,
        fake: &Matrix,
        inputs: &[Matrix],
        dropout: &Dropout,
    ) -> (f32, Matrix) {
        let fields = self.embedding.forward(inputs);
        let pass = self.forward(self.packs(fake, &fields), dropout);
        let n = pass.scores.len() as f32;
        let d = self.back(&pass, -1.0 / n, false);
        let width = d.n_cols() / self.pac;
        let d_rows = d.reshaped(width).columns(0..fake.n_cols());
        (-pass.scores.iter().sum::<f32>() / n, d_rows)
    }

    pub(crate) fn params(&mut self) -> impl Iterator<Item = &mut Param> {
        let hidden = self.hidden.iter_mut().flat_map(Linear::params);
        self.embedding.params().chain(hidden).chain(self.out.params())
    }
}

fn scale(x: &mut Matrix, by: &Matrix) {
    x.data_mut().iter_mut().zip(by.data()).for_each(|(x, s)| *x *= s);
}
