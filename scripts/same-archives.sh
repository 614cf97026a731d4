#!/usr/bin/env bash
# Shows that an archive and what it gives back are the same bytes in two builds of spanwise, on one
# core and on all:
#   scripts/same-archives.sh target/debug/spanwise target/release/spanwise FILE
# Every level is written and read by the first build, by the second, and by the second bound to one core.
set -euo pipefail
first=$1
second=$2
input=$3
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

# make NAME COMMAND...: an archive of each level and what comes back from it
make_all() {
  local name=$1 level
  shift
  for level in l0 l1 l2 l3; do
    "$@" --no-progress archive compress "$input" -o "$folder/$name.$level.spwa" --level "$level" >/dev/null
    "$@" --no-progress archive generate "$folder/$name.$level.spwa" -o "$folder/$name.$level.otlp.pb.zst" >/dev/null
  done
}

make_all first "$first"
make_all second "$second"
if command -v taskset >/dev/null; then
  make_all bound taskset -c 0 "$second"
fi
for level in l0 l1 l2 l3; do
  for name in second bound; do
    for end in spwa otlp.pb.zst; do
      if [ -e "$folder/$name.$level.$end" ]; then
        cmp "$folder/first.$level.$end" "$folder/$name.$level.$end"
      fi
    done
  done
  sha256sum "$folder/first.$level.spwa" "$folder/first.$level.otlp.pb.zst" | sed "s#  .*/first\.#  #"
done
