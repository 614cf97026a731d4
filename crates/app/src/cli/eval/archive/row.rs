//! One row of `eval archive`: means over runs, in the names of its JSON.

use serde::ser::{Serialize, SerializeMap, Serializer};
use spanwise_archive::Level;
use spanwise_archive::evaluation::{Codec, Prices};
use spanwise_archive::fidelity::{Fidelity, Metric};
use spanwise_eval::Figure;

/// One run of a method.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) bytes: u64,
    pub(super) fit_cpu_s: Option<f64>,
    pub(super) generate_cpu_s: Option<f64>,
    pub(super) peak_rss: Option<u64>,
    pub(super) fidelity: Fidelity,
    /// What L1 knows of itself: ideal bytes, and the median error of durations matched by position.
    pub(super) near: Option<(f64, f64)>,
}

/// What costs are counted with: prices, and the size of the recording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    pub(super) prices: Prices,
    pub(super) n_traces: u64,
    pub(super) n_spans: u64,
}

/// A row: a method on a recording.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) data: String,
    pub(super) method: String,
    pub(super) level: Option<Level>,
    pub(super) codec: Option<Codec>,
    /// Of models that are trained in epochs.
    pub(super) epochs: Option<u32>,
    /// Figures in the order of the JSON.
    figures: Vec<(&'static str, Figure)>,
}

impl Row {
    /// Sums up runs that differ in their seeds only.
    pub(super) fn of(
        data: &str,
        method: &str,
        level: Option<Level>,
        codec: Option<Codec>,
        runs: &[Run],
        costs: &Costs,
    ) -> Self {
        let figure = |of: &dyn Fn(&Run) -> Option<f64>| Figure::of(runs.iter().map(of));
        let cost = |run: &Run| costs.prices.of(costs.n_traces, run.bytes as f64, run.fit_cpu_s);
        let n_spans = costs.n_spans.max(1) as f64;
        let mut figures = vec![
            ("bytes", Figure::of_counts(runs.iter().map(|run| run.bytes))),
            ("bytes_per_span", figure(&|run| Some(run.bytes as f64 / n_spans))),
            ("fit_cpu_s", figure(&|run| run.fit_cpu_s)),
            ("generate_cpu_s", figure(&|run| run.generate_cpu_s)),
            ("peak_rss", Figure::of_counts(runs.iter().filter_map(|run| run.peak_rss))),
        ];
        let metric = |metric: Metric| (metric.name(), figure(&|run| run.fidelity.get(metric)));
        let (named, further) = Metric::ALL.split_at(Metric::ROW.len());
        figures.extend(named.iter().map(|name| metric(*name)));
        // Nobody knows how to compute what the paper calls so: published rows only.
        figures.push(("tree_edit_distance", Figure::default()));
        figures.extend(further.iter().map(|name| metric(*name)));
        figures.extend([
            ("ideal_bytes", figure(&|run| run.near.map(|near| near.0))),
            ("timing_error_median", figure(&|run| run.near.map(|near| near.1))),
            ("usd_per_1m_transfer", figure(&|run| Some(cost(run).transfer))),
            ("usd_per_1m_transfer_once", figure(&|run| Some(cost(run).transfer_once))),
            ("usd_per_1m_compute", figure(&|run| cost(run).compute)),
        ]);
        let (data, method) = (data.to_owned(), method.to_owned());
        Self { data, method, level, codec, epochs: None, figures }
    }

    /// The same row, of a model trained for so many epochs.
    pub(super) fn after(self, epochs: Option<u32>) -> Self {
        Self { epochs, ..self }
    }

    /// The method as tables and figures name it, its epochs behind it.
    pub(super) fn title(&self) -> String {
        super::named(&self.method, self.epochs)
    }

    /// A row with nothing but some figures.
    pub(super) fn published(method: &str, known: &[(&'static str, Option<f64>)]) -> Self {
        let costs = Costs { prices: Prices::default(), n_traces: 0, n_spans: 0 };
        let mut row = Self::of("published", method, None, None, &[], &costs);
        for (name, value) in known {
            for (_, figure) in row.figures.iter_mut().filter(|(own, _)| own == name) {
                *figure = Figure::of([*value]);
            }
        }
        row
    }

    /// A figure by its name; one that does not apply if there is none of that name.
    pub(super) fn figure(&self, name: &str) -> Figure {
        let found = self.figures.iter().find(|(own, _)| *own == name);
        found.map(|(_, figure)| *figure).unwrap_or_default()
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("data", &self.data)?;
        map.serialize_entry("method", &self.method)?;
        map.serialize_entry("level", &self.level.map(Level::name))?;
        map.serialize_entry("codec", &self.codec.map(Codec::name))?;
        for (name, figure) in &self.figures {
            figure.write(&mut map, name)?;
        }
        map.serialize_entry("epochs", &self.epochs)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of a row as the documentation names them, in order.
    const FIELDS: [&str; 27] = [
        "data",
        "method",
        "level",
        "codec",
        "bytes",
        "bytes_per_span",
        "fit_cpu_s",
        "generate_cpu_s",
        "peak_rss",
        "q1",
        "q2",
        "q3",
        "q4",
        "q4_err",
        "q4_ok",
        "error_trace_rel",
        "w1",
        "p50_rel",
        "p99_rel",
        "trace_w1",
        "trace_p99_rel",
        "p95_minute_rel",
        "attr_tv",
        "corr_mae",
        "topology_recall",
        "invalid",
        "tree_edit_distance",
    ];

    #[test]
    fn a_row_has_every_field_as_a_number_or_null() {
        let row = Row::published("netshare", &[("tree_edit_distance", Some(0.455))]);
        let json = serde_json::to_value(&row).unwrap();
        let object = json.as_object().unwrap();
        for field in FIELDS {
            assert!(object.contains_key(field), "{field}");
        }
        assert_eq!(object["tree_edit_distance"], 0.455);
        assert_eq!(object["q1"], serde_json::Value::Null);
        let text = serde_json::to_string(&row).unwrap();
        let places: Vec<_> =
            FIELDS.iter().map(|field| text.find(&format!("\"{field}\":"))).collect();
        assert!(places.is_sorted() && places[0].is_some(), "{text}");
    }
}
