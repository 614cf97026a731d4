//! Latency rules and statistics over all spans.
