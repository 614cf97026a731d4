//! A start at the marginals: a generator that has learnt nothing yet draws each block as often as the
//! table has it, given one field.
//!
//! The last layer sees the fields as they are, since residual layers append their input. So weights
//! from the units of a plain field to the logits are logarithms of frequencies. Without it the first
//! epochs go into finding out what is rare, and a choice that few rows have comes up far too often.

use crate::fields::Field;
use crate::gan::{Data, Gan};
use crate::rows::Block;

/// Rows of each choice beside those that were counted.
const PRIOR: f32 = 0.1;
/// Places nearer to the ends than this are taken for it.
const PLACE_MAX: f32 = 0.95;

impl Gan {
    /// Sets the last layer so that blocks follow their frequencies given the units of a plain field,
    /// by its number; without one, their frequencies over all rows.
    pub fn start_at_marginals(&mut self, data: &Data<'_>, field: Option<usize>) {
        let blocks = self.architecture().blocks.clone();
        let fields = self.architecture().fields.clone();
        let width = self.architecture().row_width();
        let plain = field.filter(|at| matches!(fields[*at], Field::Plain { .. }));
        let n_units = plain.map_or(1, |at| fields[at].n_in());
        // By unit of the field: rows, and sums of the units of rows.
        let mut n_rows = vec![0.0_f32; n_units];
        let mut sums = vec![0.0_f32; n_units * width];
        // Where rows have several units of the field, each has its part of the logits.
        let mut n_together = 1;
        for row in 0..data.rows.len() {
            let of_field = match plain {
                None => &[(0, 1.0)][..],
                Some(at) => {
                    let values = &data.conditions[at];
                    values.values.get(values.of_row[row] as usize)
                }
            };
            n_together = n_together.max(of_field.len());
            for &(unit, _) in of_field {
                let unit = usize::from(unit);
                n_rows[unit] += 1.0;
                for &(out, value) in data.rows.get(row) {
                    sums[unit * width + usize::from(out)] += value;
                }
            }
        }
        let embedded = |at: usize| fields[..at].iter().map(|field| field.n_out()).sum::<usize>();
        let n_in = self.generator.out.n_in;
        let all_fields = embedded(fields.len());
        for (unit, n_rows) in n_rows.into_iter().enumerate() {
            let sums = &sums[unit * width..(unit + 1) * width];
            let mut logits = logits(&blocks, sums, n_rows);
            for logit in &mut logits {
                *logit /= n_together as f32;
            }
            let out = &mut self.generator.out;
            match plain {
                None => out.bias.value = logits,
                Some(at) => {
                    let input = n_in - all_fields + embedded(at) + unit;
                    out.weight.value[input * width..(input + 1) * width].copy_from_slice(&logits);
                }
            }
        }
    }
}

fn logits(blocks: &[Block], sums: &[f32], n_rows: f32) -> Vec<f32> {
    let mut logits = Vec::with_capacity(sums.len());
    for block in blocks {
        let sums = &sums[logits.len()..logits.len() + block.width()];
        match block {
            Block::Scalar => {
                let mean = (sums[0] / n_rows.max(1.0)).clamp(-PLACE_MAX, PLACE_MAX);
                logits.push(0.5 * ((1.0 + mean) / (1.0 - mean)).ln());
            }
            Block::Choice(n) => {
                let total = sums.iter().sum::<f32>() + PRIOR * *n as f32;
                logits.extend(sums.iter().map(|sum| ((sum + PRIOR) / total).ln()));
            }
        }
    }
    logits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;
    use crate::frozen::{Scratch, Value};
    use crate::gan::{Training, Values};
    use crate::random::Random;
    use crate::rows::Rows;
    use crate::sampling::Sampling;

    #[test]
    fn rare_choices_are_rare_before_anything_is_learnt() {
        let (mut rows, mut of_row) = (Rows::new(3), Vec::new());
        for row in 0..2000_u32 {
            let choice = if row % 2 == 0 { u16::from(row % 100 == 0) } else { 1 };
            rows.push([(0, 0.5), (1 + choice, 1.0)]);
            of_row.push(row % 2);
        }
        let mut sites = Rows::new(2);
        sites.push([(0, 1.0)]);
        sites.push([(1, 1.0)]);
        let conditions = vec![Values { values: &sites, of_row: &of_row }];
        let data = Data { rows: &rows, conditions, masks: None, sampling: Sampling::Uniform };
        let blocks = vec![Block::Scalar, Block::Choice(2)];
        let architecture = Architecture::ctgan(vec![Field::Plain { n_in: 2 }], blocks);
        let mut gan = Gan::new(architecture, &Training::default(), 1);
        gan.start_at_marginals(&data, Some(0));
        let frozen = gan.freeze(&data);
        let share = |site: usize| {
            let (mut random, mut scratch) = (Random::new(1, 0), Scratch::default());
            let mut values = Vec::new();
            let drawn = |_| {
                let fields = [sites.get(site)];
                frozen.generate(&fields, None, &mut random, &mut scratch, &mut values);
                values[1] == Value::Choice(Some(1))
            };
            (0..2000).map(drawn).filter(|is_second| *is_second).count()
        };
        let (first, second) = (share(0), share(1));
        assert!((10..120).contains(&first) && second > 1950, "{first} {second}");
    }
}
