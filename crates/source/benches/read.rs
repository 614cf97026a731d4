//! How fast recorded files are read: `SPANWISE_DATA=DIR cargo bench -p spanwise-source`.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::path::PathBuf;
use std::time::Instant;

use spanwise_source::{open_requests, open_rows};

fn main() {
    let dir = std::env::var_os("SPANWISE_DATA").filter(|dir| !dir.is_empty());
    let Some(dir) = dir.map(PathBuf::from) else {
        println!("skipped: SPANWISE_DATA is not set");
        return;
    };
    for name in ["ob_0822.parquet", "tt_0129.parquet", "ob_0822_0418_0428.otlp.pb.zst"] {
        let path = dir.join(name);
        let begin = Instant::now();
        let n_rows = open_rows(&path).map_or(0, |rows| rows.flatten().count());
        print("rows", name, n_rows, begin);
        let begin = Instant::now();
        let requests = open_requests(&path).into_iter().flatten().flatten();
        let n_bytes = requests.map(|request| request.len()).sum();
        print("request bytes", name, n_bytes, begin);
    }
}

fn print(what: &str, name: &str, n: usize, begin: Instant) {
    let seconds = begin.elapsed().as_secs_f64();
    println!("{name}: {n} {what} in {seconds:.2} s, {:.2} M/s", n as f64 / seconds / 1e6);
}
