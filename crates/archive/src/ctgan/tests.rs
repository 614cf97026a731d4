//! Sizes as the paper's Table 2 prints them.

use spanwise_ctgan::{Activation, Architecture, Context, Layer, Normaliser};

use super::metadata::Normalisers;
use super::networks::{Input, Network, Networks};
use crate::gan_options::GanOptions;
use crate::structured::{Model, Topology};

/// A model of two call sites, and eight components for starts, as in the paper.
fn networks(options: &GanOptions) -> Networks {
    use spanwise_model::SpanKind;

    let site = |name: &[u8]| crate::structured::Site {
        service: 0,
        name: name.to_vec(),
        kind: SpanKind::Server,
    };
    let model = Model {
        services: vec![b"shop".to_vec()],
        sites: vec![site(b"a"), site(b"b")],
        topology: Topology::new(vec![vec![(0, 0), (1, 1)]], Vec::new()),
        layout: crate::structured::Layout::new(vec![Vec::new(); 2], 0),
        ..Model::default()
    };
    let modes = |n: u8| Normaliser::of((0..n).map(|at| (f64::from(at), 1.0)));
    let normalisers = Normalisers {
        start: modes(8),
        gap: modes(3),
        duration: modes(5),
        keys: Vec::new(),
        ..Normalisers::default()
    };
    Networks::new(&model, &normalisers, options, Vec::new()).unwrap()
}

/// Layers of a network as Table 2 counts them, the unnamed condition vector left out.
fn table(architecture: &Architecture, inputs: &[Input]) -> Vec<(Option<Input>, Layer)> {
    let named = |layer: Layer| match layer.context {
        Context::Field(at) => (Some(inputs[at]), layer),
        _ => (None, layer),
    };
    architecture.layers().into_iter().map(named).filter(|(i, _)| *i != Some(Input::Sites)).collect()
}

#[test]
fn layers_are_those_of_table_2() {
    let options = GanOptions::default();
    let networks = networks(&options);
    let layer = |context, n_out, activation| Layer { context, n_out, activation };
    for network in [Network::Start, Network::Root, Network::Chain] {
        let inputs = Networks::inputs(network, &options);
        let own = table(&networks.architectures[network as usize], &inputs);
        let row = networks.architectures[network as usize].row_width();
        let field = |input| {
            let at = inputs.iter().position(|other| *other == input);
            at.map(|at| (input, Context::Field(at)))
        };
        let embeddings = [
            (field(Input::Start), 9, Activation::Identity),
            (field(Input::Head), 32, Activation::Rectifier),
            (field(Input::Topology), 32, Activation::Identity),
        ];
        let embeddings = embeddings.into_iter().filter_map(|(field, n, activation)| {
            field.map(|(input, context)| (Some(input), layer(context, n, activation)))
        });
        let others = [
            layer(Context::Noise, 128, Activation::Rectifier),
            layer(Context::Generator, 128, Activation::NormRectifier),
            // Printed as 128: what is generated is a row.
            layer(Context::Generator, row, Activation::Row),
            layer(Context::Critic, 128, Activation::LeakyDropout),
            layer(Context::Critic, 1, Activation::Identity),
        ];
        let expected: Vec<_> = embeddings.chain(others.map(|layer| (None, layer))).collect();
        assert_eq!(own, expected, "{network:?}");
        let given = [Input::Start, Input::Head, Input::Topology].map(|i| inputs.contains(&i));
        let expected = match network {
            Network::Start => [false, false, true],
            Network::Root => [true, false, true],
            Network::Chain => [true, true, true],
        };
        assert_eq!(given, expected);
    }
}
