//! L0: columns of a window, bit-exact OTLP back.

use std::io;

use bytes::Bytes;

use crate::container::{Container, Header, Level, Section};
use crate::error::Error;

pub(crate) fn compress(_requests: &[Bytes], header: &mut Header) -> Result<Vec<Section>, Error> {
    Err(Error::Unavailable { level: header.level })
}

pub(crate) fn generate(
    _container: &Container,
    _sink: &mut impl FnMut(Bytes) -> io::Result<()>,
) -> Result<(), Error> {
    Err(Error::Unavailable { level: Level::Lossless })
}
