#!/usr/bin/env bash
# Runs each fuzz target for a while from its corpus; fails on the first finding. Needs a nightly toolchain and
# cargo-fuzz.
#
#     fuzz/smoke.sh [SECONDS] [TARGET ...]      default: 60 s and every target
#
# New inputs of a run stay under fuzz/target, so that the corpus changes only on purpose (docs/fuzzing.md).
set -euo pipefail
cd "$(dirname "$0")/.."

TOOLCHAIN=${FUZZ_TOOLCHAIN:-nightly}
# MiB; a target that needs more memory is a finding.
MEMORY=2048
# Seconds; a single input that takes longer is a finding.
SLOWEST=10
# Bytes; the longest input that is tried.
LONGEST=8192

seconds=60
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    seconds=$1
    shift
fi
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(cargo "+$TOOLCHAIN" fuzz list)
fi

for target in "${targets[@]}"; do
    printf '\n### %s, %s s\n' "$target" "$seconds"
    learned=fuzz/target/learned/$target
    mkdir -p "$learned"
    cargo "+$TOOLCHAIN" fuzz run "$target" "$learned" "fuzz/corpus/$target" -- \
        -dict="fuzz/dictionaries/$target.dict" -max_total_time="$seconds" -max_len="$LONGEST" \
        -rss_limit_mb="$MEMORY" -timeout="$SLOWEST" -print_final_stats=1 -verbosity=1
done
printf '\n### no findings\n'
