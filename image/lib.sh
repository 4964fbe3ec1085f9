# shellcheck shell=bash
# What the recipes here share: where Debian comes from, a root folder made of packages, a command inside one.

suite=trixie
image_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(dirname "$image_folder")
# Everything that is made lies here.
work=$(realpath -m "${IMAGE_WORK:-$repository/target/image}")

say() { printf '· %s\n' "$*"; }
die() {
    printf '%s\n' "$*" >&2
    exit 1
}
need_root() { ((EUID == 0)) || die "Making root folders needs root: sudo make $1 (nothing outside $work is changed)."; }

# The lines of an apt list for $suite, from MIRROR= (and SECURITY_MIRROR=) or from where this machine takes its own packages.
apt_list() {
    local components='main non-free-firmware' signed='' mirror=${MIRROR:-} security=${SECURITY_MIRROR:-}
    local targets
    targets=$(apt-get indextargets --format '$(SITE) $(LABEL)' 'Created-By: Packages' 2>/dev/null | sort -u)
    [[ -n $mirror ]] || mirror=$(awk '$2 == "Debian" { print $1; exit }' <<<"$targets")
    [[ -n $security ]] || security=$(awk '$2 == "Debian-Security" { print $1; exit }' <<<"$targets")
    [[ -n $mirror ]] || die 'No Debian mirror is known here: name one, e.g. make image MIRROR=http://mirror.school.example/debian'
    [[ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ]] ||
        signed='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] '
    printf 'deb %s%s %s %s\n' "$signed" "$mirror" "$suite" "$components"
    [[ -z $security ]] || printf 'deb %s%s %s-security %s\n' "$signed" "$security" "$suite" "$components"
}

# make_root FOLDER PACKAGES-WITH-COMMAS [MMDEBSTRAP-OPTION …]: a fresh root folder of $suite.
make_root() {
    local folder=$1 packages=$2
    shift 2
    rm -rf --one-file-system "$folder"
    mkdir -p "$(dirname "$folder")"
    # A .list file: what is written for one mirror must not end up in the image, so the builder's list is dropped after.
    apt_list >"$work/builder.list"
    mmdebstrap --quiet --variant=apt --include="$packages" \
        --aptopt='Acquire::Retries "5"' --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt="$image_folder/slim.dpkg" "$@" "$suite" "$folder" "$work/builder.list"
}

# inside FOLDER COMMAND …: runs a command in a root folder, in namespaces of its own.
inside() {
    local folder=$1
    shift
    unshare --mount --pid --fork --kill-child --mount-proc="$folder/proc" chroot "$folder" \
        /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ LC_ALL=C.UTF-8 "$@"
}

# The tools that put a disk together, in $suite's own versions whatever the builder runs: prints the folder.
tools() {
    local folder=$work/tools packages=systemd,systemd-repart,mtools,dosfstools,e2fsprogs,grub-efi-amd64-signed,shim-signed,fdisk
    if [[ $(cat "$folder.made" 2>/dev/null) != "$packages" ]]; then
        say "fetching the tools that put a disk together" >&2
        make_root "$folder" "$packages" >&2
        echo "$packages" >"$folder.made"
    fi
    echo "$folder"
}
