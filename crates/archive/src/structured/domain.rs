//! What values an attribute key takes, and their codes.
//!
//! Three kinds: few values are a dictionary, many numbers are bins, many strings are templates. What
//! fewer than [`SUPPORT_MIN`] traces hold never enters the file as it is.

use spanwise_model::ValueRef;

use crate::traces::Place;

use super::bins::Bins;

/// Traces that must share a value before a model may hold it.
pub(crate) const SUPPORT_MIN: u32 = 5;

/// What stands for strings that too few traces shared.
pub(crate) const RARE: &[u8] = b"(rare)";

/// An attribute value that a model holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Datum {
    Str(Vec<u8>),
    Bool(bool),
    Int(i64),
    /// The bits of a float.
    Double(u64),
    Bytes(Vec<u8>),
    /// A raw `AnyValue` message.
    Other(Vec<u8>),
}

/// A string with its varying parts taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) text: Vec<u8>,
    /// Distinct strings there were.
    pub(crate) n_distinct: u32,
    /// Strings that occur often, with their share of the template in 1/1,024.
    pub(crate) hitters: Vec<(Vec<u8>, u16)>,
}

/// The values of a key. Codes count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    /// A code each, and one more for the rest if there was any.
    Categories { values: Vec<Datum>, has_rest: bool },
    /// A code a bin, in units of 10^-decimals.
    Numbers { bins: Bins, decimals: u8, is_int: bool },
    /// A code each, and one more for the rest if there was any.
    Texts { templates: Vec<Template>, has_rest: bool },
}

/// An attribute key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) place: Place,
    pub(crate) name: Vec<u8>,
    pub(crate) domain: Domain,
    /// Whether "as before in this trace" is a code of its own.
    pub(crate) copies: bool,
}

impl Default for Datum {
    fn default() -> Self {
        Self::Bool(false)
    }
}

impl Datum {
    pub(crate) fn of(value: ValueRef<'_>, other: &[u8]) -> Self {
        match value {
            ValueRef::Str(text) => Self::Str(text.as_bytes().to_vec()),
            ValueRef::Bool(flag) => Self::Bool(flag),
            ValueRef::Int(number) => Self::Int(number),
            ValueRef::Double(number) => Self::Double(number.to_bits()),
            ValueRef::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            ValueRef::Other => Self::Other(other.to_vec()),
        }
    }
}

impl Domain {
    /// How many codes there are, from 1 to this.
    pub(crate) fn n_codes(&self) -> usize {
        match self {
            Self::Categories { values, has_rest } => values.len() + usize::from(*has_rest),
            Self::Numbers { bins, .. } => bins.len(),
            Self::Texts { templates, has_rest } => templates.len() + usize::from(*has_rest),
        }
    }

    /// Whether codes are ordered.
    pub(crate) fn is_ordinal(&self) -> bool {
        matches!(self, Self::Numbers { .. })
    }
}
