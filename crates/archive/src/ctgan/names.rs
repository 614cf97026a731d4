//! What the units of networks mean, as numbers: so that the networks of one window can go on from
//! those of the last, whose dictionaries were others.

use std::fmt::Debug;
use std::hash::Hasher as _;

use rustc_hash::FxHasher;
use spanwise_ctgan::Names;

use super::metadata::{Kind, Layout};
use super::networks::{Input, Network, Networks};
use crate::gan_options::{GanOptions, TopologyCode};
use crate::structured::{Domain, Model};

/// The names of a network's units.
pub(crate) fn names(
    networks: &Networks,
    network: Network,
    model: &Model,
    options: &GanOptions,
) -> Names {
    let architecture = &networks.architectures[network as usize];
    let inputs = Networks::inputs(network, options);
    let field = |(input, n_in): (&Input, usize)| match input {
        Input::Start => (0..n_in).map(|unit| name(("start", unit))).collect(),
        Input::Head => of_layout(&networks.head, model),
        Input::Sites => {
            let n_plain = n_in.min(model.sites.len() * networks.n_tails);
            let failed = networks.below_failed.iter().take(n_in - n_plain);
            let failed = failed.map(|&site| name(("failed", of_site(model, site as usize))));
            (0..n_plain).map(|unit| of_site(model, unit)).chain(failed).collect()
        }
        Input::Topology if options.topology == TopologyCode::Convolution => {
            (0..n_in).map(|unit| of_site(model, unit)).collect()
        }
        Input::Topology => {
            let shapes = model.topology.shapes.iter().map(|shape| {
                let span = |span: &(u32, u16)| (of_site(model, span.0 as usize), span.1);
                name(shape.spans.iter().map(span).collect::<Vec<_>>())
            });
            shapes.chain((0..model.sites.len()).map(|site| of_site(model, site))).collect()
        }
    };
    let n_in = architecture.fields.iter().map(|field| field.n_in());
    let row = match network {
        Network::Start => (0..architecture.row_width()).map(|unit| name(("start", unit))).collect(),
        Network::Root => of_layout(&networks.root, model),
        Network::Chain => {
            let part = of_layout(&networks.tail, model);
            let parts = (0..networks.n_tails).flat_map(|at| part.iter().map(move |n| (at, *n)));
            parts.map(name).collect()
        }
    };
    Names { fields: inputs.iter().zip(n_in).map(field).collect(), row }
}

/// Of a unit that stands for a part of a chain and a site.
fn of_site(model: &Model, unit: usize) -> u64 {
    let site = &model.sites[unit % model.sites.len()];
    let service = &model.services[site.service as usize];
    name((unit / model.sites.len(), service, &site.name, site.kind))
}

fn of_layout(layout: &Layout, model: &Model) -> Vec<u64> {
    let mut all = Vec::with_capacity(layout.width());
    layout.each(|kind, n, copies| {
        let column = match kind {
            Kind::Number(key) | Kind::Code(key) => {
                let key = &model.keys[usize::from(key)];
                name((key.place, &key.name))
            }
            other => name(other),
        };
        if kind.is_number() {
            all.push(name((column, "place")));
        }
        if copies {
            all.push(name((column, "as the head")));
        }
        let n = n - usize::from(copies);
        all.extend((0..n).map(|choice| name((column, of_choice(kind, choice, n, model)))));
    });
    all
}

fn of_choice(kind: Kind, choice: usize, n: usize, model: &Model) -> u64 {
    match kind {
        Kind::Resource => {
            let resource = &model.resources[choice];
            name((&model.services[resource.service as usize], &resource.attributes))
        }
        // The last choice is absence, whatever the number of modes.
        Kind::Number(_) if choice + 1 == n => name("none"),
        Kind::Code(key) => match &model.keys[usize::from(key)].domain {
            Domain::Categories { values, .. } => {
                name(choice.checked_sub(1).map(|at| values.get(at)))
            }
            Domain::Texts { templates, .. } => {
                name(choice.checked_sub(1).map(|at| templates.get(at).map(|t| &t.text)))
            }
            Domain::Numbers { .. } => name(choice),
        },
        _ => name(choice),
    }
}

fn name(what: impl Debug) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(format!("{what:?}").as_bytes());
    hasher.finish()
}
