//! Reads a request body: each piece is charged before it is kept, and the sender has to keep pace.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::admission::Charge;
use crate::receiver::intake::Intake;
use crate::receiver::refusal::{Refusal, RefusalKind};
use crate::transport::frame::{self, WINDOW_BYTES};
use crate::transport::pace::Pace;

/// One body.
pub(super) struct Reader<'i> {
    incoming: Incoming,
    /// What the client said; not believed, except to refuse early.
    declared_bytes: Option<u64>,
    /// Whether the client sends the body only when told to go on.
    expects_continue: bool,
    pace: Pace,
    n_bytes: u64,
    /// Too little came in time.
    is_slow: bool,
    /// Requests that had been told to come again when this one began.
    n_refused: u64,
    intake: &'i Intake,
}

impl<'i> Reader<'i> {
    pub(super) fn new(incoming: Incoming, headers: &HeaderMap, intake: &'i Intake) -> Self {
        let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        Self {
            incoming,
            declared_bytes: declared.and_then(|text| text.parse().ok()),
            expects_continue: headers.contains_key(EXPECT),
            pace: Pace::new(intake.config.pace()),
            n_bytes: 0,
            is_slow: false,
            n_refused: intake.n_refused(),
            intake,
        }
    }

    /// Bytes read so far.
    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// The whole body and what it was charged with.
    pub(super) async fn read(&mut self) -> Result<(Bytes, Charge), Refusal> {
        let limit = self.intake.config.limits.request_bytes;
        check(self.declared_bytes.unwrap_or(0), limit)?;
        let mut charge = self.intake.admission.charge();
        let refused = |full| Refusal::full(full, self.intake.retry_after());
        charge.check_possible(self.declared_bytes.unwrap_or(0)).map_err(refused)?;
        let mut whole = BytesMut::new();
        // Never more than was declared, and never more than what has come allows.
        let declared = self.declared_bytes.unwrap_or(limit) as usize;
        while let Some(piece) = self.piece().await? {
            check(self.n_bytes, limit)?;
            let paid = charge.grow_from(piece.len() as u64, WINDOW_BYTES).await;
            paid.map_err(|full| Refusal::full(full, self.intake.retry_after()))?;
            frame::reserve(&mut whole, piece.len(), declared);
            whole.extend_from_slice(&piece);
        }
        Ok((whole.freeze(), charge))
    }

    /// Reads what is left of a refused request and throws it away, as far as that is in
    /// proportion: a client that is still sending when the connection is closed sees a broken
    /// connection instead of the answer, and would send everything again.
    pub(super) async fn discard(&mut self) {
        let not_begun = self.expects_continue && self.n_bytes == 0;
        if self.is_slow || not_begun {
            return;
        }
        let n_bytes_max = self.n_bytes + self.intake.config.limits.request_bytes;
        while self.n_bytes <= n_bytes_max {
            match self.piece().await {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let Ok(frame) = self.pace.wait(self.incoming.frame()).await else {
                self.is_slow = true;
                return Err(self.intake.too_slow(self.n_refused));
            };
            let Some(frame) = frame else { return Ok(None) };
            let broken = |_| Refusal::new(RefusalKind::Truncated, "request broke off");
            // Trailers carry nothing for us.
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                self.pace.count(data.len());
                self.n_bytes += data.len() as u64;
                return Ok(Some(data));
            }
        }
    }
}

fn check(n_bytes: u64, limit: u64) -> Result<(), Refusal> {
    if n_bytes > limit { Err(Refusal::too_large(n_bytes, limit)) } else { Ok(()) }
}
