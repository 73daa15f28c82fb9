#!/bin/sh
# Makes a Debian base image without an image registry: debootstrap from an apt mirror, imported.
#
#   make-base.sh SUITE MIRROR TAG [SECURITY_MIRROR]     (as root; needs debootstrap and docker)
#
# SECURITY_MIRROR, when given, is written into the image's sources so that builds get updates.
set -eu
suite=$1 mirror=$2 tag=$3 security=${4:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# /dev and /proc are the engine's business; minbase is what the slim images are made from.
debootstrap --variant=minbase "$suite" "$work/root" "$mirror" >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    exit 1
}
{
    echo "deb $mirror $suite main"
    if [ -n "$security" ]; then echo "deb $security $suite-security main"; fi
} >"$work/root/etc/apt/sources.list"
# A service must not start because its package was installed.
printf '#!/bin/sh\nexit 101\n' >"$work/root/usr/sbin/policy-rc.d"
chmod 755 "$work/root/usr/sbin/policy-rc.d"
echo 'Acquire::Languages "none";' >"$work/root/etc/apt/apt.conf.d/90-small"
rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/* \
    "$work"/root/var/log/* "$work"/root/usr/share/doc/* "$work"/root/usr/share/man/* \
    "$work"/root/usr/share/locale/*
tar -C "$work/root" -c . | docker import -c 'CMD ["bash"]' - "$tag"
