//! Half-space trees: online anomaly detection for streams, exact and seeded.
