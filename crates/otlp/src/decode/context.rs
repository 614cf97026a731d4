//! What surrounds spans: `Resource` and `InstrumentationScope`.

use spanwise_model::ResourceHead;

use crate::schema::{entity_ref, resource, scope};
use crate::value::{Attribute, RawValue, read_attribute};
use crate::wire::{Reader, Stop};

/// What generated spans are marked with, as a boolean attribute of their resource.
const SYNTHETIC: &[u8] = b"trace.synthetic";

/// Reads a `Resource`, or a further piece of one, into `head`. Of several attributes with one key
/// the first counts. `instance_rank` remembers between pieces which key the instance came from.
pub(super) fn read_resource(
    mut reader: Reader<'_>,
    depth: u32,
    head: &mut ResourceHead,
    instance_rank: &mut u8,
) -> Result<(), Stop> {
    while let Some(key) = reader.key()? {
        match key {
            resource::ATTRIBUTE => {
                let attribute = read_attribute::<true>(reader.payload()?, depth)?;
                identify(&attribute, head, instance_rank);
            }
            resource::DROPPED_ATTRIBUTES => drop(reader.varint()?),
            resource::ENTITY_REF => check_entity_ref(reader.payload()?, depth)?,
            _ => reader.skip(key, resource::KNOWN, depth)?,
        }
    }
    Ok(())
}

/// Takes over `service.name`, `service.version` and the best instance id: `service.instance.id` before
/// `k8s.pod.name` before `host.name`. Values that are empty or no strings count as absent.
fn identify(attribute: &Attribute<'_>, head: &mut ResourceHead, instance_rank: &mut u8) {
    let text = match attribute.value {
        RawValue::Str(text) => text,
        RawValue::Bool(true) => {
            head.is_synthetic |= attribute.key == SYNTHETIC;
            return;
        }
        _ => return,
    };
    if text.is_empty() {
        return;
    }
    let rank = match attribute.key {
        b"service.name" => {
            if head.service.is_empty() {
                head.service = text.range();
            }
            return;
        }
        b"service.version" => {
            if head.version.is_empty() {
                head.version = text.range();
            }
            return;
        }
        b"service.instance.id" => 3,
        b"k8s.pod.name" => 2,
        b"host.name" => 1,
        _ => return,
    };
    if rank > *instance_rank {
        *instance_rank = rank;
        head.instance = text.range();
    }
}

fn check_entity_ref(mut reader: Reader<'_>, depth: u32) -> Result<(), Stop> {
    while let Some(key) = reader.key()? {
        match key {
            entity_ref::SCHEMA_URL
            | entity_ref::TYPE
            | entity_ref::ID_KEY
            | entity_ref::DESCRIPTION_KEY => drop(reader.string()?),
            _ => reader.skip(key, entity_ref::KNOWN, depth)?,
        }
    }
    Ok(())
}

/// Checks an `InstrumentationScope`; nothing of it is needed later but its bytes.
pub(super) fn read_scope(mut reader: Reader<'_>, depth: u32) -> Result<(), Stop> {
    while let Some(key) = reader.key()? {
        match key {
            scope::NAME | scope::VERSION => drop(reader.string()?),
            scope::ATTRIBUTE => drop(read_attribute::<true>(reader.payload()?, depth)?),
            scope::DROPPED_ATTRIBUTES => drop(reader.varint()?),
            _ => reader.skip(key, scope::KNOWN, depth)?,
        }
    }
    Ok(())
}
