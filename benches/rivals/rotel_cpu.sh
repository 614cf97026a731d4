#!/usr/bin/env bash
# CPU per span of spanwise and of rotel, receiving the same requests over gRPC on loopback. Builds
# spanwise, installs rotel into target/rivals/rotel, prints JSON. Arguments go to rotel_cpu.py.
set -euo pipefail
cd "$(dirname "$0")/../.."

venv=target/rivals/rotel
if ! [ -e "$venv/ready" ]; then
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r benches/rivals/rotel_cpu.txt
  touch "$venv/ready"
fi
cargo build --release --locked --quiet
exec "$venv/bin/python" benches/rivals/rotel_cpu.py --spanwise "${CARGO_TARGET_DIR:-target}/release/spanwise" "$@"
