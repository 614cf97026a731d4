//! Bounded lists: newest first, `limit` items, and a cursor to what comes after.

use axum::extract::FromRequestParts;
use axum::extract::Query;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use spanwise_model::{Outcome, Reason};

use crate::problem::Problem;

/// Items of a page when the client names no limit.
const LIMIT_DEFAULT: usize = 100;
/// Most items of a page.
const LIMIT_MAX: usize = 1_000;

/// Parameters of a page.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageParams {
    /// Items wanted.
    pub(crate) limit: Option<usize>,
    /// `next` of the page before.
    pub(crate) cursor: Option<String>,
    /// Only of this target.
    pub(crate) target: Option<String>,
    /// Only of this service.
    pub(crate) service: Option<String>,
    /// Only of this operation.
    pub(crate) operation: Option<String>,
    /// Only with this outcome.
    pub(crate) outcome: Option<String>,
    /// Only with this reason code.
    pub(crate) reason: Option<String>,
}

/// Query parameters whose faults are answered as problems.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(params)| Self(params)).map_err(|rejection| {
            let known = "the text names the parameters of this list";
            Problem::invalid(rejection.body_text(), known)
        })
    }
}

impl PageParams {
    /// The limit, within bounds; 0 and what is beyond the bounds are refused.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        match self.limit.unwrap_or(LIMIT_DEFAULT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            limit => {
                let detail = format!("limit is {limit}, it must be 1 to {LIMIT_MAX}");
                Err(Problem::invalid(detail, "write 1 to 1000; `next` of a page leads to more"))
            }
        }
    }

    /// The outcome and the reason that are wanted; unknown ones are refused.
    pub(crate) fn decided(&self) -> Result<(Option<Outcome>, Option<Reason>), Problem> {
        let outcome = match self.outcome.as_deref() {
            None => None,
            Some(name) => {
                Some(Outcome::ALL.into_iter().find(|o| o.as_str() == name).ok_or_else(|| {
                    let known = "write acted, recommended, suppressed or failed";
                    Problem::invalid(format!("{name:?} is no outcome"), known)
                })?)
            }
        };
        let reason = match self.reason.as_deref() {
            None => None,
            Some(name) => Some(Reason::from_name(name).ok_or_else(|| {
                let known = "write one of docs/reasons.md, such as AtMax, spelt as there";
                Problem::invalid(format!("{name:?} is no reason code"), known)
            })?),
        };
        Ok((outcome, reason))
    }

    /// The number in a cursor of the form `PREFIXnumber`.
    pub(crate) fn cursor_number(&self, prefix: &str) -> Result<Option<u64>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let number = cursor.strip_prefix(prefix).and_then(|number| number.parse().ok());
        number.map(Some).ok_or_else(|| {
            let detail = format!("cursor {cursor:?} is none of this list");
            Problem::invalid(detail, "take it from `next` of the page before")
        })
    }
}

/// The first `limit` of `items`, and whether there are more.
pub(crate) fn take<T>(mut items: impl Iterator<Item = T>, limit: usize) -> (Vec<T>, bool) {
    let page: Vec<T> = items.by_ref().take(limit).collect();
    let more = items.next().is_some();
    (page, more)
}
