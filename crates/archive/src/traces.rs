//! A window of traces as columns: what models and metrics read.
