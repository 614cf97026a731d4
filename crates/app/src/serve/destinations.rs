//! Builds the destinations of what is kept.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use spanwise_otlp::exporter::{self, Exporter};
use spanwise_otlp::transport::{Compression, Phase, Shutdown};

use super::outlets::Watched;
use super::parts::{OUTLETS, Parts, blocking};
use super::spawn::shared;
use crate::config::{Destination, Forward, ForwardProtocol, Otlp, Sent};
use crate::pipeline::forward::{Forwarder, Forwarders};
use crate::pipeline::outlets::{Line, Outlet, Queue, Rotated, Sink, Writer};

/// Destinations by what is sent to them.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    /// Sampled spans.
    pub spans: Forwarders,
    /// Kept traces.
    pub traces: Vec<Outlet>,
    /// Traces from archives, with the bytes that may wait for each.
    pub archives: Vec<(Outlet, u64)>,
    /// All of them, to be counted and watched.
    pub watched: Vec<Watched>,
}

/// Every destination of the configuration, with its task.
pub(super) fn build(parts: &mut Parts<'_>, outlets: &Shutdown) -> Result<Destinations> {
    let mut destinations = Destinations::default();
    let config = parts.config;
    for (idx, forward) in config.forward.iter().enumerate() {
        let queue = match &forward.to {
            Destination::Otlp(otlp) => {
                let exporter = exporter(parts, outlets, idx, otlp);
                if forward.send == Sent::Spans {
                    let queue = Queue::Otlp(exporter.clone());
                    destinations.watched.push(Watched::new(forward.name(), queue, false));
                    destinations.spans.0.push(Forwarder { exporter, stamp: forward.stamp });
                    continue;
                }
                Queue::Otlp(exporter)
            }
            Destination::File { dir, every_ns, n_bytes } => {
                let sink = file(parts, dir, *every_ns, *n_bytes)?;
                writer(parts, outlets, forward, sink)?
            }
            Destination::Stdout => writer(parts, outlets, forward, Box::new(Line))?,
        };
        let is_logged = config.data_dir.is_some();
        let is_on_disk = is_logged && forward.send == Sent::Traces;
        destinations.watched.push(Watched::new(forward.name(), queue.clone(), is_on_disk));
        let outlet = Outlet { name: forward.name(), stamp: forward.stamp, queue };
        match forward.send {
            Sent::Archives => destinations.archives.push((outlet, forward.queue_bytes)),
            Sent::Spans | Sent::Traces => destinations.traces.push(outlet),
        }
    }
    Ok(destinations)
}

fn exporter(parts: &mut Parts<'_>, outlets: &Shutdown, idx: usize, otlp: &Otlp) -> Exporter {
    let protocol = match otlp.protocol {
        ForwardProtocol::Grpc => exporter::Protocol::Grpc,
        ForwardProtocol::HttpProtobuf => exporter::Protocol::HttpProtobuf,
    };
    let mut config = exporter::Config::new(otlp.endpoint.clone(), protocol);
    config.tls.ca_pem.clone_from(&otlp.ca_pem);
    if otlp.gzip {
        config.compression = Compression::Gzip;
    }
    config.queue_bytes_max = parts.config.forward[idx].queue_bytes as usize;
    config.seed = parts.config.sampler.seed.wrapping_add(idx as u64);
    let (exporter, driver) = exporter::exporter(config, shared(parts.spawner));
    parts.stage(OUTLETS, driver.run(outlets.clone()));
    exporter
}

fn file(parts: &Parts<'_>, dir: &Path, every_ns: u64, n_bytes: u64) -> Result<Box<dyn Sink>> {
    let every = Duration::from_nanos(every_ns);
    Ok(Box::new(Rotated::open(dir.to_owned(), every, n_bytes, parts.clock)?))
}

/// The queue before a sink, whose thread ends when the destinations are told to finish.
fn writer(
    parts: &mut Parts<'_>,
    outlets: &Shutdown,
    forward: &Forward,
    sink: Box<dyn Sink>,
) -> Result<Queue> {
    let (handle, writer) = Writer::new(sink, forward.queue_bytes);
    let written = blocking(parts.panics.guard("destination"), move || writer.run())?;
    let mut outlets = outlets.clone();
    let closing = handle.clone();
    let ended = async move {
        outlets.reached(Phase::Draining).await;
        closing.close();
        written.await;
    };
    parts.stage(OUTLETS, ended);
    Ok(Queue::Writer(handle))
}
