//! OTLP in and out: spans as views over request bytes, never decoded into structs.
