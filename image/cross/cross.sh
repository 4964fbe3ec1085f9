#!/usr/bin/env bash
# Builds the programs for arm64 and runs their unit tests under emulation.
# usage: cross.sh [cross]      in a Debian chroot made by mmdebstrap (root), or with a container engine by `cross`
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"
. "$here/environment.sh"

crates=(-p appliance -p display-client)
[[ ! -d $repository/appliance/studio ]] || crates+=(-p studio)

with_engine() {
    command -v cross >/dev/null || die 'cross is missing: cargo install --locked cross'
    cd "$repository"
    CROSS_CONFIG=$here/Cross.toml cross build --locked --release --target "$target" "${crates[@]}"
    CROSS_CONFIG=$here/Cross.toml cross test --locked --release --target "$target" -p appliance-core -p appliance --lib
}

with_chroot() {
    need_root cross
    local folder=$work/cross wanted
    mkdir -p "$work"
    wanted=${packages[*]}
    if [[ $(cat "$folder.made" 2>/dev/null) != "$wanted" ]]; then
        say "making a Debian that builds for arm64"
        make_root "$folder" "$(IFS=,; echo "${packages[*]}")" --architectures=amd64,arm64
        echo "$wanted" >"$folder.made"
    fi
    # This machine's authorities and cargo's settings, so that crates come from where this machine gets them.
    local home=${CARGO_HOME:-$HOME/.cargo} crates_home=$folder/cargo
    mkdir -p "$folder/source" "$folder/target" "$crates_home" "$repository/target/cross"
    cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/ca-certificates.crt"
    cp -L /etc/resolv.conf "$folder/etc/resolv.conf"
    cp -L /etc/hosts "$folder/etc/hosts"
    local mounts=("$repository:source" "$repository/target/cross:target" "$home:cargo")
    local script='
        folder=$1; shift
        while [ "$1" != -- ]; do mount --bind "${1%:*}" "$folder/${1##*:}"; shift; done; shift
        mount -t proc proc "$folder/proc"; mount --rbind /dev "$folder/dev"; mount --rbind /sys "$folder/sys"
        exec chroot "$folder" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"'
    local environment
    mapfile -t environment < <(env | grep -E '^(CARGO_TARGET_AARCH64|CC_aarch64|CXX_aarch64|AR_aarch64|PKG_CONFIG|QEMU_LD|https?_proxy|HTTPS?_PROXY|no_proxy|CARGO_BUILD_JOBS)')
    chrooted() {
        unshare --mount bash -euc "$script" bash "$folder" "${mounts[@]}" -- "${environment[@]}" \
            CARGO_HOME=/cargo CARGO_TARGET_DIR=/target RUSTC=/usr/bin/rustc "$@"
    }
    say "building for $target"
    chrooted /usr/bin/cargo build --locked --release --manifest-path /source/Cargo.toml --target "$target" "${crates[@]}"
    say "the hub says which it is:"
    chrooted qemu-aarch64-static "/target/$target/release/appliance" --version
    say "its unit tests, emulated"
    chrooted /usr/bin/cargo test --locked --release --manifest-path /source/Cargo.toml --target "$target" -p appliance-core -p classroom-protocol --lib
}

case ${1:-chroot} in
cross) with_engine ;;
chroot) with_chroot ;;
*) die 'usage: cross.sh [cross]' ;;
esac
