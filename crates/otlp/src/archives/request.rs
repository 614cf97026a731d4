//! `PushRequest` as bytes: what a piece becomes on the wire, and what is taken off it.

use bytes::Bytes;
use prost::Message as _;

use crate::archives::generated as wire;
use crate::archives::port::Chunk;
use crate::archives::{ARCHIVE_BYTES_MAX, CHUNK_BYTES_MAX, SOURCE_BYTES_MAX};
use crate::transport::{Code, RpcStatus};

/// A piece as the bytes of a `PushRequest`.
pub fn write_push(chunk: Chunk) -> Bytes {
    let request = wire::PushRequest {
        archive_id: Bytes::copy_from_slice(&chunk.archive_id),
        n_bytes: chunk.n_bytes,
        offset: chunk.offset,
        chunk: chunk.bytes,
        source: chunk.source,
        sequence: chunk.sequence,
        opened_unix_nano: chunk.opened_ns,
        closed_unix_nano: chunk.closed_ns,
    };
    request.encode_to_vec().into()
}

/// Reads a piece from the bytes of a `PushRequest`, which it shares.
///
/// # Errors
/// It is no `PushRequest`, or a field is outside its bounds: `InvalidArgument`, and a text of its own
/// for each.
pub fn read_push(payload: Bytes) -> Result<Chunk, RpcStatus> {
    let request = wire::PushRequest::decode(payload).map_err(|_| invalid("not a PushRequest"))?;
    check(request)
}

fn check(request: wire::PushRequest) -> Result<Chunk, RpcStatus> {
    let archive_id = request.archive_id[..].try_into();
    let archive_id = archive_id.map_err(|_| invalid("archive_id is not 16 bytes"))?;
    if !(1..=ARCHIVE_BYTES_MAX).contains(&request.n_bytes) {
        return Err(invalid("n_bytes is not from 1 to 64 MiB"));
    }
    let end = request.offset.checked_add(request.chunk.len() as u64);
    if request.chunk.len() > CHUNK_BYTES_MAX || end.is_none_or(|end| end > request.n_bytes) {
        return Err(invalid("chunk exceeds 1 MiB, or ends behind the archive"));
    }
    if request.source.len() > SOURCE_BYTES_MAX {
        return Err(invalid("source exceeds 256 bytes"));
    }
    Ok(Chunk {
        archive_id,
        n_bytes: request.n_bytes,
        offset: request.offset,
        bytes: request.chunk,
        source: request.source,
        sequence: request.sequence,
        opened_ns: request.opened_unix_nano,
        closed_ns: request.closed_unix_nano,
    })
}

pub(super) fn invalid(text: &'static str) -> RpcStatus {
    RpcStatus::new(Code::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&mut wire::PushRequest);

    #[test]
    fn requests_outside_their_bounds_are_refused() {
        let good = || wire::PushRequest {
            archive_id: vec![7; 16].into(),
            n_bytes: 100,
            offset: 90,
            chunk: vec![1; 10].into(),
            source: "a".to_owned(),
            ..wire::PushRequest::default()
        };
        let chunk = check(good()).unwrap();
        assert_eq!((chunk.archive_id, chunk.offset, chunk.bytes.len()), ([7; 16], 90, 10));
        let spoils: [Spoil; 8] = [
            |request| request.archive_id = vec![7; 15].into(),
            |request| request.archive_id = vec![].into(),
            |request| request.n_bytes = 0,
            |request| request.n_bytes = ARCHIVE_BYTES_MAX + 1,
            |request| request.offset = 91,
            |request| request.offset = u64::MAX,
            |request| {
                request.n_bytes = ARCHIVE_BYTES_MAX;
                request.chunk = vec![0; CHUNK_BYTES_MAX + 1].into();
            },
            |request| request.source = "x".repeat(SOURCE_BYTES_MAX + 1),
        ];
        for spoil in spoils {
            let mut request = good();
            spoil(&mut request);
            assert_eq!(check(request).unwrap_err().code, Code::InvalidArgument);
        }
    }
}
