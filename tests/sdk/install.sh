#!/bin/sh
# Installs the OpenTelemetry SDKs that the tests send with, into target/sdk: a Python virtual
# environment and a node_modules. Needs python3 and node with npm, and the network. The tests skip
# what is not there and say so.
#
# Usage: tests/sdk/install.sh [DIR]     (DIR: target/sdk, or $SPANWISE_SDK)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-${SPANWISE_SDK:-$here/../../target/sdk}}
mkdir -p "$dir"

if command -v python3 >/dev/null; then
    python3 -m venv "$dir/python"
    "$dir/python/bin/pip" install --quiet --requirement "$here/requirements.txt"
    "$dir/python/bin/python" -c 'from importlib.metadata import version as v; print("python: opentelemetry-sdk", v("opentelemetry-sdk"))'
else
    echo "python3 is missing: the Python SDK is not installed" >&2
fi

if command -v npm >/dev/null; then
    mkdir -p "$dir/js"
    cp "$here/js_exporter/package.json" "$here/js_exporter/package-lock.json" "$dir/js/"
    (cd "$dir/js" && npm ci --silent --no-audit --no-fund)
    echo "node: @opentelemetry/exporter-trace-otlp-http $(node -p "require('$dir/js/node_modules/@opentelemetry/exporter-trace-otlp-http/package.json').version")"
else
    echo "npm is missing: the JavaScript SDK is not installed" >&2
fi
