//! Charts as SVG: lines and points over a linear or logarithmic axis, and bars in groups.
//!
//! Written by hand: axes, lines, rectangles and text need no library. A chart is text alone, with a
//! title and a key, and reads without colours since every series has a mark of its own.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 52.0;
/// Okabe and Ito's colours, told apart by everybody.
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999"];

/// A named series of points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What the key says.
    pub name: String,
    /// Points; not finite ones are left out.
    pub points: Vec<Point>,
    /// Whether points are joined.
    pub is_line: bool,
}

/// A point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Place on the horizontal axis.
    pub x: f64,
    /// Place on the vertical axis.
    pub y: f64,
    /// Half the height of its error bar, if it has one.
    pub error: Option<f64>,
}

/// Titles and axes of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame<'a> {
    /// Above the chart.
    pub title: &'a str,
    /// Below the horizontal axis.
    pub x: &'a str,
    /// Beside the vertical axis.
    pub y: &'a str,
    /// Whether the horizontal axis is logarithmic; then only points above 0 are shown.
    pub is_log: bool,
}

/// Draws series over a common horizontal axis.
pub fn lines(frame: &Frame<'_>, series: &[Series]) -> String {
    let at = |x: f64| if frame.is_log { x.log10() } else { x };
    let shown = |point: &&Point| at(point.x).is_finite() && point.y.is_finite();
    let points = || series.iter().flat_map(|series| series.points.iter().filter(shown));
    let (low, high) = range(points().map(|point| at(point.x)));
    let top = top(points().map(|point| point.y + point.error.unwrap_or(0.0)));
    let scale = Scale { low, high, top };
    let mut svg = begin(frame, &scale);
    for tick in ticks(frame.is_log, low, high) {
        label(&mut svg, scale.x(at(tick)), HEIGHT - BOTTOM + 16.0, "middle", &short(tick));
    }
    for (number, series) in series.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let places: Vec<(f64, f64, &Point)> = series
            .points
            .iter()
            .filter(shown)
            .map(|point| (scale.x(at(point.x)), scale.y(point.y), point))
            .collect();
        if series.is_line {
            let path: Vec<String> =
                places.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(
                svg,
                r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="1.5"/>"#,
                path.join(" ")
            );
        }
        let has_marks = !series.is_line || places.len() < 40;
        for (x, y, point) in places {
            if let Some(error) = point.error {
                let (from, to) = (scale.y(point.y - error), scale.y(point.y + error));
                let _ = writeln!(
                    svg,
                    r#"<line x1="{x:.1}" x2="{x:.1}" y1="{from:.1}" y2="{to:.1}" stroke="{colour}"/>"#
                );
            }
            if has_marks {
                mark(&mut svg, number, x, y, colour);
            }
        }
        key(&mut svg, number, colour, &series.name);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Draws bars: for each group one bar per series, where it has a value.
pub fn bars(frame: &Frame<'_>, groups: &[&str], series: &[(String, Vec<Option<f64>>)]) -> String {
    let values = series.iter().flat_map(|(_, values)| values.iter().copied().flatten());
    let scale = Scale { low: 0.0, high: groups.len().max(1) as f64, top: top(values) };
    let mut svg = begin(frame, &scale);
    let width = (scale.x(1.0) - scale.x(0.0)) * 0.85 / series.len().max(1) as f64;
    for (at, group) in groups.iter().enumerate() {
        let middle = scale.x(at as f64 + 0.45);
        label(&mut svg, middle, HEIGHT - BOTTOM + 16.0, "middle", group);
        for (number, (_, values)) in series.iter().enumerate() {
            let Some(value) = values.get(at).copied().flatten().filter(|v| v.is_finite()) else {
                continue;
            };
            let (x, y) = (scale.x(at as f64) + width * number as f64, scale.y(value));
            let height = HEIGHT - BOTTOM - y;
            let colour = COLOURS[number % COLOURS.len()];
            let _ = writeln!(
                svg,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{height:.1}" fill="{colour}"/>"#,
                width * 0.95
            );
        }
    }
    for (number, (name, _)) in series.iter().enumerate() {
        key(&mut svg, number, COLOURS[number % COLOURS.len()], name);
    }
    svg.push_str("</svg>\n");
    svg
}

/// From values to places.
struct Scale {
    low: f64,
    high: f64,
    top: f64,
}

impl Scale {
    fn x(&self, at: f64) -> f64 {
        LEFT + (at - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)
    }
}

/// Least and greatest value; never the same.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    match low.partial_cmp(&high) {
        Some(std::cmp::Ordering::Less) => (low, high),
        Some(std::cmp::Ordering::Equal) => (low - 0.5, high + 0.5),
        _ => (0.0, 1.0),
    }
}

/// The upper end of a vertical axis that begins at 0: shares end at 1, everything else at its
/// greatest value.
fn top(values: impl Iterator<Item = f64>) -> f64 {
    let greatest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
    let is_share = (0.5..=1.05).contains(&greatest);
    if is_share || greatest <= 0.0 { greatest.max(1.0) } else { greatest }
}

/// Powers of ten, with what lies between them on short axes; or five even steps.
fn ticks(is_log: bool, low: f64, high: f64) -> Vec<f64> {
    if is_log {
        let between: &[f64] = if high - low < 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = low.floor() as i32..=high.ceil() as i32;
        let ticks = powers.flat_map(|power| between.iter().map(move |m| m * 10_f64.powi(power)));
        return ticks.filter(|tick| (low..=high).contains(&tick.log10())).collect();
    }
    (0..=4).map(|step| low + f64::from(step) / 4.0 * (high - low)).collect()
}

/// A number for an axis: thousands and millions by their letter.
fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e3 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = if scaled.abs() >= 100.0 { format!("{scaled:.0}") } else { format!("{scaled:.3}") };
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

// Writing into a String cannot fail.

fn begin(frame: &Frame<'_>, scale: &Scale) -> String {
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">"#
    );
    let _ = writeln!(svg, "<title>{}</title>", escaped(frame.title));
    let _ = writeln!(svg, r#"<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>"#);
    label(&mut svg, LEFT, 18.0, "start", frame.title);
    label(&mut svg, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 14.0, "middle", frame.x);
    let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
    let _ = writeln!(
        svg,
        r#"<text transform="translate(14 {middle:.1}) rotate(-90)" text-anchor="middle">{}</text>"#,
        escaped(frame.y)
    );
    for step in 0..=4 {
        let value = scale.top * f64::from(step) / 4.0;
        let y = scale.y(value);
        let _ = writeln!(
            svg,
            r##"<line x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}" stroke="#dddddd"/>"##,
            WIDTH - RIGHT
        );
        label(&mut svg, LEFT - 6.0, y + 4.0, "end", &short(value));
    }
    svg
}

fn label(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}

fn key(svg: &mut String, number: usize, colour: &str, name: &str) {
    let (x, y) = (WIDTH - RIGHT + 16.0, TOP + 17.0 * number as f64);
    mark(svg, number, x, y, colour);
    label(svg, x + 12.0, y + 4.0, "start", name);
}

/// A circle, a square, a diamond or a triangle.
fn mark(svg: &mut String, number: usize, x: f64, y: f64, colour: &str) {
    let points = match number % 4 {
        0 => {
            let _ = writeln!(svg, r#"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="{colour}"/>"#);
            return;
        }
        1 => [(-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)],
        2 => [(0.0, -5.0), (5.0, 0.0), (0.0, 5.0), (-5.0, 0.0)],
        _ => [(0.0, -5.0), (4.5, 3.5), (-4.5, 3.5), (0.0, -5.0)],
    };
    let path = points.map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy)).join(" ");
    let _ = writeln!(svg, r#"<polygon points="{path}" fill="{colour}"/>"#);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame<'_> = Frame { title: "a < b", x: "bytes", y: "F1", is_log: true };

    fn point(x: f64, y: f64) -> Point {
        Point { x, y, error: None }
    }

    #[test]
    fn points_that_cannot_be_shown_are_left_out() {
        let points =
            vec![point(10.0, 0.5), point(0.0, 0.7), point(1_000.0, 1.0), point(5.0, f64::NAN)];
        let svg = lines(&FRAME, &[Series { name: "l3".to_owned(), points, is_line: true }]);
        // Two points and the key.
        assert_eq!(svg.matches("<circle").count(), 3);
        assert!(svg.contains("a &lt; b") && svg.contains(">100<") && svg.contains(">l3<"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn nothing_to_show_is_an_empty_chart() {
        for svg in [lines(&FRAME, &[]), bars(&FRAME, &[], &[])] {
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"));
        }
    }

    #[test]
    fn bars_without_a_value_are_not_drawn() {
        let series =
            [("a".to_owned(), vec![Some(1.0), None]), ("b".to_owned(), vec![Some(0.5), Some(0.2)])];
        let svg = bars(&FRAME, &["q1", "q2"], &series);
        // The background, three bars; the key of the second series is a square of its own kind.
        assert_eq!(svg.matches("<rect").count(), 4);
    }

    #[test]
    fn axes_are_labelled_in_short() {
        let check = |value, expected: &str| assert_eq!(short(value), expected);
        check(0.0, "0");
        check(0.25, "0.25");
        check(1_500.0, "1.5k");
        check(10_000_000.0, "10M");
        check(123.4, "123");
    }
}
