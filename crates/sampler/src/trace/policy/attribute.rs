//! An attribute of any span of the trace, or of any of their resources.
//!
//! As in the Collector, a value of another type than the one asked for counts as that type's zero:
//! `""`, 0, `false`. A span attribute with an empty string matches nothing; on a resource it may match
//! an expression.

use std::sync::Arc;

use spanwise_model::{Batch, ClosedTrace, SpanFields, ValueRef};

use super::pattern::Values;

/// A test of one attribute.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Its key.
    pub key: Arc<str>,
    /// What it is compared with.
    pub test: Test,
    /// Turns the vote around: for the trace if the attribute matches nowhere.
    pub invert: bool,
}

/// What the value of an attribute is compared with.
#[derive(Clone, Debug)]
pub enum Test {
    /// A string.
    Text(Values),
    /// An integer, both ends included.
    Range {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// A boolean.
    Bool(bool),
}

/// Where a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Span,
    Resource,
}

impl Attribute {
    pub(super) fn votes_for(&mut self, trace: &ClosedTrace, fields: &dyn SpanFields) -> bool {
        self.is_anywhere(trace, fields) != self.invert
    }

    fn is_anywhere(&mut self, trace: &ClosedTrace, fields: &dyn SpanFields) -> bool {
        // Spans of one resource mostly follow each other.
        let mut asked: Option<(*const Batch, u32)> = None;
        for span in &trace.spans {
            let (batch, head) = (&span.batch, span.head());
            let resource = (Arc::as_ptr(batch), head.resource_idx);
            if asked != Some(resource) {
                asked = Some(resource);
                let value = fields.resource_attribute(batch, head.resource_idx, &self.key);
                if value.is_some_and(|value| self.test.matches(value, Place::Resource)) {
                    return true;
                }
            }
            let value = fields.span_attribute(batch, span.span_idx, &self.key);
            if value.is_some_and(|value| self.test.matches(value, Place::Span)) {
                return true;
            }
        }
        false
    }
}

impl Test {
    fn matches(&mut self, value: ValueRef<'_>, place: Place) -> bool {
        match self {
            Self::Text(values) => {
                let text = if let ValueRef::Str(text) = value { text } else { "" };
                (place == Place::Resource || !text.is_empty()) && values.matches(text)
            }
            Self::Range { min, max } => {
                let number = if let ValueRef::Int(number) = value { number } else { 0 };
                (*min..=*max).contains(&number)
            }
            Self::Bool(wanted) => matches!(value, ValueRef::Bool(true)) == *wanted,
        }
    }
}
