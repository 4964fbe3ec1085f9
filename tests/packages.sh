#!/usr/bin/env bash
# Installs the Debian/Ubuntu packages that the named jobs need and that are missing.
# usage: packages.sh run|test|bench|deb|image|emulator|cross …
set -euo pipefail
cd "$(dirname "$0")/.."

run=(build-essential cmake pkg-config libssl-dev nodejs npm
    libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstreamer-plugins-bad1.0-dev libpango1.0-dev
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
    gstreamer1.0-libav gstreamer1.0-nice gstreamer1.0-gl gstreamer1.0-x fonts-noto-cjk fonts-noto-color-emoji ca-certificates curl)
test=(chromium chromium-driver xvfb gstreamer1.0-tools python3-gi gir1.2-gst-plugins-bad-1.0 iproute2 nftables
    curl procps systemd coturn haproxy openssh-server openssh-client bind9-dnsutils unbound
    libreoffice-calc python3-venv)
# Only the programs of these are used: a service that starts with its package is stopped again.
quiet=(coturn haproxy openssh-server unbound)
bench=(janus nginx-light)
deb=(dpkg-dev)
image=(dpkg-dev mmdebstrap debian-archive-keyring e2fsprogs)
emulator=(qemu-system-x86 ovmf mtools)
cross=(nodejs npm mmdebstrap debian-archive-keyring)

# Ubuntu has Chromium only as a snap, which can't see the tests' folders: there a browser comes from its maker.
browser=target/tools/browser
from_maker=
if [[ " $* " == *" test "* ]] && grep -qx 'ID=ubuntu' /etc/os-release && ! command -v chromedriver >/dev/null; then
    from_maker=yes
    test=(libnss3 libgbm1 libatk-bridge2.0-0t64 libasound2t64 libxkbcommon0 libxcomposite1 libxdamage1 libxrandr2 "${test[@]:2}")
fi

missing=()
for job in "$@"; do
    declare -n packages=$job
    for package in "${packages[@]}"; do
        # A Node or npm that came another way is as good.
        if [[ $package == nodejs || $package == npm ]] && command -v "${package/nodejs/node}" >/dev/null; then continue; fi
        if [[ $package == python3-venv ]] && python3 -c 'import venv, ensurepip' 2>/dev/null; then continue; fi
        status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
        [[ $status == "install ok installed" ]] || missing+=("$package")
    done
done

if ((${#missing[@]})); then
    echo "· installing: ${missing[*]}"
    as_root=()
    if ((EUID != 0)); then
        if ! command -v sudo >/dev/null; then
            printf 'These packages are missing and there is no sudo to install them with.\nPlease run as root:\n\n    apt-get install %s\n' "${missing[*]}" >&2
            exit 1
        fi
        as_root=(sudo)
    fi
    log=$(mktemp)
    install() {
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >"$log" 2>&1 &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >>"$log" 2>&1 || return 1
        local package
        for package in "${quiet[@]}"; do
            if [[ " ${missing[*]} " == *" $package "* && -d /run/systemd/system ]]; then
                "${as_root[@]}" systemctl disable --now "${package/openssh-server/ssh}" >>"$log" 2>&1 || true
            fi
        done
    }
    if ! install; then
        tail -n 20 "$log" >&2
        printf '\nThe packages could not be installed. Please install them yourself:\n\n    apt-get install %s\n' "${missing[*]}" >&2
        exit 1
    fi
    rm -f "$log"
fi

# A real learning record store for the tests, in an environment of its own.
lrs=target/tools/ralph
if [[ " $* " == *" test "* && ! -e $lrs/.ready ]]; then
    echo "· installing the learning record store that the tests deliver to"
    rm -rf $lrs
    python3 -m venv $lrs
    $lrs/bin/pip install -q --disable-pip-version-check 'ralph-malph[lrs]==5.1.0' 'requests<3'
    touch $lrs/.ready
fi

if [[ -n $from_maker && ! -e $browser/.ready ]]; then
    echo "· fetching the browser that the tests drive"
    for program in chrome chromedriver; do
        npx --yes @puppeteer/browsers install "$program@stable" --path $browser
        ln -sfn "$(cd $browser && echo "$program"/*/*/"$program")" "$browser/$program.program"
    done
    touch $browser/.ready
fi

if ! command -v cargo >/dev/null; then
    echo "Rust is missing: install a toolchain (1.92 or newer) first, e.g. with rustup." >&2
    exit 1
fi
