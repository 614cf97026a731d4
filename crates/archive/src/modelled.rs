//! L2 and L3 as files: the model, the traces beside it, and the score of what comes back.
//!
//! The compressor reads its own file, in the same way as anyone will, and scores what it generates:
//! so the score in a file is one that whoever has the input can compute again.

use std::io;

use bytes::Bytes;

use crate::container::{Container, Header, Section, write_archive};
#[cfg(feature = "ctgan")]
use crate::ctgan;
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
use crate::traces::{Builder, Error as WindowError, Traces};

/// Version of the section with the score.
const VERSION: u16 = 1;
/// The figures by which seeds are compared; the others are variants of them.
const N_PRIMARY: usize = 16;

/// A window before it is fitted: what stands beside any model, and what scores one.
struct Prepared {
    header: Header,
    traces: Traces,
    verbatim: Vec<Section>,
    n_traces_verbatim: u64,
    n_bytes_in: u64,
    scorer: Scorer,
}

/// Compresses a window to a model.
pub(crate) fn compress(requests: &[Bytes], options: &Options) -> Result<(Vec<u8>, Summary), Error> {
    let mut prepared = prepare(requests, options, Method::Structured)?;
    let detail = match options.level {
        Level::Pinned => Detail::Pinned,
        _ => Detail::Model,
    };
    let fit = structured::Options { beta: options.beta, detail, ..structured::Options::default() };
    let traces = std::mem::take(&mut prepared.traces);
    let fitted = Fitted::fit(&traces, &fit).map_err(|error| model_error(error, true))?;
    drop(traces);
    finish(&mut prepared, fitted.sections(), options)
}

/// Trains the paper's networks and compresses the window after each of the numbers of epochs, which
/// ascend; `each` gets the number and the file. Goes on from `warm`, and leaves there what the next
/// window goes on from.
#[cfg(feature = "ctgan")]
pub(crate) fn train(
    requests: &[Bytes],
    options: &Options,
    epochs: &[u32],
    warm: &mut Option<ctgan::Warm>,
    each: &mut dyn FnMut(u32, Vec<u8>, Summary),
) -> Result<(), Error> {
    let gan = &options.gan.clone().unwrap_or_default();
    let options = &Options { level: Level::Model, ..options.clone() };
    let mut prepared = prepare(requests, options, Method::Ctgan)?;
    let traces = std::mem::take(&mut prepared.traces);
    let session = ctgan::Session::new(&traces, gan, warm.as_ref());
    drop(traces);
    let mut session = session.map_err(|error| model_error(error, true))?;
    let mut n_done = 0;
    for &n in epochs {
        while n_done < n {
            session.epoch();
            n_done += 1;
        }
        let (bytes, summary) = finish(&mut prepared, session.fitted().sections(), options)?;
        each(n, bytes, summary);
    }
    *warm = Some(session.warm());
    Ok(())
}

fn prepare(requests: &[Bytes], options: &Options, method: Method) -> Result<Prepared, Error> {
    let source = Source::read(requests)?;
    let mut kept = source.choose(options);
    let mut header = Header::new(options.level, method);
    (header.start_ns, header.end_ns) = source.times();
    let window =
        builder(requests)?.finish(|id| kept.contains(id)).map_err(|error| too_large(&error))?;
    kept.extend(window.apart.iter().copied());
    let n_traces_verbatim = kept.len() as u64;
    let (verbatim, n_spans_verbatim) = source.sections(&kept)?;
    header.n_traces = window.traces.n_traces() as u64 + n_traces_verbatim;
    header.n_spans = window.traces.n_spans() as u64 + n_spans_verbatim;
    let n_bytes_in = requests.iter().map(|request| request.len() as u64).sum();
    let real = builder(requests)?.finish(|_| false).map_err(|error| too_large(&error))?;
    let scorer = Scorer::new(&real.traces);
    let traces = window.traces;
    Ok(Prepared { header, traces, verbatim, n_traces_verbatim, n_bytes_in, scorer })
}

/// Finds the best seed and writes the file.
fn finish(
    prepared: &mut Prepared,
    model: Vec<([u8; 4], Vec<u8>)>,
    options: &Options,
) -> Result<(Vec<u8>, Summary), Error> {
    let section =
        |(tag, bytes)| Section { tag: Tag(tag), version: structured::version(tag), bytes };
    let mut sections: Vec<Section> = model.into_iter().map(section).collect();
    sections.extend(prepared.verbatim.iter().cloned());
    let mut header = prepared.header;
    let (seed, fidelity) = search(&header, &sections, options, &mut prepared.scorer)?;
    header.seed = seed;
    sections.push(Section { tag: Tag::FIDELITY, version: VERSION, bytes: fidelity.encode() });
    let bytes = write_archive(&header, &sections)?;
    let &mut Prepared { n_bytes_in, n_traces_verbatim, .. } = prepared;
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
    lossless::generate(container, Tag::VERBATIM, sink)?;
    read(container)?.generate(container, &mut |request| sink(request))
}

/// Reads the model and holds it against the limits, without generating anything.
pub(crate) fn check(container: &Container) -> Result<(), Error> {
    read(container).map(drop)
}

/// A model by its method.
enum Read {
    Structured(Box<Fitted>),
    #[cfg(feature = "ctgan")]
    Ctgan(Box<ctgan::Stored>),
}

fn read(container: &Container) -> Result<Read, Error> {
    let mut found = Vec::new();
    for (tag, ..) in container.table() {
        if !matches!(tag, Tag::VERBATIM | Tag::FIDELITY | Tag::COLUMNS) {
            found.push((tag, container.known(tag, structured::version(tag.0))?));
        }
    }
    let find = |tag: [u8; 4]| {
        let (_, (version, bytes)) = found.iter().find(|(found, _)| found.0 == tag)?;
        Some((*version, &bytes[..]))
    };
    let limits = container.limits();
    match container.header().method {
        #[cfg(feature = "ctgan")]
        Method::Ctgan => ctgan::Stored::read(find, limits).map(|read| Read::Ctgan(Box::new(read))),
        #[cfg(not(feature = "ctgan"))]
        Method::Ctgan => return Err(Error::NoFeature { method: Method::Ctgan }),
        _ => Fitted::read(find, limits).map(|read| Read::Structured(Box::new(read))),
    }
    .map_err(|error| model_error(error, false))
}

impl Read {
    fn generate(
        &self,
        container: &Container,
        sink: &mut impl FnMut(Bytes) -> io::Result<()>,
    ) -> Result<(), Error> {
        let header = container.header();
        let mark = Mark {
            archive_id: container.archive_id(),
            level: header.level.name(),
            method: header.method.name(),
        };
        match self {
            Self::Structured(fitted) => fitted.generate(header.seed, &mark, sink),
            #[cfg(feature = "ctgan")]
            Self::Ctgan(stored) => stored.generate(header.seed, &mark, sink),
        }
        .map_err(Error::Sink)
    }
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
        structured::Error::TooMany(what) => Error::Excess { what },
    }
}

/// The levels a model can be.
pub(crate) const fn is_model(level: Level) -> bool {
    matches!(level, Level::Pinned | Level::Model)
}
