//! Why policies cannot be used.

/// What is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A name stands twice, or is empty.
    #[error("policy name `{0}` is empty or stands twice")]
    Name(String),
    /// More policies, nested ones included, than [`super::N_RULES_MAX`].
    #[error("more than {} policies, nested ones included", super::N_RULES_MAX)]
    TooMany,
    /// Policies nested deeper than [`super::DEPTH_MAX`].
    #[error("policies nested more than {} deep", super::DEPTH_MAX)]
    TooDeep,
    /// A policy that combines others has none.
    #[error("`{0}` combines no policies")]
    Empty(&'static str),
    /// More values, in all policies, than [`super::N_VALUES_MAX`].
    #[error("more than {} values in all policies", super::N_VALUES_MAX)]
    TooManyValues,
    /// A value that is no usable regular expression.
    #[error("`{text}` is not a usable regular expression: {message}")]
    Pattern {
        /// Position among the values.
        idx: usize,
        /// The value, cut to 80 characters.
        text: String,
        /// Why; in the words of the library that reads it.
        message: String,
    },
    /// A number outside its range.
    #[error("{name} must be {expected}")]
    Range {
        /// Which number.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}
