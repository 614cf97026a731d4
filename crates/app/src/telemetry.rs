//! What spanwise says about itself: log lines on stderr, and metrics.

use anyhow::Result;
use tracing_subscriber::EnvFilter;

use crate::cli::{Global, LogFormat};

pub mod metrics;

/// Starts logging to stderr. A filter that does not parse is an error that names it.
pub fn start(global: &Global) -> Result<()> {
    let filter = EnvFilter::try_new(&global.log_level).map_err(|error| {
        anyhow::anyhow!("log level `{}`: {error}\n  fix: try `info` or `spanwise=debug`", global.log_level)
    })?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start, as in tests, keeps the first subscriber.
    let _ = match global.log_format {
        LogFormat::Text => builder.compact().try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(())
}
