//! gRPC message framing: one byte of flags, four bytes of length, the message.
//!
//! The declared length is checked against the limit and otherwise not believed: buffers grow with
//! the bytes that really came.

use bytes::{Bytes, BytesMut};
use h2::RecvStream;

use crate::admission::{Charge, Full};
use crate::transport::pace::{Pace, PaceLimits, TooSlow};

/// What a peer may send on one stream before we have read it.
pub(crate) const WINDOW_BYTES: u64 = 4 << 20;
/// Up to this size a copy behind the prefix is cheaper than a frame of its own.
const JOIN_BYTES_MAX: usize = 16 << 10;
/// Bytes before each message.
pub(crate) const PREFIX_BYTES: usize = 5;
/// First reservation for a message that comes in pieces.
const FIRST_RESERVE_BYTES: usize = 64 << 10;
/// How far a buffer may be reserved beyond what has come: a factor. Fewer copies than doubling.
const RESERVE_FACTOR: usize = 4;

/// One message as it came.
#[derive(Debug)]
pub(crate) struct Message {
    /// Whether the sender compressed it with the stream's encoding.
    pub(crate) compressed: bool,
    /// The bytes; a buffer of its own that keeps nothing else alive.
    pub(crate) payload: Bytes,
}

/// Why no message could be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The declared length exceeds the limit.
    TooLarge { n_bytes: u64, limit: u64 },
    /// The flags byte is neither 0 nor 1.
    BadFlags,
    /// The stream ended inside a message.
    Truncated,
    /// No memory is left for it.
    Full(Full),
    /// The sender was too slow.
    TooSlow,
    /// The stream broke, or the peer reset it.
    Broken(h2::Error),
}

/// Reads messages from one HTTP/2 stream.
#[derive(Debug)]
pub(crate) struct Messages {
    body: RecvStream,
    /// What has come and not yet been read.
    rest: Bytes,
    limit: u64,
    pace: Option<Pace>,
}

/// The prefix of a message.
pub(crate) fn prefix(n_bytes: usize, compressed: bool) -> [u8; PREFIX_BYTES] {
    // Messages are far below 4 GiB: both directions limit them.
    let [a, b, c, d] = u32::try_from(n_bytes).unwrap_or(u32::MAX).to_be_bytes();
    [u8::from(compressed), a, b, c, d]
}

impl Messages {
    /// Reads messages of at most `limit` bytes, from a peer that may take its time unless `pace` is
    /// given.
    pub(crate) fn new(body: RecvStream, limit: u64, pace: Option<PaceLimits>) -> Self {
        Self { body, rest: Bytes::new(), limit, pace: pace.map(Pace::new) }
    }

    /// The next message, or `None` at the end of the stream. Bytes are charged before they are
    /// kept, if there is a charge.
    pub(crate) async fn next(
        &mut self,
        mut charge: Option<&mut Charge>,
    ) -> Result<Option<Message>, ReadError> {
        let Some(head) = self.head(charge.as_deref_mut()).await? else { return Ok(None) };
        let [flags, a, b, c, d] = head;
        if flags > 1 {
            return Err(ReadError::BadFlags);
        }
        let n_bytes = u32::from_be_bytes([a, b, c, d]);
        if u64::from(n_bytes) > self.limit {
            return Err(ReadError::TooLarge { n_bytes: n_bytes.into(), limit: self.limit });
        }
        if let Some(charge) = &charge {
            // Told at once, not after the client has sent what will be refused anyway.
            charge.check_possible(n_bytes.into()).map_err(ReadError::Full)?;
        }
        let payload = self.payload(n_bytes as usize, charge).await?;
        Ok(Some(Message { compressed: flags == 1, payload }))
    }

    /// The headers that follow the last message; an error if there are messages left.
    pub(crate) async fn trailers(&mut self) -> Result<Option<http::HeaderMap>, h2::Error> {
        std::future::poll_fn(|cx| self.body.poll_trailers(cx)).await
    }

    async fn head(
        &mut self,
        mut charge: Option<&mut Charge>,
    ) -> Result<Option<[u8; PREFIX_BYTES]>, ReadError> {
        let mut head = [0; PREFIX_BYTES];
        let mut filled = 0;
        while filled < PREFIX_BYTES {
            if self.rest.is_empty() && !self.refill(charge.as_deref_mut()).await? {
                return if filled == 0 { Ok(None) } else { Err(ReadError::Truncated) };
            }
            let n = self.rest.len().min(PREFIX_BYTES - filled);
            head[filled..filled + n].copy_from_slice(&self.rest.split_to(n));
            filled += n;
        }
        Ok(Some(head))
    }

    async fn payload(
        &mut self,
        n_bytes: usize,
        mut charge: Option<&mut Charge>,
    ) -> Result<Bytes, ReadError> {
        if self.rest.len() >= n_bytes {
            // A copy, because a slice would keep the connection's whole read buffer alive for as
            // long as the batch lives, and cost it a new buffer for each request.
            return Ok(Bytes::copy_from_slice(&self.rest.split_to(n_bytes)));
        }
        let mut buffer = BytesMut::new();
        loop {
            let n = self.rest.len().min(n_bytes - buffer.len());
            reserve(&mut buffer, n, n_bytes);
            buffer.extend_from_slice(&self.rest.split_to(n));
            if buffer.len() == n_bytes {
                return Ok(buffer.freeze());
            }
            if !self.refill(charge.as_deref_mut()).await? {
                return Err(ReadError::Truncated);
            }
        }
    }

    /// Waits for the next piece; false at the end of the stream.
    async fn refill(&mut self, charge: Option<&mut Charge>) -> Result<bool, ReadError> {
        let piece = std::future::poll_fn(|cx| self.body.poll_data(cx));
        let piece = match &mut self.pace {
            Some(pace) => pace.wait(piece).await?,
            None => piece.await,
        };
        let Some(piece) = piece.transpose()? else { return Ok(false) };
        if let Some(charge) = charge {
            let paid = charge.grow_from(piece.len() as u64, WINDOW_BYTES).await;
            paid.map_err(ReadError::Full)?;
        }
        if let Some(pace) = &mut self.pace {
            pace.count(piece.len());
        }
        self.body.flow_control().release_capacity(piece.len())?;
        self.rest = piece;
        Ok(true)
    }
}

impl From<h2::Error> for ReadError {
    fn from(error: h2::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<TooSlow> for ReadError {
    fn from(TooSlow: TooSlow) -> Self {
        Self::TooSlow
    }
}

/// Makes room for `n` more bytes of a body that is said to have `declared` bytes in all: for more
/// than `n`, so that few copies are made, but in proportion to what has really come.
pub(crate) fn reserve(buffer: &mut BytesMut, n: usize, declared: usize) {
    let needed = buffer.len() + n;
    if buffer.capacity() < needed {
        let wanted = declared.min((needed * RESERVE_FACTOR).max(FIRST_RESERVE_BYTES));
        buffer.reserve(wanted.max(needed) - buffer.len());
    }
}

/// Sends one message and ends the stream, as fast as the peer reads.
pub(crate) async fn send_last(
    stream: &mut h2::SendStream<Bytes>,
    message: Message,
) -> Result<(), h2::Error> {
    let Message { compressed, payload } = message;
    let prefix = prefix(payload.len(), compressed);
    if payload.len() <= JOIN_BYTES_MAX {
        return send(stream, [&prefix[..], &payload].concat().into(), true).await;
    }
    send(stream, Bytes::copy_from_slice(&prefix), false).await?;
    send(stream, payload, true).await
}

/// Sends bytes as fast as the peer reads them, and ends the stream after them if `end`.
pub(crate) async fn send(
    stream: &mut h2::SendStream<Bytes>,
    mut bytes: Bytes,
    end: bool,
) -> Result<(), h2::Error> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let Some(capacity) = capacity else { return Err(h2::Reason::CANCEL.into()) };
        let piece = bytes.split_to(capacity?.min(bytes.len()));
        let last = bytes.is_empty();
        stream.send_data(piece, end && last)?;
        if last {
            return Ok(());
        }
    }
    if end { stream.send_data(Bytes::new(), true) } else { Ok(()) }
}
