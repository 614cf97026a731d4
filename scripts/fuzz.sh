#!/usr/bin/env bash
# Fuzzes one target for some seconds on the stable toolchain, without cargo-fuzz:
#   scripts/fuzz.sh otlp_pb 600
# New inputs go to fuzz/target/corpus/TARGET; the committed corpus in fuzz/corpus/TARGET is read only.
# Input that fails lies in fuzz/artifacts/TARGET.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"
target=$1
seconds=${2:-60}
triple=$(rustc -vV | sed -n 's/^host: //p')
out=${CARGO_TARGET_DIR:-target}
# Flags of cargo-fuzz without a sanitizer; with --target they stay away from build scripts.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
features=()
case $target in config | archive_push) features=(--features "$target") ;; esac
cargo build --quiet --release --target "$triple" --bin "$target" "${features[@]}"
mkdir -p "target/corpus/$target" "artifacts/$target"
exec "$out/$triple/release/$target" "target/corpus/$target" "corpus/$target" \
    -artifact_prefix="artifacts/$target/" -max_total_time="$seconds" -timeout=1 \
    -rss_limit_mb=512 -max_len=16384 -print_final_stats=1 "${@:3}"
