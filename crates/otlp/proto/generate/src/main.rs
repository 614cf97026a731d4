//! Writes `src/sampled_spans/generated.rs` (messages, for the crate) and
//! `tests/it/generated.rs` (a tonic client and server, the foreign peers of the tests).

use std::path::Path;

const HEADER: &str = "// @generated from proto/spanwise/v1/sampled_spans.proto by proto/generate\n";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let krate = here.join("../..");
    let out = std::env::temp_dir().join("spanwise-generate");
    std::fs::create_dir_all(&out)?;
    let files = protox::compile(["spanwise/v1/sampled_spans.proto"], [here.join("..")])?;

    prost_build::Config::new().bytes(["."]).out_dir(&out).compile_fds(files.clone())?;
    publish(&out, &krate.join("src/sampled_spans/generated.rs"))?;

    tonic_prost_build::configure()
        .extern_path(".spanwise.v1", "crate::messages")
        .out_dir(&out)
        .compile_fds(files)?;
    publish(&out, &krate.join("tests/it/generated.rs"))?;
    Ok(())
}

fn publish(out: &Path, to: &Path) -> std::io::Result<()> {
    let code = std::fs::read_to_string(out.join("spanwise.v1.rs"))?;
    std::fs::create_dir_all(to.parent().ok_or(std::io::ErrorKind::InvalidInput)?)?;
    std::fs::write(to, format!("{HEADER}{code}"))
}
