#!/usr/bin/env bash
# Runs every test, the quick ones first, and says at the end which parts failed.
# usage: run.sh [PART …]   parts: format pages build rust tidy http library browsers netns usage day; and image, which needs `make image`
set -uo pipefail
cd "$(dirname "$0")/.."
# Networks of their own, and what lies in them, need root. Cargo itself and what it builds stay the user's.
if ((EUID != 0)); then
    command -v sudo >/dev/null || { echo "The tests make networks of their own: run them as root, or install sudo." >&2 && exit 1; }
    host=$(rustc -vV | sed -n 's/^host: //p')
    host=${host//-/_}
    export "CARGO_TARGET_${host^^}_RUNNER=sudo -E env PATH=$PATH HOME=$HOME"
    trap 'sudo chown -R "$(id -u):$(id -g)" target/shots 2>/dev/null || true' EXIT
fi
failed=()
part() {
    local name=$1 began=$SECONDS
    shift
    printf '\n──── %s\n' "$name"
    if "$@"; then printf '──── %s: passed in %d s\n' "$name" $((SECONDS - began)); else
        failed+=("$name")
        printf '──── %s: FAILED after %d s\n' "$name" $((SECONDS - began))
    fi
}
pages() { (cd appliance/ui && npm run --silent check && npm run --silent test); }
format() { cargo fmt --all --check; }
# Always the whole workspace: cargo unites the features of what is named, and another choice would build much of it again.
build() { cargo build --locked --workspace --all-targets; }
rust() {
    cargo test --locked --workspace --lib --bins &&
        cargo test --locked --workspace --test 'room*' --test 'media*' --test 'figures*' --test 'policy*' --test 'register*' --test 'clock*'
}
tidy() { cargo test --locked --workspace --test tidy; }
# These start the real programs, real browsers and networks of their own: one at a time, so that each has the machine.
box() { cargo test --locked --workspace --test "$1" -- --test-threads=1 "${@:2}"; }

all=(format pages build rust tidy http library browsers netns usage day)
for name in "${@:-${all[@]}}"; do
    case $name in
    pages | format | build | rust | tidy) part "$name" "$name" ;;
    http | library | browsers | netns | usage | image) part "$name" box "$name" ;;
    day) part "$name" box "$name" --nocapture ;;
    *) echo "there is no part called $name" >&2 && exit 2 ;;
    esac
done
if ((${#failed[@]})); then
    printf '\nfailed: %s\n' "${failed[*]}"
    exit 1
fi
printf '\nAll parts passed.\n'
