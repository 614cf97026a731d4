//! HTTP API, health and metrics over snapshots of the running pipeline.
