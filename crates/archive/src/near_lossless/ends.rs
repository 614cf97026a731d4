//! Spans that end before they start.
//!
//! In blocks of mode 1 start and end of a span are rounded to bins on their own, so a short span between
//! long ones can come out with its end first, and whoever assembles its trace refuses it. Such a span
//! lasts no time instead. The coder goes on from the times in the bins: what is mended here is what a reader
//! hands out, and nothing that a later time is measured from.

use std::ops::Range;

use bytes::Bytes;

use crate::traces::wire::{Field, Fields};

const RESOURCE_SPANS: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const SPANS: u32 = 2;
const START: u32 = 7;
const END: u32 = 8;
/// Field 8 as eight bytes.
const END_KEY: u8 = 8 << 3 | 1;

/// The request with no span that ends before it starts; itself, uncopied, if it has none.
pub(super) fn in_order(request: Bytes) -> Bytes {
    let mut late = Vec::new();
    for resource in messages(&request, 0..request.len(), RESOURCE_SPANS) {
        for scope in messages(&request, resource, SCOPE_SPANS) {
            for span in messages(&request, scope, SPANS) {
                late.extend(late_end(&request, span));
            }
        }
    }
    if late.is_empty() {
        return request;
    }
    let mut bytes = request.to_vec();
    for (place, start) in late {
        bytes[place].copy_from_slice(&start.to_le_bytes());
    }
    bytes.into()
}

/// Where the messages in one field of a message stand.
fn messages(bytes: &[u8], within: Range<usize>, number: u32) -> Vec<Range<usize>> {
    let mut fields = Fields(&bytes[within.clone()]);
    let mut found = Vec::new();
    while let Some((field, content)) = fields.next() {
        if let (true, Field::Bytes(message)) = (field == number, content) {
            let end = within.end - fields.0.len();
            found.push(end - message.len()..end);
        }
    }
    found
}

/// Where the end of a span stands, and its start, if the end comes before it.
fn late_end(bytes: &[u8], span: Range<usize>) -> Option<(Range<usize>, u64)> {
    let mut fields = Fields(&bytes[span.clone()]);
    let (mut start, mut end) = (None, None);
    while let Some((field, content)) = fields.next() {
        let Field::Number(time) = content else { continue };
        match field {
            START => start = Some(time),
            END => end = Some((span.end - fields.0.len(), time)),
            _ => {}
        }
    }
    let (start, (after, end)) = (start?, end?);
    let place = after.checked_sub(8)?..after;
    let is_fixed = place.start > span.start && bytes[place.start - 1] == END_KEY;
    (end < start && is_fixed).then_some((place, start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lossless::put_field;

    fn request(spans: &[(u64, u64)]) -> Bytes {
        let mut scope = Vec::new();
        for (start, end) in spans {
            let mut span = vec![START as u8 * 8 + 1];
            span.extend_from_slice(&start.to_le_bytes());
            span.push(END_KEY);
            span.extend_from_slice(&end.to_le_bytes());
            put_field(&mut span, 5, b"name");
            put_field(&mut scope, SPANS, &span);
        }
        let (mut resource, mut request) = (Vec::new(), Vec::new());
        put_field(&mut resource, SCOPE_SPANS, &scope);
        put_field(&mut request, RESOURCE_SPANS, &resource);
        request.into()
    }

    #[test]
    fn no_span_ends_before_it_starts() {
        let check = |given: &[(u64, u64)], expected: &[(u64, u64)]| {
            assert_eq!(in_order(request(given)), request(expected));
        };
        check(&[], &[]);
        check(&[(5, 9), (7, 7)], &[(5, 9), (7, 7)]);
        check(
            &[(5, 9), (7, 6), (1, 2), (u64::MAX, 0)],
            &[(5, 9), (7, 7), (1, 2), (u64::MAX, u64::MAX)],
        );
    }

    #[test]
    fn what_is_no_request_stays() {
        let whole = request(&[(7, 6)]);
        for n in 0..whole.len() {
            assert_eq!(in_order(whole.slice(..n)), whole.slice(..n));
        }
    }
}
