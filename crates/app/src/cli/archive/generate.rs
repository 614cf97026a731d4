//! `archive generate`: a file back to OTLP, into a file or to an endpoint.

use std::io;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use indicatif::ProgressBar;
use spanwise_archive::Archive;
use spanwise_otlp::exporter::{Client, Config, Protocol};
use spanwise_otlp::transport::Endpoint;
use spanwise_otlp::{Limits, decode};

use super::{GenerateArgs, open};
use crate::cli::output::Output;
use crate::cli::replay::send;
use crate::exit::{Exit, OK};
use crate::serve::Spawner;

/// Requests that wait to be sent: generation is faster than any receiver.
const QUEUE: usize = 16;

/// What was generated.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
struct Generated {
    requests: u64,
    spans: u64,
    rejected: u64,
}

/// Generates.
pub(super) fn run(args: &GenerateArgs, output: &Output) -> Result<Exit> {
    let archive = open(&args.file)?;
    let bar = output.progress(archive.info().header.n_spans, "generating");
    let generated = match (&args.to, output.file()) {
        (None, Some(path)) => {
            let mut writer = spanwise_source::write_requests(path)?;
            let generated = each(&archive, &bar, |request| {
                writer.push(&request).map_err(|error| io::Error::other(error.to_string()))
            })
            .with_context(|| args.file.display().to_string())?;
            writer.finish()?;
            generated
        }
        (Some(url), None) => {
            sent(&archive, url, &bar).with_context(|| args.file.display().to_string())?
        }
        (None, None) => {
            bail!("nowhere to put the spans\n  fix: add -o FILE.otlp.pb.zst or --to URL")
        }
        (Some(_), Some(_)) => bail!("-o and --to are both given\n  fix: give one of them"),
    };
    bar.finish_and_clear();
    output.result(&generated, |generated| {
        format!("{} spans in {} requests", generated.spans, generated.requests)
    })?;
    Ok(OK)
}

fn each(
    archive: &Archive,
    bar: &ProgressBar,
    mut take: impl FnMut(Bytes) -> io::Result<()>,
) -> Result<Generated, spanwise_archive::Error> {
    let mut generated = Generated::default();
    archive.generate(&mut |request: Bytes| {
        let n_spans = decode(request.clone(), &Limits::default())
            .map_err(|error| io::Error::other(error.to_string()))?
            .batch
            .spans
            .len() as u64;
        generated.requests += 1;
        generated.spans += n_spans;
        bar.inc(n_spans);
        take(request)
    })?;
    Ok(generated)
}

/// Sends the requests over gRPC while they are generated.
fn sent(archive: &Archive, url: &str, bar: &ProgressBar) -> Result<Generated> {
    let endpoint = Endpoint::parse(url, Protocol::Grpc.default_port())
        .with_context(|| format!("--to {url}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (queue, mut requests) = tokio::sync::mpsc::channel::<Bytes>(QUEUE);
    let sender = runtime.spawn(async move {
        let config = Config::new(endpoint, Protocol::Grpc);
        let mut client = Client::new(config, Arc::new(Spawner::new()));
        let mut n_rejected = 0;
        while let Some(request) = requests.recv().await {
            n_rejected += send(&mut client, request).await?;
        }
        anyhow::Ok(n_rejected)
    });
    let gone = || io::Error::other("the receiver is gone");
    let generated = each(archive, bar, |request| queue.blocking_send(request).map_err(|_| gone()));
    drop(queue);
    // The sender's own error says more than that it is gone.
    let rejected = runtime.block_on(sender)??;
    Ok(Generated { rejected, ..generated? })
}
