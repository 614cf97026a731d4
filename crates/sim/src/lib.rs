//! Generates seeded streams of spans.
