//! Records point into `docs/reasons.md`; what they point to must be there.

use std::sync::Arc;

use spanwise_model::{Mode, Reason};
use spanwise_scaler::{Config, Target};

use crate::support::reference;

const DOCUMENT: &str = include_str!("../../../../docs/reasons.md");

#[test]
fn every_reason_has_its_anchor() {
    for reason in Reason::ALL {
        let heading = format!("\n### {}\n", reason.as_str());
        assert!(DOCUMENT.contains(&heading), "{heading}");
    }
}

#[test]
fn every_code_of_the_targets_is_listed() {
    let mut target = Target::new(reference(""), 20);
    target.cooldown_ns = 0;
    target.step_max = Some(0);
    target.mode = Some(Mode::Act);
    let mut low = Target::new(reference("cart"), 20);
    low.min = 30;
    let mut none = Target::new(reference("web"), 0);
    none.reference.name = Arc::from("cart");
    let mut targets = vec![target, low, none];
    let many = (0..1_000).map(|n| Target::new(reference(&format!("t{n}")), 1));
    targets.extend(many);
    let problems = Config { targets, ..Config::default() }.validate();
    let mut codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["S001", "S002", "S003", "S004", "S005", "S006", "S007", "S008"]);
    for code in codes {
        assert!(DOCUMENT.contains(&format!("\n| {code} ")), "{code}");
    }
}
