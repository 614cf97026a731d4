//! A pair of networks in training.

use crate::architecture::Architecture;
use crate::critic::{Critic, Loss};
use crate::frozen::Frozen;
use crate::generator::{Generator, Sizes};
use crate::layer::Adam;
use crate::math::{exp, ln};
use crate::matrix::Matrix;
use crate::random::Random;
use crate::rows::Rows;
use crate::sampling::{Batch, Sampler, Sampling};

/// Batches by which the statistics of normalisation are fixed.
const N_CALIBRATION: usize = 20;
/// Least rows of a batch, in packs.
const PACKS_MIN: usize = 10;
/// Steps of an epoch that a small table should have before batches grow.
const STEPS_MIN: usize = 100;

/// What is learned from.
#[derive(Clone, Debug)]
pub struct Data<'a> {
    /// The rows.
    pub rows: &'a Rows,
    /// One for each field of the architecture; with [`Sampling::Choices`] all but the last.
    pub conditions: Vec<Values<'a>>,
    /// Units that a row may have, as entries of 1; `None` if each row may have all.
    pub masks: Option<Values<'a>>,
    /// Which rows are drawn.
    pub sampling: Sampling<'a>,
}

/// Values shared by rows.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The distinct values.
    pub values: &'a Rows,
    /// The value of each row.
    pub of_row: &'a [u32],
}

/// How a pair of networks is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// Step size of Adam, both networks. Default 2e-4.
    pub rate: f32,
    /// Rows of a batch at most; smaller for tables with fewer than 100 times as many. Default 500.
    pub batch: usize,
    /// Decay of the mean over steps that is frozen in the place of the last weights; 0 freezes the
    /// last. Default .999.
    pub averaging: f32,
}

impl Default for Training {
    fn default() -> Self {
        Self { rate: 2e-4, batch: 500, averaging: 0.999 }
    }
}

/// Mean losses of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Mean score of generated rows.
    pub fake: f32,
    /// Mean score of real rows.
    pub real: f32,
    /// Gradient penalty.
    pub penalty: f32,
    /// Cross-entropy of the choice asked for; 0 unless [`Sampling::Choices`].
    pub cross_entropy: f32,
}

/// A generator, its critic and their optimisers.
#[derive(Clone, Debug)]
pub struct Gan {
    architecture: Architecture,
    pub(crate) generator: Generator,
    pub(crate) critic: Critic,
    adam: [Adam; 2],
    random: Random,
    batch: usize,
}

impl Gan {
    /// Networks with random weights. Training is deterministic by seed on one machine.
    pub fn new(architecture: Architecture, training: &Training, seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let sizes = Sizes {
            n_noise: architecture.n_noise,
            noise_embedding: architecture.noise_embedding,
            fields: &architecture.fields,
            residual: &architecture.residual,
            blocks: &architecture.blocks,
        };
        let generator = Generator::new(&sizes, &mut random);
        let critic = Critic::new(
            &architecture.fields,
            architecture.row_width(),
            architecture.pac,
            &architecture.critic,
            &mut random,
        );
        let adam = [
            Adam::new(training.rate, WEIGHT_DECAY, training.averaging),
            Adam::new(training.rate, WEIGHT_DECAY, 0.0),
        ];
        Self { architecture, generator, critic, adam, random, batch: training.batch }
    }

    /// The sizes.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Passes over as many rows as there are, `floor(rows / batch)` steps of both networks; at least
    /// one. Does nothing without rows.
    pub fn epoch(&mut self, data: &Data<'_>) -> Losses {
        let mut losses = Losses::default();
        if data.rows.is_empty() {
            return losses;
        }
        let sampler = Sampler::new(data.sampling, data.rows, &self.architecture.blocks);
        let n = self.batch_of(data.rows.len());
        let n_steps = (data.rows.len() / n).max(1);
        for _ in 0..n_steps {
            let loss = self.critic_step(data, &sampler, n);
            let cross_entropy = self.generator_step(data, &sampler, n);
            losses.fake += loss.fake / n_steps as f32;
            losses.real += loss.real / n_steps as f32;
            losses.penalty += loss.penalty / n_steps as f32;
            losses.cross_entropy += cross_entropy / n_steps as f32;
        }
        losses
    }

    /// Rows of a batch: whole packs.
    fn batch_of(&self, n_rows: usize) -> usize {
        let pac = self.architecture.pac;
        let most = (self.batch / pac).max(1);
        (n_rows / STEPS_MIN / pac).clamp(PACKS_MIN.min(most), most) * pac
    }

    fn critic_step(&mut self, data: &Data<'_>, sampler: &Sampler, n: usize) -> Loss {
        let batch = sampler.draw(n, &mut self.random);
        let inputs = inputs(data, sampler, &batch);
        let draws = self.generator.draws(n, &mut self.random);
        let masks = masks(data, &batch, self.architecture.row_width());
        let fake = self.generator.forward(draws, &inputs, &masks).rows;
        let real = data.rows.dense(batch.rows.iter().copied());
        let draws = self.critic.draws(n / self.architecture.pac, &mut self.random);
        let loss = self.critic.learn(&real, &fake, &inputs, &draws);
        self.adam[1].step(self.critic.params().collect());
        loss
    }

    fn generator_step(&mut self, data: &Data<'_>, sampler: &Sampler, n: usize) -> f32 {
        let batch = sampler.draw(n, &mut self.random);
        let inputs = inputs(data, sampler, &batch);
        let draws = self.generator.draws(n, &mut self.random);
        let masks = masks(data, &batch, self.architecture.row_width());
        let pass = self.generator.forward(draws, &inputs, &masks);
        let dropout = self.critic.dropout(n / self.architecture.pac, &mut self.random);
        let (_, d_rows) = self.critic.judge(&pass.rows, &inputs, &dropout);
        let (cross_entropy, d_logits) = match cross_entropy(&pass.logits, sampler, &batch) {
            None => (0.0, None),
            Some((loss, d)) => (loss, Some(d)),
        };
        self.generator.learn(&pass, &inputs, &d_rows, d_logits.as_ref());
        self.adam[0].step(self.generator.params().collect());
        cross_entropy
    }

    /// The generator with the statistics of its normalisation fixed, by rows drawn uniformly. The
    /// critic is not part of it. `data` is what it was trained on.
    pub fn freeze(&self, data: &Data<'_>) -> Frozen {
        let mut own = self.clone();
        for param in own.generator.params() {
            if !param.average.is_empty() && self.adam[0].averaging > 0.0 {
                param.value.clone_from(&param.average);
            }
        }
        let n_layers = own.architecture.residual.len();
        let width = |at: usize| own.architecture.residual[at];
        let mut statistics: Vec<(Vec<f32>, Vec<f32>)> =
            (0..n_layers).map(|at| (vec![0.0; width(at)], vec![1.0; width(at)])).collect();
        if !data.rows.is_empty() {
            for (_, variance) in &mut statistics {
                variance.fill(0.0);
            }
            own.random = Random::new(0, 2);
            let n = own.architecture.pac * PACKS_MIN;
            let sampling = match data.sampling {
                Sampling::Choices => Sampling::Choices,
                _ => Sampling::Uniform,
            };
            let sampler = Sampler::new(sampling, data.rows, &own.architecture.blocks);
            for _ in 0..N_CALIBRATION {
                let batch = sampler.draw(n, &mut own.random);
                let inputs = inputs(data, &sampler, &batch);
                let draws = own.generator.draws(n, &mut own.random);
                let masks = masks(data, &batch, own.architecture.row_width());
                let pass = own.generator.forward(draws, &inputs, &masks);
                for (statistic, normed) in statistics.iter_mut().zip(&pass.normed) {
                    add_share(&mut statistic.0, &normed.mean);
                    add_share(&mut statistic.1, &normed.variance);
                }
            }
        }
        Frozen::of(&own.generator, &statistics)
    }
}

/// Weight decay of both networks, CTGAN's.
const WEIGHT_DECAY: f32 = 1e-6;

fn add_share(sum: &mut [f32], part: &[f32]) {
    sum.iter_mut().zip(part).for_each(|(s, p)| *s += p / N_CALIBRATION as f32);
}

fn inputs(data: &Data<'_>, sampler: &Sampler, batch: &Batch) -> Vec<Matrix> {
    let of_field = |values: &Values<'_>| {
        values.values.dense(batch.rows.iter().map(|&row| values.of_row[row as usize]))
    };
    data.conditions.iter().map(of_field).chain(sampler.condition(batch)).collect()
}

fn masks(data: &Data<'_>, batch: &Batch, width: usize) -> Matrix {
    match &data.masks {
        None => Matrix::of(width, vec![1.0; batch.rows.len() * width]),
        Some(masks) => masks.values.dense(batch.rows.iter().map(|&row| masks.of_row[row as usize])),
    }
}

/// Mean cross-entropy of the choices asked for, and its gradient by the logits.
pub(crate) fn cross_entropy(
    logits: &Matrix,
    sampler: &Sampler,
    batch: &Batch,
) -> Option<(f32, Matrix)> {
    let Sampler::Choices(blocks) = sampler else { return None };
    let n = batch.rows.len() as f32;
    let mut d = Matrix::zeros(logits.n_rows(), logits.n_cols());
    let mut loss = 0.0;
    for (at, &(block, choice)) in batch.choices.iter().enumerate() {
        let units = blocks[block].in_row..blocks[block].in_row + blocks[block].n;
        let logits = &logits.row(at)[units.clone()];
        let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = logits.iter().map(|l| exp(l - greatest)).sum();
        loss += (ln(sum) + greatest - logits[choice]) / n;
        for (unit, (d, l)) in d.row_mut(at)[units].iter_mut().zip(logits).enumerate() {
            *d = (exp(l - greatest) / sum - f32::from(u8::from(unit == choice))) / n;
        }
    }
    Some((loss, d))
}
