"""Makes the Parquet files of this folder: `python make.py tt_0129.parquet` (needs pyarrow)."""
import sys

import pyarrow as pa
import pyarrow.parquet as pq

BASE = {
    "group": pa.array(["a", None, "b"]),
    "trace_id": pa.array(["1", "1", "00000000000000000000000000000002"]),
    "idx": pa.array([0, 1, 0], pa.int64()),
    "parent_idx": pa.array([-1, 0, -1], pa.int64()),
    "service": pa.array(["s", "s", "t"]),
    "operation": pa.array(["x", "y", "z"]),
    "kind": pa.array([None, "CLIENT", "SPAN_KIND_SERVER"]),
    "start_ns": pa.array([10, 12, 30]),
    "dur_ns": pa.array([5, 1, 7]),
    "error": pa.array(["None", "true", None]),
    "extra": pa.array([[1], [2, 3], []]),
}


def write(name, compression="none", **other):
    columns = {k: v for k, v in {**BASE, **other}.items() if v is not None}
    pq.write_table(pa.table(columns), name, compression=compression, store_schema=False)


def sample(path):
    """Two ordinary traces and every anomalous one of at most 60 spans, up to 200 spans."""
    table = pq.read_table(path).replace_schema_metadata(None)
    ids, slow = table["trace_id"].to_pylist(), table["slow_path"].to_pylist()
    starts = [i for i, x in enumerate(ids) if i == 0 or x != ids[i - 1]] + [len(ids)]
    traces = [(a, b) for a, b in zip(starts, starts[1:]) if b - a <= 60]
    plain = [t for t in traces if not any(slow[t[0]:t[1]])][:2]
    picked = sorted(plain + [t for t in traces if any(slow[t[0]:t[1]])])
    rows = pa.concat_tables([table.slice(a, b - a) for a, b in picked]).slice(0, 200)
    pq.write_table(rows, "tt_0129_sample.parquet", compression="zstd", row_group_size=120, store_schema=False)


if __name__ == "__main__":
    sample(sys.argv[1])
    write("odd.parquet", compression="snappy")
    write("no_service.parquet", service=None)
    write("text_start.parquet", start_ns=pa.array(["a", "b", "c"]))
    write("list_start.parquet", start_ns=pa.array([[1], [2], [3]]))
    write("negative_duration.parquet", dur_ns=pa.array([5, -1, 7]))
    write("bad_trace_id.parquet", trace_id=pa.array(["1", "1", "xyz"]))
    write("null_operation.parquet", operation=pa.array(["x", None, "z"]))
