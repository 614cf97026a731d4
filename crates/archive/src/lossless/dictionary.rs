//! What a block's spans have in common: envelopes, tokens, layouts, nodes.

use super::text::{Text, Texts};
use super::wire::Kind;
use super::{Broken, State};
use crate::entropy::{Coder, hash};

/// Kinds of text; those of columns follow.
const TEXT_RESOURCE: u32 = 0;
const TEXT_SCOPE: u32 = 1;
const TEXT_KEY: u32 = 2;
const TEXT_NAME: u32 = 3;
pub(super) const TEXT_ODD: u32 = 4;
pub(super) const TEXT_COLUMN: u32 = 8;

/// The dictionary. A writer fills it before it is coded, a reader by coding it.
#[derive(Clone, Debug, Default)]
pub(super) struct Dictionary {
    pub(super) resources: Vec<Vec<u8>>,
    pub(super) scopes: Vec<Vec<u8>>,
    pub(super) tokens: Vec<TokenDef>,
    pub(super) layouts: Vec<Vec<u32>>,
    pub(super) nodes: Vec<Node>,
    pub(super) empty: Vec<(u32, Option<u32>)>,
    /// Service of each resource, then resources of each service and their position there; derived.
    pub(super) services: Services,
}

/// Resources by the value of `service.name`, which both sides read from the envelopes.
#[derive(Clone, Debug, Default)]
pub(super) struct Services {
    /// Service of a resource.
    pub(super) of: Vec<u32>,
    /// Resources of a service.
    pub(super) members: Vec<Vec<u32>>,
    /// Position of a resource among those of its service.
    pub(super) rank: Vec<u32>,
}

/// A token and how its values are coded.
#[derive(Clone, Debug)]
pub(super) struct TokenDef {
    pub(super) kind: Kind,
    pub(super) field: u32,
    pub(super) arg: u32,
    pub(super) key: Vec<u8>,
    pub(super) mode: Mode,
    /// Values met so far; of low columns all of them, from the start.
    pub(super) values: Vec<Text>,
    /// What a writer puts into `values` before coding the dictionary of a low column.
    pub(super) low: Vec<Vec<u8>>,
}

/// How the values of a column are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// There are none.
    Nothing,
    /// At most 256 distinct values: a code.
    Low,
    /// Copies of recent values, known values by number, new ones in full.
    High,
    /// Integers near earlier ones.
    Int,
    /// As low, but of the forms of strings: near-lossless files only.
    Forms,
    /// Doubles that are integers divided by this power of ten.
    Decimal(u32),
}

/// What spans of one role share.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) service: u32,
    pub(super) scope: u32,
    /// `None`: names vary and stand in a column.
    pub(super) name: Option<Vec<u8>>,
    /// Layouts of its spans, common ones first.
    pub(super) layouts: Vec<u32>,
}

impl Mode {
    const fn number(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Low => 1,
            Self::High => 2,
            Self::Int => 3,
            Self::Forms => 4,
            Self::Decimal(scale) => 5 + scale as u64,
        }
    }

    const fn of(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Nothing),
            1 => Some(Self::Low),
            2 => Some(Self::High),
            3 => Some(Self::Int),
            4 => Some(Self::Forms),
            5..=9 => Some(Self::Decimal(number as u32 - 5)),
            _ => None,
        }
    }
}

impl Services {
    pub(super) fn of(resources: &[Vec<u8>]) -> Self {
        let mut services = Self::default();
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut by_name = rustc_hash::FxHashMap::default();
        for (i, envelope) in resources.iter().enumerate() {
            let name = super::service::name(envelope).to_vec();
            let next = names.len() as u32;
            let service = *by_name.entry(name.clone()).or_insert(next);
            if service == next {
                names.push(name);
                services.members.push(Vec::new());
            }
            let members = &mut services.members[service as usize];
            services.rank.push(members.len() as u32);
            members.push(i as u32);
            services.of.push(service);
        }
        services
    }
}

impl State {
    /// Codes a dictionary: a writer gives it, a reader gives an empty one.
    pub(super) fn dictionary<C: Coder>(
        &mut self,
        coder: &mut C,
        dictionary: &mut Dictionary,
    ) -> Result<(), Broken> {
        self.envelopes(coder, TEXT_RESOURCE, &mut dictionary.resources)?;
        self.envelopes(coder, TEXT_SCOPE, &mut dictionary.scopes)?;
        dictionary.services = Services::of(&dictionary.resources);
        self.tokens(coder, dictionary)?;
        self.layouts(coder, dictionary)?;
        self.nodes(coder, dictionary)?;
        self.empty(coder, dictionary)
    }

    fn envelopes<C: Coder>(
        &mut self,
        coder: &mut C,
        kind: u32,
        list: &mut Vec<Vec<u8>>,
    ) -> Result<(), Broken> {
        for i in 0..self.length(coder, kind, list.len())? {
            let text = self.text(coder, kind, list.get(i).map_or(&[], Vec::as_slice))?;
            if C::READS {
                list.push(self.texts.get(text).to_vec());
            }
        }
        Ok(())
    }

    fn tokens<C: Coder>(&mut self, coder: &mut C, d: &mut Dictionary) -> Result<(), Broken> {
        for i in 0..self.length(coder, 0x10, d.tokens.len())? {
            let given = d.tokens.get(i);
            let get = |f: fn(&TokenDef) -> u64| given.map_or(0, f);
            let kind = self.count(coder, 0x11, get(|token| token.kind as u64))?;
            let field = self.count(coder, 0x12, get(|token| u64::from(token.field)))?;
            let arg = self.count(coder, 0x13, get(|token| u64::from(token.arg)))?;
            let mode = self.count(coder, 0x14, get(|token| token.mode.number()))?;
            let n_low = self.count(coder, 0x15, get(|token| token.low.len() as u64))?;
            let key = self.text(coder, TEXT_KEY, given.map_or(&[], |token| &token.key))?;
            let kind = Kind::of(kind).ok_or(Broken("unknown kind of token"))?;
            let mode = Mode::of(mode).ok_or(Broken("unknown mode of a column"))?;
            let is_field = (1..1 << 29).contains(&field) && u32::try_from(arg).is_ok();
            let has_values = kind.has_column() != (mode == Mode::Nothing);
            let fits = match mode {
                Mode::Int => kind.is_int(),
                Mode::Decimal(_) => kind == Kind::AttrDouble,
                Mode::Forms => matches!(kind, Kind::AttrStr | Kind::Name),
                _ => true,
            };
            if !is_field || !has_values || !fits || n_low > 256 {
                return Err(Broken("a token makes no sense"));
            }
            self.list(n_low)?;
            if C::READS {
                let key = self.texts.get(key).to_vec();
                let (field, arg) = (field as u32, arg as u32);
                let (values, low) = (Vec::new(), Vec::new());
                d.tokens.push(TokenDef { kind, field, arg, key, mode, values, low });
            }
            self.low_values(coder, (i, n_low as usize), &mut d.tokens[i])?;
        }
        Ok(())
    }

    fn low_values<C: Coder>(
        &mut self,
        coder: &mut C,
        (column, n): (usize, usize),
        token: &mut TokenDef,
    ) -> Result<(), Broken> {
        token.values.clear();
        for i in 0..n {
            let given = token.low.get(i).map_or(&[][..], Vec::as_slice);
            let text = self.text(coder, TEXT_COLUMN + column as u32, given)?;
            if needs_eight_bytes(token.kind) && self.texts.get(text).len() != 8 {
                return Err(Broken("a number has not eight bytes"));
            }
            token.values.push(text);
        }
        Ok(())
    }

    fn layouts<C: Coder>(&mut self, coder: &mut C, d: &mut Dictionary) -> Result<(), Broken> {
        for i in 0..self.length(coder, 0x20, d.layouts.len())? {
            let n = d.layouts.get(i).map_or(0, Vec::len);
            let n = self.count(coder, 0x21, n as u64)?;
            let n = self.list(n)?;
            let (mut last, mut before) = (0, 0);
            let mut layout = Vec::new();
            for k in 0..n {
                let given = d.layouts.get(i).map_or(0, |layout| layout[k]);
                let contexts =
                    [hash(0x22, last), hash(hash(0x23, last), before), hash(0x24, k as u32)];
                let token = self.model.index(coder, &contexts, (0x740, 5), given);
                if token as usize >= d.tokens.len() || coder.is_overrun() {
                    return Err(Broken("a layout has an unknown token"));
                }
                (before, last) = (last, token + 1);
                if C::READS {
                    layout.push(token);
                }
            }
            if C::READS {
                d.layouts.push(layout);
            }
        }
        Ok(())
    }

    fn nodes<C: Coder>(&mut self, coder: &mut C, d: &mut Dictionary) -> Result<(), Broken> {
        let n_nodes = self.length(coder, 0x30, d.nodes.len())?;
        for i in 0..n_nodes {
            let given = d.nodes.get(i).cloned().unwrap_or_default();
            let service = self.count(coder, 0x31, u64::from(given.service))?;
            let scope = self.count(coder, 0x32, u64::from(given.scope))?;
            let is_fixed = self.count(coder, 0x33, u64::from(given.name.is_some()))? != 0;
            let mut node = Node { service: service as u32, scope: scope as u32, ..Node::default() };
            let is_known = service < d.services.members.len() as u64;
            if !is_known || scope >= d.scopes.len() as u64 {
                return Err(Broken("a node has an unknown service or scope"));
            }
            if is_fixed {
                let text = self.text(coder, TEXT_NAME, given.name.as_deref().unwrap_or(&[]))?;
                node.name = Some(self.texts.get(text).to_vec());
            }
            let n = self.count(coder, 0x34, given.layouts.len() as u64)?;
            if n == 0 || n > d.layouts.len() as u64 {
                return Err(Broken("a node has an impossible number of layouts"));
            }
            let n = self.list(n)?;
            let mut last = 0;
            for k in 0..n {
                let layout = given.layouts.get(k).copied().unwrap_or(0);
                let delta = i64::from(layout) - last;
                let (delta, _) = self.model.signed(coder, &[0x35], (0x750, 3), delta);
                last += delta.clamp(-(1 << 32), 1 << 32);
                let is_known = usize::try_from(last).is_ok_and(|last| last < d.layouts.len());
                if !is_known || coder.is_overrun() {
                    return Err(Broken("a node has an unknown layout"));
                }
                node.layouts.push(last as u32);
            }
            if C::READS {
                d.nodes.push(node);
            }
        }
        Ok(())
    }

    fn empty<C: Coder>(&mut self, coder: &mut C, d: &mut Dictionary) -> Result<(), Broken> {
        for i in 0..self.length(coder, 0x40, d.empty.len())? {
            let (resource, scope) = d.empty.get(i).copied().unwrap_or_default();
            let resource = self.count(coder, 0x41, u64::from(resource))?;
            let scope = scope.map_or(0, |scope| u64::from(scope) + 1);
            let scope = self.count(coder, 0x42, scope)?;
            if resource >= d.resources.len() as u64 || scope > d.scopes.len() as u64 {
                return Err(Broken("an unknown envelope"));
            }
            if C::READS {
                let scope = scope.checked_sub(1).map(|scope| scope as u32);
                d.empty.push((resource as u32, scope));
            }
        }
        Ok(())
    }

    /// The length of a list.
    fn length<C: Coder>(&mut self, coder: &mut C, context: u32, n: usize) -> Result<usize, Broken> {
        let n = self.count(coder, hash(0x50, context), n as u64)?;
        self.list(n)
    }

    /// Grants a list `n` more entries.
    fn list(&mut self, n: u64) -> Result<usize, Broken> {
        let left = self.n_listed_max - self.n_listed;
        match usize::try_from(n) {
            Ok(n) if n <= left => {
                self.n_listed += n;
                Ok(n)
            }
            _ => Err(Broken("a list is longer than the block allows")),
        }
    }

    pub(super) fn count<C: Coder>(
        &mut self,
        coder: &mut C,
        context: u32,
        value: u64,
    ) -> Result<u64, Broken> {
        let value = self.model.count(coder, context, value);
        if coder.is_overrun() { Err(Broken("the content ends early")) } else { Ok(value) }
    }

    pub(super) fn text<C: Coder>(
        &mut self,
        coder: &mut C,
        kind: u32,
        given: &[u8],
    ) -> Result<Text, Broken> {
        let text = self.texts.code(&mut self.model, coder, kind, given)?;
        if coder.is_overrun() { Err(Broken("the content ends inside a text")) } else { Ok(text) }
    }
}

/// Whether values of this kind are eight bytes in a dictionary.
pub(super) const fn needs_eight_bytes(kind: Kind) -> bool {
    kind.is_int() || matches!(kind, Kind::AttrDouble)
}

/// Strings of an arena as they were given, for tests and for the writer's look-ups.
impl Texts {
    pub(super) fn number(&self, text: Text) -> u64 {
        <[u8; 8]>::try_from(self.get(text)).map_or(0, u64::from_be_bytes)
    }
}
