//! Runs the exporters of `tests/sdk`: real OpenTelemetry SDKs that write down what they send.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Traces an exporter is asked for.
const N_TRACES: u64 = 400;
/// Spans that makes: a trace has 1 to 6.
pub(crate) const N_SPANS: u64 = 1_396;

/// The Python exporter over `protocol` (`grpc` or `http`). What it sent, or `None` with the reason
/// printed if it is not installed.
pub(crate) fn python(protocol: &str, endpoint: &str) -> Option<Vec<u8>> {
    let python = installed().join("python/bin/python");
    let script = repository().join("tests/sdk/python_exporter.py");
    run(&python, &python, &[script.as_os_str(), protocol.as_ref(), endpoint.as_ref()])
}

/// The JavaScript exporter.
pub(crate) fn javascript(endpoint: &str) -> Option<Vec<u8>> {
    let modules = installed().join("js/node_modules/@opentelemetry/exporter-trace-otlp-http");
    let script = repository().join("tests/sdk/js_exporter/main.js");
    run(Path::new("node"), &modules, &[script.as_os_str(), endpoint.as_ref()])
}

fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn installed() -> PathBuf {
    std::env::var_os("SPANWISE_SDK").map_or_else(|| repository().join("target/sdk"), PathBuf::from)
}

fn run(program: &Path, needs: &Path, args: &[&OsStr]) -> Option<Vec<u8>> {
    if !needs.exists() {
        eprintln!("skipped: {} is not there; run tests/sdk/install.sh", needs.display());
        return None;
    }
    let out = tempfile::NamedTempFile::new().unwrap();
    let run = Command::new(program)
        .args(args)
        .arg(N_TRACES.to_string())
        .arg(out.path())
        .env("NODE_PATH", installed().join("js/node_modules"))
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .stdin(Stdio::null())
        .output();
    let run = match run {
        Ok(run) => run,
        Err(error) => {
            eprintln!("skipped: {} does not start: {error}", program.display());
            return None;
        }
    };
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(text.trim(), N_SPANS.to_string(), "spans the exporter sent");
    Some(std::fs::read(out.path()).unwrap())
}
