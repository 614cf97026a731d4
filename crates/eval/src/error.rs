//! What can go wrong in an evaluation.

/// Why an evaluation could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name given by the user means nothing here.
    #[error("unknown {what} `{name}`, give one of: {known}")]
    Unknown {
        /// What was named.
        what: &'static str,
        /// The name.
        name: String,
        /// Names that mean something.
        known: String,
    },
    /// Text of another form than expected.
    #[error("`{text}` is no {what}, give {expected}")]
    Malformed {
        /// What it should be.
        what: &'static str,
        /// The text.
        text: String,
        /// What would be understood.
        expected: &'static str,
    },
    /// Nothing to judge.
    #[error("{found} spans where {needed} are needed; {remedy}")]
    TooFewSpans {
        /// Spans there are.
        found: u64,
        /// Spans there should be.
        needed: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// Nothing to judge.
    #[error("{found} traces where {needed} are needed, give a smaller --warmup")]
    TooFewTraces {
        /// Traces there are.
        found: u64,
        /// Traces there should be.
        needed: u64,
    },
    /// More spans than row numbers.
    #[error("more than {limit} spans, evaluate a part of the file")]
    TooManySpans {
        /// The most that is taken.
        limit: u64,
    },
    /// The protocol needs to know the faults.
    #[error("the truth `fault` needs the injected faults, add --faults FILE")]
    NoFaults,
    /// A score the chosen profile does not have.
    #[error("the scale profile has one score, its own; leave --score away")]
    ScoreOfScale,
    /// The sampler refused its settings.
    #[error(transparent)]
    Sampler(#[from] spanwise_sampler::Error),
    /// The trace window refused its settings.
    #[error(transparent)]
    Assembler(#[from] spanwise_assembler::ConfigError),
}
