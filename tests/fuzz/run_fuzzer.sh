#!/usr/bin/env bash
# Runs one fuzzer from its seeds, WEIGHT times FUZZ_SECONDS, and prints what it found so that it can be
# run again.
#   run_fuzzer.sh PROGRAM NAME MAX_LEN WEIGHT SEED...      a seed is a folder or a file
set -uo pipefail

program=$1 name=$2 max_len=$3 weight=$4
shift 4

scratch=$(mktemp -d "${TEST_TMPDIR:-/tmp}/fuzz.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
# libFuzzer adds what it learns to the first folder, and takes no single files while it fuzzes.
mkdir "$scratch/corpus" "$scratch/seeds"
for seed in "$@"; do
  cp -rL "$seed" "$scratch/seeds/"
done

finding=$scratch/finding
"$program" -max_total_time="$((weight * ${FUZZ_SECONDS:-20}))" -max_len="$max_len" -timeout=10 -rss_limit_mb=2048 \
  -exact_artifact_path="$finding" -print_final_stats=1 -verbosity=1 "$scratch/corpus" "$scratch/seeds" \
  >"$scratch/log" 2>&1
status=$?

if [ "$status" = 0 ]; then
  tail -n 8 "$scratch/log"
  exit 0
fi
grep -v '^#[0-9]' "$scratch/log" | tail -n 100  # without the lines of progress
if [ -f "$finding" ]; then
  echo
  echo "The input, to be kept in tests/fuzz/corpus/$name once it is understood:"
  echo "base64 -d <<'EOF' | gunzip >finding"
  gzip -9 <"$finding" | base64
  echo "EOF"
  echo "bazel run --config=fuzz //tests/fuzz:${name}_fuzzer -- \$PWD/finding"
fi
exit 1
