//! Archives from the command line: there and back, scored, compared, and what is said when it fails.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::push_oracle::check_pushes;
use crate::support::process::run;

const OK: i32 = 0;
const FAILED: i32 = 2;

/// 500 traces of the synthetic shop, 8,045 spans, 4 traces with an error.
fn shop() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    path.join("../../examples/data/synthetic_shop.otlp.pb.zst").display().to_string()
}

/// Runs a command that must succeed, and reads the one document it prints.
fn json(args: &[&str]) -> Value {
    let output = run(&[args, &["-o", "json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(OK), "{args:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs a command that must fail, naming all of `words`.
fn check_fails(args: &[&str], words: &[&str]) {
    let output = run(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(FAILED), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?}: no `{word}` in: {said}");
    }
}

fn file(folder: &tempfile::TempDir, name: &str) -> (PathBuf, String) {
    let path = folder.path().join(name);
    let text = path.display().to_string();
    (path, text)
}

/// Scenario: a recording is compressed losslessly, brought back into a file, and that file is
/// compressed again.
/// Guarantees: both archives hold the same window, and each scores the other's input perfectly.
#[test]
fn a_lossless_archive_brings_every_span_back() {
    let folder = tempfile::tempdir().unwrap();
    let (_, archive) = file(&folder, "shop.spwa");
    let (_, again) = file(&folder, "again.otlp.pb.zst");
    let (_, archive_again) = file(&folder, "again.spwa");
    let written = json(&["archive", "compress", &shop(), "-o", &archive, "--level", "l0"]);
    assert_eq!((&written[0]["traces"], &written[0]["spans"]), (&500.into(), &8_045.into()));
    let generated = json(&["archive", "generate", &archive, "-o", &again]);
    assert_eq!(generated["spans"], 8_045);
    json(&["archive", "compress", &again, "-o", &archive_again, "--level", "l0"]);
    for (real, archive) in [(&again, &archive), (&shop(), &archive_again)] {
        let verified = json(&["archive", "verify", real, archive]);
        for (metric, best) in [("q1", 1.0), ("topology_recall", 1.0), ("w1", 0.0), ("attr_tv", 0.0)]
        {
            assert_eq!(verified["fidelity"][metric], best, "{metric}");
        }
    }
    let inspected = json(&["archive", "inspect", &archive]);
    assert_eq!((&inspected["level"], &inspected["holds_real_data"]), (&"l0".into(), &true.into()));
    assert!(!inspected["sections"].as_array().unwrap().is_empty());
}

#[test]
fn windows_are_files_of_their_own_that_verify_against_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (_, archive) = file(&folder, "shop.spwa");
    let args = ["archive", "compress", &shop(), "-o", &archive, "--level", "l0", "--window", "200"];
    let written = json(&args);
    let traces: Vec<_> = written.as_array().unwrap().iter().map(|row| &row["traces"]).collect();
    assert_eq!(traces, [200, 200, 100]);
    let (second, second_name) = file(&folder, "shop.2.spwa");
    assert!(second.exists() && !Path::new(&archive).exists());
    assert_eq!(json(&["archive", "verify", &shop(), &second_name])["fidelity"]["q2"], 0.0);
}

#[test]
fn rows_of_an_evaluation_are_numbers_or_null() {
    let args = ["eval", "archive", &shop(), "--models", "l0", "--baselines", "head:5,tail:error"];
    let rows = json(&[&args[..], &["--codecs", "none,gzip", "--runs", "2"]].concat());
    let rows = rows.as_array().unwrap();
    // One for the model, and one for each baseline and codec.
    assert_eq!(rows.len(), 1 + 2 * 2);
    for row in rows {
        for (name, value) in row.as_object().unwrap() {
            let is_word = ["data", "method", "level", "codec"].contains(&name.as_str());
            assert!(is_word || value.is_number() || value.is_null(), "{name}: {value}");
        }
    }
    assert_eq!((&rows[0]["level"], &rows[0]["codec"]), (&"l0".into(), &Value::Null));
    assert_eq!((&rows[1]["method"], &rows[1]["codec"]), (&"head:5".into(), &"none".into()));
    assert!(rows[1]["bytes"].as_f64().unwrap() > 3.0 * rows[2]["bytes"].as_f64().unwrap());
    assert!(rows[1]["w1_se"].is_number() && rows[0]["q1"] == 1.0);
    // A tail sampler draws nothing: one run, no standard error.
    assert!(rows[3].get("w1_se").is_none());
}

/// Scenario: the networks of the paper are trained on two windows, brought back, and compared after
/// one epoch and after two.
#[test]
fn networks_are_trained_stored_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let ((_, archive), (_, again)) =
        (file(&folder, "shop.spwa"), file(&folder, "again.otlp.pb.zst"));
    let args = ["archive", "compress", &shop(), "-o", &archive, "--level", "ctgan"];
    let written = json(&[&args[..], &["--epochs", "1", "--window", "250"]].concat());
    assert_eq!((written.as_array().unwrap().len(), &written[0]["level"]), (2, &"ctgan".into()));
    let first = written[0]["file"].as_str().unwrap();
    let generated = json(&["archive", "generate", first, "-o", &again]);
    assert_eq!(generated["spans"], written[0]["spans"]);

    let args = ["eval", "archive", &shop(), "--models", "l3,ctgan", "--baselines", ""];
    let rows = json(&[&args[..], &["--epochs", "1,2"]].concat());
    let epochs: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["epochs"]).collect();
    assert_eq!(epochs, [&Value::Null, &1.into(), &2.into()]);
    assert_eq!((&rows[1]["method"], &rows[1]["level"]), (&"ctgan".into(), &Value::Null));
    assert_eq!(rows[1]["topology_recall"], 1.0);
    assert!(rows[1]["w1"] != rows[2]["w1"]);
}

#[test]
fn figures_are_drawn_into_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (plots, name) = file(&folder, "plots");
    let args = ["eval", "archive", &shop(), "--models", "l0", "--baselines", "head:5"];
    json(&[&args[..], &["--periods", "--plot", &name]].concat());
    for figure in ["fig3", "fig5", "fig6", "fig8"] {
        let found = std::fs::read_dir(&plots)
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(figure));
        assert!(found, "{figure}");
    }
}

#[test]
fn what_cannot_be_done_is_said_with_place_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let (path, archive) = file(&folder, "x.spwa");
    check_fails(&["archive", "compress", &shop()], &["no file to write", "fix: add -o"]);
    check_fails(&["archive", "compress", "none.parquet", "-o", &archive], &["none.parquet"]);
    check_fails(
        &["archive", "compress", &shop(), "-o", &archive, "--window", "3x"],
        &["--window 3x", "fix: give a time"],
    );
    check_fails(
        &["archive", "compress", &shop(), "-o", &archive, "--keep-verbatim", "none.txt"],
        &["none.txt", "fix: give `errors`"],
    );
    std::fs::write(&path, b"SPWA, but no more than that").unwrap();
    check_fails(&["archive", "inspect", &archive], &["x.spwa"]);
    check_fails(&["archive", "generate", &shop(), "-o", &archive], &["not a spanwise archive"]);
    check_fails(&["archive", "inspect", &archive, "-o", "x"], &["`x` is no output format"]);
    check_fails(&["eval", "archive", &shop(), "--models", "l7"], &["l7", "fix: give l0"]);
    check_fails(&["eval", "archive", &shop(), "--baselines", "head:0"], &["head:0", "tail:error"]);
    check_fails(&["eval", "archive", &shop(), "--codecs", "lzma"], &["lzma", "clp-like"]);
}

/// Inputs that fuzzing of `ArchiveService.Push` found worth keeping.
#[test]
fn the_corpus_of_pushes_passes() {
    let folder = format!("{}/../../fuzz/corpus/archive_push", env!("CARGO_MANIFEST_DIR"));
    let (mut n_inputs, mut n_stored) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        n_stored += check_pushes(&std::fs::read(entry.unwrap().path()).unwrap());
        n_inputs += 1;
    }
    assert!(n_inputs >= 20 && n_stored >= 10, "{n_stored} stored of {n_inputs}");
}
