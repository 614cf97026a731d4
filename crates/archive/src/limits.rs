//! How much a file may make its reader allocate and do.
//!
//! A file comes from outside. Counts in it are checked against these limits and against the bytes
//! that are left before anything is allocated for them.

/// Limits of one archive. An excess refuses the file, never a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest section in bytes, decompressed. Default 64 MiB.
    pub section_bytes: u64,
    /// How many times larger than its stored form a section may be, once it exceeds 1 MiB. Default
    /// 256.
    pub expansion: u64,
    /// Most sections. Default 4,096.
    pub n_sections: u32,
    /// Most traces of a window. Default 2^20.
    pub n_traces: u64,
    /// Most spans of a window. Default 2^24.
    pub n_spans: u64,
    /// Most values that the spans of a model have together: one for the resource of each span and one
    /// for each attribute key of its call site. They are what generating holds in memory. Default
    /// 2^26, and never more.
    pub n_slots: u64,
    /// Most bytes of OTLP that one section may come back as. Default 16 GiB; they pass through, and
    /// are never held together.
    pub output_bytes: u64,
    /// Most distinct shapes. Default 2^16.
    pub n_shapes: u32,
    /// Most spans of a shape. Default 4,096.
    pub shape_spans: u32,
    /// Most levels of a shape. Default 256.
    pub shape_depth: u32,
    /// Most values of an attribute key. Default 2^16.
    pub key_values: u32,
    /// Most leaves of all trees together. Default 2^18.
    pub n_leaves: u32,
    /// Most levels of a tree. Default 32.
    pub tree_depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            section_bytes: 64 << 20,
            expansion: 256,
            n_sections: 4096,
            n_traces: 1 << 20,
            n_spans: 1 << 24,
            n_slots: 1 << 26,
            output_bytes: 16 << 30,
            n_shapes: 1 << 16,
            shape_spans: 4096,
            shape_depth: 256,
            key_values: 1 << 16,
            n_leaves: 1 << 18,
            tree_depth: 32,
        }
    }
}
