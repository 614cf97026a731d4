//! The figures of the Gen-T paper over our rows: 3 (start times), 5 (cost and fidelity), 6 (a
//! workload that changes) and 8 (ablation, as published, beside our levels).

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use spanwise_archive::evaluation::published;
use spanwise_eval::chart::{self, Frame, Point, Series};

use super::row::Row;

/// Points of a curve of start times.
const CURVE_POINTS: usize = 100;
/// The four queries, by their names in rows, as the paper's figures order them.
const QUERIES: [(&str, &str); 4] =
    [("q3", "Q3 F1"), ("q1", "Q1 F1"), ("q2", "Q2 distance"), ("q4", "Q4 F1")];

/// Start times of traces, ascending, by method.
type Starts = Vec<(String, Vec<u64>)>;

/// All figures that the rows give, as (file name, SVG).
pub(super) fn all(rows: &[Row], starts: &[(String, Starts)]) -> Vec<(String, String)> {
    let mut figures = Vec::new();
    for (data, starts) in starts {
        figures.push((format!("fig3_{data}.svg"), start_times(data, starts)));
        for (metric, what) in QUERIES {
            let of_data: Vec<&Row> = rows.iter().filter(|row| row.data == *data).collect();
            if of_data.iter().any(|row| row.figure(metric).mean.is_some()) {
                let name = format!("fig5_{data}_{metric}.svg");
                figures.push((name, fidelity_by_bytes(data, &of_data, metric, what)));
            }
        }
        figures.extend(periods(rows, data));
        figures.push((format!("fig8_{data}.svg"), ablation(rows, data)));
    }
    figures
}

/// Writes a figure into a folder, which is made.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    crate::cli::archive::write_file(&folder.join(name), text.as_bytes())
}

/// Fig. 3: the distribution of start times, real and generated.
fn start_times(data: &str, starts: &Starts) -> String {
    let first = starts.iter().filter_map(|(_, starts)| starts.first()).min().copied().unwrap_or(0);
    let curve = |(name, starts): &(String, Vec<u64>)| {
        let at = |step: usize| {
            let start = starts.get((step * starts.len() / CURVE_POINTS).min(starts.len() - 1))?;
            let x = (start - first) as f64 / 1e9;
            Some(Point { x, y: step as f64 / CURVE_POINTS as f64, error: None })
        };
        let points = if starts.is_empty() {
            Vec::new()
        } else {
            (0..=CURVE_POINTS).filter_map(at).collect()
        };
        Series { name: name.clone(), points, is_line: true }
    };
    let series: Vec<Series> = starts.iter().map(curve).collect();
    let title = format!("start times of traces: {data}");
    chart::lines(
        &Frame { title: &title, x: "seconds", y: "share of traces started", is_log: false },
        &series,
    )
}

/// Fig. 5: fidelity against bytes: a line per codec over 1:N, a point per model.
fn fidelity_by_bytes(data: &str, rows: &[&Row], metric: &str, what: &str) -> String {
    let mut series: BTreeMap<String, Series> = BTreeMap::new();
    for row in rows {
        let (Some(x), figure) = (row.figure("bytes").mean, row.figure(metric)) else { continue };
        let Some(y) = figure.mean else { continue };
        let is_head = row.method.starts_with("head:");
        let name = match row.codec {
            Some(codec) if is_head => format!("head sampling, {codec}"),
            Some(codec) => format!("{}, {codec}", row.method),
            None => row.title(),
        };
        let own = series.entry(name.clone()).or_insert_with(|| Series {
            name,
            points: Vec::new(),
            is_line: is_head,
        });
        own.points.push(Point { x, y, error: figure.se });
    }
    let mut series: Vec<Series> = series.into_values().collect();
    for own in &mut series {
        own.points.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    let title = format!("fidelity and bytes: {data}");
    chart::lines(&Frame { title: &title, x: "bytes", y: what, is_log: true }, &series)
}

/// Fig. 6: each query over the periods, for every method of the rows.
fn periods(rows: &[Row], data: &str) -> Vec<(String, String)> {
    let prefix = format!("{data}:");
    let mut names: Vec<&str> = Vec::new();
    for period in rows.iter().filter_map(|row| row.data.strip_prefix(&prefix)) {
        if !names.contains(&period) {
            names.push(period);
        }
    }
    if names.is_empty() {
        return Vec::new();
    }
    let mut methods: Vec<(&str, Option<_>)> = Vec::new();
    for row in rows.iter().filter(|row| row.data.starts_with(&prefix)) {
        // One codec is enough: the figure shows fidelity.
        let known = methods.iter().any(|(method, _)| *method == row.method);
        if !known {
            methods.push((&row.method, row.codec));
        }
    }
    let figure = |(metric, what): (&str, &str)| {
        let values = |(method, codec): &(&str, Option<_>)| {
            let value = |period: &&str| {
                let of = |row: &&Row| {
                    row.data == format!("{prefix}{period}")
                        && row.method == *method
                        && row.codec == *codec
                };
                rows.iter().find(of).and_then(|row| row.figure(metric).mean)
            };
            ((*method).to_owned(), names.iter().map(value).collect())
        };
        let series: Vec<(String, Vec<Option<f64>>)> = methods.iter().map(values).collect();
        let title = format!("a workload that changes: {data}");
        let frame = Frame { title: &title, x: "period", y: what, is_log: false };
        (format!("fig6_{data}_{metric}.svg"), chart::bars(&frame, &names, &series))
    };
    QUERIES.into_iter().map(figure).collect()
}

/// Fig. 8: the paper's ablation beside our levels.
fn ablation(rows: &[Row], data: &str) -> String {
    let mut series: Vec<(String, Vec<Option<f64>>)> = published::ABLATION
        .iter()
        .map(|(name, [q3, q1, q4, q2])| {
            ((*name).to_owned(), [q3, q1, q2, q4].map(|value| Some(*value)).to_vec())
        })
        .collect();
    let is_model = |row: &&Row| row.level.is_some() || row.epochs.is_some();
    for row in rows.iter().filter(is_model).filter(|row| row.data == data) {
        let values = QUERIES.map(|(metric, _)| row.figure(metric).mean).to_vec();
        series.push((row.title(), values));
    }
    let title = format!("the ablation as published, and our levels on {data}");
    let frame = Frame { title: &title, x: "query", y: "F1, distance", is_log: false };
    chart::bars(&frame, &QUERIES.map(|(_, what)| what), &series)
}
