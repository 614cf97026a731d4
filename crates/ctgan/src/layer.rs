//! Parameters with their optimiser, and the layers that have parameters.

use crate::matrix::Matrix;
use crate::random::Random;

/// Added to variances before their root, as in torch.
const EPSILON: f32 = 1e-5;

/// Numbers that are learned, their gradient, and what Adam remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Param {
    pub(crate) value: Vec<f32>,
    pub(crate) grad: Vec<f32>,
    /// Running mean of `value` over steps; see [`Adam::averaging`].
    pub(crate) average: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
}

/// Adam with weight decay added to the gradient, as torch's.
#[derive(Clone, Debug)]
pub(crate) struct Adam {
    pub(crate) rate: f32,
    /// Decay of the running mean of parameters; 0 keeps the last value.
    pub(crate) averaging: f32,
    pub(crate) weight_decay: f32,
    n_steps: i32,
}

const BETA: [f32; 2] = [0.5, 0.9];
const ADAM_EPSILON: f32 = 1e-8;

impl Adam {
    pub(crate) fn new(rate: f32, weight_decay: f32, averaging: f32) -> Self {
        Self { rate, averaging, weight_decay, n_steps: 0 }
    }

    /// Moves parameters against their gradients, which become 0.
    pub(crate) fn step(&mut self, params: Vec<&mut Param>) {
        self.n_steps += 1;
        let correction = BETA.map(|beta| 1.0 - beta.powi(self.n_steps));
        // The mean over all steps at first, so that the start is soon forgotten.
        let kept = self.averaging.min(1.0 - 1.0 / self.n_steps as f32);
        for param in params {
            param.remember();
            let moments = param.first.iter_mut().zip(&mut param.second);
            let state = param.grad.iter_mut().zip(moments);
            let values = param.value.iter_mut().zip(&mut param.average);
            for ((value, average), (grad, (first, second))) in values.zip(state) {
                let g = *grad + self.weight_decay * *value;
                *first = BETA[0] * *first + (1.0 - BETA[0]) * g;
                *second = BETA[1] * *second + (1.0 - BETA[1]) * g * g;
                let root = (*second / correction[1]).sqrt() + ADAM_EPSILON;
                *value -= self.rate * (*first / correction[0]) / root;
                *average = kept * *average + (1.0 - kept) * *value;
                *grad = 0.0;
            }
        }
    }
}

impl Param {
    pub(crate) fn of(value: Vec<f32>) -> Self {
        let grad = vec![0.0; value.len()];
        Self { value, grad, ..Self::default() }
    }

    /// Uniform in +-bound.
    pub(crate) fn uniform(n: usize, bound: f32, random: &mut Random) -> Self {
        Self::of((0..n).map(|_| (2.0 * random.unit() - 1.0) * bound).collect())
    }

    fn remember(&mut self) {
        if self.first.is_empty() {
            self.first = vec![0.0; self.value.len()];
            self.second = vec![0.0; self.value.len()];
            self.average = vec![0.0; self.value.len()];
        }
    }
}

/// y = x W + b.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    pub(crate) n_in: usize,
    pub(crate) n_out: usize,
    /// `n_in` rows of `n_out`.
    pub(crate) weight: Param,
    pub(crate) bias: Param,
}

impl Linear {
    /// Uniform in +-1/sqrt(`n_in`), torch's default.
    pub(crate) fn new(n_in: usize, n_out: usize, random: &mut Random) -> Self {
        let bound = 1.0 / (n_in.max(1) as f32).sqrt();
        let weight = Param::uniform(n_in * n_out, bound, random);
        Self { n_in, n_out, weight, bias: Param::uniform(n_out, bound, random) }
    }

    pub(crate) fn forward(&self, x: &Matrix) -> Matrix {
        let mut y = x.times(&self.weight.value, self.n_out);
        for row in y.rows_mut() {
            row.iter_mut().zip(&self.bias.value).for_each(|(y, b)| *y += b);
        }
        y
    }

    /// Adds to the gradients of the parameters.
    pub(crate) fn learn(&mut self, x: &Matrix, dy: &Matrix) {
        x.add_outer(dy, &mut self.weight.grad);
        for row in 0..dy.n_rows() {
            self.bias.grad.iter_mut().zip(dy.row(row)).for_each(|(b, d)| *b += d);
        }
    }

    /// The gradient of the input.
    pub(crate) fn back(&self, dy: &Matrix) -> Matrix {
        dy.times_transposed(&self.weight.value, self.n_in)
    }

    pub(crate) fn params(&mut self) -> [&mut Param; 2] {
        [&mut self.weight, &mut self.bias]
    }
}

/// Each column less its mean over the batch, divided by its deviation; then scaled and moved.
#[derive(Clone, Debug)]
pub(crate) struct BatchNorm {
    pub(crate) scale: Param,
    pub(crate) shift: Param,
}

/// What [`BatchNorm::back`] needs of a batch, and what the batch was like.
#[derive(Clone, Debug)]
pub(crate) struct Normed {
    x_hat: Matrix,
    pub(crate) mean: Vec<f32>,
    /// Without Bessel's correction.
    pub(crate) variance: Vec<f32>,
}

impl BatchNorm {
    pub(crate) fn new(n: usize) -> Self {
        Self { scale: Param::of(vec![1.0; n]), shift: Param::of(vec![0.0; n]) }
    }

    /// By the statistics of the batch.
    pub(crate) fn forward(&self, x: &Matrix) -> (Matrix, Normed) {
        let (n, n_cols) = (x.n_rows() as f32, x.n_cols());
        let mut mean = vec![0.0; n_cols];
        for row in 0..x.n_rows() {
            mean.iter_mut().zip(x.row(row)).for_each(|(m, x)| *m += x);
        }
        for m in &mut mean {
            *m /= n;
        }
        let mut variance = vec![0.0; n_cols];
        for row in 0..x.n_rows() {
            for ((v, x), m) in variance.iter_mut().zip(x.row(row)).zip(&mean) {
                *v += (x - m) * (x - m);
            }
        }
        for v in &mut variance {
            *v /= n;
        }
        let inverse: Vec<f32> = variance.iter().map(|v| 1.0 / (v + EPSILON).sqrt()).collect();
        let mut x_hat = x.clone();
        let mut y = Matrix::zeros(x.n_rows(), n_cols);
        for row in 0..x.n_rows() {
            let hat = x_hat.row_mut(row);
            for (at, y) in y.row_mut(row).iter_mut().enumerate() {
                hat[at] = (hat[at] - mean[at]) * inverse[at];
                *y = hat[at] * self.scale.value[at] + self.shift.value[at];
            }
        }
        (y, Normed { x_hat, mean, variance })
    }

    /// Adds to the gradients of the parameters; returns that of the input.
    pub(crate) fn back(&mut self, normed: &Normed, dy: &Matrix) -> Matrix {
        let (n, n_cols) = (dy.n_rows() as f32, dy.n_cols());
        let mut sums = vec![(0.0_f32, 0.0_f32); n_cols];
        for row in 0..dy.n_rows() {
            let pairs = dy.row(row).iter().zip(normed.x_hat.row(row));
            for (sum, (d, x)) in sums.iter_mut().zip(pairs) {
                sum.0 += d;
                sum.1 += d * x;
            }
        }
        let mut dx = Matrix::zeros(dy.n_rows(), n_cols);
        for row in 0..dy.n_rows() {
            let (dy, x_hat) = (dy.row(row), normed.x_hat.row(row));
            for (at, dx) in dx.row_mut(row).iter_mut().enumerate() {
                let inverse = 1.0 / (normed.variance[at] + EPSILON).sqrt();
                let centred = dy[at] - sums[at].0 / n - x_hat[at] * sums[at].1 / n;
                *dx = self.scale.value[at] * inverse * centred;
            }
        }
        for (at, sum) in sums.into_iter().enumerate() {
            self.shift.grad[at] += sum.0;
            self.scale.grad[at] += sum.1;
        }
        dx
    }

    /// (Factor, addend) of each column once mean and variance are fixed.
    pub(crate) fn frozen(&self, mean: &[f32], variance: &[f32]) -> Vec<(f32, f32)> {
        let column = |at: usize| {
            let factor = self.scale.value[at] / (variance[at] + EPSILON).sqrt();
            (factor, self.shift.value[at] - mean[at] * factor)
        };
        (0..mean.len()).map(column).collect()
    }
}

/// Keeps what is above 0.
pub(crate) fn rectify(x: &mut Matrix) {
    for x in x.data_mut() {
        *x = x.max(0.0);
    }
}

/// Of a gradient, what passes where the output was above 0.
pub(crate) fn gate(gradient: &mut Matrix, output: &Matrix) {
    for (d, y) in gradient.data_mut().iter_mut().zip(output.data()) {
        if *y <= 0.0 {
            *d = 0.0;
        }
    }
}
