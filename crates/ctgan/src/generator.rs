//! The generator: noise and condition to a row.
//!
//! x = [relu(z W), fields]; each residual layer appends x to relu(norm(x W)); a last layer yields
//! the row, tanh for scalars and Gumbel-softmax for choices. Units that a row cannot have, by its
//! mask, take no part.

use crate::fields::{Embedding, Field};
use crate::layer::{BatchNorm, Linear, Normed, Param, gate, rectify};
use crate::math::{exp, tanh};
use crate::matrix::Matrix;
use crate::random::Random;
use crate::rows::{Block, width_of};

/// Temperature of Gumbel-softmax.
const TAU: f32 = 0.2;

#[derive(Clone, Debug)]
pub(crate) struct Generator {
    pub(crate) blocks: Vec<Block>,
    pub(crate) n_noise: usize,
    /// `None` passes the noise on as it is.
    pub(crate) noise: Option<Linear>,
    pub(crate) embedding: Embedding,
    pub(crate) residual: Vec<(Linear, BatchNorm)>,
    pub(crate) out: Linear,
}

/// Sizes of a generator.
#[derive(Clone, Debug)]
pub(crate) struct Sizes<'a> {
    pub(crate) n_noise: usize,
    pub(crate) noise_embedding: Option<usize>,
    pub(crate) fields: &'a [Field],
    pub(crate) residual: &'a [usize],
    pub(crate) blocks: &'a [Block],
}

/// What chance adds to a batch.
#[derive(Debug)]
pub(crate) struct Draws {
    pub(crate) noise: Matrix,
    /// By row and unit; scalars use none.
    pub(crate) gumbel: Matrix,
}

/// What a batch left behind for [`Generator::learn`].
#[derive(Debug)]
pub(crate) struct Pass {
    noise: Matrix,
    noise_out: Matrix,
    fields: Vec<Matrix>,
    /// Input of each residual layer, and of the last layer.
    inputs: Vec<Matrix>,
    pub(crate) normed: Vec<Normed>,
    /// Before the activations.
    pub(crate) logits: Matrix,
    pub(crate) rows: Matrix,
}

impl Generator {
    pub(crate) fn new(sizes: &Sizes<'_>, random: &mut Random) -> Self {
        let noise = sizes.noise_embedding.map(|n| Linear::new(sizes.n_noise, n, random));
        let embedding = Embedding::new(sizes.fields, random);
        let mut width = sizes.noise_embedding.unwrap_or(sizes.n_noise) + embedding.n_out();
        let mut residual = Vec::new();
        for &n in sizes.residual {
            residual.push((Linear::new(width, n, random), BatchNorm::new(n)));
            width += n;
        }
        let out = Linear::new(width, width_of(sizes.blocks), random);
        let (blocks, n_noise) = (sizes.blocks.to_vec(), sizes.n_noise);
        Self { blocks, n_noise, noise, embedding, residual, out }
    }

    /// What chance adds to a batch of `n` rows.
    pub(crate) fn draws(&self, n: usize, random: &mut Random) -> Draws {
        let normal = (0..n * self.n_noise).map(|_| random.normal()).collect();
        let gumbel = (0..n * self.out.n_out).map(|_| random.gumbel()).collect();
        let noise = Matrix::of(self.n_noise, normal);
        Draws { noise, gumbel: Matrix::of(self.out.n_out, gumbel) }
    }

    /// A batch of rows. `masks` has a row of units for each, 1 where a unit may be, 0 where not.
    pub(crate) fn forward(&self, draws: Draws, inputs: &[Matrix], masks: &Matrix) -> Pass {
        let Draws { noise, gumbel } = draws;
        let noise_out = match &self.noise {
            None => noise.clone(),
            Some(layer) => {
                let mut out = layer.forward(&noise);
                rectify(&mut out);
                out
            }
        };
        let fields = self.embedding.forward(inputs);
        let mut parts = vec![&noise_out];
        parts.extend(&fields);
        let mut x = Matrix::beside(&parts);
        let (mut layer_inputs, mut normed) = (Vec::new(), Vec::new());
        for (linear, norm) in &self.residual {
            let (mut out, by) = norm.forward(&linear.forward(&x));
            rectify(&mut out);
            let next = Matrix::beside(&[&out, &x]);
            layer_inputs.push(x);
            normed.push(by);
            x = next;
        }
        let logits = self.out.forward(&x);
        layer_inputs.push(x);
        let rows = self.activate(&logits, masks, &gumbel);
        Pass { noise, noise_out, fields, inputs: layer_inputs, normed, logits, rows }
    }

    fn activate(&self, logits: &Matrix, masks: &Matrix, gumbel: &Matrix) -> Matrix {
        let mut rows = logits.clone();
        for at in 0..rows.n_rows() {
            let (row, mask, gumbel) = (rows.row_mut(at), masks.row(at), gumbel.row(at));
            let mut begin = 0;
            for block in &self.blocks {
                let units = begin..begin + block.width();
                begin = units.end;
                let (part, mask) = (&mut row[units.clone()], &mask[units.clone()]);
                match block {
                    Block::Scalar => part[0] = tanh(part[0]) * mask[0],
                    Block::Choice(_) => soft_choice(part, mask, &gumbel[units]),
                }
            }
        }
        rows
    }

    /// Adds the gradients of a batch: `d_rows` that of the rows, `d_logits` what is added before the
    /// activations.
    pub(crate) fn learn(
        &mut self,
        pass: &Pass,
        inputs: &[Matrix],
        d_rows: &Matrix,
        d_logits: Option<&Matrix>,
    ) {
        let mut d = self.deactivate(&pass.rows, d_rows);
        if let Some(more) = d_logits {
            d.data_mut().iter_mut().zip(more.data()).for_each(|(d, m)| *d += m);
        }
        let last = &pass.inputs[self.residual.len()];
        self.out.learn(last, &d);
        let mut dx = self.out.back(&d);
        for (at, (linear, norm)) in self.residual.iter_mut().enumerate().rev() {
            let x = &pass.inputs[at];
            let after = &pass.inputs[at + 1];
            let mut d_out = dx.columns(0..linear.n_out);
            gate(&mut d_out, &after.columns(0..linear.n_out));
            let d_linear = norm.back(&pass.normed[at], &d_out);
            linear.learn(x, &d_linear);
            let mut d_in = linear.back(&d_linear);
            let skipped = dx.columns(linear.n_out..dx.n_cols());
            d_in.data_mut().iter_mut().zip(skipped.data()).for_each(|(d, s)| *d += s);
            dx = d_in;
        }
        let n_noise = pass.noise_out.n_cols();
        if let Some(layer) = &mut self.noise {
            let mut part = dx.columns(0..n_noise);
            gate(&mut part, &pass.noise_out);
            layer.learn(&pass.noise, &part);
        }
        self.embedding.learn(inputs, &pass.fields, &dx, n_noise);
    }

    fn deactivate(&self, rows: &Matrix, d_rows: &Matrix) -> Matrix {
        let mut d = d_rows.clone();
        for at in 0..rows.n_rows() {
            let (row, d) = (rows.row(at), d.row_mut(at));
            let mut begin = 0;
            for block in &self.blocks {
                let units = begin..begin + block.width();
                begin = units.end;
                let (y, d) = (&row[units.clone()], &mut d[units]);
                match block {
                    // What is masked is 0 and learns nothing from the critic, which sees it as 0.
                    Block::Scalar if y[0] == 0.0 => d[0] = 0.0,
                    Block::Scalar => d[0] *= 1.0 - y[0] * y[0],
                    Block::Choice(_) => {
                        let mean: f32 = y.iter().zip(d.iter()).map(|(y, d)| y * d).sum();
                        d.iter_mut().zip(y).for_each(|(d, y)| *d = y * (*d - mean) / TAU);
                    }
                }
            }
        }
        d
    }

    pub(crate) fn params(&mut self) -> impl Iterator<Item = &mut Param> {
        let residual = self.residual.iter_mut().flat_map(|(linear, norm)| {
            linear.params().into_iter().chain([&mut norm.scale, &mut norm.shift])
        });
        let noise = self.noise.iter_mut().flat_map(Linear::params);
        noise.chain(self.embedding.params()).chain(residual).chain(self.out.params())
    }
}

/// y = softmax((l + G) / tau) over the units of the mask; all 0 if it has none.
fn soft_choice(part: &mut [f32], mask: &[f32], gumbel: &[f32]) {
    let mut greatest = f32::NEG_INFINITY;
    for ((x, m), g) in part.iter_mut().zip(mask).zip(gumbel) {
        if *m > 0.0 {
            *x = (*x + g) / TAU;
            greatest = greatest.max(*x);
        }
    }
    let mut sum = 0.0;
    for (x, m) in part.iter_mut().zip(mask) {
        *x = if *m > 0.0 { exp(*x - greatest) } else { 0.0 };
        sum += *x;
    }
    if sum > 0.0 {
        for x in part {
            *x /= sum;
        }
    }
}
