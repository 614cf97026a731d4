//! After training: choices come up as often as the table has them.
//!
//! A critic that judges packs hardly sees whether a rare choice is half or twice as common as it
//! should be. So, for each unit of a plain field, what the generator offers on average over the rows
//! with that unit is compared with what these rows have, and the difference of the logarithms goes
//! into the weights from that unit to the last layer. How choices depend on everything else stays as
//! it was learnt, and so does the number of weights.

use crate::fields::Field;
use crate::frozen::{Frozen, Scratch};
use crate::gan::Data;
use crate::math::{exp, ln};
use crate::random::Random;
use crate::rows::Block;

/// Rows that stand for all rows with a unit.
const N_ROWS: usize = 128;
const N_ROUNDS: usize = 3;
/// Rows of each choice beside those that there are.
const PRIOR: f32 = 0.05;
/// Logarithms are moved by at most this in a round.
const STEP_MAX: f32 = 4.0;

impl Frozen {
    /// Calibrates against what the generator was trained on, given the units of a plain field; without
    /// one, over all rows. Rows with several units of the field count for none.
    pub fn calibrate(&mut self, data: &Data<'_>, field: Option<usize>, seed: u64) {
        let field = field.filter(|at| matches!(self.field(*at), Field::Plain { .. }));
        let n_units = field.map_or(1, |at| self.field(at).n_in());
        let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); n_units];
        for row in 0..data.rows.len() {
            let values = field.map(|at| {
                let values = &data.conditions[at];
                values.values.get(values.of_row[row] as usize)
            });
            match values {
                None => rows_of[0].push(row as u32),
                Some(&[(unit, _)]) => rows_of[usize::from(unit)].push(row as u32),
                Some(_) => {}
            }
        }
        let mut random = Random::new(seed, 3);
        for (unit, rows) in rows_of.iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            for _ in 0..N_ROUNDS {
                let steps = self.steps(data, rows, &mut random);
                self.move_logits(field.map(|at| (at, unit)), &steps);
            }
        }
    }

    /// By how much the logit of each unit of a row should move for some rows.
    fn steps(&self, data: &Data<'_>, rows: &[u32], random: &mut Random) -> Vec<f32> {
        let blocks = self.blocks().to_vec();
        let width = data.rows.width();
        let (mut real, mut offered) = (vec![0.0_f32; width], vec![0.0_f32; width]);
        for &row in rows {
            for &(unit, value) in data.rows.get(row as usize) {
                real[usize::from(unit)] += value / rows.len() as f32;
            }
        }
        let step = rows.len().div_ceil(N_ROWS);
        let sample: Vec<u32> = rows.iter().copied().step_by(step).collect();
        let (mut scratch, mut logits) = (Scratch::default(), Vec::new());
        for &row in &sample {
            let row = row as usize;
            let conditions = data.conditions.iter();
            let fields: Vec<&[(u16, f32)]> =
                conditions.map(|v| v.values.get(v.of_row[row] as usize)).collect();
            let allowed = data.masks.as_ref().map(|v| v.values.get(v.of_row[row] as usize));
            self.logits(&fields, allowed, random, &mut scratch, &mut logits);
            add_shares(&blocks, &logits, 1.0 / sample.len() as f32, &mut offered);
        }
        let prior = PRIOR / rows.len() as f32;
        let mut steps = Vec::with_capacity(width);
        for block in &blocks {
            let units = steps.len()..steps.len() + block.width();
            let is_choice = matches!(block, Block::Choice(_));
            let step = |(real, offered): (&f32, &f32)| {
                let step = ln((real + prior) / (offered + prior));
                let moves = is_choice && *offered > 0.0;
                if moves { step.clamp(-STEP_MAX, STEP_MAX) } else { 0.0 }
            };
            steps.extend(real[units.clone()].iter().zip(&offered[units]).map(step));
        }
        steps
    }
}

/// Adds the probabilities of choices; logits that are not finite are not offered.
fn add_shares(blocks: &[Block], logits: &[f32], weight: f32, shares: &mut [f32]) {
    let mut begin = 0;
    for block in blocks {
        let units = begin..begin + block.width();
        begin = units.end;
        let (logits, shares) = (&logits[units.clone()], &mut shares[units]);
        let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if matches!(block, Block::Scalar) || !greatest.is_finite() {
            continue;
        }
        let share = |logit: f32| if logit.is_finite() { exp(logit - greatest) } else { 0.0 };
        let sum: f32 = logits.iter().map(|logit| share(*logit)).sum();
        for (total, logit) in shares.iter_mut().zip(logits) {
            *total += weight * share(*logit) / sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;
    use crate::frozen::Value;
    use crate::gan::{Gan, Training, Values};
    use crate::rows::Rows;
    use crate::sampling::Sampling;

    /// Scenario: a generator that has learnt nothing; the second choice is one row in 100 for the
    /// first unit and three in four for the second, and a third choice is masked.
    #[test]
    fn choices_come_up_as_often_as_the_table_has_them() {
        let (mut rows, mut of_row) = (Rows::new(4), Vec::new());
        for row in 0..4000_u32 {
            let is_second = if row % 2 == 0 { row % 200 == 0 } else { row % 8 != 1 };
            rows.push([(0, 0.1), (1 + u16::from(is_second), 1.0)]);
            of_row.push(row % 2);
        }
        let mut units = Rows::new(2);
        units.push([(0, 1.0)]);
        units.push([(1, 1.0)]);
        let mut masks = Rows::new(4);
        masks.push([(0, 1.0), (1, 1.0), (2, 1.0)]);
        masks.push([(0, 1.0), (1, 1.0), (2, 1.0)]);
        let values = |values| Values { values, of_row: &of_row };
        let data = Data {
            rows: &rows,
            conditions: vec![values(&units)],
            masks: Some(values(&masks)),
            sampling: Sampling::Uniform,
        };
        let blocks = vec![Block::Scalar, Block::Choice(3)];
        let architecture = Architecture::ctgan(vec![Field::Plain { n_in: 2 }], blocks);
        let mut frozen = Gan::new(architecture, &Training::default(), 1).freeze(&data);
        frozen.calibrate(&data, Some(0), 1);
        for (unit, expected) in [0.01, 0.75].into_iter().enumerate() {
            let (mut random, mut scratch) = (Random::new(1, 0), Scratch::default());
            let mut drawn = Vec::new();
            let mut n_second = 0.0;
            for _ in 0..4000 {
                let allowed = Some(masks.get(unit));
                frozen.generate(&[units.get(unit)], allowed, &mut random, &mut scratch, &mut drawn);
                assert_ne!(drawn[1], Value::Choice(Some(2)));
                n_second += f32::from(u8::from(drawn[1] == Value::Choice(Some(1)))) / 4000.0;
            }
            assert!((n_second - expected).abs() < 0.03, "{unit}: {n_second}");
        }
    }
}
