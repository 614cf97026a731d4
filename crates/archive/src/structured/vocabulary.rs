//! What a window talks about, without any conditional: what models other than trees share with them.
//!
//! Call sites, resources, keys and their values, shapes and how many traces have each; and a window
//! in these terms. Privacy is the same: what too few traces share is not in it.

use crate::limits::Limits;
use crate::traces::Traces;

use super::Error;
use super::codes::Codes;
use super::domain::Domain;
use super::fit::{labels, layout, resources, sites};
use super::format;
use super::keys::fit_keys;
use super::model::{Model, N_SLOTS_MAX};
use super::topology::Topology;

/// A window in the terms of its vocabulary.
#[derive(Debug)]
pub(crate) struct Described {
    /// Services, sites, resources, keys, layout, shapes, and in `drawn` the traces of each shape.
    pub(crate) model: Model,
    /// Shapes as labels; slots filled.
    pub(crate) codes: Codes,
    /// For slots of numeric keys the number, in units of the key; 0 for all others.
    pub(crate) numbers: Vec<i64>,
    /// The value of each slot itself: equal ids are equal values.
    pub(crate) exact: Vec<u32>,
}

/// Describes a window.
///
/// # Errors
/// The window has more shapes, call sites or keys than a file may hold.
pub(crate) fn describe(traces: &Traces) -> Result<Described, Error> {
    let trace_of: Vec<u32> = (0..traces.n_traces())
        .flat_map(|trace| std::iter::repeat_n(trace as u32, traces.spans_of(trace).len()))
        .collect();
    let mut model = Model::default();
    let site_of = sites(traces, &trace_of, &mut model);
    let resource_of = resources(traces, &trace_of, &site_of, &mut model);
    let labels = labels(traces, &site_of, &model.sites)?;
    let shape = |label: &u32| labels.topology.shape_of(*label);
    let shapes: Vec<u32> = labels.label.iter().map(shape).collect();
    let spans = labels.topology.shapes.into_iter().map(|shape| shape.spans).collect();
    model.topology = Topology::new(spans, Vec::new());
    model.drawn = vec![0; model.topology.shapes.len()];
    for &shape in &shapes {
        model.drawn[shape as usize] += 1;
    }
    let fitted = fit_keys(traces, &trace_of);
    if fitted.len() > usize::from(u16::MAX) - 2 {
        return Err(Error::TooMany("attribute keys"));
    }
    model.layout = layout(&fitted, &site_of, model.sites.len());
    if model.n_slots() > N_SLOTS_MAX {
        return Err(Error::TooMany("attributes"));
    }
    let mut codes = empty_codes(&model, &shapes);
    let mut numbers = vec![0; codes.slots.len()];
    let mut exact = vec![u32::MAX; codes.slots.len()];
    for span in 0..codes.n_spans() {
        let slot = codes.base[span] as usize;
        exact[slot] = resource_of[traces.pod[span] as usize];
        codes.slots[slot] = exact[slot] as u16 + 1;
    }
    for (key, fitted) in fitted.iter().enumerate() {
        let column = &traces.columns[fitted.column];
        let number = number_of(traces, &fitted.key.domain);
        for (at, &span) in column.spans.iter().enumerate() {
            let node = codes.node[span as usize];
            if let Some(slot) = model.layout.slot(node, key as u16 + 1) {
                let slot = (codes.base[span as usize] + slot) as usize;
                codes.slots[slot] = fitted.codes[at];
                exact[slot] = column.values[at];
                numbers[slot] = number(column.values[at]);
            }
        }
    }
    model.keys = fitted.into_iter().map(|fitted| fitted.key).collect();
    Ok(Described { model, codes, numbers, exact })
}

/// A window of shapes without values.
pub(crate) fn empty_codes(model: &Model, shapes: &[u32]) -> Codes {
    let traces: Vec<(u16, u32)> = shapes.iter().map(|&shape| (0, shape)).collect();
    Codes::new(&traces, &model.topology, &model.layout, &model.service_of(), 1)
}

/// Numbers in units of the key's domain.
fn number_of<'a>(traces: &'a Traces, domain: &Domain) -> impl Fn(u32) -> i64 + 'a {
    use spanwise_model::ValueRef;

    let (is_numeric, scale) = match domain {
        Domain::Numbers { decimals, .. } => (true, 10_f64.powi(i32::from(*decimals))),
        _ => (false, 1.0),
    };
    move |value| match traces.values.get(value) {
        ValueRef::Int(number) if is_numeric => number,
        ValueRef::Double(number) if is_numeric && number.is_finite() => (number * scale) as i64,
        _ => 0,
    }
}

/// The sections of the vocabulary alone.
pub(crate) fn write_vocabulary(model: &Model) -> Vec<([u8; 4], Vec<u8>)> {
    format::write_part(model, &TAGS)
}

/// Reads them back within limits.
///
/// # Errors
/// A section is missing, ends early, exceeds a limit or contradicts another.
pub(crate) fn read_vocabulary<'a>(
    find: impl Fn([u8; 4]) -> Option<(u16, &'a [u8])>,
    limits: &Limits,
) -> Result<Model, Error> {
    let model = format::read_part(&find, limits, &TAGS)?;
    format::check_slots(&model, limits.n_slots)?;
    Ok(model)
}

const TAGS: [[u8; 4]; 2] = [format::DICT, format::SHAPES];
