//! What it costs to send a million traces: the paper's section 4.2, with both ways of counting.
//!
//! The paper adds GPU time per trace and the transfer of *one* model per million traces. A model per
//! window must be sent once per window; that is the other way. Prices are parameters.

/// Prices in US dollars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    /// Per 10^9 bytes transferred. Default .32, the paper's.
    pub per_gb: f64,
    /// Per hour of one core. Default .04, about what clouds ask for.
    pub per_core_hour: f64,
}

/// US dollars per million traces.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Transfer, if every window sends its bytes.
    pub transfer: f64,
    /// Transfer as the paper counts it: the bytes of one window serve a million traces.
    pub transfer_once: f64,
    /// Compute of fitting, if its CPU time is known.
    pub compute: Option<f64>,
}

/// Traces that costs are given for.
const TRACES: f64 = 1e6;
const BYTES_PER_GB: f64 = 1e9;
const SECONDS_PER_HOUR: f64 = 3_600.0;

impl Default for Prices {
    fn default() -> Self {
        Self { per_gb: 0.32, per_core_hour: 0.04 }
    }
}

impl Prices {
    /// The cost of windows of `n_traces` that take `n_bytes` and `cpu_s` seconds each.
    pub fn of(&self, n_traces: u64, n_bytes: f64, cpu_s: Option<f64>) -> Cost {
        let windows = TRACES / (n_traces.max(1) as f64);
        let transfer_once = n_bytes / BYTES_PER_GB * self.per_gb;
        Cost {
            transfer: transfer_once * windows,
            transfer_once,
            compute: cpu_s.map(|s| s / SECONDS_PER_HOUR * self.per_core_hour * windows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of the reference table have this many digits.
    const TOLERANCE: f64 = 5e-4;

    #[test]
    fn the_table_of_costs_is_reproduced() {
        let prices = Prices::default();
        // gzip'd OTLP of 20,000 traces: 15.42 MB, 50 windows.
        let all = prices.of(20_000, 15.42e6, None);
        assert!((all.transfer - 0.247).abs() < TOLERANCE, "{all:?}");
        assert_eq!(all.compute, None);
        // A model of 28.3 KB fitted in 2 s a window.
        let model = prices.of(20_000, 28_300.0, Some(2.0));
        assert!((model.transfer - 0.0005).abs() < TOLERANCE / 10.0, "{model:?}");
        assert!((model.compute.unwrap() - 0.0011).abs() < TOLERANCE / 10.0, "{model:?}");
        // The paper's model once per million.
        let paper = prices.of(20_000, 695_000.0, None);
        assert!((paper.transfer_once - 0.0002).abs() < TOLERANCE / 10.0, "{paper:?}");
        assert!((paper.transfer - 0.0111).abs() < TOLERANCE / 10.0, "{paper:?}");
    }
}
