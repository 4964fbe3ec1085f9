#!/usr/bin/env bash
# Fuzzes each target for a while; goes on after a crash and says at the end where the inputs lie.
# usage: run.sh SECONDS-EACH [TARGET …]
set -euo pipefail
cd "$(dirname "$0")"
seconds=$1
shift
targets=("$@")
((${#targets[@]})) || targets=(sdp datagram rtp_payload token json config card range manifest policy names proxied)
# libFuzzer's coverage, which the compiler has on every channel. Only ours and what it calls is built with it.
coverage="--cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1"
for argument in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage+=" -Cllvm-args=-sanitizer-coverage-$argument"
done
# With a target named, build scripts and macros are built without it.
host=$(rustc -vV | sed -n 's/^host: //p')
made=../../target/fuzz
# Not --locked: what a crate of ours newly needs comes into this lock file by itself.
RUSTFLAGS="$coverage" cargo build --release --target "$host" --target-dir "$made"
failed=()
for target in "${targets[@]}"; do
    echo "──── $target"
    mkdir -p "$made/corpus/$target" "$made/crashes"
    "$made/$host/release/$target" "$made/corpus/$target" -artifact_prefix="$made/crashes/$target-" \
        -max_total_time="$seconds" -max_len=4096 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 2>&1 | tail -n 12 ||
        failed+=("$target")
done
if ((${#failed[@]})); then
    printf '\ncrashed: %s (the inputs lie in target/fuzz/crashes)\n' "${failed[*]}"
    exit 1
fi
