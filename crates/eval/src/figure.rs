//! A figure over several seeds: its mean and the standard error of that mean.

use serde::ser::SerializeMap;

/// Mean and standard error of one figure over runs that differ in their seeds only.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figure {
    /// The mean; `None` where the figure does not apply.
    pub mean: Option<f64>,
    /// Standard error of the mean, `None` for a single run.
    pub se: Option<f64>,
    /// Whether it counts something, so that a whole number is written as one.
    is_count: bool,
}

impl Figure {
    /// Sums up runs. A run in which the figure does not apply is left out.
    pub fn of(values: impl IntoIterator<Item = Option<f64>>) -> Self {
        let values: Vec<f64> = values.into_iter().flatten().collect();
        if values.is_empty() {
            return Self::default();
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let se = (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt());
        Self { mean: Some(mean), se, is_count: false }
    }

    /// Sums up counts.
    pub fn of_counts(counts: impl IntoIterator<Item = u64>) -> Self {
        let figure = Self::of(counts.into_iter().map(|count| Some(count as f64)));
        Self { is_count: true, ..figure }
    }

    /// The mean alone.
    #[must_use]
    pub const fn without_se(self) -> Self {
        Self { se: None, ..self }
    }

    /// Writes the mean under `name` and, over several runs, its standard error under `name_se`.
    ///
    /// # Errors
    /// The map refuses an entry.
    pub fn write<M: SerializeMap>(self, map: &mut M, name: &str) -> Result<(), M::Error> {
        match self.mean {
            Some(mean) if self.is_count && mean.fract().abs() < f64::EPSILON => {
                map.serialize_entry(name, &(mean as u64))?;
            }
            mean => map.serialize_entry(name, &mean)?,
        }
        match self.se {
            Some(se) => map.serialize_entry(&format!("{name}_se"), &se),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::{Serialize, Serializer};

    use super::*;

    struct Written(Figure);

    impl Serialize for Written {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            self.0.write(&mut map, "x")?;
            map.end()
        }
    }

    fn check(figure: Figure, expected: &str) {
        assert_eq!(serde_json::to_string(&Written(figure)).unwrap(), expected);
    }

    #[test]
    fn runs_become_a_mean_and_its_standard_error() {
        // Standard deviation of 1, 2, 6 is sqrt(7), divided by sqrt(3).
        let figure = Figure::of([Some(1.0), Some(2.0), None, Some(6.0)]);
        assert!((figure.mean.unwrap() - 3.0).abs() < 1e-12);
        assert!((figure.se.unwrap() - (7.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn every_figure_is_written_as_a_number_or_null() {
        check(Figure::of([None]), r#"{"x":null}"#);
        check(Figure::of([Some(0.5)]), r#"{"x":0.5}"#);
        check(Figure::of([Some(0.5), Some(1.5)]), r#"{"x":1.0,"x_se":0.5}"#);
        check(Figure::of_counts([7]), r#"{"x":7}"#);
        check(Figure::of_counts([7, 7]), r#"{"x":7,"x_se":0.0}"#);
        check(Figure::of_counts([7, 8]), r#"{"x":7.5,"x_se":0.5}"#);
    }
}
