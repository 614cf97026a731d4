//! A decision and its view turn into each other without loss.

use serde_json::{Value, json};
use spanwise_api::{DecisionView, Malformed};
use spanwise_model::{Axis, Decision, Direction, Mode, Outcome, Reason};

use crate::fixture::decision;

fn reread(decision: &Decision) -> Result<Decision, Malformed> {
    let text = serde_json::to_string(&DecisionView::from(decision)).unwrap();
    Decision::try_from(serde_json::from_str::<DecisionView>(&text).unwrap())
}

#[test]
fn every_decision_comes_back_as_it_was() {
    for reason in Reason::ALL {
        for outcome in [Outcome::Acted, Outcome::Recommended, Outcome::Suppressed, Outcome::Failed]
        {
            let decision = Decision { reason, outcome, ..decision(7) };
            assert_eq!(reread(&decision).as_ref(), Ok(&decision));
        }
    }
    let bare = Decision {
        axis: Axis::Vertical,
        direction: Direction::Hold,
        mode: Mode::Recommend,
        from: None,
        to: None,
        memory_bytes: Some(u64::from(u32::MAX) * 2),
        rules: Vec::new(),
        bounds: Vec::new(),
        trace_ids: Vec::new(),
        orchestrator: None,
        summary: "quotes \" and \u{7} control".to_owned(),
        ..decision(u64::MAX)
    };
    assert_eq!(reread(&bare), Ok(bare));
}

#[test]
fn a_record_that_cannot_be_read_names_its_field() {
    let check = |pointer: &str, value: Value, expected: &str| {
        let mut json = serde_json::to_value(DecisionView::from(&decision(7))).unwrap();
        *json.pointer_mut(pointer).unwrap() = value;
        let view: DecisionView = serde_json::from_value(json).unwrap();
        assert_eq!(Decision::try_from(view).unwrap_err().to_string(), expected);
    };
    check(
        "/schema",
        json!("spanwise.decision/v2"),
        "a decision's schema cannot be \"spanwise.decision/v2\"",
    );
    check("/id", json!("e-7"), "a decision's id cannot be \"e-7\"");
    check("/time", json!("yesterday"), "a decision's time cannot be \"yesterday\"");
    check("/axis", json!("diagonal"), "a decision's axis cannot be \"diagonal\"");
    check("/mode", json!("ACT"), "a decision's mode cannot be \"ACT\"");
    check("/reason", json!("cooldown"), "a decision's reason cannot be \"cooldown\"");
    check("/rules/0/hash", json!("xyz"), "a decision's rule hash cannot be \"xyz\"");
    check("/traces/0", json!("xyz"), "a decision's traces cannot be \"xyz\"");
}
