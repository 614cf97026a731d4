//! Charts of a run: precision and coverage against the budget, and what was kept over time.

use super::row::{Row, Window};
use crate::chart::{Frame, Point, Series, lines};

/// All charts of some rows, as (file name, SVG).
pub fn plots(rows: &[Row]) -> Vec<(String, String)> {
    let mut plots = vec![
        ("precision.svg".to_owned(), by_budget(rows, "precision", precision)),
        ("coverage.svg".to_owned(), by_budget(rows, "coverage", coverage)),
    ];
    for row in rows {
        let name = format!("kept_{}_{}.svg", row.sampler, percent(row.budget));
        plots.push((name, over_time(row)));
    }
    plots
}

/// A figure of the row and that of the oracle.
type Pair = (Option<f64>, Option<f64>);

fn precision(row: &Row) -> Pair {
    (row.precision, row.oracle_precision)
}

fn coverage(row: &Row) -> Pair {
    (row.coverage, row.oracle_coverage)
}

fn by_budget(rows: &[Row], title: &str, figures: fn(&Row) -> Pair) -> String {
    let mut series: Vec<Series> = Vec::new();
    let mut add = |name: &str, budget: f64, figure: Option<f64>| {
        let Some(y) = figure else { return };
        let point = Point { x: 100.0 * budget, y, error: None };
        match series.iter_mut().find(|series| series.name == name) {
            Some(series) if series.points.iter().any(|known| same(known.x, point.x)) => {}
            Some(series) => series.points.push(point),
            None => {
                series.push(Series { name: name.to_owned(), points: vec![point], is_line: true });
            }
        }
    };
    for row in rows {
        let (figure, oracle) = figures(row);
        add(row.sampler, row.budget, figure);
        add("oracle", row.budget, oracle);
    }
    for series in &mut series {
        series.points.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    let title = format!("{title} against budget");
    let frame = Frame { title: &title, x: "budget, % of traces", y: "share", is_log: true };
    lines(&frame, &series)
}

/// Kept traces of each five minutes, by what is true of them.
fn over_time(row: &Row) -> String {
    let begin = row.windows.first().map_or(0, |window| window.begin.as_ns());
    let line = |name: &str, count: fn(&Window) -> u64| Series {
        name: name.to_owned(),
        points: row
            .windows
            .iter()
            .map(|window| Point {
                x: (window.begin.as_ns() - begin) as f64 / 60e9,
                y: count(window) as f64,
                error: None,
            })
            .collect(),
        is_line: true,
    };
    let series = [
        line("kept: slow", |window| window.kept.slow),
        line("kept: structure", |window| window.kept.structure),
        line("kept: failed", |window| window.kept.error),
        line("kept: other", |window| window.kept.all - window.kept.anomalous),
        line("there: anomalous", |window| window.seen.anomalous),
    ];
    let title = format!("kept traces by 5 minutes: {} at {}%", row.sampler, percent(row.budget));
    let frame = Frame { title: &title, x: "minutes", y: "traces", is_log: false };
    lines(&frame, &series)
}

/// A share in percent, without the rounding of a division.
fn percent(share: f64) -> f64 {
    (share * 1e6).round() / 1e4
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-12
}
