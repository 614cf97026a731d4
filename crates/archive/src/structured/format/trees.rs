//! Trees: splits in preorder, leaves where they stand.

use crate::structured::Error;
use crate::structured::coder::{Coder, bits, hash, number, signed};
use crate::structured::coupling::{Coupling, KEYS, Key, STEPS};
use crate::structured::features::{Feature, KINDS};
use crate::structured::model::{COPY, Conditionals, Model, TARGET};
use crate::structured::tree::{Leaf, SCALES, Step, Test, Tree};

use super::{LEAF_CODES_MAX, Stream};

/// What a tree is about.
#[derive(Clone, Copy, Debug)]
struct Target<'a> {
    /// 0 shape, 1 duration, 2 resource, 3 key, 4 gap, 5 tail.
    what: u32,
    /// The key of a column, the node of a time.
    which: u32,
    /// Codes that may occur, ascending.
    alphabet: &'a [u16],
}

/// What trees share while they are coded.
struct Budget {
    leaves: usize,
    codes: usize,
    columns: u32,
}

pub(super) fn code<C: Coder>(stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    let mut budget = Budget { leaves: 0, codes: 0, columns: model.keys.len() as u32 + 1 };
    let drawn = model.drawn.iter().enumerate().filter(|shape| *shape.1 > 0);
    let alphabet: Vec<u16> = drawn.map(|shape| shape.0 as u16).collect();
    let target = Target { what: 0, which: 0, alphabet: &alphabet };
    model.shape = optional(stream, &mut budget, target, model.shape.take())?;
    let n = model.durations.iter().map(super::Bins::len).max().unwrap_or(0);
    let alphabet = up_to(n);
    let target = Target { what: 1, which: 0, alphabet: &alphabet };
    model.duration = optional(stream, &mut budget, target, model.duration.take())?;
    let nodes = std::mem::take(&mut model.nodes);
    let mut nodes = nodes.into_iter();
    let mut read = Vec::new();
    for node in 0..model.sites.len() {
        read.push(conditionals(stream, &mut budget, model, node, nodes.next())?);
    }
    model.nodes = read;
    let has_traces = model.per_bucket.iter().any(|&n| n > 0);
    let is_drawn = model.drawn.iter().any(|&n| n > 0);
    if model.shape.is_some() != is_drawn || model.duration.is_some() != has_traces {
        return Err(Error::Impossible("tree"));
    }
    stream.coder.check()
}

fn up_to(n: usize) -> Vec<u16> {
    (1..=n as u16).collect()
}

fn conditionals<C: Coder>(
    stream: &mut Stream<C>,
    budget: &mut Budget,
    model: &Model,
    node: usize,
    from: Option<Conditionals>,
) -> Result<Conditionals, Error> {
    let couplings = from.as_ref().map(|from| [from.gap_coupling, from.tail_coupling]);
    let [gap_coupling, tail_coupling] = couplings.unwrap_or_default();
    let (columns, gap, tail) = match from {
        Some(from) => (from.columns, from.gap, Some(from.tail)),
        None => (Vec::new(), None, None),
    };
    let mut columns = columns.into_iter();
    let resources = model.resources_of(model.sites[node].service);
    let resources = resources.map(|at| at as u16 + 1 + TARGET);
    let alphabet: Vec<u16> = std::iter::once(COPY).chain(resources).collect();
    let mut all = Vec::new();
    let target = Target { what: 2, which: model.sites[node].service, alphabet: &alphabet };
    all.push(tree(stream, budget, target, columns.next())?);
    for &key in &model.layout.keys[node] {
        let n = model.keys[usize::from(key)].domain.n_codes() as u16 + TARGET;
        let alphabet: Vec<u16> = (0..=n).collect();
        let target = Target { what: 3, which: u32::from(key), alphabet: &alphabet };
        all.push(tree(stream, budget, target, columns.next())?);
    }
    // A gap of 0 is a root's.
    let alphabet: Vec<u16> = (0..=model.gaps[node].len() as u16).collect();
    let target = Target { what: 4, which: node as u32, alphabet: &alphabet };
    let gap = optional(stream, budget, target, gap)?;
    let alphabet = up_to(model.tails[node].len());
    let target = Target { what: 5, which: node as u32, alphabet: &alphabet };
    let tail = tree(stream, budget, target, tail)?;
    let (mut gap_coupling, mut tail_coupling) = (gap_coupling, tail_coupling);
    if stream.version > 1 {
        gap_coupling = coupling(stream, 0, gap_coupling)?;
        tail_coupling = coupling(stream, 1, tail_coupling)?;
    }
    Ok(Conditionals { columns: all, gap, tail, gap_coupling, tail_coupling })
}

/// The keys, each with its weight, then the weight of chance.
fn coupling<C: Coder>(
    stream: &mut Stream<C>,
    what: u32,
    coupling: Coupling,
) -> Result<Coupling, Error> {
    let mut keys = [(Key::None, 0); 2];
    let mut before = Key::None as u32;
    for (at, (key, steps)) in keys.iter_mut().enumerate() {
        let known = [what << 1 | at as u32, before];
        let number = stream.number(0x140, known, coupling.keys[at].0 as u32);
        *key = *KEYS.get(number as usize).ok_or(Error::Impossible("coupling"))?;
        if *key == Key::None {
            break;
        }
        if *key == Key::OwnGap && what == 0 {
            return Err(Error::Impossible("coupling"));
        }
        let contexts = [hash(0x144, known[0]), hash(0x145, hash(known[0], number))];
        let weight = signed(&mut stream.coder, 29, &contexts, i32::from(coupling.keys[at].1));
        *steps = weight.clamp(-2 * STEPS, 2 * STEPS) as i8;
        before = number;
    }
    let mut chance = 0;
    if keys[0].0 != Key::None {
        chance =
            stream.number(0x148, [what, keys[0].1.unsigned_abs().into()], coupling.chance as u32);
    }
    Ok(Coupling { keys, chance: chance.min(STEPS as u32) as i8 })
}

fn optional<C: Coder>(
    stream: &mut Stream<C>,
    budget: &mut Budget,
    target: Target<'_>,
    from: Option<Tree>,
) -> Result<Option<Tree>, Error> {
    if stream.flag(0xe4, target.what, from.is_some()) {
        tree(stream, budget, target, from).map(Some)
    } else {
        Ok(None)
    }
}

/// A split whose children are still to come.
struct Open {
    depth: u32,
    right_of: Option<usize>,
    /// Kind of the split above, and whether this is its left child.
    above: u32,
}

fn tree<C: Coder>(
    stream: &mut Stream<C>,
    budget: &mut Budget,
    target: Target<'_>,
    from: Option<Tree>,
) -> Result<Tree, Error> {
    let from = from.unwrap_or(Tree { steps: Vec::new(), leaves: Vec::new() });
    let mut read = Tree { steps: Vec::new(), leaves: Vec::new() };
    // Weights that codes had in the leaf before, out of 255.
    let mut last = vec![0_u16; target.alphabet.len()];
    let mut open = vec![Open { depth: 0, right_of: None, above: 0 }];
    while let Some(task) = open.pop() {
        stream.coder.check()?;
        let here = read.steps.len();
        if let Some(parent) = task.right_of
            && let Step::Split { right, .. } = &mut read.steps[parent]
        {
            *right = here as u32;
        }
        let split = match from.steps.get(here) {
            Some(Step::Split { feature, test, .. }) => Some((*feature, test)),
            _ => None,
        };
        let contexts = [
            hash(0xe8, hash(target.what, task.depth)),
            hash(0xe9, hash(target.what, task.above)),
            hash(0xea, hash(target.which, hash(target.what, task.depth.min(2)))),
        ];
        if stream.coder.bit(15, &contexts, split.is_some()) {
            if task.depth >= stream.limits.tree_depth {
                return Err(Error::TooMany("levels in a tree"));
            }
            let feature = feature(stream, budget, target, &task, split.map(|s| s.0))?;
            let test = test(stream, feature, target, split.map(|s| s.1))?;
            let above = feature.kind as u32 + 1;
            read.steps.push(Step::Split { feature, test, right: 0 });
            let depth = task.depth + 1;
            open.push(Open { depth, right_of: Some(here), above: above << 1 | 1 });
            open.push(Open { depth, right_of: None, above: above << 1 });
        } else {
            budget.leaves += 1;
            if budget.leaves > stream.limits.n_leaves as usize {
                return Err(Error::TooMany("leaves"));
            }
            let leaf = from.leaves.get(read.leaves.len());
            read.steps.push(Step::Leaf(read.leaves.len() as u32));
            let leaf = self::leaf(stream, budget, target, leaf, &mut last)?;
            read.leaves.push(leaf);
        }
    }
    Ok(read)
}

fn feature<C: Coder>(
    stream: &mut Stream<C>,
    budget: &Budget,
    target: Target<'_>,
    task: &Open,
    feature: Option<Feature>,
) -> Result<Feature, Error> {
    let kind = feature.map_or(0, |feature| feature.kind as u32);
    let contexts = [
        hash(0xec, target.what),
        hash(0xed, hash(target.what, task.above)),
        hash(0xee, hash(target.what, target.which)),
        hash(0xef, hash(target.what, task.depth)),
    ];
    let kind = bits(&mut stream.coder, 16, &contexts, 5, kind);
    let kind = *KINDS.get(kind as usize).ok_or(Error::Impossible("feature"))?;
    let mut column = 0;
    if kind.has_column() {
        column = feature.map_or(0, |feature| u32::from(feature.column));
        let contexts = [
            hash(0xf0, kind as u32),
            hash(0xf1, hash(kind as u32, hash(target.what, target.which))),
            hash(0xf2, target.what),
        ];
        column = number(&mut stream.coder, 17, &contexts, column);
        if column >= budget.columns {
            return Err(Error::Impossible("column"));
        }
    }
    Ok(Feature { kind, column: column as u16 })
}

fn test<C: Coder>(
    stream: &mut Stream<C>,
    feature: Feature,
    target: Target<'_>,
    test: Option<&Test>,
) -> Result<Test, Error> {
    let about = hash(feature.kind as u32, u32::from(feature.column));
    let which = match test {
        None | Some(Test::AtMost(_)) => 0,
        Some(Test::Window(..)) => 1,
        Some(Test::Equal(_)) => 2,
        Some(Test::OneOf(_)) => 3,
    };
    let contexts = [hash(0xf4, about), hash(0xf5, hash(feature.kind as u32, target.what))];
    let which = bits(&mut stream.coder, 18, &contexts, 2, which);
    let value = |stream: &mut Stream<C>, what: u32, known: u32, value: Option<&u16>| {
        let contexts = [
            hash(0xf8 + what, feature.kind as u32),
            hash(0xfb + what, about),
            hash(0x100 + what, hash(about, known)),
            hash(0x104 + what, hash(about, hash(target.what, target.which))),
        ];
        let read = number(&mut stream.coder, 19, &contexts, u32::from(*value.unwrap_or(&0)));
        u16::try_from(read).map_err(|_| Error::Impossible("threshold"))
    };
    Ok(match (which, test) {
        (0, Some(Test::AtMost(at))) => Test::AtMost(value(stream, 0, 0, Some(at))?),
        (0, _) => Test::AtMost(value(stream, 0, 0, None)?),
        (1, from) => {
            let (a, b) = if let Some(Test::Window(a, b)) = from { (*a, *b) } else { (0, 0) };
            let a = value(stream, 1, 0, Some(&a))?;
            let length = value(stream, 2, 0, Some(&b.saturating_sub(a)))?;
            Test::Window(a, a.saturating_add(length))
        }
        (2, Some(Test::Equal(at))) => Test::Equal(value(stream, 3, 0, Some(at))?),
        (2, _) => Test::Equal(value(stream, 3, 0, None)?),
        (_, from) => {
            let empty = Vec::new();
            let all = if let Some(Test::OneOf(all)) = from { all } else { &empty };
            let n = stream.number(0x110, [about, 0], all.len() as u32);
            let mut values = Vec::new();
            let mut next = 0_u16;
            for at in 0..n as usize {
                stream.coder.check()?;
                let step = all.get(at).map_or(0, |v| v - next);
                let step = stream.number(0x114, [about, u32::from(next)], u32::from(step));
                let value = u32::from(next).saturating_add(step);
                let value = u16::try_from(value).map_err(|_| Error::Impossible("subset"))?;
                values.push(value);
                next = value.checked_add(1).ok_or(Error::Impossible("subset"))?;
            }
            Test::OneOf(values)
        }
    })
}

fn leaf<C: Coder>(
    stream: &mut Stream<C>,
    budget: &mut Budget,
    target: Target<'_>,
    from: Option<&Leaf>,
    last: &mut [u16],
) -> Result<Leaf, Error> {
    budget.codes += target.alphabet.len();
    if budget.codes > stream.limits.n_leaves as usize * LEAF_CODES_MAX {
        return Err(Error::TooMany("codes of leaves"));
    }
    let scale = from.map_or(0, |leaf| u32::from(leaf.scale));
    let contexts = [hash(0x118, target.what), hash(0x119, hash(target.what, target.which))];
    let scale = bits(&mut stream.coder, 20, &contexts, 4, scale);
    let full = u32::from(*SCALES.get(scale as usize).ok_or(Error::Impossible("scale"))?);
    let (mut codes, mut roots) = (Vec::new(), Vec::new());
    let mut left = full * full;
    let mut before = [0_u32; 2];
    let mut given = from.map(|leaf| leaf.codes.iter().zip(&leaf.roots).peekable());
    for (at, &code) in target.alphabet.iter().enumerate() {
        let here = given.as_mut().and_then(|given| given.next_if(|entry| *entry.0 == code));
        let root = here.map_or(0, |entry| u32::from(*entry.1));
        let expected = (u32::from(last[at]) * full + 127) / 255;
        let room = left.isqrt();
        let share = room * 16 / full;
        let n_left = (target.alphabet.len() - at).min(8) as u32;
        let contexts = [
            hash(0x11c, hash(scale, expected)),
            hash(0x11d, hash(scale, hash(room.min(40), n_left))),
            hash(0x11e, hash(hash(before[0], before[1]), scale)),
            hash(0x11f, hash(hash(target.what, target.which), hash(u32::from(code), scale / 3))),
            hash(0x120, hash(hash(expected, before[0]), share)),
            hash(0x121, hash(u32::from(code), hash(target.what, scale))),
            hash(0x122, hash(expected, hash(share, n_left))),
        ];
        let root = number(&mut stream.coder, 21 + target.what as u8, &contexts, root);
        if root > full {
            return Err(Error::Impossible("weight"));
        }
        if root > 0 {
            codes.push(code);
            roots.push(root as u16);
        }
        left = left.saturating_sub(root * root);
        before = [root, before[0]];
        last[at] = (root * 255 / full) as u16;
    }
    if stream.is_reader() {
        stream.coder.check()?;
    }
    if codes.is_empty() {
        return Err(Error::Impossible("leaf"));
    }
    Ok(Leaf::new(scale as u8, codes, roots))
}
