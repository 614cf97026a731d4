//! An opened file.

use std::io;

use bytes::Bytes;

use crate::container::{Container, Header};
use crate::error::Error;
use crate::fidelity::Fidelity;
use crate::level::Level;
use crate::limits::Limits;
use crate::tag::Tag;
use crate::{lossless, modelled, near_lossless};

/// A file whose frame was checked. Sections are checked when they are read.
#[derive(Clone, Debug)]
pub struct Archive {
    container: Container,
}

/// What a file says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Level, window, counts, seed.
    pub header: Header,
    /// Names the archive: from it the ids of generated spans are derived.
    pub archive_id: [u8; 16],
    /// Bytes of the file.
    pub n_bytes: u64,
    /// Sections in file order.
    pub sections: Vec<SectionInfo>,
}

/// A section of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionInfo {
    /// Its name.
    pub tag: Tag,
    /// Bytes in the file.
    pub stored_len: u64,
    /// Bytes decompressed.
    pub raw_len: u64,
}

impl Archive {
    /// Checks the frame of a file. Memory: the bytes and its table.
    ///
    /// # Errors
    /// It is no archive, needs a newer reader, is damaged, or exceeds the limits.
    pub fn open(bytes: Bytes, limits: &Limits) -> Result<Self, Error> {
        Container::open(bytes, limits).map(|container| Self { container })
    }

    /// Reads every section against its checksum, and all of them against the archive's id: what
    /// passes is what was written. A model is also read, and held against the limits on what
    /// generating takes. Cost: decompression, one section in memory at a time, and those of a model.
    ///
    /// # Errors
    /// A section is damaged, the id is another, or a limit is exceeded.
    pub fn check(&self) -> Result<(), Error> {
        self.container.check_sections()?;
        if modelled::is_model(self.container.header().level) {
            modelled::check(&self.container)?;
        }
        Ok(())
    }

    /// What the file says about itself.
    pub fn info(&self) -> Info {
        let container = &self.container;
        let section = |(tag, stored_len, raw_len)| SectionInfo { tag, stored_len, raw_len };
        Info {
            header: *container.header(),
            archive_id: container.archive_id(),
            n_bytes: container.n_bytes(),
            sections: container.table().map(section).collect(),
        }
    }

    /// The score of the file against the window it was made from, as the compressor found it; `None`
    /// if it stored none.
    ///
    /// # Errors
    /// The section is damaged.
    pub fn fidelity(&self) -> Result<Option<Fidelity>, Error> {
        let Some((_, bytes)) = self.container.section(Tag::FIDELITY)? else { return Ok(None) };
        match Fidelity::decode(&bytes) {
            Some(fidelity) => Ok(Some(fidelity)),
            None => Err(Error::corrupt(Tag::FIDELITY, 0, "no list of figures")),
        }
    }

    /// Brings the traces back. Each call of `sink` takes one `ExportTraceServiceRequest` of at most
    /// 512 spans; an error of it ends the generation. The same file gives the same requests
    /// everywhere.
    ///
    /// # Errors
    /// A section is damaged or missing, a limit is exceeded, or `sink` fails. Requests given before
    /// the error are right.
    pub fn generate(&self, sink: &mut impl FnMut(Bytes) -> io::Result<()>) -> Result<(), Error> {
        match self.container.header().level {
            Level::Lossless => lossless::generate(&self.container, Tag::COLUMNS, sink),
            Level::NearLossless => near_lossless::generate(&self.container, sink),
            level if modelled::is_model(level) => modelled::generate(&self.container, sink),
            level => Err(Error::Unavailable { level }),
        }
    }
}
