//! The evaluation protocols: spans, shocks, and their metrics.
