//! Gen-T's own method: topologies counted, everything else from conditional GANs on tables.
//!
//! A histogram of topologies; `T_G` draws the start of a trace given its topology, `R_G` the
//! metadata of a root given topology and start, `C_G` the metadata of a chain given topology, start
//! and the metadata of its head. What differs from the paper and from its public code, and why:
//!
//! - Topologies are labelled with call sites, not services: a name drawn for each span would break
//!   the tree, and with it the queries that join parent and child.
//! - The convolution sees real features (call site and part in the chain, edges both ways) and is
//!   trained; critics have their own embeddings and see each row with its own condition.
//! - The condition vector is the call sites to fill. They are known when a trace is generated, so
//!   that drawing rare ones more often in training needs no correction.
//! - Errors are a choice, times are logarithms, weights are 8 bits wide.
//! - By default places of a call site are told apart ([`Support::PerPlace`]). Below a head that failed
//!   it is another condition than below one that did not: through the embedding of the head's metadata
//!   alone errors do not stay together along a path, and failed spans lie in more than twice as many
//!   traces. Times are normalised about the parent's duration by what stands above and below a span:
//!   else a request of one kind took as long as one of another, and all below it inherited that.
//! - By default units that a site never had are masked, and generators start at the marginals of each
//!   site and are brought back to them at the end: a few hundred bytes instead of epochs.
//!
//! [`Support::PerPlace`]: crate::gan_options::Support::PerPlace

mod fit;
mod format;
mod generate;
mod graph;
mod metadata;
mod names;
mod networks;
mod scales;

use bytes::Bytes;
use spanwise_ctgan::Frozen;

use crate::gan_options::GanOptions;
use crate::limits::Limits;
use crate::structured::{Error, Mark, Model, emit, read_vocabulary, write_vocabulary};

pub(crate) use fit::{Session, Warm};
use metadata::Normalisers;
use networks::Networks;

/// The section of the networks.
const GANS: [u8; 4] = *b"GANS";

/// A window as networks.
#[derive(Clone, Debug)]
pub(crate) struct Fitted {
    model: Model,
    begin_ns: u64,
    end_ns: u64,
    normalisers: Normalisers,
    options: GanOptions,
    /// As of the networks.
    below_failed: Vec<u32>,
    /// Units that spans of each site had, as roots and as tails.
    units: [Vec<Vec<u16>>; 2],
    generators: [Frozen; 3],
}

impl Fitted {
    /// Its sections in file order, tag and bytes.
    pub(crate) fn sections(&self) -> Vec<([u8; 4], Vec<u8>)> {
        let mut sections = write_vocabulary(&self.model);
        sections.push((GANS, format::write(self)));
        sections
    }
}

/// Networks as a file holds them.
#[derive(Debug)]
pub(crate) struct Stored {
    fitted: Fitted,
    networks: Networks,
}

impl Stored {
    /// Reads a window back within limits; `find` yields version and bytes of a section.
    ///
    /// # Errors
    /// A section is missing, ends early, exceeds a limit or contradicts another.
    pub(crate) fn read<'a>(
        find: impl Fn([u8; 4]) -> Option<(u16, &'a [u8])>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let model = read_vocabulary(&find, limits)?;
        let (_, section) = find(GANS).ok_or(Error::Missing(GANS))?;
        let (fitted, networks) = format::read(model, section, limits.section_bytes)?;
        Ok(Self { fitted, networks })
    }

    /// Generates the window as `ExportTraceServiceRequest`s of at most 512 spans, the same for the
    /// same networks, seed and mark everywhere.
    ///
    /// # Errors
    /// What `sink` fails with, at once.
    pub(crate) fn generate<E>(
        &self,
        seed: u64,
        mark: &Mark,
        sink: &mut impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let (model, generated) = generate::generate(&self.fitted, &self.networks, seed);
        emit(&model, &generated, mark, sink)
    }
}

#[cfg(test)]
mod tests;
