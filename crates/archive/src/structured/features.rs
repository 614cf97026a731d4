//! What a conditional may ask about a row, all as small integers.
//!
//! Values of columns count from 1, and 0 stands for "there is no such span" or "it has no such
//! column".

/// A question. `column` is 0 for the resource, else a key's number plus one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Feature {
    pub(crate) kind: Kind,
    pub(crate) column: u16,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Kinds of questions, in the order in which ties are broken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub(crate) enum Kind { $($(#[$doc])* $name,)* }
        /// All kinds by their number.
        pub(crate) const KINDS: &[Kind] = &[$(Kind::$name,)*];
    };
}

// The list is needed twice, as an enumeration and as a table of its members.
kinds! {
    /// The trace's bucket of time.
    Bucket,
    /// The trace's bucket out of at most 60.
    Coarse,
    /// Node of the trace's second span.
    Entry,
    /// Shape of the trace.
    Shape,
    /// Node of the parent.
    ParentNode,
    /// Earlier siblings of the same node.
    Slot,
    /// The node and its children's.
    Production,
    /// Errors among earlier siblings.
    SiblingErrors,
    /// The span failed.
    Error,
    /// A child failed.
    ChildError,
    /// A span of the trace failed.
    TraceError,
    /// The parent failed.
    ParentError,
    /// The root failed.
    RootError,
    /// A column of the parent.
    Parent,
    /// A column of the root.
    Root,
    /// A column of the second span.
    Second,
    /// An earlier column of the span itself.
    Own,
    /// The previous value of the column in the trace.
    Before,
    /// Bin of the trace's duration.
    Duration,
    /// Bin of the parent's tail.
    ParentTail,
    /// Bin of the parent's gap.
    ParentGap,
    /// Bin of the tail of the previous span of the node.
    SameTail,
    /// Bin of its gap.
    SameGap,
    /// Bin of the previous sibling's tail.
    SiblingTail,
    /// Bin of its gap.
    SiblingGap,
    /// Bin of the span's own gap.
    OwnGap,
    /// What is left of the trace's duration where the span's gap begins.
    LeftBefore,
    /// What is left of it where the span begins.
    LeftAtStart,
}

impl Kind {
    /// Whether the question is about a column.
    pub(crate) const fn has_column(self) -> bool {
        matches!(self, Self::Parent | Self::Root | Self::Second | Self::Own | Self::Before)
    }

    /// Whether values are ordered; columns are if they are numeric.
    pub(crate) const fn is_ordinal(self) -> bool {
        matches!(
            self,
            Self::Bucket
                | Self::Coarse
                | Self::Slot
                | Self::SiblingErrors
                | Self::Duration
                | Self::ParentTail
                | Self::ParentGap
                | Self::SameTail
                | Self::SameGap
                | Self::SiblingTail
                | Self::SiblingGap
                | Self::OwnGap
                | Self::LeftBefore
                | Self::LeftAtStart
        )
    }

    /// Whether intervals of it are tried: those of time, where incidents begin and end.
    pub(crate) const fn has_windows(self) -> bool {
        matches!(self, Self::Bucket | Self::Coarse)
    }
}

impl Feature {
    pub(crate) const fn of(kind: Kind) -> Self {
        Self { kind, column: 0 }
    }
}
