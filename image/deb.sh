#!/usr/bin/env bash
# Makes the Debian packages from programs that are built already; needs dpkg-dev and nothing else.
# usage: deb.sh FOLDER-WITH-THE-PROGRAMS FOLDER-FOR-THE-PACKAGES
# A package whose program is not in the folder is left out and named.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
bin=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$repository"
arch=${DEB_ARCH:-$(dpkg --print-architecture)}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
# Later builds of one version are newer.
version=$version+$(git log -1 --format=%cd --date=format:%Y%m%d%H%M%S)
export SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The packages of the shared libraries that a program asks for, on one line.
libraries() {
    mkdir -p "$folder/shlibs/debian"
    printf 'Source: classroom\n\nPackage: classroom\nArchitecture: any\n' >"$folder/shlibs/debian/control"
    (cd "$folder/shlibs" && dpkg-shlibdeps --ignore-missing-info -O "$1" 2>/dev/null) | sed -n 's/^shlibs:Depends=//p'
}

# What systemd needs after files came or before they go. Every step may be done again.
scripts() {
    local to=$1 units=$2
    cat >"$to/postinst" <<SH
#!/bin/sh
set -e
if [ "\$1" = configure ]; then
    if [ -e /usr/lib/sysusers.d/classroom.conf ]; then
        systemd-sysusers classroom.conf
        systemd-tmpfiles --create classroom.conf || true
    fi
    for unit in $units; do
        deb-systemd-helper enable "\$unit" >/dev/null || true
    done
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload || true
        deb-systemd-invoke restart $units || true
    fi
fi
SH
    cat >"$to/prerm" <<SH
#!/bin/sh
set -e
if [ "\$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop $units || true
fi
SH
    cat >"$to/postrm" <<SH
#!/bin/sh
set -e
if [ "\$1" = purge ]; then
    deb-systemd-helper purge $units >/dev/null || true
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
SH
    chmod 755 "$to"/{postinst,prerm,postrm}
}

for recipe in image/deb/*/; do
    name=$(basename "$recipe")
    root=$folder/$name
    program=$(sed -n 's/^@BIN@\/\([^ ]*\) .*/\1/p' "$recipe/install" | head -n 1)
    if [[ ! -x $bin/$program ]]; then
        say "$name is left out: there is no $program in $bin"
        continue
    fi
    mkdir -p "$root/DEBIAN"
    units=''
    while read -r from to mode; do
        install -D -m "$mode" "${from/#@BIN@/$bin}" "$root/$to"
        if [[ $from == @BIN@/* ]]; then strip --strip-unneeded "$root/$to" 2>/dev/null || true; fi
        if [[ $to == */system/* ]]; then units+="${units:+ }$(basename "$to")"; fi
        if [[ $to == etc/* ]]; then echo "/$to" >>"$root/DEBIAN/conffiles"; fi
    done < <(grep -v '^#' "$recipe/install")
    install -D -m 644 image/deb/copyright "$root/usr/share/doc/$name/copyright"
    printf '%s (%s) unstable; urgency=medium\n\n  * Built from %s.\n\n -- Classroom box <noreply@localhost>  %s\n' \
        "$name" "$version" "$(git describe --always)" "$(date -uRd "@$SOURCE_DATE_EPOCH")" |
        gzip -9n >"$root/usr/share/doc/$name/changelog.gz"
    # What a timer starts is not started by installing it.
    for timer in $units; do
        if [[ $timer == *.timer ]]; then units=${units/"${timer%.timer}.service"/}; fi
    done
    scripts "$root/DEBIAN" "$units"
    sed -e "s/@SHLIBS@/$(libraries "$bin/$program")/" -e "s/@VERSION@/$version/g" "$recipe/control" >"$root/DEBIAN/control"
    sed -i "/^Package:/a Version: $version\nArchitecture: $arch\nInstalled-Size: $(du -sk "$root" | cut -f1)" "$root/DEBIAN/control"
    (cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
    dpkg-deb --root-owner-group -Zxz -z1 --build "$root" "$out/${name}_${version}_$arch.deb" >/dev/null
    say "$out/${name}_${version}_$arch.deb"
done
