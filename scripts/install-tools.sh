#!/usr/bin/env bash
# Installs into target/tools what `cargo xtask check` runs beyond cargo itself: cargo-deny, typos,
# and just for who likes to type less. Prebuilt, versions and hashes pinned in tools.txt, a few
# seconds; where there is no prebuilt one, cargo builds cargo-deny and typos, a few minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=target/tools
stamp="$tools/$(sha256sum scripts/tools.txt | cut -c1-16)"
if [ -e "$stamp" ]; then
  exit 0
fi

prebuilt() {
  python3 -m venv "$tools" &&
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check \
      --only-binary :all: --require-hashes -r scripts/tools.txt
}

mkdir -p target
rm -rf "$tools"
if ! prebuilt; then
  echo "install-tools: no prebuilt tools for this machine, building them" >&2
  rm -rf "$tools"
  cargo install --locked --quiet --root "$tools" cargo-deny@0.20.2 typos-cli@1.52.0
fi
touch "$stamp"
"$tools/bin/cargo-deny" --version
"$tools/bin/typos" --version
