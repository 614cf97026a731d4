//! Values of a string: equal to one of several, or matched by one of several expressions.
//!
//! Expressions are those of `regex-lite`: linear in the text, no look-around, and like Go's, which the
//! Collector uses, `\d`, `\w`, `\s` and `\b` know ASCII alone. They match anywhere unless anchored.
//! Classes such as `\pL` are refused. Attributes repeat, so answers are remembered.

use regex_lite::{Regex, RegexBuilder};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Error;

/// Longest expression, in bytes.
pub const PATTERN_BYTES_MAX: usize = 1024;
/// Longest text that expressions are tried on; longer ones match none, so that a hostile attribute
/// cannot buy time.
pub const VALUE_BYTES_MAX: usize = 4096;
/// Compiled size of one expression, in bytes.
const PROGRAM_BYTES_MAX: usize = 64 * 1024;
/// Answers remembered, and the longest text of one.
const N_ANSWERS_MAX: usize = 256;
const ANSWER_BYTES_MAX: usize = 256;

/// The values that match.
#[derive(Clone, Debug)]
pub struct Values(Form);

#[derive(Clone, Debug)]
enum Form {
    Exact(FxHashSet<Box<str>>),
    Patterns { patterns: Vec<Regex>, answers: FxHashMap<Box<str>, bool> },
}

impl Values {
    /// Equal to one of these. An empty value matches nothing.
    pub fn exact(values: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let boxed = values.into_iter().map(|value| Box::from(value.as_ref()));
        let mut values: FxHashSet<Box<str>> = boxed.collect();
        values.remove("");
        Self(Form::Exact(values))
    }

    /// Matched by one of these expressions.
    ///
    /// # Errors
    /// The first that is not an expression, or is too large.
    pub fn patterns(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        let compiled =
            patterns.into_iter().enumerate().map(|(idx, text)| compile(idx, text.as_ref()));
        let patterns = compiled.collect::<Result<_, _>>()?;
        Ok(Self(Form::Patterns { patterns, answers: FxHashMap::default() }))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Exact(values) => values.len(),
            Form::Patterns { patterns, .. } => patterns.len(),
        }
    }

    /// Whether there are none: then nothing matches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a text matches. It takes `&mut` only to remember; what it says depends on nothing but
    /// the text.
    pub fn matches(&mut self, text: &str) -> bool {
        let (patterns, answers) = match &mut self.0 {
            Form::Exact(values) => return values.contains(text),
            Form::Patterns { patterns, answers } => (patterns, answers),
        };
        if text.len() > VALUE_BYTES_MAX {
            return false;
        }
        if let Some(&answer) = answers.get(text) {
            return answer;
        }
        let answer = patterns.iter().any(|pattern| pattern.is_match(text));
        if text.len() <= ANSWER_BYTES_MAX {
            if answers.len() >= N_ANSWERS_MAX {
                answers.clear();
            }
            answers.insert(Box::from(text), answer);
        }
        answer
    }
}

fn compile(idx: usize, text: &str) -> Result<Regex, Error> {
    let refuse =
        |message: String| Error::Pattern { idx, text: text.chars().take(80).collect(), message };
    if text.len() > PATTERN_BYTES_MAX {
        return Err(refuse(format!("it has more than {PATTERN_BYTES_MAX} bytes")));
    }
    let regex = RegexBuilder::new(text).size_limit(PROGRAM_BYTES_MAX).build();
    regex.map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_values_are_equal_and_never_empty() {
        let mut values = Values::exact(["a", "bc", ""]);
        assert!(values.matches("a") && values.matches("bc"));
        assert!(!values.matches("b") && !values.matches("A") && !values.matches(""));
        assert!(Values::exact([""]).is_empty());
    }

    #[test]
    fn expressions_match_anywhere_and_answers_stay_the_same() {
        let mut values = Values::patterns(["v[0-9]+.HealthCheck", "^/cart$"]).unwrap();
        for _ in 0..2 {
            assert!(values.matches("svc/v12.HealthCheck/x") && values.matches("/cart"));
            assert!(!values.matches("/cart/1") && !values.matches(""));
        }
        for i in 0..1_000 {
            assert!(values.matches(&format!("v{i}xHealthCheck")));
            assert!(!values.matches(&format!("w{i}")));
        }
    }

    #[test]
    fn hostile_expressions_and_texts_are_bounded() {
        for text in ["(", "a{1000}{1000}", r"\pL", &"a".repeat(2_000), r"(?=x)", &"(".repeat(900)] {
            let error = Values::patterns(["ok", text]).unwrap_err();
            assert!(matches!(error, Error::Pattern { idx: 1, .. }), "{error}");
        }
        let mut values = Values::patterns([".*"]).unwrap();
        assert!(values.matches(&"x".repeat(VALUE_BYTES_MAX)));
        assert!(!values.matches(&"x".repeat(VALUE_BYTES_MAX + 1)));
    }
}
