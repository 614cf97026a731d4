//! `/api/v1/stream`: server-sent events. Anomalies and decisions carry an id, with which a client
//! that was cut off resumes (`Last-Event-ID`); a status comes with every new picture and carries
//! none. What a client missed and cannot have any more is told as a `gap`.
//!
//! A slow client costs no memory beyond the feed's own: it loses events, and is told how many.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{Stream, unfold};
use http::HeaderMap;
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::feed::{Event, Feed, Follow, Gap, Numbered};
use crate::problem::Problem;
use crate::snapshot::Snapshot;
use crate::state::ApiState;
use crate::view::{AnomalyView, DecisionView, StatusView};

/// A comment goes out when nothing else did for this long, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What one client gets next.
struct Client {
    feed: Feed,
    gap: Option<Gap>,
    backlog: VecDeque<Numbered>,
    live: Receiver<Numbered>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    status_due: bool,
    _permit: OwnedSemaphorePermit,
}

/// Opens a stream.
pub(crate) async fn stream(State(state): State<ApiState>, headers: HeaderMap) -> Response {
    let Ok(permit) = Arc::clone(&state.streams).try_acquire_owned() else {
        let detail = "as many streams are open as are served at once".to_owned();
        return Problem::too_many(detail).into_response();
    };
    let last_id = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let Follow { backlog, gap, live } = state.feed.follow(last_id);
    let client = Client {
        feed: state.feed,
        gap,
        backlog,
        live,
        snapshot: state.snapshot,
        status_due: true,
        _permit: permit,
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Sse::new(events(client)).keep_alive(keep_alive).into_response()
}

fn events(client: Client) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    unfold(client, async |mut client| client.next().await.map(|event| (Ok(event), client)))
}

impl Client {
    /// The next event; `None` when the process ends.
    async fn next(&mut self) -> Option<sse::Event> {
        if let Some(gap) = self.gap.take() {
            return Some(named("gap", &gap));
        }
        if self.status_due {
            self.status_due = false;
            return Some(self.status());
        }
        if let Some(numbered) = self.backlog.pop_front() {
            return Some(self.numbered(&numbered));
        }
        tokio::select! {
            biased;
            received = self.live.recv() => match received {
                Ok(numbered) => Some(self.numbered(&numbered)),
                Err(RecvError::Lagged(missed)) => Some(named("gap", &Gap { missed: Some(missed) })),
                Err(RecvError::Closed) => None,
            },
            changed = self.snapshot.changed() => changed.is_ok().then(|| self.status()),
        }
    }

    fn status(&mut self) -> sse::Event {
        let snapshot = self.snapshot.borrow_and_update();
        named("status", &StatusView::from(&snapshot.status))
    }

    fn numbered(&self, numbered: &Numbered) -> sse::Event {
        let event = match &numbered.event {
            Event::Anomaly(anomaly) => named("anomaly", &AnomalyView::from(&**anomaly)),
            Event::Decision(decision) => named("decision", &DecisionView::from(&**decision)),
        };
        event.id(self.feed.id(numbered.seq))
    }
}

/// An event of a name with JSON in it. The views always serialise; were it otherwise, the client
/// would see an event without data and not a broken stream.
fn named<T: Serialize>(name: &str, data: &T) -> sse::Event {
    let data = serde_json::to_string(data).unwrap_or_default();
    sse::Event::default().event(name).data(data)
}
