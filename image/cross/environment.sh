# shellcheck shell=bash disable=SC2034 # read by cross.sh and by Dockerfile
# What a Debian needs to build our programs for arm64, and how the build is told: one list for the chroot that cross.sh
# makes and for the container image of Dockerfile.
suite=trixie
target=aarch64-unknown-linux-gnu
# Of the two emulators' packages the one that does not enter itself into the building machine's kernel (binfmt_misc).
emulator=qemu-aarch64
# rustc-web is the newer Rust that Debian keeps for its browsers.
packages=(crossbuild-essential-arm64 pkgconf:arm64 rustc-web cargo-web libstd-rust-web-dev:arm64 cmake
    libssl-dev:arm64 libgstreamer1.0-dev:arm64 libgstreamer-plugins-base1.0-dev:arm64 libgstreamer-plugins-bad1.0-dev:arm64
    libpango1.0-dev:arm64 ca-certificates qemu-user)

# What a container image of its own brings: everything but Debian's Rust, which comes from outside there.
container_packages=()
for package in "${packages[@]}"; do [[ $package == *-web* ]] || container_packages+=("$package"); done

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$emulator
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
export CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++
export AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar
export PKG_CONFIG_ALLOW_CROSS=1
export PKG_CONFIG_aarch64_unknown_linux_gnu=aarch64-linux-gnu-pkg-config
