//! L1: every trace, times and numbers to their bin. The coder is that of L0; here is what is given
//! up: distances in time and numbers are rounded to a logarithmic grid, ids are made anew, and the
//! varying parts of strings with many values are made up.
//!
//! Why a grid for all and not quantiles of each node: the promise is a relative error, and a node
//! whose durations hardly vary then costs nothing. Why the coder of L0 and not the trees of L3: it
//! learns as it goes, needs no model in the file, and comes out smaller. What is rounded is the gap
//! before a span and the tail behind its children, as they were: a duration made of them is off by
//! no more than they are, and where it would be it is coded itself. Rounding each time relative to times as the
//! reader has them, as was done before, keeps a trace's clock, but puts the error of a long wait into the
//! short span behind it.

mod ends;

use std::io;

use bytes::Bytes;

use crate::container::{Container, Header, Section, write_archive};
use crate::error::Error;
use crate::level::{Level, Method};
use crate::lossless;
use crate::lossless::verbatim::Source;
use crate::options::Options;
use crate::summary::Summary;
use crate::tag::Tag;

/// Compresses a window.
pub(crate) fn compress(requests: &[Bytes], options: &Options) -> Result<(Vec<u8>, Summary), Error> {
    let source = Source::read(requests)?;
    let kept = source.choose(options);
    let mut header = Header::new(Level::NearLossless, Method::Columns);
    header.seed = options.seed;
    (header.start_ns, header.end_ns) = source.times();
    (header.n_traces, header.n_spans) = source.counts();
    let n_traces_verbatim = kept.len() as u64;
    let (coded, near) = source.near_lossless(&kept)?;
    let mut sections: Vec<Section> = coded;
    if !kept.is_empty() {
        sections.extend(Source::read(requests)?.sections(&kept)?.0);
    }
    let bytes = write_archive(&header, &sections)?;
    let n_bytes_in = requests.iter().map(|request| request.len() as u64).sum();
    let near_lossless = Some(near);
    Ok((bytes, Summary { header, n_bytes_in, n_traces_verbatim, near_lossless }))
}

/// Brings a window back. Of the traces that are not verbatim no span ends before it starts.
pub(crate) fn generate(
    container: &Container,
    sink: &mut dyn FnMut(Bytes) -> io::Result<()>,
) -> Result<(), Error> {
    lossless::generate(container, Tag::VERBATIM, sink)?;
    lossless::generate(container, Tag::COLUMNS, &mut |request| sink(ends::in_order(request)))
}
