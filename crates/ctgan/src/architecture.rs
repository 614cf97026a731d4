//! Sizes of a pair of networks, and the list of their layers.

use crate::fields::Field;
use crate::rows::{Block, width_of};

/// Sizes of a generator and its critic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Numbers of noise.
    pub n_noise: usize,
    /// Units of the rectified layer over the noise; `None` has no such layer.
    pub noise_embedding: Option<usize>,
    /// What rows are conditioned on.
    pub fields: Vec<Field>,
    /// Units of each residual layer of the generator.
    pub residual: Vec<usize>,
    /// Units of each hidden layer of the critic.
    pub critic: Vec<usize>,
    /// Rows that the critic judges together.
    pub pac: usize,
    /// What a row consists of.
    pub blocks: Vec<Block>,
}

/// A layer, as tables of papers name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it belongs to.
    pub context: Context,
    /// Units that come out.
    pub n_out: usize,
    /// What is applied to them.
    pub activation: Activation,
}

/// What a layer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// The embedding of the field with this number.
    Field(usize),
    /// The embedding of the noise.
    Noise,
    /// The generator.
    Generator,
    /// The critic, or discriminator.
    Critic,
}

/// What is applied to the units of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// max(0, x).
    Rectifier,
    /// Batch normalisation, then max(0, x).
    NormRectifier,
    /// tanh for scalars, Gumbel-softmax for choices.
    Row,
    /// x or x/5, half of the units dropped out.
    LeakyDropout,
}

impl Architecture {
    /// The defaults of CTGAN for rows of `blocks`: two layers of 256, packs of 10, noise of 128.
    pub fn ctgan(fields: Vec<Field>, blocks: Vec<Block>) -> Self {
        Self {
            n_noise: 128,
            noise_embedding: None,
            fields,
            residual: vec![256, 256],
            critic: vec![256, 256],
            pac: 10,
            blocks,
        }
    }

    /// Units of a row.
    pub fn row_width(&self) -> usize {
        width_of(&self.blocks)
    }

    /// The layers in the order in which a row passes them.
    pub fn layers(&self) -> Vec<Layer> {
        let layer = |context, n_out, activation| Layer { context, n_out, activation };
        let fields = self.fields.iter().enumerate().map(|(at, field)| {
            let activation = match field {
                Field::Rectified { .. } => Activation::Rectifier,
                Field::Plain { .. } | Field::Linear { .. } => Activation::Identity,
            };
            layer(Context::Field(at), field.n_out(), activation)
        });
        let noise = self.noise_embedding.map(|n| layer(Context::Noise, n, Activation::Rectifier));
        let residual =
            self.residual.iter().map(|&n| layer(Context::Generator, n, Activation::NormRectifier));
        let row = layer(Context::Generator, self.row_width(), Activation::Row);
        let critic =
            self.critic.iter().map(|&n| layer(Context::Critic, n, Activation::LeakyDropout));
        let score = layer(Context::Critic, 1, Activation::Identity);
        fields.chain(noise).chain(residual).chain([row]).chain(critic).chain([score]).collect()
    }
}
