//! Writes `generated.rs` of `src/sampled_spans` and of `src/archives` (messages, for the crate) and
//! `tests/it/generated.rs` (a tonic client and server, the foreign peers of the tests).

use std::path::Path;

/// Folders of the crate with the file that describes their messages.
const MODULES: [(&str, &str); 2] = [("sampled_spans", "sampled_spans"), ("archives", "archive")];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let krate = here.join("../..");
    let out = std::env::temp_dir().join("spanwise-generate");
    std::fs::create_dir_all(&out)?;
    for (module, file) in MODULES {
        let proto = format!("spanwise/v1/{file}.proto");
        let files = protox::compile([&proto], [here.join("..")])?;
        prost_build::Config::new().bytes(["."]).out_dir(&out).compile_fds(files)?;
        publish(&out, &proto, &krate.join(format!("src/{module}/generated.rs")))?;
    }

    let proto = "spanwise/v1/sampled_spans.proto";
    let files = protox::compile([proto], [here.join("..")])?;
    tonic_prost_build::configure()
        .extern_path(".spanwise.v1", "crate::messages")
        .out_dir(&out)
        .compile_fds(files)?;
    publish(&out, proto, &krate.join("tests/it/generated.rs"))?;
    Ok(())
}

fn publish(out: &Path, proto: &str, to: &Path) -> std::io::Result<()> {
    let code = std::fs::read_to_string(out.join("spanwise.v1.rs"))?;
    std::fs::create_dir_all(to.parent().ok_or(std::io::ErrorKind::InvalidInput)?)?;
    std::fs::write(to, format!("// @generated from proto/{proto} by proto/generate\n{code}"))
}
