//! What the Gen-T paper publishes, as rows.

use spanwise_archive::evaluation::published;

use super::row::Row;

/// Rows with data `published`: other recordings, so bars to look at.
pub(super) fn rows() -> Vec<Row> {
    let row = |row: &published::Published| {
        let known = [
            ("bytes", row.bytes.map(|bytes| bytes as f64)),
            ("q1", row.q1),
            ("q2", row.q2),
            ("q3", row.q3),
            ("q4", row.q4),
            ("tree_edit_distance", row.tree_edit_distance),
        ];
        Row::published(row.method, &known)
    };
    published::ROWS.iter().map(row).collect()
}
