//! Reads YAML from outside: bounded, strict, and with errors that point at line and column.
//!
//! serde stops at the first mistake of its own kind (syntax, unknown or missing field); what is
//! wrong beyond that is found by our own validation as problems with a path such as
//! `scaler.rules[1].when.over`, for which [`Positions`] finds the place in the text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{
    Budget, DuplicateKeyPolicy, Error, MergeKeyPolicy, NonFiniteFloatPolicy, Options, Spanned,
};
use spanwise_analyzer::words::nearest;

/// Largest configuration or rules file.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of mappings and lists.
const DEPTH_MAX: usize = 32;

/// Parses one document. The error is rendered for a person, with the place and the remedy.
pub fn parse<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, String> {
    if text.len() > FILE_BYTES_MAX {
        return Err(format!(
            "{file}: file has {} bytes, more than the limit of {FILE_BYTES_MAX}\n  fix: split it, or remove what is not configuration",
            text.len()
        ));
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| render(&error, text, file))
}

/// Where every value of a document stands.
#[derive(Debug, Default)]
pub struct Positions(BTreeMap<String, (u64, u64)>);

impl Positions {
    /// Indexes a document; empty if it cannot be parsed.
    pub fn of(text: &str) -> Self {
        let mut positions = Self::default();
        // Whatever a scalar is, it stands somewhere.
        let mut options = options();
        options.non_finite_float_policy = NonFiniteFloatPolicy::PassThrough;
        if let Ok(root) = serde_saphyr::from_str_with_options::<Spanned<Node>>(text, options) {
            positions.add("", &root);
        }
        positions
    }

    /// Line and column, from 1, of the value at `path` or of its nearest known ancestor.
    pub fn find(&self, path: &str) -> Option<(u64, u64)> {
        let mut path = path;
        loop {
            if let Some(&place) = self.0.get(path) {
                return Some(place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    fn add(&mut self, path: &str, node: &Spanned<Node>) {
        let place = (node.referenced.line(), node.referenced.column());
        self.0.insert(path.to_owned(), place);
        match &node.value {
            Node::Map(entries) => {
                for (key, value) in entries {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    self.add(&path, value);
                }
            }
            Node::List(items) => {
                for (idx, item) in items.iter().enumerate() {
                    self.add(&format!("{path}[{idx}]"), item);
                }
            }
            Node::Scalar => {}
        }
    }
}

/// The lines around a place, with a caret under it, in the shape of a compiler message.
pub fn snippet(text: &str, file: &str, line: u64, column: u64) -> String {
    /// From this column on the beginning of a line is left out, but for as much before the place.
    const N_BEFORE_MAX: usize = 100;
    let n_before = column.saturating_sub(1) as usize;
    let n_cut = if n_before > N_BEFORE_MAX { n_before - N_BEFORE_MAX / 2 } else { 0 };
    let mut out = format!(" --> {file}:{line}:{column}\n");
    let width = line.to_string().len();
    let first = line.saturating_sub(1).max(1);
    let lines = text.lines().enumerate().skip(first as usize - 1);
    for (idx, content) in lines.take((line - first + 1) as usize) {
        let _ = writeln!(out, "{:>width$} | {}", idx + 1, printable(content, n_cut));
    }
    let indent = " ".repeat(n_before - n_cut);
    let _ = write!(out, "{:>width$} | {indent}^", "");
    out
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_aliases = 0;
    budget.max_anchors = 0;
    budget.max_depth = DEPTH_MAX;
    budget.max_documents = 1;
    budget.max_nodes = 100_000;
    serde_saphyr::options! {
        budget: Some(budget),
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
    }
}

fn render(error: &Error, text: &str, file: &str) -> String {
    let bare = error.without_snippet();
    let (message, fix) = match bare {
        Error::SerdeUnknownField { field, expected, .. } => {
            let known = expected.join(", ");
            let fix = nearest(field, expected.iter().copied()).map_or_else(
                || format!("remove it; known here: {known}"),
                |k| format!("did you mean `{k}`?"),
            );
            (format!("unknown field `{field}`"), fix)
        }
        Error::SerdeMissingField { field, .. } => {
            (format!("missing field `{field}`"), format!("add `{field}:`"))
        }
        Error::DuplicateMappingKey { .. } => {
            ("the same key stands twice".to_owned(), "remove one of them".to_owned())
        }
        Error::Budget { .. } => (
            "the document uses anchors, aliases, several documents, or nests too deep".to_owned(),
            "write it plainly; configuration needs none of these".to_owned(),
        ),
        other => remedy(&first_line(&other.to_string())),
    };
    let mut out = format!("error: {}", one_line(&message));
    if let Some(place) = error.location() {
        let _ = write!(out, "\n{}", snippet(text, file, place.line(), place.column()));
    } else {
        let _ = write!(out, "\n --> {file}");
    }
    let _ = write!(out, "\n  fix: {}", one_line(&fix));
    out
}

/// Text that may quote the document, where somebody forgot a quotation mark: cut and cleaned, so
/// that it stays one line of a terminal.
pub(super) fn one_line(text: &str) -> String {
    /// Enough for the longest message of our own with a list of keys in it.
    const N_CHARS_MAX: usize = 400;
    let mut chars = text.chars();
    let mut line: String =
        chars.by_ref().take(N_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

/// What the parser says in our words, and what to do about it.
fn remedy(message: &str) -> (String, String) {
    if let Some((what, fix)) = message.split_once(": write ") {
        return (what.to_owned(), format!("write {fix}"));
    }
    if let Some((what, known)) = message.split_once(", expected one of ") {
        return (what.to_owned(), format!("write one of {known}"));
    }
    let (message, fix) = match message {
        "invalid u32" | "invalid u64" | "invalid usize" => {
            ("not a whole number from 0 on", "write a whole number such as 1")
        }
        "invalid i32" | "invalid i64" => ("not a whole number", "write a whole number such as 1"),
        "invalid f32" | "invalid f64" => ("not a number", "write a number such as 0.5"),
        message if message.starts_with("invalid boolean") => {
            ("not true or false", "write true or false")
        }
        message => of_syntax(message),
    };
    (message.to_owned(), fix.to_owned())
}

/// What is wrong with the YAML itself, in words for who does not know its grammar.
fn of_syntax(message: &str) -> (&str, &str) {
    let is = |part: &str| message.contains(part);
    if is("tabs disallowed") || is("found a tab") {
        ("a tab in the indentation", "indent with spaces")
    } else if is("unclosed quote") {
        (message, "close the quote on the same line")
    } else if is("unclosed bracket") || is("expected ',' or '}'") || is("expected ',' or ']'") {
        ("a bracket is not closed, or a comma is missing", "close it: {a: 1, b: 2} or [1, 2]")
    } else if is("mapping values are not allowed") {
        ("a second `:` in one line", "quote a text with `: ` in it, or begin a new line")
    } else if is("did not find expected key") {
        ("a line does not fit to the indentation", "indent the keys of one block alike")
    } else if is("unknown anchor") {
        ("a value begins with `*`, which means something else in YAML", "quote it: \"*Get\"")
    } else if is("expected mapping start") {
        ("keys belong here", "write `key: value`, one a line, indented; or {key: value}")
    } else if is("expected sequence start") {
        ("a list belongs here", "write [a, b], or one line with `- ` for each")
    } else if is("expected string scalar") || is("expected scalar") {
        ("one value belongs here", "write a single value; quote it if it has brackets in it")
    } else if is("cannot start any token") {
        ("a value begins with a character that needs quotes", "quote the value")
    } else {
        (message, "see docs/configuration.md for what may stand here")
    }
}

/// The library's first line without its own position suffix.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = line.split(" at line ").next().unwrap_or(line);
    match line.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((_, message)) => message.to_owned(),
        None => line.to_owned(),
    }
}

fn printable(line: &str, n_cut: usize) -> String {
    let shown = line.chars().skip(n_cut).take(160);
    shown.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The shape of a document, without its scalars.
enum Node {
    Scalar,
    List(Vec<Spanned<Node>>),
    Map(Vec<(String, Spanned<Node>)>),
}

impl<'de> serde::Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((key, map.next_value()?));
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only parsed")]
        window: String,
        #[expect(dead_code, reason = "only parsed")]
        count: u32,
    }

    fn error(text: &str) -> String {
        parse::<Sample>(text, "sample.yaml").unwrap_err()
    }

    #[test]
    fn an_unknown_field_names_the_place_and_the_nearest_known_one() {
        let text = error("count: 3\nwindwo: 5s\n");
        assert!(text.contains("sample.yaml:2:1"), "{text}");
        assert!(text.contains("did you mean `window`?"), "{text}");
        assert!(text.contains("2 | windwo: 5s"), "{text}");
    }

    #[test]
    fn a_missing_field_a_wrong_type_and_a_duplicate_are_told_apart() {
        assert!(error("count: 3\n").contains("missing field `window`"));
        assert!(error("window: 3s\ncount: many\n").contains("sample.yaml:2:8"));
        assert!(error("count: 3\ncount: 4\nwindow: 1s\n").contains("twice"));
    }

    #[test]
    fn broken_yaml_is_told_with_a_remedy_of_its_own() {
        for (text, fix) in [
            ("count: 3\n\twindow: 1s\n", "spaces"),
            ("window: \"3s\n", "close the quote"),
            ("{window: 3s\ncount: 3\n", "close it"),
            ("window: a: b\n", "new line"),
            ("window: *Get\n", "quote it"),
            ("- window\n", "key: value"),
            ("window: [1]\n", "single value"),
        ] {
            let said = error(text);
            assert!(said.contains("fix: ") && said.contains(fix), "{text}: {said}");
            assert!(!said.contains("docs/configuration.md"), "{text}: {said}");
        }
    }

    /// Found by fuzzing: a forgotten quotation mark makes the rest of the file a key, and the message
    /// was the rest of the file.
    #[test]
    fn a_message_does_not_repeat_the_document() {
        let text = format!("{{\"count: 3\n{}\": 4}}\n", "window: 5s \\e[31m\n".repeat(5_000));
        let text = error(&text);
        assert!(text.len() < 1_500 && !text.contains('\u{1b}'), "{text}");
        assert!(text.contains("sample.yaml:1:2") && text.contains("fix: "), "{text}");
    }

    /// Found by fuzzing: the caret stood two thousand columns to the right of a cut line.
    #[test]
    fn of_a_long_line_the_place_is_shown() {
        let long = format!("{{window: {}, cuont: 4}}\n", "x".repeat(2_000));
        let text = error(&long);
        let [.., shown, caret, _] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        let at = caret.find('^').unwrap();
        assert!(text.contains("sample.yaml:1:2012") && shown[at..].starts_with("cuont"), "{text}");
    }

    #[test]
    fn bombs_are_refused() {
        assert!(error("window: &a x\ncount: *a\n").contains("anchors"));
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(parse::<Sample>(&deep, "deep.yaml").is_err());
        assert!(parse::<Sample>(&" ".repeat(FILE_BYTES_MAX + 1), "big.yaml").is_err());
    }

    #[test]
    fn positions_are_found_by_path_or_by_their_nearest_ancestor() {
        let text = "scaler:\n  rules:\n    - name: a\n      when: {over: 80ms}\n    - name: b\n";
        let positions = Positions::of(text);
        assert_eq!(positions.find("scaler.rules[0].when.over"), Some((4, 20)));
        assert_eq!(positions.find("scaler.rules[1].when.over"), Some((5, 7)));
        assert_eq!(positions.find("nothing.here"), None);
        let odd = "a: .nan\nb: .inf\nc: 0x1F\nd: 1e999\ne: ~\nf: 99999999999999999999\n";
        let positions = Positions::of(odd);
        for (line, key) in (1..).zip(["a", "b", "c", "d", "e", "f"]) {
            assert_eq!(positions.find(key), Some((line, 4)), "{key}");
        }
    }
}
