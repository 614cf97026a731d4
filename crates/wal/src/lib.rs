//! Append-only log of checksummed records.
