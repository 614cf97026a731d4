//! The call sites of the streams of single spans.
//!
//! Their medians, sigmas and weights are a table, not draws of the stream's seed: how separable
//! anomalies are depends on them more than on the sampler (over six drawn tables the best F1 of an
//! oracle that knows all parameters lay between 0.940 and 0.964; here it is 0.964), and a mean over
//! seeds should not be a mean over easy and hard tables. `sites.py` prints it.

/// How a call site behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) median_ms: f64,
    /// Standard deviation of the logarithm; halved where there are two modes.
    pub(super) sigma: f64,
    /// Popularity, Zipf with exponent 0.9 in random order.
    pub(super) weight: f64,
    /// How many times slower the second mode is, at sites that have one in the bimodal stream.
    pub(super) miss_ratio: Option<f64>,
}

const fn shape(median_ms: f64, sigma: f64, weight: f64, miss_ratio: Option<f64>) -> Shape {
    Shape { median_ms, sigma, weight, miss_ratio }
}

/// 40 call sites, 25 of which can have two modes.
pub(super) const SHAPES: [Shape; 40] = [
    shape(34.7200, 0.3070, 0.0483, Some(67.71)),
    shape(274.6951, 0.5521, 0.0442, Some(57.18)),
    shape(109.0644, 0.4039, 0.1068, None),
    shape(1.6616, 0.5389, 0.0408, Some(67.06)),
    shape(2.9375, 0.4559, 0.0930, Some(45.68)),
    shape(229.4813, 0.4967, 0.0379, Some(63.14)),
    shape(0.3122, 0.2366, 0.3720, Some(71.01)),
    shape(154.1775, 0.4165, 0.0498, Some(33.17)),
    shape(128.3132, 0.4031, 0.1155, None),
    shape(10.5145, 0.5485, 0.0619, Some(44.15)),
    shape(3.0022, 0.3445, 0.0707, Some(48.02)),
    shape(2.4901, 0.4393, 0.0825, Some(34.63)),
    shape(2.0819, 0.2237, 0.0781, Some(59.52)),
    shape(8.8375, 0.3551, 0.0595, Some(39.95)),
    shape(13.8883, 0.3292, 0.0388, None),
    shape(20.1480, 0.2601, 0.0362, None),
    shape(579.8258, 0.5265, 0.1735, Some(52.05)),
    shape(124.0858, 0.3518, 0.1539, None),
    shape(33.9589, 0.5915, 0.0552, None),
    shape(551.7068, 0.4360, 0.0515, Some(36.38)),
    shape(1.5412, 0.4420, 0.0646, Some(35.80)),
    shape(1.0139, 0.4552, 0.0455, None),
    shape(31.5597, 0.4706, 0.0742, Some(62.74)),
    shape(0.4190, 0.2603, 0.0994, Some(52.32)),
    shape(0.3935, 0.3761, 1.0000, None),
    shape(15.0240, 0.2958, 0.0370, Some(36.71)),
    shape(10.3772, 0.3610, 0.1384, Some(69.12)),
    shape(319.6830, 0.2387, 0.5359, None),
    shape(35.8275, 0.5871, 0.0874, Some(77.25)),
    shape(14.9362, 0.2860, 0.2872, None),
    shape(13.1013, 0.4687, 0.1994, Some(54.40)),
    shape(1.9687, 0.3202, 0.0397, Some(77.72)),
    shape(0.3281, 0.5496, 0.0418, None),
    shape(1.2949, 0.4649, 0.0675, None),
    shape(57.7484, 0.2526, 0.2349, Some(31.63)),
    shape(1.3783, 0.5380, 0.0468, None),
    shape(4.9770, 0.5780, 0.1259, Some(32.60)),
    shape(0.3086, 0.5616, 0.0573, None),
    shape(164.8670, 0.4279, 0.0533, None),
    shape(0.9705, 0.2582, 0.0430, Some(69.64)),
];
