//! L2 and L3 as files: the model, the traces beside it, and the score of what comes back.
//!
//! The compressor reads its own file, in the same way as anyone will, and scores what it generates:
//! so the score in a file is one that whoever has the input can compute again.

use std::io;

use bytes::Bytes;

use crate::container::{Container, Header, Section, write_archive};
use crate::error::Error;
use crate::fidelity::{Fidelity, Metric, Scorer};
use crate::level::{Level, Method};
use crate::limits::Limits;
use crate::lossless;
use crate::lossless::verbatim::Source;
use crate::options::Options;
use crate::structured::{self, Detail, Fitted, Mark};
use crate::summary::Summary;
use crate::tag::Tag;
use crate::traces::{Builder, Error as WindowError};

/// Version of the sections of a model.
const VERSION: u16 = 1;
/// The figures by which seeds are compared; the others are variants of them.
const N_PRIMARY: usize = 16;

/// Compresses a window to a model.
pub(crate) fn compress(requests: &[Bytes], options: &Options) -> Result<(Vec<u8>, Summary), Error> {
    let source = Source::read(requests)?;
    let mut kept = source.choose(options);
    let mut header = Header::new(options.level, Method::Structured);
    (header.start_ns, header.end_ns) = source.times();
    let window =
        builder(requests)?.finish(|id| kept.contains(id)).map_err(|error| too_large(&error))?;
    kept.extend(window.apart.iter().copied());
    let n_traces_verbatim = kept.len() as u64;
    let (verbatim, n_spans_verbatim) = source.sections(&kept)?;
    header.n_traces = window.traces.n_traces() as u64 + n_traces_verbatim;
    header.n_spans = window.traces.n_spans() as u64 + n_spans_verbatim;
    let detail = match options.level {
        Level::Pinned => Detail::Pinned,
        _ => Detail::Model,
    };
    let fit = structured::Options { beta: options.beta, detail, ..structured::Options::default() };
    let fitted = Fitted::fit(&window.traces, &fit).map_err(|error| model_error(error, true))?;
    drop(window);
    let mut sections: Vec<Section> = fitted
        .sections()
        .into_iter()
        .map(|(tag, bytes)| Section { tag: Tag(tag), version: VERSION, bytes })
        .collect();
    sections.extend(verbatim);
    let real = builder(requests)?.finish(|_| false).map_err(|error| too_large(&error))?;
    let mut scorer = Scorer::new(&real.traces);
    drop(real);
    let (seed, fidelity) = search(&header, &sections, options, &mut scorer)?;
    header.seed = seed;
    sections.push(Section { tag: Tag::FIDELITY, version: VERSION, bytes: fidelity.encode() });
    let n_bytes_in = requests.iter().map(|request| request.len() as u64).sum();
    let bytes = write_archive(&header, &sections)?;
    Ok((bytes, Summary { header, n_bytes_in, n_traces_verbatim, near_lossless: None }))
}

/// The best of the seeds, and its score.
fn search(
    header: &Header,
    sections: &[Section],
    options: &Options,
    scorer: &mut Scorer,
) -> Result<(u64, Fidelity), Error> {
    let mut best: Option<(f64, u64, Fidelity)> = None;
    for at in 0..u64::from(options.seed_search.max(1)) {
        let seed = options.seed.wrapping_add(at);
        let file = write_archive(&Header { seed, ..*header }, sections)?;
        let limits = Limits { n_traces: u64::MAX, n_spans: u64::MAX, ..Limits::default() };
        let container = Container::open(file.into(), &limits)?;
        let mut builder = Builder::new();
        let mut failed = None;
        generate(&container, &mut |request| {
            failed = failed.take().or(builder.push(request).err());
            Ok(())
        })?;
        if let Some(error) = failed {
            return Err(too_large(&error));
        }
        let window = builder.finish(|_| false).map_err(|error| too_large(&error))?;
        let fidelity = scorer.score(&window.traces, 1.0);
        let loss = loss(&fidelity);
        if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
            best = Some((loss, seed, fidelity));
        }
    }
    Ok(best.map_or((options.seed, Fidelity::default()), |(_, seed, fidelity)| (seed, fidelity)))
}

/// How far the primary figures are from perfect, together.
fn loss(fidelity: &Fidelity) -> f64 {
    let figure = |(metric, value): (Metric, Option<f64>)| {
        let value = value?;
        Some(if metric.is_greater_better() { 1.0 - value } else { value.min(1.0) })
    };
    fidelity.iter().take(N_PRIMARY).filter_map(figure).sum()
}

/// Brings a window back: the traces beside the model as they were, the others generated.
pub(crate) fn generate(
    container: &Container,
    sink: &mut dyn FnMut(Bytes) -> io::Result<()>,
) -> Result<(), Error> {
    let header = container.header();
    lossless::generate(container, Tag::VERBATIM, sink)?;
    let mut found = Vec::new();
    for (tag, ..) in container.table() {
        if !matches!(tag, Tag::VERBATIM | Tag::FIDELITY | Tag::COLUMNS) {
            found.push((tag, container.required(tag, VERSION)?));
        }
    }
    let find = |tag: [u8; 4]| found.iter().find(|(t, _)| t.0 == tag).map(|(_, bytes)| &bytes[..]);
    let fitted =
        Fitted::read(find, container.limits()).map_err(|error| model_error(error, false))?;
    let mark = Mark { archive_id: container.archive_id(), level: header.level.name() };
    fitted.generate(header.seed, &mark, &mut |request| sink(request)).map_err(Error::Sink)
}

fn builder(requests: &[Bytes]) -> Result<Builder, Error> {
    let mut builder = Builder::new();
    for (number, request) in requests.iter().enumerate() {
        builder.push(request.clone()).map_err(|error| match error {
            WindowError::Request(source) => Error::Request { number: number as u64, source },
            other => too_large(&other),
        })?;
    }
    Ok(builder)
}

fn too_large(error: &WindowError) -> Error {
    if let WindowError::Request(source) = error {
        return Error::Request { number: 0, source: *source };
    }
    let limit = Limits::default().n_spans;
    Error::TooLarge { what: "spans or traces", value: limit + 1, limit }
}

fn model_error(error: structured::Error, is_writer: bool) -> Error {
    match error {
        structured::Error::Truncated => Error::corrupt_file(0, "a section of the model ends early"),
        structured::Error::Impossible(_) => {
            Error::corrupt_file(0, "a section of the model holds an impossible value")
        }
        structured::Error::Missing(tag) => Error::Missing { tag: Tag(tag) },
        structured::Error::TooMany(what) if is_writer => {
            Error::TooLarge { what, value: u64::from(u16::MAX), limit: u64::from(u16::MAX) }
        }
        structured::Error::TooMany(what) => Error::Limit { what, value: 1, limit: 0 },
    }
}

/// The levels a model can be.
pub(crate) const fn is_model(level: Level) -> bool {
    matches!(level, Level::Pinned | Level::Model)
}
