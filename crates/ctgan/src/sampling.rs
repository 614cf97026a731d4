//! Which rows a batch is made of.

use crate::matrix::Matrix;
use crate::random::Random;
use crate::rows::{Block, Rows};

/// How rows are drawn for training.
#[derive(Clone, Copy, Debug)]
pub enum Sampling<'a> {
    /// Each row alike.
    Uniform,
    /// A group by the logarithm of its size, then a row of it: groups are part of what rows are
    /// conditioned on, so drawing rare ones more often distorts nothing.
    Groups(&'a [u32]),
    /// CTGAN's training by sampling: a choice block uniformly, one of its choices by the logarithm of
    /// its frequency, then a row that has it. The choice becomes the last field of the condition,
    /// a unit for each choice of each block, and the generator is held to it by cross-entropy.
    Choices,
}

/// Rows to draw, prepared.
#[derive(Debug)]
pub(crate) enum Sampler {
    Uniform(usize),
    Grouped(Weighted),
    Choices(Vec<ChoiceBlock>),
}

/// Groups of rows with cumulative weights.
#[derive(Debug, Default)]
pub(crate) struct Weighted {
    rows: Vec<Vec<u32>>,
    cumulative: Vec<f64>,
}

#[derive(Debug)]
pub(crate) struct ChoiceBlock {
    /// First unit of the block in the row, and in the condition.
    pub(crate) in_row: usize,
    pub(crate) in_condition: usize,
    pub(crate) n: usize,
    groups: Weighted,
}

/// A batch: rows, and for [`Sampling::Choices`] the block and choice of each.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<u32>,
    pub(crate) choices: Vec<(usize, usize)>,
}

impl Weighted {
    fn of(rows: Vec<Vec<u32>>) -> Self {
        let mut sum = 0.0;
        let mut weight = |group: &Vec<u32>| {
            sum += libm::log1p(group.len() as f64);
            sum
        };
        let cumulative = rows.iter().map(&mut weight).collect();
        Self { rows, cumulative }
    }

    /// A group and a row of it.
    fn draw(&self, random: &mut Random) -> (usize, u32) {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let at = f64::from(random.unit()) * total;
        let group = self.cumulative.partition_point(|&c| c <= at).min(self.rows.len() - 1);
        (group, self.rows[group][random.below(self.rows[group].len())])
    }
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling<'_>, rows: &Rows, blocks: &[Block]) -> Self {
        match sampling {
            Sampling::Uniform => Self::Uniform(rows.len()),
            Sampling::Groups(of_row) => {
                let n = of_row.iter().max().map_or(0, |&last| last as usize + 1);
                let mut groups = vec![Vec::new(); n];
                for (row, &group) in of_row.iter().enumerate() {
                    groups[group as usize].push(row as u32);
                }
                Self::Grouped(Weighted::of(groups))
            }
            Sampling::Choices => Self::Choices(choice_blocks(rows, blocks)),
        }
    }

    pub(crate) fn draw(&self, n: usize, random: &mut Random) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..n {
            match self {
                Self::Uniform(n_rows) => batch.rows.push(random.below(*n_rows) as u32),
                Self::Grouped(groups) => batch.rows.push(groups.draw(random).1),
                Self::Choices(blocks) => {
                    let block = random.below(blocks.len());
                    let (choice, row) = blocks[block].groups.draw(random);
                    batch.rows.push(row);
                    batch.choices.push((block, choice));
                }
            }
        }
        batch
    }

    /// The last field of the condition, for [`Sampling::Choices`].
    pub(crate) fn condition(&self, batch: &Batch) -> Option<Matrix> {
        let Self::Choices(blocks) = self else { return None };
        let width = blocks.iter().map(|block| block.n).sum();
        let mut condition = Matrix::zeros(batch.rows.len(), width);
        for (at, &(block, choice)) in batch.choices.iter().enumerate() {
            condition.row_mut(at)[blocks[block].in_condition + choice] = 1.0;
        }
        Some(condition)
    }
}

fn choice_blocks(rows: &Rows, blocks: &[Block]) -> Vec<ChoiceBlock> {
    let (mut in_row, mut in_condition) = (0, 0);
    let mut all = Vec::new();
    for block in blocks {
        if let Block::Choice(n) = *block {
            let mut groups = vec![Vec::new(); n];
            for row in 0..rows.len() {
                let units = in_row..in_row + n;
                let own =
                    rows.get(row).iter().find(|(unit, _)| units.contains(&usize::from(*unit)));
                if let Some(&(unit, _)) = own {
                    groups[usize::from(unit) - in_row].push(row as u32);
                }
            }
            all.push(ChoiceBlock { in_row, in_condition, n, groups: Weighted::of(groups) });
            in_condition += n;
        }
        in_row += block.width();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_drawn_by_the_logarithm_of_their_size() {
        let of_row: Vec<u32> = (0..1000).map(|row| u32::from(row >= 990)).collect();
        let rows = Rows::new(1);
        let sampler = Sampler::new(Sampling::Groups(&of_row), &rows, &[]);
        let batch = sampler.draw(20_000, &mut Random::new(1, 0));
        let n_rare = batch.rows.iter().filter(|&&row| row >= 990).count() as f64;
        let expected = 11_f64.ln() / (11_f64.ln() + 991_f64.ln());
        assert!((n_rare / 20_000.0 - expected).abs() < 0.01, "{n_rare}");
    }

    #[test]
    fn a_choice_comes_with_a_row_that_has_it() {
        let mut rows = Rows::new(6);
        for row in 0..50_u16 {
            rows.push([(0, 0.5), (1 + row % 3, 1.0), (4 + u16::from(row % 10 == 0), 1.0)]);
        }
        let blocks = [Block::Scalar, Block::Choice(3), Block::Choice(2)];
        let sampler = Sampler::new(Sampling::Choices, &rows, &blocks);
        let batch = sampler.draw(500, &mut Random::new(2, 0));
        let condition = sampler.condition(&batch).unwrap();
        for (at, &row) in batch.rows.iter().enumerate() {
            let unit = condition.row(at).iter().position(|&x| x > 0.0).unwrap();
            let has = rows.get(row as usize).iter().any(|entry| usize::from(entry.0) == unit + 1);
            assert!(has && condition.row(at).iter().sum::<f32>() < 1.5);
        }
        assert!(batch.choices.contains(&(1, 1)));
    }
}
