#!/usr/bin/env bash
# Records traces of HotROD, the demo application of Jaeger, at two shares of failing requests and two
# loads, as four OTLP files:
#   bash benches/hotrod/record.sh [DIR]        (DIR: target/hotrod; about 8 minutes)
# Builds the application from the Go module proxy, lets it export to `spanwise serve`, which keeps
# every trace and writes it to files byte for byte, and drives it with drive.py. Needs Go and Python.
# SPANWISE names a program that is built already, HOTROD_SECONDS is the length of each recording.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=benches/hotrod
out=${1:-target/hotrod}
version=v1.76.0
seconds=${HOTROD_SECONDS:-100}
spanwise=${SPANWISE:-target/release/spanwise}
mkdir -p "$out/build"

if [ ! -x "$spanwise" ]; then
  cargo build --release --locked
fi
# In a module of its own: the application's has replacements, with which `go install` refuses it.
if [ ! -x "$out/build/hotrod" ]; then
  (
    cd "$out/build"
    printf 'module hotrod\n\ngo 1.24\n' >go.mod
    go get "github.com/jaegertracing/jaeger/examples/hotrod@$version"
    go build -o hotrod github.com/jaegertracing/jaeger/examples/hotrod
  )
fi

server=""
app=""
finish() {
  for process in $app $server; do
    kill "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
}
trap finish EXIT

# record NAME SHARE_OF_FAILING REQUESTS_PER_SECOND
record() {
  local name=$1 failing=$2 rate=$3 folder
  folder=$(mktemp -d)
  cat >"$folder/spanwise.yaml" <<YAML
data_dir: $folder/data
listen: {otlp_http: 127.0.0.1:14318, otlp_grpc: 127.0.0.1:14317, http: 127.0.0.1:17300}
sampler:
  traces: {budget: 100%}
forward:
  - {file: $folder/files, send: traces, stamp: false, rotate: {every: 1h}}
YAML
  "$spanwise" serve -c "$folder/spanwise.yaml" >"$folder/serve.log" 2>&1 &
  server=$!
  # Without the application's planted bottlenecks (a lock around the database, three workers for
  # routes) it carries the larger load; what queues then is a pool of 20 workers.
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:14318 "$out/build/hotrod" all \
    --fix-disable-db-conn-mutex --fix-route-worker-pool-size 20 --fix-db-query-delay 30ms \
    >"$folder/hotrod.log" 2>&1 &
  app=$!
  python3 "$here/drive.py" --failing "$failing" --rate "$rate" --seconds "$seconds"
  # Batches leave the application every second, traces close a second after their root.
  sleep 5
  finish
  app=""
  server=""
  # Files are one stream: frames of zstd may follow each other.
  cat "$folder"/files/traces-*.otlp.pb.zst >"$out/hotrod_$name.otlp.pb.zst"
  ls -l "$out/hotrod_$name.otlp.pb.zst"
  rm -r "$folder"
}

record low_few 0.02 8
record low_many 0.2 8
record high_few 0.02 30
record high_many 0.2 30
