//! What holds for any text given as a configuration: the same check for the corpus and for the fuzz
//! target (which includes this file).

use spanwise::config::raw::RawConfig;
use spanwise::config::{built, load, yaml};
use spanwise::pipeline::remote::{compile_subscribed, rules_text};
use spanwise_model::Severity;

/// Longest message: each problem is a few lines, and there are as many as mistakes.
const REPORT_BYTES_PER_BYTE: usize = 4_000;

/// Checks a text as `config check` and `serve` do. Whether it was accepted.
pub(crate) fn check_text(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    // What is read from files named in it is another matter.
    if text.contains("ca_file") {
        return false;
    }
    let raw: RawConfig = match yaml::parse(text, "file") {
        Ok(raw) => raw,
        Err(rendered) => {
            assert!(rendered.starts_with("error: ") && rendered.contains("fix: "), "{rendered}");
            assert!(rendered.len() < 2_000, "{rendered}");
            return false;
        }
    };
    let (config, mut problems) = built::build(&raw);
    problems.extend(config.iter().flat_map(|config| built::check_tests(&raw, config)));
    let rendered = load::render(&problems, text, "file");
    assert!(rendered.matches("fix: ").count() >= problems.len(), "{rendered}");
    assert!(rendered.len() <= REPORT_BYTES_PER_BYTE * (text.len() + 1), "{}", rendered.len());
    let has_error = problems.iter().any(|problem| problem.severity == Severity::Error);
    let Some(config) = config else {
        assert!(has_error, "no settings and no error: {text}");
        return false;
    };
    if has_error {
        return false;
    }
    // What is in force is a configuration too, and the same one.
    let shown = config.to_raw(&raw);
    let shown = serde_saphyr::to_string(&shown).unwrap();
    let again: RawConfig = yaml::parse(&shown, "shown").unwrap_or_else(|e| panic!("{e}\n{shown}"));
    let (rebuilt, problems) = built::build(&again);
    let rebuilt = rebuilt.unwrap_or_else(|| panic!("{}", load::render(&problems, &shown, "shown")));
    assert_eq!(rebuilt.rules.fingerprint(), config.rules.fingerprint(), "{shown}");
    assert_eq!(rebuilt.scaler, config.scaler, "{shown}");
    assert_eq!((rebuilt.listen, rebuilt.sampler), (config.listen, config.sampler), "{shown}");
    assert_eq!(rebuilt.forward, config.forward, "{shown}");
    // A sampler elsewhere compiles the same rules from what it is sent.
    let sent = rules_text(&config.raw_scaler).unwrap();
    let theirs = compile_subscribed(&sent).unwrap_or_else(|error| panic!("{error}\n{sent}"));
    assert_eq!(theirs.fingerprint(), config.rules.fingerprint(), "{sent}");
    true
}
