//! The file: header, section table, checksums, limits.
