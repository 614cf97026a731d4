//! The service name in a resource envelope; what cannot be read has none.

use super::wire::loose_field;

/// `service.name` of the envelope of a `ResourceSpans`; empty if it has none.
pub(super) fn name(envelope: &[u8]) -> &[u8] {
    fields(envelope)
        .filter(|(number, _)| *number == 1)
        .flat_map(|(_, resource)| fields(resource))
        .filter(|(number, _)| *number == 1)
        .find_map(|(_, attribute)| value(attribute))
        .unwrap_or_default()
}

/// The string value of an attribute named `service.name`.
fn value(attribute: &[u8]) -> Option<&[u8]> {
    let (key, value) =
        fields(attribute).fold((None, None), |(key, value), (number, payload)| match number {
            1 => (Some(payload), value),
            2 => (key, Some(payload)),
            _ => (key, value),
        });
    if key? != b"service.name" {
        return None;
    }
    fields(value?).find(|(number, _)| *number == 1).map(|(_, text)| text)
}

/// Length-delimited fields of a message, until something cannot be read.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            match loose_field(&mut rest) {
                Ok((number, Some(payload), _)) => return Some((number, payload)),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
        None
    })
}
