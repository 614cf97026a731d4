//! What a command reads and prints: JSON, one document each way.

use serde::{Deserialize, Serialize};
use spanwise_model::{Observed, Resources, ScaleAction, TargetRef};

use crate::error::OrchError;
use crate::port::Guard;

/// Names the format of an order; grows a new number when a field changes its meaning.
const ORDER_SCHEMA: &str = "spanwise.action/v1";
/// Names the format of a question.
const QUESTION_SCHEMA: &str = "spanwise.observe/v1";

#[derive(Serialize)]
struct Order<'a> {
    schema: &'static str,
    decision_id: String,
    target: Target<'a>,
    action: Action,
    summary: &'a str,
}

#[derive(Serialize)]
struct Question<'a> {
    schema: &'static str,
    target: Target<'a>,
}

#[derive(Serialize)]
struct Target<'a> {
    name: &'a str,
    kind: &'a str,
    namespace: &'a str,
    object: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Replicas { from: u32, to: u32 },
    Resources { cpu_millis: Option<u64>, memory_bytes: Option<u64> },
}

#[derive(Deserialize)]
struct State {
    replicas: u32,
    ready: Option<u32>,
    settled: Option<bool>,
    cpu_millis: Option<u64>,
    memory_bytes: Option<u64>,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    paused: bool,
}

/// The order that goes to the apply command.
pub(super) fn order(
    target: &TargetRef,
    action: &ScaleAction,
    guard: &Guard,
) -> Result<Vec<u8>, OrchError> {
    let action = match *action {
        ScaleAction::SetReplicas { from, to } => Action::Replicas { from, to },
        ScaleAction::SetResources { cpu_millis, memory_bytes } => {
            Action::Resources { cpu_millis, memory_bytes }
        }
    };
    to_json(&Order {
        schema: ORDER_SCHEMA,
        decision_id: format!("d-{}", guard.decision_id),
        target: target.into(),
        action,
        summary: &guard.summary,
    })
}

/// The question that goes to the observe command.
pub(super) fn question(target: &TargetRef) -> Result<Vec<u8>, OrchError> {
    to_json(&Question { schema: QUESTION_SCHEMA, target: target.into() })
}

/// Reads what the observe command printed.
pub(super) fn read_state(stdout: &[u8], argv: &[String]) -> Result<Observed, OrchError> {
    let state: State = serde_json::from_slice(stdout).map_err(|error| {
        let program = argv.first().map_or("", String::as_str);
        OrchError::invalid(format!("{program} must print {{\"replicas\": N}} as JSON: {error}"))
    })?;
    Ok(Observed {
        desired: state.replicas,
        ready: state.ready,
        settled: state.settled,
        resources: Resources { cpu_millis: state.cpu_millis, memory_bytes: state.memory_bytes },
        revision: String::new(),
        uid: state.uid,
        owner: None,
        paused: state.paused,
    })
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, OrchError> {
    serde_json::to_vec(value).map_err(|error| OrchError::invalid(error.to_string()))
}

impl<'a> From<&'a TargetRef> for Target<'a> {
    fn from(target: &'a TargetRef) -> Self {
        Self {
            name: &target.name,
            kind: &target.kind,
            namespace: &target.namespace,
            object: &target.object,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> TargetRef {
        TargetRef {
            name: "cartservice".into(),
            backend: "exec".into(),
            kind: "Unit".into(),
            api_version: "".into(),
            namespace: "shop".into(),
            object: "cart".into(),
        }
    }

    #[test]
    fn an_order_says_what_for_whom_and_why() {
        let guard = Guard { decision_id: 7, summary: "slow".to_owned(), ..Guard::default() };
        let check = |action: &ScaleAction, expected: &str| {
            let json = order(&target(), action, &guard).unwrap();
            let head = r#"{"schema":"spanwise.action/v1","decision_id":"d-7","target":{"name":"cartservice","kind":"Unit","namespace":"shop","object":"cart"},"#;
            let expected = format!("{head}\"action\":{expected},\"summary\":\"slow\"}}");
            assert_eq!(String::from_utf8(json).unwrap(), expected);
        };
        check(&ScaleAction::SetReplicas { from: 2, to: 3 }, r#"{"replicas":{"from":2,"to":3}}"#);
        check(
            &ScaleAction::SetResources { cpu_millis: Some(250), memory_bytes: None },
            r#"{"resources":{"cpu_millis":250,"memory_bytes":null}}"#,
        );
    }

    #[test]
    fn a_state_needs_replicas_and_nothing_else() {
        let check = |text: &str, expected: Result<u32, &str>| {
            let state = read_state(text.as_bytes(), &["prog".to_owned()]);
            let state = state.as_ref().map(|s| s.desired).map_err(OrchError::as_str);
            assert_eq!(state, expected, "{text}");
        };
        check(r#"{"replicas": 3}"#, Ok(3));
        check(r#"{"replicas": 3, "ready": 2, "something": "else"}"#, Ok(3));
        check(r#"{"replicas": -1}"#, Err("invalid"));
        check("", Err("invalid"));
        check("3", Err("invalid"));
    }
}
