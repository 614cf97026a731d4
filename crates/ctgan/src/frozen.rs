//! A trained generator as it is stored, and rows from it.
//!
//! Sums run in a fixed order in `f32` without fused multiplication: eight partial sums over the
//! inputs, added pairwise. So the same bytes and seed give the same rows, to the bit, on every
//! machine; normalisation is folded into the layer before it.

use crate::architecture::Architecture;
use crate::error::Error;
use crate::fields::Field;
use crate::generator::Generator;
use crate::layer::{Linear, Param};
use crate::math::tanh;
use crate::random::Random;
use crate::rows::Block;

/// Partial sums of a sum.
const LANES: usize = 8;

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Precision {
    /// 32 bits each.
    Full = 0,
    /// 8 bits each, and a factor for each output.
    Byte = 1,
}

/// A generator that learns no more.
#[derive(Clone, Debug, PartialEq)]
pub struct Frozen {
    blocks: Vec<Block>,
    n_noise: usize,
    noise: Option<Dense>,
    fields: Vec<(Field, Option<Dense>)>,
    residual: Vec<Dense>,
    out: Dense,
}

/// A layer: for each output a row of weights over the inputs.
#[derive(Clone, Debug, PartialEq)]
struct Dense {
    n_in: usize,
    weights: Vec<f32>,
    biases: Vec<f32>,
}

/// A generated value of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number in [-1, 1].
    Scalar(f32),
    /// A choice; `None` if the mask allows none.
    Choice(Option<u16>),
}

/// Buffers of [`Frozen::generate`].
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    x: Vec<f32>,
    layer: Vec<f32>,
    allowed: Vec<bool>,
}

impl Frozen {
    pub(crate) fn of(generator: &Generator, statistics: &[(Vec<f32>, Vec<f32>)]) -> Self {
        let fields = generator.embedding.fields.iter();
        Self {
            blocks: generator.blocks.clone(),
            n_noise: generator.n_noise,
            noise: generator.noise.as_ref().map(Dense::of),
            fields: fields.map(|(field, layer)| (*field, layer.as_ref().map(Dense::of))).collect(),
            residual: folded(generator, statistics),
            out: Dense::of(&generator.out),
        }
    }

    fn layers(&self) -> impl Iterator<Item = &Dense> {
        let fields = self.fields.iter().filter_map(|(_, layer)| layer.as_ref());
        self.noise.iter().chain(fields).chain(&self.residual).chain([&self.out])
    }

    /// Weights and biases together.
    pub fn n_params(&self) -> usize {
        self.layers().map(|layer| layer.weights.len() + layer.biases.len()).sum()
    }

    /// Layers one after the other: noise, fields, residual layers, row. Each: its biases as f32, then
    /// for [`Precision::Full`] its weights as f32, else a factor for each output as f32 and the
    /// weights as i8; weights by output, little-endian.
    pub fn encode(&self, precision: Precision) -> Vec<u8> {
        let mut out = vec![precision as u8];
        for layer in self.layers() {
            layer.encode(precision, &mut out);
        }
        out
    }

    /// Reads what [`Frozen::encode`] wrote for a generator of the same sizes.
    ///
    /// # Errors
    /// The bytes are too few or too many for the sizes, or hold a number that is not finite.
    pub fn decode(architecture: &Architecture, bytes: &[u8]) -> Result<Self, Error> {
        let (&precision, mut rest) = bytes.split_first().ok_or(Error::Length)?;
        let precision = match precision {
            0 => Precision::Full,
            1 => Precision::Byte,
            _ => return Err(Error::Precision(precision)),
        };
        let rest = &mut rest;
        let mut read = |n_in, n_out| Dense::decode(precision, n_in, n_out, rest);
        let n_noise = architecture.n_noise;
        let noise = architecture.noise_embedding.map(|n| read(n_noise, n)).transpose()?;
        let mut fields = Vec::new();
        for &field in &architecture.fields {
            let layer = match field {
                Field::Plain { .. } => None,
                _ => Some(read(field.n_in(), field.n_out())?),
            };
            fields.push((field, layer));
        }
        let embedded: usize = architecture.fields.iter().map(|field| field.n_out()).sum();
        let mut width = architecture.noise_embedding.unwrap_or(n_noise) + embedded;
        let mut residual = Vec::new();
        for &n in &architecture.residual {
            residual.push(read(width, n)?);
            width += n;
        }
        let out = read(width, architecture.row_width())?;
        if !rest.is_empty() {
            return Err(Error::Length);
        }
        Ok(Self { blocks: architecture.blocks.clone(), n_noise, noise, fields, residual, out })
    }

    /// What comes back from storing it so.
    pub fn rounded(
        &self,
        architecture: &Architecture,
        precision: Precision,
    ) -> Result<Self, Error> {
        Self::decode(architecture, &self.encode(precision))
    }

    /// One row: a value for each block. `fields` has the entries of each field, `allowed` the units
    /// that the row may have, `None` for all. Memory and time are bounded by the sizes.
    pub fn generate(
        &self,
        fields: &[&[(u16, f32)]],
        allowed: Option<&[(u16, f32)]>,
        random: &mut Random,
        scratch: &mut Scratch,
        values: &mut Vec<Value>,
    ) {
        self.hidden(fields, allowed, random, scratch);
        let Scratch { x, allowed: flags, .. } = scratch;
        values.clear();
        let mut begin = 0;
        for block in &self.blocks {
            let units = begin..begin + block.width();
            begin = units.end;
            values.push(match block {
                Block::Scalar if flags[units.start] => {
                    Value::Scalar(tanh(self.out.unit(units.start, x)))
                }
                Block::Scalar => Value::Scalar(0.0),
                Block::Choice(_) => {
                    let mut best = (f32::NEG_INFINITY, None);
                    for unit in units.clone().filter(|&unit| flags[unit]) {
                        let logit = self.out.unit(unit, x) + random.gumbel();
                        if best.1.is_none() || logit > best.0 {
                            best = (logit, Some((unit - units.start) as u16));
                        }
                    }
                    Value::Choice(best.1)
                }
            });
        }
    }

    /// The logits of a row before chance, negative infinity where a unit is not allowed.
    pub(crate) fn logits(
        &self,
        fields: &[&[(u16, f32)]],
        allowed: Option<&[(u16, f32)]>,
        random: &mut Random,
        scratch: &mut Scratch,
        logits: &mut Vec<f32>,
    ) {
        self.hidden(fields, allowed, random, scratch);
        let Scratch { x, allowed: flags, .. } = scratch;
        let logit = |(unit, is_allowed): (usize, &bool)| {
            if *is_allowed { self.out.unit(unit, x) } else { f32::NEG_INFINITY }
        };
        logits.clear();
        logits.extend(flags.iter().enumerate().map(logit));
    }

    /// Leaves in `scratch` what the last layer sees, and which units are allowed.
    fn hidden(
        &self,
        fields: &[&[(u16, f32)]],
        allowed: Option<&[(u16, f32)]>,
        random: &mut Random,
        scratch: &mut Scratch,
    ) {
        assert_eq!(fields.len(), self.fields.len(), "a field without entries");
        let Scratch { x, layer, allowed: flags } = scratch;
        layer.clear();
        layer.extend((0..self.n_noise).map(|_| random.normal()));
        x.clear();
        match &self.noise {
            None => x.extend_from_slice(layer),
            Some(noise) => noise.forward(layer, true, x),
        }
        for ((field, dense), entries) in self.fields.iter().zip(fields) {
            embed(*field, dense.as_ref(), entries, x);
        }
        for dense in &self.residual {
            layer.clear();
            dense.forward(x, true, layer);
            layer.extend_from_slice(x);
            std::mem::swap(x, layer);
        }
        flags.clear();
        flags.resize(self.out.biases.len(), allowed.is_none());
        for &(unit, _) in allowed.into_iter().flatten() {
            flags[usize::from(unit)] = true;
        }
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    pub(crate) fn field(&self, at: usize) -> Field {
        self.fields[at].0
    }

    /// Adds to the logits, of all rows or of those with a unit of a plain field.
    pub(crate) fn move_logits(&mut self, unit: Option<(usize, usize)>, steps: &[f32]) {
        let Some((field, unit)) = unit else {
            self.out.biases.iter_mut().zip(steps).for_each(|(bias, step)| *bias += step);
            return;
        };
        // Fields are the last inputs.
        let behind: usize = self.fields[field..].iter().map(|(field, _)| field.n_out()).sum();
        let n_in = self.out.n_in;
        let input = n_in - behind + unit;
        let weights = self.out.weights.iter_mut().skip(input).step_by(n_in);
        weights.zip(steps).for_each(|(weight, step)| *weight += step);
    }
}

/// The residual layers with their normalisation folded in.
fn folded(generator: &Generator, statistics: &[(Vec<f32>, Vec<f32>)]) -> Vec<Dense> {
    let mut layers = Vec::new();
    for ((linear, norm), (mean, variance)) in generator.residual.iter().zip(statistics) {
        layers.push(Dense::of(linear).folded(&norm.frozen(mean, variance)));
    }
    layers
}

fn embed(field: Field, dense: Option<&Dense>, entries: &[(u16, f32)], x: &mut Vec<f32>) {
    let begin = x.len();
    match dense {
        None => {
            x.resize(begin + field.n_in(), 0.0);
            for &(unit, value) in entries {
                x[begin + usize::from(unit)] = value;
            }
        }
        Some(dense) => {
            x.extend_from_slice(&dense.biases);
            for &(unit, value) in entries {
                let weights = dense.weights.iter().skip(usize::from(unit)).step_by(dense.n_in);
                x[begin..].iter_mut().zip(weights).for_each(|(x, w)| *x += value * w);
            }
            if matches!(field, Field::Rectified { .. }) {
                for x in &mut x[begin..] {
                    *x = x.max(0.0);
                }
            }
        }
    }
}

impl Dense {
    fn of(linear: &Linear) -> Self {
        let (n_in, n_out) = (linear.n_in, linear.n_out);
        let values = |param: &Param| param.value.clone();
        let weight = values(&linear.weight);
        let by_output = (0..n_out).flat_map(|out| (0..n_in).map(move |at| (at, out)));
        let weights = by_output.map(|(at, out)| weight[at * n_out + out]).collect();
        Self { n_in, weights, biases: values(&linear.bias) }
    }

    /// Followed by a factor and an addend for each output.
    fn folded(mut self, columns: &[(f32, f32)]) -> Self {
        for (at, &(factor, addend)) in columns.iter().enumerate() {
            let weights = &mut self.weights[at * self.n_in..(at + 1) * self.n_in];
            for weight in weights {
                *weight *= factor;
            }
            self.biases[at] = self.biases[at] * factor + addend;
        }
        self
    }

    fn encode(&self, precision: Precision, out: &mut Vec<u8>) {
        let mut put = |value: f32| out.extend_from_slice(&value.to_le_bytes());
        for bias in &self.biases {
            put(*bias);
        }
        if precision == Precision::Full {
            for weight in &self.weights {
                put(*weight);
            }
            return;
        }
        let rows = || self.weights.chunks(self.n_in.max(1));
        let factor = |row: &[f32]| row.iter().fold(0.0_f32, |m, w| m.max(w.abs())) / 127.0;
        let factors: Vec<f32> =
            rows().map(factor).chain(std::iter::repeat(0.0)).take(self.biases.len()).collect();
        for factor in &factors {
            put(*factor);
        }
        for (row, factor) in rows().zip(&factors) {
            let byte =
                |w: &f32| if *factor > 0.0 { (w / factor).round_ties_even() as i8 } else { 0 };
            out.extend(row.iter().map(|w| byte(w).cast_unsigned()));
        }
    }

    fn decode(
        precision: Precision,
        n_in: usize,
        n_out: usize,
        bytes: &mut &[u8],
    ) -> Result<Self, Error> {
        let biases = numbers(n_out, bytes)?;
        let weights = match precision {
            Precision::Full => numbers(n_in * n_out, bytes)?,
            Precision::Byte => {
                let factors = numbers(n_out, bytes)?;
                let bytes = take(n_in * n_out, bytes)?;
                let rows = bytes.chunks(n_in.max(1)).zip(factors);
                let row = |(row, factor): (&[u8], f32)| -> Vec<f32> {
                    row.iter().map(|b| f32::from(b.cast_signed()) * factor).collect()
                };
                rows.flat_map(row).collect()
            }
        };
        Ok(Self { n_in, weights, biases })
    }

    /// One output.
    fn unit(&self, out: usize, x: &[f32]) -> f32 {
        let weights = &self.weights[out * self.n_in..(out + 1) * self.n_in];
        let mut lanes = [0.0_f32; LANES];
        let (whole, x_whole) = (weights.chunks_exact(LANES), x.chunks_exact(LANES));
        let rest = whole.remainder().iter().zip(x_whole.remainder());
        for (weights, x) in whole.zip(x_whole) {
            for ((lane, w), x) in lanes.iter_mut().zip(weights).zip(x) {
                *lane += w * x;
            }
        }
        for (lane, (w, x)) in lanes.iter_mut().zip(rest) {
            *lane += w * x;
        }
        let [a, b, c, d, e, f, g, h] = lanes;
        self.biases[out] + (((a + e) + (c + g)) + ((b + f) + (d + h)))
    }

    /// Appends all outputs.
    fn forward(&self, x: &[f32], rectified: bool, y: &mut Vec<f32>) {
        let output = |out: usize| {
            let sum = self.unit(out, x);
            if rectified { sum.max(0.0) } else { sum }
        };
        y.extend((0..self.biases.len()).map(output));
    }
}

fn take<'a>(n: usize, bytes: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let (taken, rest) = bytes.split_at_checked(n).ok_or(Error::Length)?;
    *bytes = rest;
    Ok(taken)
}

fn numbers(n: usize, bytes: &mut &[u8]) -> Result<Vec<f32>, Error> {
    let taken = take(n.checked_mul(4).ok_or(Error::Length)?, bytes)?;
    let number = |chunk: &[u8]| f32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
    let all: Vec<f32> = taken.chunks_exact(4).map(number).collect();
    if all.iter().all(|number| number.is_finite()) { Ok(all) } else { Err(Error::NotFinite) }
}
