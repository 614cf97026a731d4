//! Plots of a run as SVG: precision and coverage against the budget, and what was kept over time.
//!
//! Written by hand: two kinds of plot need lines, rectangles and text, and no library.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::row::{Row, Window};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 32.0;
const BOTTOM: f64 = 44.0;
/// Okabe and Ito's colours, told apart by everybody.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"];

/// All plots of some rows, as (file name, SVG).
pub fn plots(rows: &[Row]) -> Vec<(String, String)> {
    let mut plots = vec![
        ("precision.svg".to_owned(), by_budget(rows, "precision", |row| row.precision)),
        ("coverage.svg".to_owned(), by_budget(rows, "coverage", |row| row.coverage)),
    ];
    for row in rows {
        let percent = (row.budget * 1e6).round() / 1e4;
        plots.push((format!("kept_{}_{percent}.svg", row.sampler), over_time(row)));
    }
    plots
}

fn by_budget(rows: &[Row], title: &str, figure: impl Fn(&Row) -> Option<f64>) -> String {
    let mut lines: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows {
        if let Some(y) = figure(row) {
            lines.entry(row.sampler).or_default().push((row.budget, y));
        }
    }
    let oracle = |row: &Row| match title {
        "precision" => row.oracle_precision,
        _ => row.oracle_coverage,
    };
    let first = rows.first().map(|row| row.sampler);
    let of_first = rows.iter().filter(|row| Some(row.sampler) == first);
    lines.insert("oracle", of_first.filter_map(|r| Some((r.budget, oracle(r)?))).collect());
    let budgets: Vec<f64> = rows.iter().map(|row| row.budget.ln()).collect();
    let low = budgets.iter().copied().fold(f64::INFINITY, f64::min);
    let high = budgets.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let width = (high - low).max(1e-9);
    let x = |budget: f64| LEFT + (budget.ln() - low) / width * (WIDTH - LEFT - RIGHT);
    let y = |share: f64| HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    let mut svg = frame(&format!("{title} against budget"), y);
    let mut labelled: Vec<f64> = rows.iter().map(|row| row.budget).collect();
    labelled.sort_by(f64::total_cmp);
    labelled.dedup_by(|a, b| a.total_cmp(b).is_eq());
    for budget in labelled {
        let text = format!("{}%", (budget * 1e6).round() / 1e4);
        label(&mut svg, x(budget), HEIGHT - BOTTOM + 18.0, "middle", &text);
    }
    for (idx, (name, mut points)) in lines.into_iter().enumerate() {
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let colour = COLOURS[idx % COLOURS.len()];
        let path: Vec<String> =
            points.iter().map(|(b, s)| format!("{:.1},{:.1}", x(*b), y(*s))).collect();
        let _ = writeln!(
            svg,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            path.join(" ")
        );
        key(&mut svg, idx, colour, name);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Kept traces by window, stacked by what is true of them; a line shows what there was to keep.
fn over_time(row: &Row) -> String {
    let most = |part: fn(&Window) -> u64| row.windows.iter().map(part).max().unwrap_or(0);
    let top = most(|window| window.kept.all).max(1) as f64;
    let y = |share: f64| HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    let percent = (row.budget * 1e6).round() / 1e4;
    let mut svg = frame(
        &format!("kept traces by 5 minutes (full scale {top}): {} {percent}%", row.sampler),
        y,
    );
    let (first, last) = match (row.windows.first(), row.windows.last()) {
        (Some(first), Some(last)) => (first.begin.as_ns() as f64, last.begin.as_ns() as f64),
        _ => (0.0, 0.0),
    };
    let step = super::tally::WINDOW_NS as f64;
    let n = ((last - first) / step + 1.0).max(1.0);
    let width = (WIDTH - LEFT - RIGHT) / n;
    for window in &row.windows {
        let x = LEFT + (window.begin.as_ns() as f64 - first) / step * width;
        let kept = window.kept;
        let normal = kept.all - kept.anomalous;
        let structural = kept.structure.min(kept.anomalous);
        let parts = [kept.anomalous - structural, structural, normal];
        let mut below = 0.0;
        for (part, colour) in parts.into_iter().zip(COLOURS) {
            let share = part as f64 / top;
            let _ = writeln!(
                svg,
                r#"<rect x="{x:.1}" y="{:.1}" width="{:.1}" height="{:.1}" fill="{colour}"/>"#,
                y(below + share),
                (width * 0.9).max(0.5),
                share * (HEIGHT - TOP - BOTTOM)
            );
            below += share;
        }
    }
    for (idx, name) in ["anomalous", "of structure", "other"].into_iter().enumerate() {
        key(&mut svg, idx, COLOURS[idx], name);
    }
    svg.push_str("</svg>\n");
    svg
}

fn frame(title: &str, y: impl Fn(f64) -> f64) -> String {
    let mut svg = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">"#
    );
    let _ = writeln!(svg, r#"<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>"#);
    label(&mut svg, LEFT, 18.0, "start", title);
    for quarter in 0..=4 {
        let share = f64::from(quarter) / 4.0;
        let _ = writeln!(
            svg,
            r##"<line x1="{LEFT}" x2="{:.1}" y1="{:.1}" y2="{:.1}" stroke="#dddddd"/>"##,
            WIDTH - RIGHT,
            y(share),
            y(share)
        );
        label(&mut svg, LEFT - 6.0, y(share) + 4.0, "end", &format!("{share}"));
    }
    svg
}

fn label(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}

fn key(svg: &mut String, idx: usize, colour: &str, name: &str) {
    let y = TOP + 18.0 * idx as f64;
    let x = WIDTH - RIGHT + 12.0;
    let _ = writeln!(svg, r#"<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>"#);
    label(svg, x + 18.0, y + 10.0, "start", name);
}
