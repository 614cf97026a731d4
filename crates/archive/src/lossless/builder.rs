//! The dictionary of a block, made by a writer in one pass over its spans.

use rustc_hash::{FxHashMap, FxHashSet};

use super::dictionary::{Dictionary, Mode, Node, Services, TokenDef};
use super::grids::form;
use super::tree::Step;
use super::values::decimal;
use super::window::{SpanRef, Window};
use super::wire::{self, Kind, Token, Value};
use super::{dictionary_bytes, service};

/// A column with more distinct values is not low.
const N_LOW_MAX: usize = 256;
/// With more distinct names, rare ones share a node by their form.
const N_NAMES_MAX: usize = 4096;
/// Names at least this common keep a node of their own.
const NAME_COUNT_MIN: u32 = 8;
/// Scales tried for doubles.
const N_SCALES: u32 = 5;

/// A dictionary, and what each span is in it.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) dictionary: Dictionary,
    /// By position in the block: node, and position among the node's layouts.
    pub(super) spans: Vec<(u32, u32)>,
    /// Positions in the window's resources and scopes to those in the dictionary.
    pub(super) resources: FxHashMap<u32, u32>,
    pub(super) scopes: FxHashMap<u32, u32>,
}

/// What was seen of a column.
#[derive(Default)]
struct Seen {
    values: FxHashMap<Vec<u8>, u32>,
    /// In order of appearance, up to the limit.
    list: Vec<Vec<u8>>,
    /// Forms of the values, likewise; near-lossless only.
    forms: FxHashSet<Vec<u8>>,
    form_list: Vec<Vec<u8>>,
    /// Scales at which all doubles are decimal, as bits.
    scales: u32,
}

#[derive(Default)]
struct Builder<'a> {
    tokens: FxHashMap<Token<'a>, u32>,
    token_list: Vec<Token<'a>>,
    seen: Vec<Seen>,
    layouts: FxHashMap<Vec<u32>, u32>,
    layout_list: Vec<Vec<u32>>,
    nodes: FxHashMap<NodeKey, u32>,
    node_list: Vec<Node>,
    /// How often a node has a layout.
    uses: Vec<FxHashMap<u32, u32>>,
    fixed_names: FxHashSet<&'a [u8]>,
    services: FxHashMap<Vec<u8>, u32>,
    is_near: bool,
    service_of: FxHashMap<u32, u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NodeKey {
    service: u32,
    scope: u32,
    kind: u32,
    is_fixed: bool,
    name: Vec<u8>,
}

/// Builds the dictionary of these traces. The first block also holds what is in no trace.
pub(super) fn build(
    window: &Window<'_>,
    traces: &[Vec<Step>],
    (is_first, is_near): (bool, bool),
) -> Built {
    let mut builder = Builder { is_near, ..Builder::default() };
    let spans = || traces.iter().flatten().map(|step| &window.spans[step.span as usize]);
    builder.fixed_names = fixed_names(spans());
    let mut placed = Vec::new();
    let mut tokens = Vec::new();
    for span in spans() {
        tokens.clear();
        // The window holds only spans that have tokens.
        let _ = wire::tokenize(span.bytes, &mut tokens);
        let node = builder.node(window, span);
        let layout = builder.layout(&tokens, builder.node_list[node as usize].name.is_some());
        *builder.uses[node as usize].entry(layout).or_default() += 1;
        placed.push((node, layout));
    }
    builder.finish(window, placed, is_first)
}

/// Names that get nodes of their own.
fn fixed_names<'a>(spans: impl Iterator<Item = &'a SpanRef<'a>>) -> FxHashSet<&'a [u8]> {
    let mut counts: FxHashMap<&[u8], u32> = FxHashMap::default();
    for span in spans {
        *counts.entry(span.name).or_default() += 1;
    }
    let min = if counts.len() <= N_NAMES_MAX { 1 } else { NAME_COUNT_MIN };
    counts.into_iter().filter(|(_, n)| *n >= min).map(|(name, _)| name).collect()
}

/// A name without what varies: a run of digits is one mark.
fn role(name: &[u8]) -> Vec<u8> {
    let mut role: Vec<u8> = Vec::new();
    for &byte in name.iter().take(64) {
        let byte = if byte.is_ascii_digit() { b'0' } else { byte };
        if byte != b'0' || role.last() != Some(&b'0') {
            role.push(byte);
        }
    }
    role
}

impl<'a> Builder<'a> {
    fn node(&mut self, window: &Window<'_>, span: &SpanRef<'a>) -> u32 {
        let service = self.service(window, span.place.resource);
        let is_fixed = self.fixed_names.contains(span.name);
        let name = if is_fixed { span.name.to_vec() } else { role(span.name) };
        let key = NodeKey { service, scope: span.place.scope, kind: span.kind, is_fixed, name };
        if let Some(&node) = self.nodes.get(&key) {
            return node;
        }
        let idx = self.node_list.len() as u32;
        let name = is_fixed.then(|| key.name.clone());
        self.node_list.push(Node { service, scope: key.scope, name, layouts: Vec::new() });
        self.uses.push(FxHashMap::default());
        self.nodes.insert(key, idx);
        idx
    }

    /// A service by its name; numbers of the dictionary are given at the end.
    fn service(&mut self, window: &Window<'_>, resource: u32) -> u32 {
        if let Some(&service) = self.service_of.get(&resource) {
            return service;
        }
        let name = service::name(&window.resources[resource as usize]).to_vec();
        let next = self.services.len() as u32;
        let service = *self.services.entry(name).or_insert(next);
        self.service_of.insert(resource, service);
        service
    }

    fn layout(&mut self, tokens: &[(Token<'a>, Value<'a>)], is_name_fixed: bool) -> u32 {
        let mut layout = Vec::with_capacity(tokens.len());
        for (token, value) in tokens {
            let next = self.token_list.len() as u32;
            let idx = *self.tokens.entry(*token).or_insert(next);
            if idx == next {
                self.token_list.push(*token);
                self.seen.push(Seen { scales: (1 << N_SCALES) - 1, ..Seen::default() });
            }
            if token.kind.has_column() && !(token.kind == Kind::Name && is_name_fixed) {
                self.seen[idx as usize].add(token.kind, *value, self.is_near);
            }
            layout.push(idx);
        }
        if let Some(&idx) = self.layouts.get(&layout) {
            return idx;
        }
        let idx = self.layout_list.len() as u32;
        self.layout_list.push(layout.clone());
        self.layouts.insert(layout, idx);
        idx
    }

    fn finish(mut self, window: &Window<'_>, mut spans: Vec<(u32, u32)>, is_first: bool) -> Built {
        let mut dictionary = Dictionary::default();
        let mut resources: Vec<u32> = self.service_of.keys().copied().collect();
        if is_first {
            resources.extend(window.odd.iter().map(|odd| odd.place.resource));
            resources.extend(window.empty.iter().map(|(resource, _)| *resource));
        }
        resources.sort_unstable();
        resources.dedup();
        let mut scopes: Vec<u32> = self.node_list.iter().map(|node| node.scope).collect();
        if is_first {
            scopes.extend(window.odd.iter().map(|odd| odd.place.scope));
            scopes.extend(window.empty.iter().filter_map(|(_, scope)| *scope));
        }
        scopes.sort_unstable();
        scopes.dedup();
        let number = |list: &[u32]| -> FxHashMap<u32, u32> {
            list.iter().enumerate().map(|(new, &old)| (old, new as u32)).collect()
        };
        let (new_resource, new_scope) = (number(&resources), number(&scopes));
        let copy = |list: &[u32], from: &[Vec<u8>]| -> Vec<Vec<u8>> {
            list.iter().map(|&old| from[old as usize].clone()).collect()
        };
        dictionary.resources = copy(&resources, &window.resources);
        dictionary.scopes = copy(&scopes, &window.scopes);
        dictionary.services = Services::of(&dictionary.resources);
        if is_first {
            let mut empty = window.empty.clone();
            empty.sort_unstable();
            empty.dedup();
            let renumber = |(resource, scope): (u32, Option<u32>)| {
                (new_resource[&resource], scope.map(|scope| new_scope[&scope]))
            };
            dictionary.empty = empty.into_iter().map(renumber).collect();
        }
        dictionary.tokens = self.token_list.iter().zip(&mut self.seen).map(token_def).collect();
        // A service's number in the dictionary is that of any of its resources.
        let service: FxHashMap<u32, u32> = self
            .service_of
            .iter()
            .map(|(resource, service)| {
                (*service, dictionary.services.of[new_resource[resource] as usize])
            })
            .collect();
        self.order(&mut spans);
        dictionary.layouts = self.layout_list;
        dictionary.nodes = self.node_list;
        for node in &mut dictionary.nodes {
            node.service = service[&node.service];
            node.scope = new_scope[&node.scope];
        }
        Built { dictionary, spans, resources: new_resource, scopes: new_scope }
    }

    /// Numbers nodes by how common they are, layouts of a node likewise.
    fn order(&mut self, spans: &mut [(u32, u32)]) {
        let mut order: Vec<u32> = (0..self.node_list.len() as u32).collect();
        let n_spans = |node: u32| self.uses[node as usize].values().sum::<u32>();
        order.sort_by_key(|&node| (std::cmp::Reverse(n_spans(node)), node));
        let mut new = vec![0; order.len()];
        for (i, &old) in order.iter().enumerate() {
            new[old as usize] = i as u32;
        }
        let mut ranks: Vec<FxHashMap<u32, u32>> = Vec::new();
        for (node, uses) in self.node_list.iter_mut().zip(&self.uses) {
            let mut layouts: Vec<u32> = uses.keys().copied().collect();
            layouts.sort_by_key(|layout| (std::cmp::Reverse(uses[layout]), *layout));
            ranks.push(layouts.iter().enumerate().map(|(i, l)| (*l, i as u32)).collect());
            node.layouts = layouts;
        }
        for (node, layout) in spans {
            *layout = ranks[*node as usize][layout];
            *node = new[*node as usize];
        }
        self.node_list = order.iter().map(|&old| self.node_list[old as usize].clone()).collect();
    }
}

impl Seen {
    fn add(&mut self, kind: Kind, value: Value<'_>, is_near: bool) {
        if is_near && matches!(kind, Kind::AttrStr | Kind::Name) {
            self.add_form(value);
        }
        if kind == Kind::AttrDouble
            && let Value::Bytes(bytes) = value
        {
            for scale in 0..N_SCALES {
                if self.scales & 1 << scale != 0 && decimal(bytes, scale).is_none() {
                    self.scales &= !(1 << scale);
                }
            }
        }
        let bytes = dictionary_bytes(value);
        if self.list.len() <= N_LOW_MAX && !self.values.contains_key(&bytes[..]) {
            self.values.insert(bytes.to_vec(), 0);
            self.list.push(bytes.to_vec());
        }
    }

    fn add_form(&mut self, value: Value<'_>) {
        let Value::Bytes(text) = value else { return };
        if self.form_list.len() > N_LOW_MAX {
            return;
        }
        let form = form(text);
        if !self.forms.contains(&form) {
            self.form_list.push(form.clone());
            self.forms.insert(form);
        }
    }

    fn has_forms(&self) -> bool {
        (1..=N_LOW_MAX).contains(&self.form_list.len())
    }

    fn mode(&self, kind: Kind) -> Mode {
        if !kind.has_column() {
            return Mode::Nothing;
        }
        if self.list.len() <= N_LOW_MAX {
            return Mode::Low;
        }
        match kind {
            Kind::AttrDouble if self.scales != 0 => Mode::Decimal(self.scales.trailing_zeros()),
            _ if kind.is_int() => Mode::Int,
            _ if self.has_forms() => Mode::Forms,
            _ => Mode::High,
        }
    }
}

fn token_def((token, seen): (&Token<'_>, &mut Seen)) -> TokenDef {
    let mode = seen.mode(token.kind);
    let low = match mode {
        Mode::Low => std::mem::take(&mut seen.list),
        Mode::Forms => std::mem::take(&mut seen.form_list),
        _ => Vec::new(),
    };
    TokenDef {
        kind: token.kind,
        field: token.field,
        arg: token.arg,
        key: token.key.to_vec(),
        mode,
        values: Vec::new(),
        low,
    }
}
