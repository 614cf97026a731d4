use bytes::Bytes;

use super::file::archive_id;
use super::*;
use crate::error::Error;
use crate::level::{Level, Method};
use crate::limits::Limits;
use crate::tag::Tag;

fn sections() -> Vec<Section> {
    let mut text = SectionWriter::new();
    text.raw(b"frontend");
    text.u16(5);
    let mut long = SectionWriter::new();
    long.raw(&b"0123456789".repeat(500));
    vec![
        text.finish(Tag::DICT, 1),
        long.finish(Tag::COLUMNS, 3),
        Section { tag: Tag::FIDELITY, version: 1, bytes: Vec::new() },
    ]
}

fn header() -> Header {
    Header { n_traces: 2, n_spans: 5, seed: 7, ..Header::new(Level::Pinned, Method::Structured) }
}

fn file() -> Vec<u8> {
    write_archive(&header(), &sections()).unwrap()
}

/// Opens and reads everything.
fn read(bytes: &[u8], limits: &Limits) -> Result<Vec<(u16, Bytes)>, Error> {
    let container = Container::open(Bytes::copy_from_slice(bytes), limits)?;
    [Tag::DICT, Tag::COLUMNS, Tag::FIDELITY]
        .into_iter()
        .flat_map(|tag| container.sections(tag).collect::<Vec<_>>())
        .collect()
}

#[test]
fn a_file_is_checked_against_its_id_and_its_checksums() {
    let open =
        |file: &[u8]| Container::open(Bytes::copy_from_slice(file), &Limits::default()).unwrap();
    let file = file();
    open(&file).check_sections().unwrap();
    let mut flipped = file.clone();
    // The first byte of the first section, behind magic, versions and header.
    flipped[8 + Header::N_BYTES] ^= 1;
    open(&flipped).check_sections().unwrap_err();
    // Sections of another file under a frame that claims this id.
    let mut other = header();
    other.seed += 1;
    let id = archive_id(&other, &sections());
    assert_ne!(open(&file).archive_id(), id);
}

#[test]
fn what_is_written_comes_back() {
    let container = Container::open(file().into(), &Limits::default()).unwrap();
    assert_eq!(container.header(), &header());
    assert_eq!(container.archive_id(), archive_id(&header(), &sections()));
    let read = read(&file(), &Limits::default()).unwrap();
    for (section, (version, bytes)) in sections().iter().zip(&read) {
        assert_eq!((section.version, &section.bytes[..]), (*version, &bytes[..]));
    }
    let (_, stored, raw) = container.table().nth(1).unwrap();
    assert!(stored < raw / 10, "{stored}");
}

#[test]
fn an_id_depends_on_content_but_not_on_the_score() {
    let mut changed = sections();
    changed[2].bytes.push(1);
    assert_eq!(archive_id(&header(), &changed), archive_id(&header(), &sections()));
    changed[0].bytes.push(1);
    assert_ne!(archive_id(&header(), &changed), archive_id(&header(), &sections()));
}

#[test]
fn every_truncation_is_refused() {
    let file = file();
    for n in 0..file.len() {
        assert!(read(&file[..n], &Limits::default()).is_err(), "{n}");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let file = file();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            assert!(read(&flipped, &Limits::default()).is_err(), "{at}.{bit}");
        }
    }
}

#[test]
fn limits_are_held_before_anything_is_unpacked() {
    let check = |limits: Limits, expected: &str| {
        let error = read(&file(), &limits).unwrap_err();
        assert!(matches!(error, Error::Limit { what, .. } if what == expected), "{error}");
    };
    check(Limits { section_bytes: 4999, ..Limits::default() }, "bytes in a section");
    check(Limits { n_traces: 1, ..Limits::default() }, "traces");
    check(Limits { n_spans: 4, ..Limits::default() }, "spans");
    check(Limits { n_sections: 2, ..Limits::default() }, "sections");
}
