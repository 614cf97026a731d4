//! Span kind and status code: OTLP's small enumerations, which the dictionary of call sites and the
//! span both need.

/// Span kind, in OTLP's numbering. A value outside the known range reads as `Unspecified`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum SpanKind {
    /// Not given or not known.
    #[default]
    Unspecified = 0,
    /// Work inside one service.
    Internal = 1,
    /// Handles a request from a client.
    Server = 2,
    /// Calls another service and waits.
    Client = 3,
    /// Hands a message to a broker and does not wait.
    Producer = 4,
    /// Processes a message from a broker.
    Consumer = 5,
}

/// Span status code, in OTLP's numbering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum StatusCode {
    /// The default.
    #[default]
    Unset = 0,
    /// Explicitly successful.
    Ok = 1,
    /// Failed.
    Error = 2,
}

impl SpanKind {
    /// The kind of an OTLP enum value; unknown values are `Unspecified`.
    pub const fn from_otlp(value: i32) -> Self {
        match value {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// Lower-case name as users write it in rules: `server`, `client`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    /// The kind of a name in any case, with or without OTLP's `SPAN_KIND_` prefix.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix("SPAN_KIND_").unwrap_or(name);
        let all = [
            Self::Unspecified,
            Self::Internal,
            Self::Server,
            Self::Client,
            Self::Producer,
            Self::Consumer,
        ];
        all.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name))
    }
}

impl StatusCode {
    /// The status of an OTLP enum value; unknown values are `Unset`.
    pub const fn from_otlp(value: i32) -> Self {
        match value {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }

    /// Lower-case name: `unset`, `ok`, `error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}
