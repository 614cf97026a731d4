#!/usr/bin/env bash
# spanwise beside a real OpenTelemetry Collector with `tail_sampling`, with the same policies and the
# same requests: CPU per span, peak memory, and what each kept of the labelled anomalies. Builds the
# Collector with ocb (needs Go and the module proxy) and spanwise, prints JSON. Where Go or the data is
# missing it prints why and ends well. Arguments go to collector_tail_sampling.py.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=0.159.0
home=target/rivals/collector
skip() {
  printf '{"skipped": "%s"}\n' "$1"
  exit 0
}
[ -n "${SPANWISE_DATA:-}" ] || skip "SPANWISE_DATA is not set: it names the folder with ob_0822.parquet and ob_0822_0418_0428.otlp.pb.zst"
data=$SPANWISE_DATA/ob_0822_0418_0428.otlp.pb.zst
[ -e "$data" ] || skip "$data is missing"

mkdir -p "$home"
collector=${COLLECTOR:-$home/build/otelcol-tail-sampling}
if ! [ -x "$collector" ]; then
  command -v go >/dev/null || skip "go is not installed: the Collector cannot be built"
  contrib=github.com/open-telemetry/opentelemetry-collector-contrib
  cat > "$home/builder.yaml" <<YAML
dist: {name: otelcol-tail-sampling, output_path: $PWD/$home/build, version: $version}
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v$version
processors:
  - gomod: $contrib/processor/tailsamplingprocessor v$version
exporters:
  - gomod: go.opentelemetry.io/collector/exporter/otlpexporter v$version
YAML
  GOBIN=$PWD/$home/bin nice go install "go.opentelemetry.io/collector/cmd/builder@v$version" 1>&2
  nice "$home/bin/builder" --config "$home/builder.yaml" 1>&2
fi

venv=$home/venv
if ! [ -e "$venv/ready" ]; then
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -r benches/rivals/collector_tail_sampling.txt
  touch "$venv/ready"
fi
if [ -z "${SPANWISE:-}" ]; then
  cargo build --release --locked --quiet
  SPANWISE=${CARGO_TARGET_DIR:-target}/release/spanwise
fi
exec "$venv/bin/python" benches/rivals/collector_tail_sampling.py --collector "$collector" \
  --spanwise "$SPANWISE" --file "$data" --labels "$SPANWISE_DATA/ob_0822.parquet" "$@"
