//! Rows as text: one table, and the published figures below it. Standard errors stand in the JSON
//! only.

use std::fmt::Write as _;

use spanwise_archive::evaluation::published;
use spanwise_archive::fidelity::Metric;

use super::row::Row;
use crate::cli::archive::shown_metrics;
use crate::cli::eval::input::shown;

/// The table.
pub(super) fn render(rows: &[Row]) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "{:<28} {:<17} {:<8} {:>10} {:>8} {:>6} {:>6}",
        "data", "method", "codec", "bytes", "B/span", "fit s", "gen s"
    );
    for metric in shown_metrics() {
        let _ = write!(text, " {:>9}", short(metric.name()));
    }
    let _ = writeln!(text, " {:>9}", "$ per 1M");
    for row in rows {
        let figure = |name: &str, decimals| shown(row.figure(name).without_se(), decimals);
        let codec = row.codec.map_or("-", spanwise_archive::evaluation::Codec::name);
        let _ = write!(
            text,
            "{:<28} {:<17} {:<8} {:>10} {:>8} {:>6} {:>6}",
            row.data,
            row.title(),
            codec,
            figure("bytes", 0),
            figure("bytes_per_span", 2),
            figure("fit_cpu_s", 1),
            figure("generate_cpu_s", 1),
        );
        for metric in shown_metrics() {
            let _ = write!(text, " {:>9}", figure(metric.name(), 4));
        }
        let _ = writeln!(text, " {:>9}", figure("usd_per_1m_transfer", 4));
    }
    text.push_str(&shortfalls(rows));
    text.push_str(PUBLISHED);
    for row in &published::ROWS {
        let number =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
        let bytes = row.bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
        let _ = writeln!(
            text,
            "{:<18} {bytes:>10} {:>6} {:>6} {:>6} {:>6} {:>6}",
            row.method,
            number(row.q1),
            number(row.q2),
            number(row.q3),
            number(row.q4),
            number(row.tree_edit_distance),
        );
    }
    text
}

/// The cells in which a model answers worse than 1:5 head sampling of the same recording does.
fn shortfalls(rows: &[Row]) -> String {
    let mut text = String::new();
    for model in rows.iter().filter(|row| row.level.is_some() || row.epochs.is_some()) {
        let is_bar = |row: &&Row| row.data == model.data && row.method == BAR;
        let Some(bar) = rows.iter().find(is_bar) else { continue };
        let worse = |metric: &Metric| {
            let (own, bar) = (model.figure(metric.name()).mean?, bar.figure(metric.name()).mean?);
            let is_worse = if metric.is_greater_better() { own < bar } else { own > bar };
            is_worse.then(|| format!("{} {own:.4} ({bar:.4})", metric.name()))
        };
        let cells: Vec<String> = Metric::ROW.iter().filter_map(worse).collect();
        let cells = if cells.is_empty() { "no cell".to_owned() } else { cells.join(", ") };
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{} {} worse than {BAR}: {cells}", model.data, model.title());
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// What a model has to answer as well as, for a fraction of its bytes.
const BAR: &str = "head:5";

const PUBLISHED: &str = "
As published (Gen-T; 15,000 traces of applications that are not to be had):
method                  bytes     q1     q2     q3     q4    TED
";

fn short(name: &str) -> &str {
    match name {
        "error_trace_rel" => "err_rel",
        "p95_minute_rel" => "p95_min",
        name => name,
    }
}
