//! What must hold for any bytes. Shared with the fuzz targets.

use bytes::Bytes;
use spanwise_archive::{Archive, Error, Level, Limits, Options, compress};

/// A span with all that stands around it: resource envelope, scope envelope, span.
pub(crate) type Message = (Vec<u8>, Vec<u8>, Vec<u8>);

/// Takes a varint.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for i in 0..10 {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        if i == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Splits a message into the payloads of field `inner` and everything else.
fn open(message: &[u8], inner: u64) -> Option<(Vec<&[u8]>, Vec<u8>)> {
    let (mut rest, mut inside, mut envelope) = (message, Vec::new(), Vec::new());
    while !rest.is_empty() {
        let before = rest;
        let key = varint(&mut rest)?;
        let n = match key & 7 {
            0 => varint(&mut rest).map(|_| 0)?,
            1 => 8,
            5 => 4,
            2 => usize::try_from(varint(&mut rest)?).ok()?,
            _ => return None,
        };
        let (payload, tail) = rest.split_at_checked(n)?;
        rest = tail;
        if key == inner << 3 | 2 {
            inside.push(payload);
        } else {
            envelope.extend_from_slice(&before[..before.len() - rest.len()]);
        }
    }
    Some((inside, envelope))
}

/// Resource and scope envelopes in which no span stands.
pub(crate) type Empty = (Vec<u8>, Option<Vec<u8>>);

/// All spans of requests, sorted; and all envelopes in which none stands.
pub(crate) fn messages(requests: &[Bytes]) -> Option<(Vec<Message>, Vec<Empty>)> {
    let (mut spans, mut empty) = (Vec::new(), Vec::new());
    for request in requests {
        for message in open(request, 1)?.0 {
            let (scopes, resource) = open(message, 2)?;
            if scopes.is_empty() {
                empty.push((resource.clone(), None));
            }
            for message in scopes {
                let (inside, scope) = open(message, 2)?;
                if inside.is_empty() {
                    empty.push((resource.clone(), Some(scope.clone())));
                }
                spans.extend(inside.iter().map(|s| (resource.clone(), scope.clone(), s.to_vec())));
            }
        }
    }
    spans.sort();
    empty.sort();
    empty.dedup();
    Some((spans, empty))
}

/// Everything that an archive brings back.
pub(crate) fn generated(file: &[u8], limits: &Limits) -> Result<Vec<Bytes>, Error> {
    let archive = Archive::open(Bytes::copy_from_slice(file), limits)?;
    let mut requests = Vec::new();
    archive.generate(&mut |request| {
        requests.push(request);
        Ok(())
    })?;
    Ok(requests)
}

/// L0 brings every message back, twice alike, L1 as many spans, and models as many as they say,
/// unless a span cannot be read; whether `bytes` were a request.
pub(crate) fn check_roundtrip(bytes: &[u8]) -> bool {
    let request = Bytes::copy_from_slice(bytes);
    let options = Options { level: Level::Lossless, ..Options::default() };
    let Ok(compressed) = compress([request.clone()], &options) else {
        return false;
    };
    let back = generated(&compressed.bytes, &Limits::default()).unwrap();
    assert_eq!(messages(&back), messages(&[request]));
    let again = compress(back.clone(), &options).unwrap();
    assert_eq!(messages(&generated(&again.bytes, &Limits::default()).unwrap()), messages(&back));
    let options = Options { level: Level::NearLossless, ..Options::default() };
    let near = compress(back.clone(), &options).unwrap();
    let near = generated(&near.bytes, &Limits::default()).unwrap();
    let n_spans = |requests: &[Bytes]| messages(requests).unwrap().0.len();
    assert_eq!(n_spans(&near), n_spans(&back));
    for level in [Level::Pinned, Level::Model] {
        let options = Options { level, ..Options::default() };
        let Ok(model) = compress(back.clone(), &options) else { continue };
        let made = generated(&model.bytes, &Limits::default()).unwrap();
        assert_eq!(n_spans(&made) as u64, model.summary.header.n_spans);
    }
    true
}

/// Limits under which a hostile file is cheap.
fn tight() -> Limits {
    Limits {
        section_bytes: 1 << 20,
        n_traces: 1 << 12,
        n_spans: 1 << 14,
        n_slots: 1 << 20,
        output_bytes: 16 << 20,
        ..Limits::default()
    }
}

/// Opens and generates from any bytes: an error or requests, never a panic. With `reseal` the
/// checksums are put right first, so that what they guard is reached. Whether all was well.
pub(crate) fn check_open(bytes: &[u8]) -> bool {
    let mut n_bytes = 0_u64;
    let mut run = |file: &[u8]| {
        let Ok(archive) = Archive::open(Bytes::copy_from_slice(file), &tight()) else {
            return false;
        };
        drop((archive.info(), archive.fidelity()));
        let result = archive.generate(&mut |request| {
            n_bytes += request.len() as u64;
            Ok(())
        });
        result.is_ok()
    };
    let plain = run(bytes);
    let resealed = reseal(bytes).is_some_and(|file| run(&file));
    plain || resealed
}

const PREFIX_LEN: usize = 80;
const ENTRY_LEN: usize = 36;
const FOOTER_LEN: usize = 36;

/// The file with its checksums made to fit, if its table can be found.
pub(crate) fn reseal(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut file = bytes.to_vec();
    let footer = file.len().checked_sub(FOOTER_LEN)?;
    let table = u64::from_le_bytes(*file.get(footer..)?.first_chunk()?);
    let table = usize::try_from(table).ok().filter(|&at| at <= footer && at >= PREFIX_LEN)?;
    for entry in (table..footer).step_by(ENTRY_LEN) {
        let number = |at: usize| Some(u64::from_le_bytes(*file.get(entry + at..)?.first_chunk()?));
        let (offset, len) = (number(8)? as usize, number(16)? as usize);
        let crc = crc32c::crc32c(file.get(offset..offset.checked_add(len)?)?);
        file.get_mut(entry + 32..entry + 36)?.copy_from_slice(&crc.to_le_bytes());
    }
    let id = footer + 16;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&file[..PREFIX_LEN]), &file[table..footer]);
    let crc = crc32c::crc32c_append(crc, &file[id..id + 16]);
    file[footer + 12..footer + 16].copy_from_slice(&crc.to_le_bytes());
    Some(file)
}
