#!/usr/bin/env bash
# Makes the flashable image for a PC (x86-64, UEFI): packages → root → partitions. No loop device, no container engine.
# usage: build.sh FOLDER-WITH-THE-PROGRAMS      (root; MIRROR= and SECURITY_MIRROR= name other mirrors)
#        build.sh --bare                        a Debian that only starts, put together the same way: to compare with
# Makes $IMAGE_WORK/classroom-pc-x86_64.raw and, with COMPRESS=yes, .raw.zst beside it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../lib.sh"

# Packages of Debian in $root; fetched once for each list of packages.
debian() {
    local packages base=$work/base-$board
    packages=$(grep -v '^#' "$here/$list" | grep . | paste -sd,)
    if [[ $(cat "$base.made" 2>/dev/null) != "$packages" ]]; then
        say "fetching Debian ($suite)"
        make_root "$base" "$packages"
        echo "$packages" >"$base.made"
    fi
    rm -rf --one-file-system "$build"
    mkdir -p "$build"
    cp -a --reflink=auto "$base" "$root"
}

# What any box of ours needs to start.
settings() {
    say "settings"
    cp -a --no-preserve=ownership "$here/overlay/." "$root/"
    mkdir -p "$root/boot/card"
    inside "$root" systemctl --quiet enable systemd-networkd.service systemd-resolved.service systemd-timesyncd.service
    # Nobody logs in on this box; nothing waits for the whole network; packages do not come by themselves.
    inside "$root" systemctl --quiet mask getty@tty1.service systemd-networkd-wait-online.service apt-daily.timer \
        apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer
    inside "$root" systemctl --quiet set-default multi-user.target
    ln -sf /run/systemd/resolve/resolv.conf "$root/etc/resolv.conf"
    ln -sf /usr/share/zoneinfo/Asia/Taipei "$root/etc/localtime"
    : >"$root/etc/machine-id"
}

# What makes it a classroom box.
classroom() {
    say "our own packages"
    local program missing
    mkdir "$build/debs"
    DEB_ARCH=amd64 "$image_folder/deb.sh" "$bin" "$build/debs" | sed 's|/.*/|  |'
    # The agent belongs on the devices that go home.
    rm -f "$build"/debs/classroom-agent_*.deb
    cp "$build"/debs/*.deb "$root/tmp/"
    inside "$root" sh -c 'dpkg --install /tmp/*.deb' >"$build/dpkg.log" 2>&1 || {
        cat "$build/dpkg.log" >&2
        die 'Our packages do not fit this Debian.'
    }
    rm "$root"/tmp/*.deb
    # Each shared library that a program of ours asks for is there.
    for program in "$root"/usr/bin/{appliance,display-client,studio}; do
        [[ -x $program ]] || continue
        missing=$(inside "$root" ldd "${program#"$root"}" | grep -e 'not found' || true)
        [[ -z $missing ]] || die "${program##*/} lacks libraries: $missing"
    done
}

# What makes it a Debian that tells when it is up.
only_debian() {
    rm -rf "$root"/etc/systemd/system/classroom-*
    mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
    printf '%s\n' '[Unit]' 'After=systemd-networkd.service systemd-user-sessions.service' '[Service]' 'Type=oneshot' \
        'ExecStart=/bin/echo bare-debian-is-up' 'StandardOutput=journal+console' >"$root/etc/systemd/system/up.service"
    ln -s ../up.service "$root/etc/systemd/system/multi-user.target.wants/up.service"
}

# Root, data, firmware's partition and card as what goes into the partitions.
contents() {
    rm -f "$root/var/lib/dbus/machine-id" "$root"/etc/apt/sources.list.d/*.list "$root/etc/apt/sources.list"
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/* "$root"/var/log/*
    # What is installed belongs to the root, which a later root replaces, not to the data.
    mkdir -p "$root/usr/lib/sysimage"
    mv "$root/var/lib/dpkg" "$root/usr/lib/sysimage/dpkg"
    ln -s ../../usr/lib/sysimage/dpkg "$root/var/lib/dpkg"
    mv "$root/var" "$build/var"
    mkdir "$root/var"
    mkfs.ext4 -q -L root-a -m 0 -O ^has_journal -d "$root" "$build/root.ext4" 2G
    cp -r "$here/efi" "$build/efi"
    cp -r "$here/card" "$build/card"
    mkdir -p "$build/efi/EFI/BOOT"
    # Signed by Debian's keys: starts with Secure Boot too.
    cp "$with/usr/lib/shim/shimx64.efi.signed" "$build/efi/EFI/BOOT/BOOTX64.EFI"
    cp "$with/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" "$build/efi/EFI/BOOT/grubx64.efi"
}

# systemd-repart puts the disk together by the definitions that also grow it at the first start.
disk() {
    say "partitions"
    rm -f "$image"
    mkdir -p "$with/build" "$with/out"
    # In a mount namespace of its own, so that nothing stays mounted whatever happens.
    unshare --mount sh -euc '
        mount --bind "$1" "$2/build"
        mount --bind "$3" "$2/out"
        mount -t proc proc "$2/proc"
        exec chroot "$2" /usr/bin/env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 \
            systemd-repart --empty=create --size=auto --offline=yes --dry-run=no --no-pager --sector-size=512 \
            --definitions=/build/tree/usr/lib/repart.d "/out/$4"
    ' sh "$build" "$with" "$work" "$(basename "$image")" >"$build/repart.log" 2>&1 || {
        cat "$build/repart.log" >&2
        die 'The disk could not be put together.'
    }
    fallocate --dig-holes "$image"
    du -sm --apparent-size "$root" | cut -f1 >"$image.root-mb"
    rm -rf --one-file-system "$root" "$build/var" "$build/root.ext4"
}

main() {
    board=pc-x86_64 list=packages
    [[ $1 != --bare ]] || board=bare-x86_64 list=packages.bare
    need_root image
    mkdir -p "$work"
    build=$work/$board root=$work/$board/tree image=$work/classroom-$board.raw
    debian
    with=$(tools)
    settings
    if [[ $1 == --bare ]]; then only_debian; else
        bin=$(realpath "$1")
        classroom
        inside "$root" systemctl --quiet enable classroom-card.service
    fi
    contents
    disk
    say "$image: $(du -m "$image" | cut -f1) MB on a disk of $(($(stat -c %s "$image") >> 20)) MB"
    if [[ ${COMPRESS:-no} == yes ]]; then
        zstd -q -f -T0 -10 "$image" -o "$image.zst"
        say "$image.zst: $(du -m "$image.zst" | cut -f1) MB"
    fi
}
main "$@"
