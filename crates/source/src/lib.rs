//! Recorded spans from OTLP and Parquet files, with their labels apart.
