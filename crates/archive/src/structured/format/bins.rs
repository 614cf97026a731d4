//! Edges of bins, and what gaps are measured from.

use crate::structured::Error;
use crate::structured::bins::{Bins, Z_MAX};
use crate::structured::calibration::{LEVELS, Quantiles};
use crate::structured::coder::{Coder, hash, number, signed};
use crate::structured::coordinates::Reference;
use crate::structured::domain::Domain;
use crate::structured::model::Model;

use super::{N_EDGES_MAX, Stream};

pub(super) fn code<C: Coder>(stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    model.references.resize(model.topology.edges.len(), Reference::Parallel);
    for (at, reference) in model.references.iter_mut().enumerate() {
        let (parent, child) = model.topology.edges[at];
        *reference = Reference::of(stream.number(0xd0, [parent, child], *reference as u32));
    }
    let n_sites = model.sites.len();
    for (what, all) in [(0, &mut model.gaps), (1, &mut model.tails), (2, &mut model.durations)] {
        all.resize(n_sites, Bins::default());
        let mut last: Vec<i32> = Vec::new();
        for (site, bins) in all.iter_mut().enumerate() {
            let kind = model.sites[site].kind as u32;
            *bins = self::bins(stream, bins, [what, kind], &last)?;
            last.clone_from(&bins.grid);
        }
    }
    model.quantiles.resize(n_sites, Quantiles::default());
    for (site, quantiles) in model.quantiles.iter_mut().enumerate() {
        *quantiles = self::quantiles(stream, quantiles, &model.tails[site])?;
    }
    for key in &mut model.keys {
        if let Domain::Numbers { bins, .. } = &mut key.domain {
            *bins = self::bins(stream, bins, [3, 0], &[])?;
            if bins.len() == 0 {
                return Err(Error::Impossible("bin"));
            }
        }
    }
    stream.coder.check()
}

/// The number of edges, the first of them, and the distances between them.
fn bins<C: Coder>(
    stream: &mut Stream<C>,
    bins: &Bins,
    [what, kind]: [u32; 2],
    last: &[i32],
) -> Result<Bins, Error> {
    let n = stream.number(0xd4, [what, last.len() as u32], bins.grid.len() as u32);
    if n > N_EDGES_MAX {
        return Err(Error::TooMany("bins"));
    }
    if n == 1 {
        return Err(Error::Impossible("bin"));
    }
    let mut grid: Vec<i32> = Vec::new();
    let mut steps = [0_u32; 2];
    for at in 0..n as usize {
        stream.coder.check()?;
        let Some(&before) = grid.last() else {
            let contexts = [hash(0xd8, what), hash(0xd9, hash(what, kind))];
            let first = bins.grid.first().copied().unwrap_or(0);
            grid.push(signed(&mut stream.coder, 13, &contexts, first));
            continue;
        };
        let step =
            bins.grid.get(at).map_or(0, |z| z.wrapping_sub(before).wrapping_sub(1).cast_unsigned());
        let level = at as u32 * 64 / n;
        let magnitude = |step: u32| (step + 1).ilog2();
        let contexts = [
            hash(0xdc, hash(what, level)),
            hash(0xdd, hash(what, magnitude(steps[0]))),
            hash(0xde, hash(magnitude(steps[0]), magnitude(steps[1]))),
            hash(0xdf, hash(at as u32, hash(n, what))),
            hash(0xe0, hash(level, magnitude(steps[0]))),
        ];
        let step = number(&mut stream.coder, 14, &contexts, step);
        steps = [step, steps[0]];
        grid.push(before.saturating_add_unsigned(step).saturating_add(1));
    }
    let fits = |z: &i32| z.abs() <= Z_MAX + 1;
    let ascends = grid.windows(2).all(|pair| pair[0] < pair[1]);
    if grid.iter().all(fits) && ascends {
        Ok(Bins::of_grid(grid))
    } else {
        Err(Error::Impossible("edge"))
    }
}

/// Nothing, or a point of the grid for each level. Durations of spans without children are their
/// tails: the edges of those are a context.
fn quantiles<C: Coder>(
    stream: &mut Stream<C>,
    quantiles: &Quantiles,
    tails: &Bins,
) -> Result<Quantiles, Error> {
    let mut grid: Vec<i32> = Vec::new();
    if !stream.flag(0x130, 0, !quantiles.grid.is_empty()) {
        return Ok(Quantiles { grid });
    }
    let mut steps = [0_u32; 2];
    let mut at_edges = 0_u32;
    for at in 0..LEVELS.len() {
        stream.coder.check()?;
        let magnitude = |step: u32| (step + 1).ilog2();
        let z = quantiles.grid.get(at).copied().unwrap_or(0);
        let Some(&before) = grid.last() else {
            let expected = tails.grid.first().copied().unwrap_or(0);
            let off = signed(&mut stream.coder, 27, &[hash(0x134, 0)], z.wrapping_sub(expected));
            grid.push(expected.saturating_add(off));
            at_edges += u32::from(off == 0);
            continue;
        };
        let expected = tails
            .grid
            .iter()
            .find(|edge| **edge >= before.saturating_add((steps[0] / 2).cast_signed()));
        let expected = expected.map_or(0, |edge| edge.wrapping_sub(before).cast_unsigned());
        let contexts = [
            hash(0x138, at as u32),
            hash(0x139, hash(magnitude(expected), u32::from(at_edges as usize * 2 > at))),
            hash(0x13a, hash(magnitude(steps[0]), magnitude(steps[1]))),
            hash(0x13b, hash(at as u32, magnitude(steps[0]))),
            hash(0x13c, expected),
        ];
        let step = number(&mut stream.coder, 28, &contexts, z.wrapping_sub(before).cast_unsigned());
        at_edges += u32::from(step == expected);
        steps = [step, steps[0]];
        grid.push(before.saturating_add_unsigned(step));
    }
    if grid.iter().all(|z| z.abs() <= Z_MAX + 1) && grid.is_sorted() {
        Ok(Quantiles { grid })
    } else {
        Err(Error::Impossible("quantile"))
    }
}
