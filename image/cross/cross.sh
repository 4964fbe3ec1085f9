#!/usr/bin/env bash
# Builds the programs for arm64 and runs their unit tests under emulation.
# usage: cross.sh [cross]      in a Debian chroot made by mmdebstrap (root), or with a container engine by `cross`
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
. "$here/environment.sh"

crates=(-p classroom-protocol -p appliance-core -p appliance -p classroom-agent -p display-client -p studio)
programs=(--bin appliance --bin classroom-agent --bin display-client --bin studio)
# The profile of the release as it is, with its optimization over all crates: these are the programs that go onto boards.
build=(build --locked --release --target "$target" "${crates[@]}" "${programs[@]}")
# The profile of the tests, which checks overflow and debug assertions; each test program of a release would be optimized
# over all crates again, and the hub's takes minutes.
test=(test --locked --target "$target" "${crates[@]}" --lib --bin classroom-agent)

with_engine() {
    command -v cross >/dev/null || die 'cross is missing: cargo install --locked cross'
    cd "$repository"
    export CROSS_CONFIG=$here/Cross.toml CARGO_TARGET_DIR=$repository/target/cross
    cross "${build[@]}"
    cross "${test[@]}"
}

# The Debian that builds, made anew when its packages change.
chroot_folder() {
    local folder=$work/cross
    if [[ $(cat "$folder.made" 2>/dev/null) != "${packages[*]}" ]]; then
        say "making a Debian that builds for arm64" >&2
        make_root "$folder" "$(IFS=,; echo "${packages[*]}")" --architectures=amd64,arm64 >&2
        echo "${packages[*]}" >"$folder.made"
    fi
    echo "$folder"
}

# chrooted FOLDER COMMAND …: runs a command in that Debian, with the sources at /source and what is built at /target. The
# mounts live in a namespace that ends with the command.
chrooted() {
    local folder=$1 settings='^(CARGO_(TARGET_AARCH64|PROFILE|BUILD_JOBS|HTTP|NET|REGISTR|SOURCE)|CC_aarch64|CXX_aarch64|AR_aarch64|PKG_CONFIG|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY)'
    local environment
    shift
    mapfile -t environment < <(env | grep -E "$settings")
    # shellcheck disable=SC2016 # expanded in the namespace
    unshare --mount bash -euc '
        folder=$1 repository=$2 cargo=$3; shift 3
        mount --bind "$repository" "$folder/source"
        mount --bind "$repository/target/cross" "$folder/target"
        mount --bind "$cargo" "$folder/cargo"
        mount -t proc proc "$folder/proc"
        mount --rbind /dev "$folder/dev"
        mount --rbind /sys "$folder/sys"
        exec chroot "$folder" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"' \
        bash "$folder" "$repository" "$cargo_home" "${environment[@]}" \
        CARGO_HOME=/cargo CARGO_TARGET_DIR=/target RUSTC=/usr/bin/rustc "$@"
}

with_chroot() {
    need_root cross
    # This machine's authorities and cargo's settings, so that crates come from where this machine gets them.
    cargo_home=${CARGO_HOME:-$HOME/.cargo}
    mkdir -p "$work" "$repository/target/cross" "$cargo_home"
    local folder
    folder=$(chroot_folder)
    mkdir -p "$folder"/{source,target,cargo}
    cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/ca-certificates.crt"
    cp -L /etc/resolv.conf /etc/hosts "$folder/etc/"
    say "building for $target"
    chrooted "$folder" /usr/bin/cargo "${build[@]}" --manifest-path /source/Cargo.toml
    say "the hub says which it is:"
    chrooted "$folder" "$emulator" "/target/$target/release/appliance" --version
    say "the unit tests, emulated"
    chrooted "$folder" /usr/bin/cargo "${test[@]}" --manifest-path /source/Cargo.toml
}

case ${1:-chroot} in
cross) with_engine ;;
chroot) with_chroot ;;
*) die 'usage: cross.sh [cross]' ;;
esac
