//! What spanwise says about itself: log lines on stderr, and metrics.

use anyhow::Result;
use tracing_subscriber::EnvFilter;

pub mod archives;
pub mod metrics;
pub mod traces;

/// Starts logging to stderr. A filter that does not parse is an error that names it.
pub fn start(filter: &str, as_json: bool) -> Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        anyhow::anyhow!("log level `{filter}`: {error}\n  fix: try `info` or `spanwise=debug`")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second start, as in tests, keeps the first subscriber.
    let started = if as_json { builder.json().try_init() } else { builder.compact().try_init() };
    drop(started);
    Ok(())
}
