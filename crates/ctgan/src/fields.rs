//! What a row is conditioned on: fields, and how each enters a network.

use crate::layer::{Linear, Param, gate, rectify};
use crate::matrix::Matrix;
use crate::random::Random;

/// A part of the condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Enters as it is.
    Plain {
        /// Its units.
        n_in: usize,
    },
    /// Through a linear layer: with the rows of a normalised adjacency as its units, a graph
    /// convolution.
    Linear {
        /// Its units.
        n_in: usize,
        /// Units of the embedding.
        n_out: usize,
    },
    /// Through a linear layer and a rectifier.
    Rectified {
        /// Its units.
        n_in: usize,
        /// Units of the embedding.
        n_out: usize,
    },
}

impl Field {
    /// Units that come in.
    pub const fn n_in(self) -> usize {
        match self {
            Self::Plain { n_in } | Self::Linear { n_in, .. } | Self::Rectified { n_in, .. } => n_in,
        }
    }

    /// Units that enter the network.
    pub const fn n_out(self) -> usize {
        match self {
            Self::Plain { n_in } => n_in,
            Self::Linear { n_out, .. } | Self::Rectified { n_out, .. } => n_out,
        }
    }
}

/// The fields of a network with its own layers. Generator and critic share none: with a common one
/// the generator would move the condition that the critic sees.
#[derive(Clone, Debug)]
pub(crate) struct Embedding {
    pub(crate) fields: Vec<(Field, Option<Linear>)>,
}

impl Embedding {
    pub(crate) fn new(fields: &[Field], random: &mut Random) -> Self {
        let layer = |&field: &Field| match field {
            Field::Plain { .. } => (field, None),
            _ => (field, Some(Linear::new(field.n_in(), field.n_out(), random))),
        };
        Self { fields: fields.iter().map(layer).collect() }
    }

    pub(crate) fn n_out(&self) -> usize {
        self.fields.iter().map(|(field, _)| field.n_out()).sum()
    }

    /// One matrix a field, as the network sees it.
    pub(crate) fn forward(&self, inputs: &[Matrix]) -> Vec<Matrix> {
        let embed = |((field, layer), input): (&(Field, Option<Linear>), &Matrix)| match layer {
            None => input.clone(),
            Some(layer) => {
                let mut out = layer.forward(input);
                if matches!(field, Field::Rectified { .. }) {
                    rectify(&mut out);
                }
                out
            }
        };
        self.fields.iter().zip(inputs).map(embed).collect()
    }

    /// Adds to the gradients; `gradient` covers the fields from column `at` on.
    pub(crate) fn learn(
        &mut self,
        inputs: &[Matrix],
        outputs: &[Matrix],
        gradient: &Matrix,
        mut at: usize,
    ) {
        for (((field, layer), input), output) in self.fields.iter_mut().zip(inputs).zip(outputs) {
            let columns = at..at + field.n_out();
            at = columns.end;
            let Some(layer) = layer else { continue };
            let mut part = gradient.columns(columns);
            if matches!(field, Field::Rectified { .. }) {
                gate(&mut part, output);
            }
            layer.learn(input, &part);
        }
    }

    pub(crate) fn params(&mut self) -> impl Iterator<Item = &mut Param> {
        self.fields.iter_mut().filter_map(|(_, layer)| layer.as_mut()).flat_map(Linear::params)
    }
}
