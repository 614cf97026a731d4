//! What is wrong with a configuration: found by the crate that knows the setting, shown by the
//! application, which knows where in the file it stands.

/// Whether a problem keeps the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It works, but hardly as meant.
    Warning,
    /// It cannot be used.
    Error,
}

/// One problem, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a path into the file such as `scaler.rules[1].when.over`.
    pub path: String,
    /// A stable code such as `R005`, listed in `docs/reasons.md`.
    pub code: &'static str,
    /// Whether it is an error or a warning.
    pub severity: Severity,
    /// What is wrong; lower case, no full stop.
    pub message: String,
    /// What to do about it; lower case, no full stop.
    pub fix: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}; fix: {}", self.code, self.path, self.message, self.fix)
    }
}
